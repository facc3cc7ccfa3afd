"""What a check that fails returns: as others of its kind; what a program filters is no failure. No kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.repair.report import FAILING_BRANCH, Candidate
from bpfsmith.repair.shape import rust
from bpfsmith.repair.shape_c import c
from unit.test_repair import HEAD, _ground, _tried

CHECK = Candidate("null-check", (), "", FAILING_BRANCH, "XDP_DROP")

KINDS = """\
int prog(struct xdp_md *ctx)
{
	struct rule *r;

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	if (ip->protocol != 6)
		return XDP_PASS;
	if (ip->version != 4 || !ip->ihl)
		return XDP_PASS;
%s	r = bpf_map_lookup_elem(&rules, &key);
%s	r->n++;
	return r->n ? XDP_PASS : XDP_DROP;
}
"""
LOOKUP = "\ttotal = bpf_%s(&seen, &key);\n\tif (!total)\n\t\treturn XDP_%s;\n"


@pytest.mark.parametrize(
    ("others", "value", "right"),
    [
        ("", "DROP", True),  # as the end of the packet; what it filters is no failure
        ("", "PASS", False),
        (LOOKUP % ("map_lookup_elem", "DROP"), "DROP", True),
        (LOOKUP % ("map_lookup_elem", "DROP"), "PASS", False),
        (LOOKUP % ("map_lookup_elem", "PASS"), "PASS", True),  # nearer than the packet's end
        (LOOKUP % ("map_lookup_elem", "PASS"), "DROP", False),
        (LOOKUP % ("map_lookup_elem", "PASS") + LOOKUP % ("sk_lookup_tcp", "DROP"), "PASS", True),  # the same helper
        (LOOKUP % ("map_lookup_elem", "PASS") + LOOKUP % ("map_lookup_elem", "DROP"), "PASS", False),
        (LOOKUP % ("map_lookup_elem", "PASS") + LOOKUP % ("map_lookup_elem", "DROP"), "DROP", False),
    ],
)
def test_checks_of_the_same_kind_tell_what_is_returned(others: str, value: str, right: bool) -> None:
    new = KINDS % (others, f"\tif (!r)\n\t\treturn XDP_{value};\n")
    assert (c(KINDS % (others, ""), new, [CHECK], "xdp", "prog") is None) is right


@pytest.mark.parametrize(("filtered", "right"), [("PASS", True), ("DROP", False)])
def test_what_takes_no_part_where_the_function_denies_otherwise(filtered: str, right: bool) -> None:
    old = (KINDS % ("", "")).replace("\tif ((void *)(ip + 1) > end)\n\t\treturn XDP_DROP;\n", "")
    old = old.replace("\t\treturn XDP_PASS;", f"\t\treturn XDP_{filtered};")
    new = old.replace("\tr->n++;", "\tif (!r)\n\t\treturn XDP_PASS;\n\tr->n++;")
    assert (c(old, new, [CHECK], "xdp", "prog") is None) is right


RUST_KINDS = """\
fn prog(ctx: XdpContext) -> u32 {
    if data + 34 > end {
        return XDP_DROP;
    }
    if proto != 6 {
        return XDP_PASS;
    }
    if version != 4 {
        return XDP_PASS;
    }
%s    let r = M.get_ptr(1);
%s    unsafe { *r }
}
"""
RUST_LOOKUP = "    let Some(n) = M.get(0) else {\n        return XDP_%s;\n    };\n"


@pytest.mark.parametrize(
    ("others", "value", "right"),
    [
        ("", "DROP", True),
        ("", "PASS", False),
        (RUST_LOOKUP % "DROP", "PASS", False),
        (RUST_LOOKUP % "PASS", "PASS", True),
        (RUST_LOOKUP % "PASS" + RUST_LOOKUP % "DROP", "PASS", False),
    ],
)
def test_checks_of_the_same_kind_tell_what_rust_returns(others: str, value: str, right: bool) -> None:
    new = RUST_KINDS % (others, f"    if r.is_null() {{\n        return XDP_{value};\n    }}\n")
    done = [Candidate("null-check", (), "", FAILING_BRANCH, f"XDP_{value}")]
    assert (rust(RUST_KINDS % (others, ""), new, done) is None) is right


@pytest.mark.parametrize(
    ("others", "wanted"),
    [
        ("", "XDP_DROP"),
        ("\tstruct stats *t = find(1);\n\tif (!t)\n\t\treturn XDP_ABORTED;\n", "XDP_ABORTED"),
    ],
)
def test_what_a_program_filters_is_no_failure(tmp_path: Path, others: str, wanted: str) -> None:
    body = "\tvoid *end = (void *)(long)ctx->data_end;\n\tstruct ethhdr *eth = (void *)(long)ctx->data;\n"
    body += "\tif ((void *)(eth + 1) > end)\n\t\treturn XDP_DROP;\n"
    body += "\tif (eth->h_proto != 8)\n\t\treturn XDP_PASS;\n\tif (tcp->dest != 7)\n\t\treturn XDP_PASS;\n"
    body += f"{others}\tstruct stats *s = find(2);\n\ts->n++;\n\treturn XDP_PASS;\n"
    text = 'SEC("xdp")\nint prog(struct xdp_md *ctx)\n{\n' + body + "}\n"
    line = text[: text.index("s->n++")].count("\n") + 1
    tried = _tried(_ground(tmp_path, "c", text, "missing-null-check", line, family="V06", variables=["s"]))
    assert f"\tif (!s)\n\t\treturn {wanted};\n\t" in tried[0]


def test_what_a_program_in_rust_filters_is_no_failure(tmp_path: Path) -> None:
    text = "#[map]\nstatic M: Array<u64> = Array::with_max_entries(1, 0);\n" + (
        "#[xdp]\npub fn prog(ctx: XdpContext) -> u32 {\n"
        "    if ctx.data() + 34 > ctx.data_end() {\n        return DROP;\n    }\n"
        "\n    let (proto, version) = read();\n    if proto != 6 {\n        return PASS;\n    }\n"
        "    if version != 4 {\n        return PASS;\n    }\n    let p = M.get_ptr_mut(0).unwrap_unchecked();\n"
        "    *p += 1;\n    PASS\n}\n"
    )
    line = 15 + HEAD.count("\n")
    made = _tried(_ground(tmp_path, "rust", HEAD + text, "missing-null-check", line, family="V06"))
    wanted = "let Some(p) = M.get_ptr_mut(0) else {\n        return DROP;\n    };"
    assert any(wanted in changed for changed in made)

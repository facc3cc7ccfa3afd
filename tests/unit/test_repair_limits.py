"""Limits that repair adds: those of what is accessed are shown, others are not, however content the verifier is."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bpfsmith.check.repairs import Repairs
from bpfsmith.repair.c.number import looked_up
from bpfsmith.repair.limits import unfounded
from bpfsmith.repair.report import FAILING_BRANCH, Candidate
from bpfsmith.repair.trial import Counts, counting, said

SLOTS = """struct h { __u64 count; __u64 slots[32]; };
int slot(void *ctx)
{
	__u64 took = bpf_ktime_get_ns();
	struct h *h = bpf_map_lookup_elem(&H, &zero);
	__u64 slot = took >> 20;
	if (!h)
		return 0;
	h->slots[slot]++;
	return 0;
}
"""
COPY = """struct { __type(value, char[256]); } copies SEC(".maps");
int copy(struct xdp_md *ctx)
{
	char to[64];
	len = bpf_ntohs(ip->tot_len);
	bpf_xdp_load_bytes(ctx, 14, to, len);
	return XDP_PASS;
}
"""
PACKET = """int prog(struct xdp_md *ctx)
{
	struct iphdr *ip = data + 14;
	__u32 skip = ip->ihl * 4;
	struct udphdr *udp = data + skip;
	if (udp + 1 > data_end)
		return XDP_PASS;
	seen = udp->dest;
	return XDP_PASS;
}
"""
RUST = """const SLOTS: usize = 32;
pub struct Histogram { pub slots: [u64; SLOTS] }
fn leave(_ctx: Context) -> i32 {
    let slot = (took >> 20) as usize;
    unsafe {
        *(*histogram).slots.get_unchecked_mut(slot) += 1;
    }
    0
}
"""


def judged(
    text: str, line: str, test: str, sizes: set[int] | None = None, family: str = "V09",
    needed: Callable[[str, str], bool] | None = None,
) -> str | None:  # fmt: skip
    """What is wrong with a test put before the line that holds `line`."""
    lines = text.split("\n")
    at = next(number for number, one in enumerate(lines) if line in one)
    new = "\n".join([*lines[:at], *test.split("\n"), *lines[at:]])
    why: Any = SimpleNamespace(family=family, cause=SimpleNamespace(advice=[]))
    return unfounded({"x": (text, new)}, [("x", at + 1)], [why], sizes or set(), needed)


@pytest.mark.parametrize(
    "test",
    [
        "\tif (slot >= 32)\n\t\treturn 0;",
        "\tif (slot >= sizeof(h->slots) / sizeof(h->slots[0]))\n\t\treturn 0;",
        "\tif ((unsigned long)slot >= 32)\n\t\treturn 0;",
        "\tif (slot > 31)\n\t\treturn 0;",
    ],
)
def test_a_limit_of_the_index_that_the_array_tells(test: str) -> None:
    said = judged(SLOTS, "slots[slot]++", test, {31})
    assert said is None


@pytest.mark.parametrize(
    "test",
    [
        "\tif ((unsigned long)took >= 32767)\n\t\treturn 0;",  # an ancestor, and a number that was made up
        "\tif (took >= 32)\n\t\treturn 0;",
        "\tif (took >= sizeof(h->slots) / sizeof(h->slots[0]))\n\t\treturn 0;",
        "\tif (slot >= 32767)\n\t\treturn 0;",
        "\tif (slot >= 2)\n\t\treturn 0;",
        "\tif (slot >= sizeof(zero))\n\t\treturn 0;",
        "\tif (slot >= 32 || took > 7)\n\t\treturn 0;",
        "\tif (h->count >= 32)\n\t\treturn 0;",
        "\tif (slot < 32)\n\t\treturn 0;",
        "\tif (32 < slot)\n\t\treturn 0;",
        "\tif (slot != 0)\n\t\treturn 0;",
        "\tif (slot)\n\t\treturn 0;",
        "\tif (took == took)\n\t\treturn 0;",
        "\tif (slot >= 32 - 31)\n\t\treturn 0;",
        "\tif (slot >= sizeof(h->slots) / sizeof(h->slots))\n\t\treturn 0;",
        "\tif (slot >= sizeof(h->slots[0]) / sizeof(h->slots[0]))\n\t\treturn 0;",
    ],
)
def test_a_limit_of_something_else_is_not_shown(test: str) -> None:
    assert judged(SLOTS, "slots[slot]++", test) is not None


def test_lengths_follow_from_their_buffer() -> None:
    assert judged(COPY, "load_bytes", "\tif ((unsigned long)len > sizeof(to))\n\t\treturn XDP_PASS;") is None
    assert judged(COPY, "load_bytes", "\tif (len < 0 || len > 64)\n\t\treturn XDP_PASS;") is None
    assert judged(COPY, "load_bytes", "\tif (len <= 0 || len > 63)\n\t\treturn XDP_PASS;") is not None
    assert judged(COPY, "load_bytes", "\tif ((unsigned long)len > 256)\n\t\treturn XDP_PASS;", {256}) is None
    assert judged(COPY, "load_bytes", "\tif (len > 32767)\n\t\treturn XDP_PASS;") is not None
    assert judged(COPY, "load_bytes", "\tif (ip->tot_len > 64)\n\t\treturn XDP_PASS;") is not None


def test_what_packets_can_have_is_a_limit_of_offsets_read_from_packets() -> None:
    test = "\tif ((unsigned long)skip >= 32767)\n\t\treturn XDP_PASS;"
    assert judged(PACKET, "seen =", test, family="V08") is None
    assert judged(PACKET, "seen =", test, family="V09") is not None  # of a map's value
    clock = PACKET.replace("ip->ihl * 4", "bpf_ktime_get_ns() >> 3")
    assert judged(clock, "seen =", test, family="V08") is None  # what is compared with the end has no more
    clock = clock.replace("udp + 1 > data_end", "udp")
    assert judged(clock, "seen =", test, family="V08") is not None
    stored = PACKET.replace("ip = data + 14", "ip = bpf_map_lookup_elem(&m, &k)").replace("udp + 1 > data_end", "udp")
    assert judged(stored, "seen =", test, family="V08") is not None
    smaller = test.replace("32767", "20")
    assert judged(PACKET, "seen =", smaller, family="V08") is not None


def test_pointers_compared_with_the_end_are_no_matter_of_this() -> None:
    test = "\tif ((void *)(udp + 1) > data_end)\n\t\treturn XDP_PASS;"
    assert judged(PACKET, "seen =", test, family="V08") is None


@pytest.mark.parametrize(
    ("line", "test", "looser"),
    [
        ("slots[slot]++", "slot >= 16", "slot >= (16) + 1"),  # half of what the array has
        ("slots[slot]++", "slot > sizeof(zero)", "slot > (sizeof(zero)) + 1"),
        ("slots[slot]++", "slot == 0", "0"),  # may be allowed
        ("slots[slot]++", "(void *)(h->slots + 40) > data_end", "((void *)(h->slots + 40)) - 1 > data_end"),
    ],
)
def test_a_limit_that_nothing_tells_is_shown_where_one_more_is_refused(line: str, test: str, looser: str) -> None:
    asked = []

    def needed(_: str, text: str) -> bool:
        asked.append(text)
        return True

    put = f"\tif ({test})\n\t\treturn 0;"
    assert judged(SLOTS, line, put, needed=needed) is None
    assert f"\tif ({looser})\n" in asked[0]
    assert judged(SLOTS, line, put, needed=lambda _, __: False) is not None
    assert judged(SLOTS, line, put) is not None


def test_lengths_of_zero_are_left_out_only_where_they_are_refused() -> None:
    test = "\tif (len <= 0 || len > 64)\n\t\treturn XDP_PASS;"
    assert judged(COPY, "load_bytes", test, needed=lambda _, text: "if (0 || len > 64)" in text) is None
    assert judged(COPY, "load_bytes", test, needed=lambda _, __: False) is not None


def test_an_index_has_as_many_values_as_its_array_has_elements() -> None:
    bytes_of = SLOTS.replace("slots[slot]++", "slots[slot] = 1")
    assert judged(bytes_of, "slots[slot]", "\tif (slot >= 256)\n\t\treturn 0;") is not None
    assert judged(bytes_of, "slots[slot]", "\tif (slot >= 4)\n\t\treturn 0;", {32}) is not None


def test_a_pointer_into_the_middle_may_be_indexed_below_zero() -> None:
    text = "int f(void)\n{\n\tchar *middle = lookup();\n\tmiddle += 128;\n\treturn middle[step];\n}\n"
    test = "\tif ((unsigned long)step >= 256)\n\t\treturn 0;"
    assert judged(text, "return middle", test, {256}) is not None
    assert judged(text.replace("\tmiddle += 128;\n", ""), "return middle", test, {256}) is None


def test_what_the_runs_say_against_a_check() -> None:
    assert Counts(9, [9], [0]).refuted([True], checked=False)
    assert not Counts(9, [9], [0]).refuted([False], checked=False)  # a null check: nothing may be there to be found
    assert not Counts(9, [3], [6]).refuted([True], checked=False)
    assert Counts(9, [3], [6]).refuted([True], checked=True)  # what was in bounds already must stay so
    assert not Counts(9, [0], [0]).refuted([True], checked=True)
    assert "passed 6 times and left once" in said(Counts(9, [1], [6]), "6.12", "xdp")
    assert "cannot be run by hand" in said(None, "6.12", "kprobe")


def test_the_copy_that_counts_is_the_change_with_counters() -> None:
    old = "int f(struct v *p)\n{\n\tif (!p)\n\t\treturn 0;\n\tp->a[i] = 1;\n\treturn 0;\n}\n"
    new = old.replace("\tp->a", "\tif (i >= 4)\n\t\treturn 0;\n\tp->a")
    check = Candidate("bounds-check", (), "", FAILING_BRANCH, "0")
    texts, limits = counting({"a.c": (old, new)}, [check])
    assert limits == [True]
    assert texts["a.c"].startswith("volatile unsigned long long bpfsmith_left0, bpfsmith_passed0;\n")
    assert "\tif (i >= 4)\n\t\t{ bpfsmith_left0++; return 0; } bpfsmith_passed0++;\n\tp->a" in texts["a.c"]
    rust = "fn f(a: &[u8], i: usize) -> u32 {\n    go(a, i);\n    0\n}\n"
    test = "    if i >= 4 {\n        return 0;\n    }\n    let Some(n) = a.get(i) else {\n        return 0;\n    };\n"
    texts, limits = counting({"a.rs": (rust, rust.replace("    go", test + "    go"))}, [check])
    assert limits == [True, False]
    assert texts["a.rs"].count("bpfsmith_left") == texts["a.rs"].count("bpfsmith_passed") == 4


def test_divisors_and_arrays_of_rust_locals() -> None:
    text = "fn f() -> u32 {\n    let mut table = [0u32; 16];\n    table[kind] += 1;\n    x / (*all).n;\n    0\n}\n"
    assert judged(text, "table[kind]", "    if kind >= 16 {\n        return 0;\n    }") is None
    assert judged(text, "table[kind]", "    if kind >= 15 {\n        return 0;\n    }") is not None
    assert judged(text, "x /", "    if (*all).n == 0 {\n        return 0;\n    }") is None
    assert judged(text, "x /", "    if x == 0 {\n        return 0;\n    }") is not None


def test_the_length_of_a_slice_is_a_length_of_what_is_given_it() -> None:
    text = "fn f() -> u32 {\n    let data = from_raw_parts_mut(data.cast::<u8>(), count);\n    read(from, data);\n"
    text += "    0\n}\n"
    test = "    if count > 512 {\n        return 0;\n    }"
    assert judged(text, "let data", test, {512}) is None
    assert judged(text, "let data", test.replace("count", "from"), {512}) is not None


def test_rust_limits() -> None:
    def put(condition: str) -> str | None:
        return judged(RUST, "get_unchecked_mut", f"        if {condition} {{\n            return 0;\n        }}")

    assert put("slot >= 32") is None
    assert put("slot >= SLOTS") is None
    assert put("slot as usize >= 32") is None
    assert put("took >= 32") is not None
    assert put("took as usize > 0x7fff") is not None
    assert put("slot >= 3") is not None


MAP = """struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(value, char[256]);
} copies SEC(".maps");
int copy(struct xdp_md *ctx)
{
	char *to = bpf_map_lookup_elem(&copies, &zero);
	bpf_xdp_load_bytes(ctx, 14, to, len);
	return XDP_PASS;
}
"""


def test_a_pointer_that_was_looked_up_has_the_size_of_the_value() -> None:
    assert looked_up(MAP, "to") == "256"
    assert looked_up(MAP.replace("char[256]", "struct row"), "to") == "sizeof(struct row)"
    assert looked_up(MAP + "to = bpf_map_lookup_elem(&others, &zero);", "to") == ""
    assert looked_up(MAP, "ctx") == ""
    assert judged(MAP, "load_bytes", "\tif (len < 0 || len > 256)\n\t\treturn XDP_PASS;") is None
    assert judged(MAP, "load_bytes", "\tif (len <= 0 || len > 255)\n\t\treturn XDP_PASS;") is not None


def test_each_program_that_is_left_has_its_reason() -> None:
    def proof(program: str, edits: tuple[int, ...], *, proved: bool) -> Any:
        return SimpleNamespace(program=program, fix=SimpleNamespace(edits=edits), proved=proved, why=f"why {program}")

    repairs = Repairs([], None)
    repairs._proofs = [
        proof("mended", (1,), proved=True), proof("none", (), proved=False), proof("offered", (1,), proved=False),
    ]  # fmt: skip
    assert repairs._reasons({"mended"}, unsafe=False) == [
        "`none` is left as it is: why none",
        "`offered` is left as it is: there is a change (`--unsafe-fixes` writes it), why offered",
    ]


def test_the_length_of_what_is_indexed_is_its_limit() -> None:
    """What the index would have panicked for is tested: that is its limit, wherever the compiler put the panic."""
    old = "fn f(a: &[u8; 4], i: usize) -> Option<u8> {\n    Some(a[i])\n}\n"
    new = old.replace("    Some(", "    if i >= a.len() {\n        return None;\n    }\n    Some(")
    assert unfounded({"a.rs": (old, new)}, [], [], ()) is None
    assert unfounded({"a.rs": (old, new.replace("a.len()", "b.len()"))}, [], [], ()) is not None


def test_a_pointer_that_was_moved_is_limited_where_it_was() -> None:
    """The refused line goes through `p`; the limit is asked of what `p` was moved by, or a slice was made with."""
    old = (
        "fn f(t: &mut [u8; 128], i: usize) -> Option<()> {\n    let p = t.as_mut_ptr().add(i);\n"
        "    unsafe { *p = 1 };\n    Some(())\n}\n"
    )
    new = old.replace("    let p", "    if i >= 128 {\n        return None;\n    }\n    let p")
    assert unfounded({"a.rs": (old, new)}, [("a.rs", 3)], [], ()) is None
    other = new.replace("if i >= 128", "if j >= 128")
    assert unfounded({"a.rs": (old, other)}, [("a.rs", 3)], [], ()) is not None


def test_an_octal_limit_is_no_known_size() -> None:
    old = "#define N 010\nint f(int i)\n{\n\tint a[N];\n\n\treturn a[i];\n}\n"
    for limit in ("N", "010", "08"):
        new = old.replace("\treturn", f"\tif (i >= {limit})\n\t\treturn 0;\n\treturn")
        assert unfounded({"a.c": (old, new)}, [("a.c", 6)], [], ()) is not None

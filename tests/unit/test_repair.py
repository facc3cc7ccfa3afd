"""Repair without kernels: copies, the shape of a change, what is no fix, and the changes the makers think of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bpfsmith.model.edits import apply
from bpfsmith.model.object import Object
from bpfsmith.repair import inputs
from bpfsmith.repair.copies import Copy
from bpfsmith.repair.ground import Ground
from bpfsmith.repair.judged import Why
from bpfsmith.repair.kept import Moved, gone
from bpfsmith.repair.makers import candidates
from bpfsmith.repair.report import FAILING_BRANCH, NO_NEW_PATH, REWRITE, SAME_WORK, Candidate
from bpfsmith.repair.search import edits_of
from bpfsmith.repair.shape import rust as rust_shape
from bpfsmith.repair.shape import shape
from bpfsmith.repair.shape_c import c as c_shape
from bpfsmith.repair.tools import BuildFailed, Runner
from bpfsmith.verify.cause import Cause, Place

# ------------------------------------------------------------ copies


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "target/debug").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "Cargo.toml").write_text("[package]\nname = 'x'\n")
    (root / "src/main.rs").write_text("fn main() {}\n")
    (root / "target/debug/big").write_text("x")
    return root


def test_a_copy_has_the_sources_and_leaves_nothing(project: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before = sorted(str(one) for one in project.rglob("*"))
    with Copy(str(project), cache=str(cache)) as copy:
        inside = Path(copy.inside(str(project / "src/main.rs")))
        assert inside.read_text() == "fn main() {}\n"
        assert not Path(copy.inside(str(project / "target"))).exists()
        assert not Path(copy.inside(str(project / ".git"))).exists()
        copy.change({str(project / "src/main.rs"): "fn main() { loop {} }\n"})
        assert "loop" in inside.read_text()
        copy.change({})
        assert inside.read_text() == "fn main() {}\n"
        assert copy.outside(str(inside)) == str(project / "src/main.rs")
        top = copy.root
    assert not os.path.exists(top)
    assert (project / "src/main.rs").read_text() == "fn main() {}\n"
    assert sorted(str(one) for one in project.rglob("*")) == before


def test_a_copied_file_is_newer_than_what_was_built_before(project: Path, tmp_path: Path) -> None:
    """Cargo decides by time: a build of an earlier change must not pass for one of this text."""
    os.utime(project / "src/main.rs", (1, 1))
    with Copy(str(project), cache=str(tmp_path / "cache")) as copy:
        assert os.path.getmtime(copy.inside(str(project / "src/main.rs"))) > time.time() - 60


def test_what_lies_outside_is_copied_beside(project: Path, tmp_path: Path) -> None:
    common = tmp_path / "common"
    common.mkdir()
    (common / "lib.rs").write_text("// shared\n")
    with Copy(str(project), [str(common)], cache=str(tmp_path / "cache")) as copy:
        relative = os.path.join(copy.root, "..", "common", "lib.rs")
        assert Path(relative).read_text() == "// shared\n"


def test_a_link_is_never_written_through(project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "precious.rs"
    outside.write_text("// precious\n")
    (project / "src/link.rs").symlink_to(outside)
    with Copy(str(project), cache=str(tmp_path / "cache")) as copy:
        assert not copy.holds(str(project / "src/link.rs"))
        with pytest.raises(BuildFailed, match="leads out of the project"):
            copy.change({str(project / "src/link.rs"): "// gone\n"})
    assert outside.read_text() == "// precious\n"


def test_a_folder_behind_a_link_is_never_written_to(project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "shared"
    outside.mkdir()
    (outside / "a.rs").write_text("// precious\n")
    (project / "src/shared").symlink_to(outside)
    before = sorted(str(one) for one in tmp_path.rglob("*"))
    with Copy(str(project), cache=str(tmp_path / "cache")) as copy:
        assert copy.holds(str(project / "src/main.rs"))
        named = copy.outside(os.path.join(copy.root, "src/shared/a.rs"))
        with pytest.raises(BuildFailed, match="leads out of the project"):
            copy.change({named: "// gone\n"})
    assert (outside / "a.rs").read_text() == "// precious\n"
    left = sorted(str(one) for one in tmp_path.rglob("*") if "cache" not in one.parts)
    assert left == before


def test_two_at_once_do_not_share(project: Path, tmp_path: Path) -> None:
    with (
        Copy(str(project), cache=str(tmp_path / "cache")) as one,
        Copy(str(project), cache=str(tmp_path / "cache")) as two,
    ):
        assert one.root != two.root
        second = two.root
    assert not os.path.exists(second)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(project: Path, tmp_path: Path, number: int) -> None:
    script = (
        "import sys, time\nfrom bpfsmith.repair.copies import Copy\n"
        f"with Copy({str(project)!r}, cache={str(tmp_path / 'cache')!r}) as copy:\n"
        "    print(copy.root, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        root = process.stdout.readline().decode().strip()
        assert os.path.isdir(root)
        process.send_signal(number)
        process.wait(20)
    assert not os.path.exists(root)


# ------------------------------------------------------------ running builds


def test_a_failed_build_says_what_the_compiler_said(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="no such thing") as caught:
        Runner(20)(["sh", "-c", "echo no such thing; exit 3"], str(tmp_path), os.environ)
    assert caught.value.exit_code == 2


def test_a_build_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    with pytest.raises(BuildFailed, match="more than"):
        Runner(1)(["sh", "-c", f"(sleep 4; touch {mark}) & sleep 60"], str(tmp_path), os.environ)
    time.sleep(4.5)
    assert not mark.exists()


# ------------------------------------------------------------ shapes, and those that cheat

RUST = """\
fn count(ctx: &Ctx) -> u32 {
    let key = ctx.pid();
    let calls = lookup(&key);
    if key == 7 {
        return 0;
    }
    unsafe { *calls.add(key) += 1 };
    0
}
"""
CHECK = Candidate("null-check", (), "", FAILING_BRANCH, "0")


def _rust(old: str, new: str, text: str = RUST, done: Candidate = CHECK) -> str | None:
    assert old in text
    return rust_shape(text, text.replace(old, new, 1), [done])


USE = "    unsafe { *calls.add(key) += 1 };\n"


@pytest.mark.parametrize(
    "new",
    [
        "    if calls.is_null() {\n        return 0;\n    }\n" + USE,
        "    if key >= 64 {\n        return 0;\n    }\n" + USE,
        "    if !(key < 64) {\n        return 0;\n    }\n" + USE,
        "    let key = core::hint::black_box(key);\n    if key >= 64 {\n        return 0;\n    }\n" + USE,
        "    let Some(found) = calls.ok() else {\n        return 0;\n    };\n" + USE,
    ],
)
def test_a_failing_branch_is_seen(new: str) -> None:
    assert _rust(USE, new) is None


@pytest.mark.parametrize(
    "new",
    [
        "",  # the failing statement taken out
        "    return 0;\n" + USE,  # never reached
        "    if true {\n        return 0;\n    }\n" + USE,
        "    if 1 < 2 {\n        return 0;\n    }\n" + USE,
        "    if key >= 0 {\n        return 0;\n    }\n" + USE,  # always so
        "    if calls.is_null() {\n        return 1;\n    }\n" + USE,  # what no other failure returns
        "    if calls.is_null() {\n        forget();\n        return 0;\n    }\n" + USE,
        "    if !calls.is_null() {\n" + USE + "    }\n    if false {\n        return 0;\n    }\n",
        "    while key > 3 {}\n" + USE,
        "    unsafe { *calls += 2 };\n    unsafe { *calls += 1 };\n",
        "    unsafe { *other = 1 };\n" + USE,
        "    drop(calls);\n" + USE,
        "    if !(key == 3 || key < 90) {\n        return 0;\n    }\n" + USE,  # whatever is in the parentheses
        "    if !calls.is_null() {\n        return 0;\n    }\n" + USE,  # the work itself would go
        "    if !(key < 0) {\n        return 0;\n    }\n" + USE,
    ],
)
def test_cheats_are_no_failing_branch(new: str) -> None:
    assert _rust(USE, new) is not None


@pytest.mark.parametrize("old", ["    let calls = lookup(&key);\n", "    if key == 7 {\n        return 0;\n    }\n"])
def test_what_was_done_before_must_stay(old: str) -> None:
    done = _rust(old, "")
    assert done is not None or old.lstrip().startswith("if")


def test_a_function_may_not_go() -> None:
    assert rust_shape(RUST + "fn two() { work(); }\n", RUST, [CHECK]) == "the function `two` is gone"


def test_a_promise_may_become_a_test() -> None:
    old = "fn f(m: Map) -> u32 {\n    let p = unsafe { m.get_ptr(0).unwrap_unchecked() };\n    use_it(p);\n    0\n}\n"
    new = (
        "fn f(m: Map) -> u32 {\n    let Some(p) = m.get_ptr(0) else {\n        return 0;\n    };\n"
        "    use_it(p);\n    0\n}\n"
    )
    assert rust_shape(old, new, [CHECK]) is None
    assert rust_shape(old, new.replace("use_it(p);", ""), [CHECK]) is not None


def test_a_rewrite_is_never_a_failing_branch() -> None:
    done = Candidate("mask", (), "", REWRITE)
    assert shape({"/a.rs": (RUST, RUST.replace("+= 1", "+= 1 & 63"))}, [done]) is not None


C = """\
int count(struct xdp_md *ctx)
{
	struct hits *hits = lookup(ctx);

	if (!ctx)
		return 0;
	hits->n++;
	return 0;
}
"""


@pytest.mark.parametrize(
    "new",
    [
        "\tif (!hits)\n\t\treturn 0;\n\thits->n++;\n",
        "\tif ((void *)(hits + 1) > end) {\n\t\treturn 0;\n\t}\n\thits->n++;\n",
    ],
)
def test_a_failing_branch_is_seen_in_c(new: str) -> None:
    assert c_shape(C, C.replace("\thits->n++;\n", new)) is None


@pytest.mark.parametrize(
    "new",
    [
        "",
        "\treturn 0;\n\thits->n++;\n",
        "\tif (1)\n\t\treturn 0;\n\thits->n++;\n",
        "\tif (!hits)\n\t\treturn 2;\n\thits->n++;\n",
        "\tif (!hits)\n\t\tforget();\n\thits->n++;\n",
        "\tif ((hits = 0))\n\t\treturn 0;\n\thits->n++;\n",
        "\tlookup(ctx);\n\thits->n++;\n",
    ],
)
def test_cheats_are_no_failing_branch_in_c(new: str) -> None:
    assert c_shape(C, C.replace("\thits->n++;\n", new)) is not None


@pytest.mark.parametrize(
    "call", ["bpf_ringbuf_submit(hits, 0);", "bpf_ringbuf_discard(hits, 0);", "bpf_sk_release(hits);"]
)
def test_only_what_gives_back_may_release_in_c(call: str) -> None:
    new = C.replace("\t\treturn 0;\n", f"\t{{\n\t\t{call}\n\t\treturn 0;\n\t}}\n", 1)
    assert c_shape(C, new, [Candidate("null-check", (), "", FAILING_BRANCH, "0")]) is not None
    assert c_shape(C, new, [Candidate("release", (), "", NO_NEW_PATH)]) is None


def test_lines_move() -> None:
    old, new = "a\nb\nc\n", "a\nx\ny\nb2\nc\n"
    moved = Moved({"/f": (old, new)})
    assert moved.now(("/f", 3)) == [("/f", 5)]
    assert ("/f", 2) not in moved.now(("/f", 3))
    assert moved.now(("/other", 3)) == [("/other", 3)]
    assert edits_of({"/f": (old, old)}) == []
    for before, after in ((old, new), (old, "b\nc"), ("a", "a\nb\n"), ("", "x\n"), ("x\r\ny\r\n", "x\r\nz\r\ny\r\n")):
        edits = edits_of({"/f": (before, after)})
        rows = [((e.span.line, e.span.column), (e.span.end_line, e.span.end_column), e.text) for e in edits]
        assert apply(before, rows) == after


# ------------------------------------------------------------ what is no fix, in objects

BASE = """
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} m SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	__u32 key = ctx->ingress_ifindex & 3;
	__u64 *value = bpf_map_lookup_elem(&m, &key);
	%s
	*value += bpf_ktime_get_ns();
	bpf_map_update_elem(&m, &key, value, 0);
	return XDP_PASS;
}
"""


@pytest.mark.parametrize(
    ("edit", "wrong"),
    [
        ("if (!value)\n\t\treturn XDP_PASS;", False),
        ("return XDP_PASS;", True),  # nothing behind it is reached
        ("if (!value || value)\n\t\treturn XDP_PASS;", True),  # always so
    ],
)
def test_work_that_is_taken_away_is_missed(build: Callable[[str], Object], edit: str, wrong: bool) -> None:
    old, new = BASE % "", BASE % edit
    before, after = build(old).program("prog"), build(new).program("prog")
    assert before is not None and after is not None
    path = next(one for one in before.files() if "stdin" in one or one.endswith(".c"))
    from unit.sample_programs import HEAD

    moved = Moved({path: (HEAD + old, HEAD + new)})
    assert (gone(before, after, moved, lambda one: one) is not None) is wrong


def test_a_statement_that_is_taken_out_is_missed(build: Callable[[str], Object]) -> None:
    old = BASE % "if (!value)\n\t\treturn XDP_PASS;"
    for taken in ("\tbpf_map_update_elem(&m, &key, value, 0);\n", "\t*value += bpf_ktime_get_ns();\n"):
        before, after = build(old).program("prog"), build(old.replace(taken, "")).program("prog")
        assert before is not None and after is not None
        assert gone(before, after, Moved({}), lambda one: one) is not None


# ------------------------------------------------------------ makers


TWO = BASE % "if (!value)\n\t\treturn XDP_PASS;"
UPDATE = "\tbpf_map_update_elem(&m, &key, value, 0);\n"
OTHER = "\tif (key == 2)\n\t\tbpf_map_update_elem(&m, &key, &(__u64){7}, 0);\n"


@pytest.mark.parametrize(
    ("new", "wrong"),
    [
        # The first call is taken out, and the second one made twice: as many calls as before.
        (
            TWO.replace("\t*value +=", "\tif (key == 3)\n\t\tbpf_map_update_elem(&m, &key, value, 1);\n\t*value +="),
            True,
        ),
        # It stands in another place, as it was.
        (TWO.replace("\t*value +=", f"{OTHER}\t*value +="), False),
        # It was changed where it stands.
        (TWO.replace(UPDATE, OTHER.replace("{7}", "{8}") + UPDATE), False),
    ],
)
def test_a_call_does_not_stand_for_another(build: Callable[[str], Object], new: str, wrong: bool) -> None:
    from unit.sample_programs import HEAD

    old = TWO.replace(UPDATE, OTHER + UPDATE)
    before, after = build(old).program("prog"), build(new).program("prog")
    assert before is not None and after is not None
    path = next(one for one in before.files() if "stdin" in one or one.endswith(".c"))
    assert (gone(before, after, Moved({path: (HEAD + old, HEAD + new)}), lambda one: one) is not None) is wrong


def _ground(tmp_path: Path, language: str, text: str, cls: str, line: int, **more: Any) -> Ground:
    """A cause at a line of a file, without a kernel."""
    if language == "rust":
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / "Cargo.toml").write_text(
            '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2024"\n[workspace]\n'
            '[dependencies]\naya-ebpf = "0.1"\n'
        )
    path = tmp_path / ("src/main.rs" if language == "rust" else "prog.c")
    path.write_text(text)
    project = None
    if language == "rust":
        from bpfsmith.source.project import find_project

        project = find_project(str(tmp_path))
    cause = Cause(
        cls, "high", more.pop("headline", ""), place=Place(str(path), line), variables=more.pop("variables", [])
    )
    program: Any = SimpleNamespace(
        name="prog", type=more.pop("type", "xdp"), section=more.pop("section", "xdp"), subprograms=[],
        inline_frames=lambda slot: [],
    )  # fmt: skip
    reason = Why("6.12", more.pop("message", ""), cause, None, more.pop("family", ""))
    copy: Any = SimpleNamespace()
    return Ground(language, copy, reason, program, project, [str(path)])


def _tried(ground: Ground) -> list[str]:
    """The texts that the candidates make, the smallest edit first."""
    text = ground.text(ground.files[0])
    out = []
    for one in candidates(ground):
        rows = [((e.span.line, e.span.column), (e.span.end_line, e.span.end_column), e.text) for e in one.edits]
        out.append(apply(text, rows))
    return out


HEAD = "#![no_std]\n#![no_main]\nuse aya_ebpf::{bindings::xdp_action, macros::{map, xdp}, maps::*, programs::*};\n"


def test_null_checks_in_rust(tmp_path: Path) -> None:
    text = HEAD + (
        "#[map]\nstatic CALLS: HashMap<u32, u64> = HashMap::with_max_entries(4, 0);\n"
        "fn prog(ctx: &XdpContext) -> Result<u32, i64> {\n"
        "    if ctx.data() > 7 {\n        return Err(-5);\n    }\n"
        "    let calls = unsafe { CALLS.get_ptr_mut(&1).unwrap_unchecked() };\n"
        "    unsafe { *calls += 1 };\n    Ok(0)\n}\n"
    )
    tried = _tried(_ground(tmp_path, "rust", text, "missing-null-check", 11, variables=["calls"]))
    assert any(
        "if calls.is_null() {\n        return Err(-5);\n    }\n    unsafe { *calls += 1 };" in one for one in tried
    )
    assert any(
        "let Some(calls) = CALLS.get_ptr_mut(&1) else {\n        return Err(-5);\n    };" in one for one in tried
    )


def test_packet_checks_use_the_name_the_end_has(tmp_path: Path) -> None:
    text = HEAD + (
        "#[xdp]\nfn prog(ctx: XdpContext) -> u32 {\n    let (start, end) = (ctx.data(), ctx.data_end());\n"
        "    let kind = unsafe { *((start + 12) as *const u16) };\n"
        "    if kind == 8 { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }\n}\n"
    )
    tried = _tried(_ground(tmp_path, "rust", text, "missing-bounds-check", 7, family="V08"))
    assert "    if (start + 12) + 2 > end {\n        return xdp_action::XDP_PASS;" in tried[0] or any(
        "start + 12 + 2 > end {" in one for one in tried
    )


def test_an_index_is_limited_by_its_array(tmp_path: Path) -> None:
    text = HEAD + (
        "#[map]\nstatic TABLE: Array<[u64; 64]> = Array::with_max_entries(1, 0);\n"
        "#[xdp]\nfn prog(ctx: XdpContext) -> u32 {\n    let at = ctx.data();\n"
        "    let Some(table) = TABLE.get_ptr_mut(0) else {\n        return xdp_action::XDP_PASS;\n    };\n"
        "    unsafe { *(*table).get_unchecked_mut(at) += 1 };\n    xdp_action::XDP_DROP\n}\n"
    )
    tried = _tried(_ground(tmp_path, "rust", text, "missing-bounds-check", 12, family="V09", variables=["at"]))
    assert any("if at >= 64 {\n        return xdp_action::XDP_PASS;\n    }\n    unsafe" in one for one in tried)


def test_a_kernel_pointer_is_read_by_the_helper_of_its_memory(tmp_path: Path) -> None:
    text = HEAD + (
        "fn prog(ctx: ProbeContext) -> u32 {\n    let Some(p) = ctx.arg::<*const u32>(0) else { return 0; };\n"
        "    let v = unsafe { *p };\n    (v == 3) as u32\n}\n"
    )
    for section, helper in (("kprobe/x", "bpf_probe_read_kernel"), ("uprobe/x", "bpf_probe_read_user")):
        ground = _ground(tmp_path, "rust", text, "pointer-to-scalar", 6, type="kprobe", section=section)
        tried = _tried(ground)
        assert tried and all(
            f"let Ok(v) = (unsafe {{ aya_ebpf::helpers::{helper}(p) }}) else {{" in one for one in tried
        )


def test_an_entry_is_given_back_on_the_way_that_forgets_it(tmp_path: Path) -> None:
    text = HEAD + (
        "#[map]\nstatic EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);\n"
        "fn prog(ctx: &ProbeContext) -> Result<(), i64> {\n"
        "    let mut entry = EVENTS.reserve::<u64>(0).ok_or(2)?;\n"
        "    let size = unsafe { read(ctx)? };\n    entry.write(size);\n    entry.submit(0);\n    Ok(())\n}\n"
    )
    tried = _tried(_ground(tmp_path, "rust", text, "unreleased-reference", 8))
    assert len(tried) == 1
    assert "match read(ctx) {" in tried[0] and "entry.discard(0);" in tried[0]


def test_null_and_packet_checks_in_c(tmp_path: Path) -> None:
    text = (
        '#include <linux/bpf.h>\nSEC("xdp")\nint prog(struct xdp_md *ctx)\n{\n'
        "\tvoid *end = (void *)(long)ctx->data_end;\n\tstruct iphdr *ip = (void *)(long)ctx->data;\n\n"
        "\tif (ip->ttl > 1)\n\t\treturn XDP_DROP;\n\treturn XDP_PASS;\n}\n"
    )
    tried = _tried(_ground(tmp_path, "c", text, "missing-bounds-check", 8, family="V08"))
    assert "\tif ((void *)(ip + 1) > end)\n\t\treturn XDP_PASS;\n\tif (ip->ttl > 1)" in tried[0] or any(
        "if ((void *)(ip + 1) > end)" in one for one in tried
    )
    tried = _tried(_ground(tmp_path, "c", text, "missing-null-check", 8, family="V06"))
    assert any("\tif (!ip)\n" in one for one in tried)


def test_no_maker_is_confused_by_any_line(tmp_path: Path) -> None:
    text = HEAD + RUST + "#[panic_handler]\nfn p(_: &core::panic::PanicInfo) -> ! { loop {} }\n"
    from bpfsmith.repair.makers import MAKERS

    for language, sample in (("rust", text), ("c", C)):
        for cls in MAKERS[language]:
            for line in range(1, sample.count("\n") + 3):
                for family in ("V06", "V08", "V09", "V10", "V29", "V40"):
                    for one in candidates(_ground(tmp_path, language, sample, cls, line, family=family)):
                        assert (
                            one.shape in (FAILING_BRANCH, NO_NEW_PATH, SAME_WORK, REWRITE) and one.edits and one.message
                        )


def test_inputs_are_the_same_every_time_and_of_all_lengths() -> None:
    packets = inputs.packets()
    assert packets == inputs.packets()
    assert min(map(len, packets)) == 14 and max(map(len, packets)) >= 1500
    assert len({len(one) for one in packets}) > 40
    assert all(len(key) == size for size in (1, 2, 4, 6, 8, 12, 13, 16) for key in inputs.keys(size))

"""`check --fix`: what is written, what is refused, and that nothing else is touched."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bpfsmith
from bpfsmith.check import fix as fixing
from bpfsmith.cli import main
from bpfsmith.model.edits import Chosen, apply, unified_diff
from bpfsmith.model.errors import ToolError
from bpfsmith.model.finding import Edit, Finding, Fix, Span

if TYPE_CHECKING:
    from collections.abc import Callable

MAIN = """\
// every name of the old days
use aya::{Bpf, programs::Xdp}; // kept

fn main() {
    let mut bpf = Bpf::load_file("x").unwrap(); // the first
    let _: &mut Xdp = bpf.program_mut("x").unwrap().try_into().unwrap();
}
"""
MENDED = MAIN.replace("Bpf", "Ebpf")
LOCK = """\
version = 4

[[package]]
name = "aya"
version = "0.14.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
"""


def edit(line: int, column: int, end_line: int, end_column: int, text: str, path: str = "a.rs") -> Edit:
    return Edit(Span(path, line, column, end_line, end_column), text)


def placed(*edits: Edit) -> list[tuple[tuple[int, int], tuple[int, int], str]]:
    chosen = Chosen()
    assert chosen.add(Fix("safe", "x", edits))
    return [one for listed in chosen.edits.values() for one in listed]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "demo"\nversion = "0.1.0"\nedition = "2021"\n\n[dependencies]\naya = "0.14"\n'
    )
    (folder / "Cargo.lock").write_text(LOCK)
    (folder / "src/main.rs").write_text(MAIN)
    monkeypatch.chdir(folder)
    return folder


def test_sources_are_opened_where_rounds_see_what_is_not_written_yet() -> None:
    top = Path(bpfsmith.__file__).parent
    wrong = [
        f"{path.relative_to(top)}:{node.lineno} calls `open`: `read.overlay.opened` and `text_of` know of fixes"
        for folder in ("source", "rules")
        for path in (top / folder).rglob("*.py")
        if not path.name.startswith("_kernel_")  # what the running kernel says is no project's file
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"
    ]
    assert not wrong, "\n".join(wrong)


# ---------------------------------------------------------------- edits


def test_edits_count_characters_and_keep_line_ends() -> None:
    assert apply("äöü x\nzwei\n", placed(edit(1, 5, 1, 6, "y"), edit(2, 1, 2, 5, "two"))) == "äöü y\ntwo\n"
    assert apply("a\r\nb\r\n", placed(edit(2, 1, 2, 1, "x\ny\n"))) == "a\r\nx\r\ny\r\nb\r\n"
    assert apply("\ufeffa b", placed(edit(1, 1, 1, 2, "c"))) == "\ufeffc b"
    assert apply("one", placed(edit(1, 4, 1, 4, "!"))) == "one!"
    for wrong in (edit(3, 1, 3, 1, "x"), edit(1, 9, 1, 9, "x")):
        with pytest.raises(ValueError, match="there is no line"):
            apply("one\ntwo", placed(wrong))


def test_what_touches_waits_and_what_is_the_same_is_one() -> None:
    chosen = Chosen()
    assert chosen.add(Fix("safe", "wrap", [edit(1, 3, 1, 3, "&("), edit(1, 8, 1, 8, ")")]))
    assert chosen.add(Fix("safe", "the same", [edit(1, 3, 1, 3, "&("), edit(1, 8, 1, 8, ")")]))
    assert chosen.add(Fix("safe", "inside", [edit(1, 4, 1, 6, "xx")]))
    assert chosen.add(Fix("safe", "up to the insertion", [edit(1, 1, 1, 3, "_")]))
    assert not chosen.add(Fix("safe", "the same place", [edit(1, 3, 1, 3, "*")]))
    assert not chosen.add(Fix("safe", "over it", [edit(1, 5, 1, 9, "")]))
    # All edits of a fix or none: the second of these collides.
    assert not chosen.add(Fix("safe", "half", [edit(2, 1, 2, 2, "a"), edit(1, 4, 1, 5, "b")]))
    assert sum(len(listed) for listed in chosen.edits.values()) == 4
    assert not Chosen().add(Fix("safe", "against itself", [edit(1, 1, 1, 3, "a"), edit(1, 2, 1, 4, "b")]))


def test_a_diff_is_what_patch_reads() -> None:
    text = unified_diff("src/a.rs", "one\r\ntwo", "one\r\n2")
    assert text.startswith("--- a/src/a.rs\n+++ b/src/a.rs\n@@")
    assert text.count("\\ No newline at end of file\n") == 2
    assert "\n one\r\n-two" in text


_PIECES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6), st.text("ab\n", max_size=3)), max_size=8)


@given(text=st.text("xyzü\n", max_size=30), pieces=_PIECES)
def test_what_is_chosen_can_be_applied_in_any_order(text: str, pieces: list[tuple[int, int, str]]) -> None:
    def place(offset: int) -> tuple[int, int]:
        before = text[:offset]
        return before.count("\n") + 1, offset - before.rfind("\n")

    chosen, taken = Chosen(), []
    for start, length, new in pieces:
        first, last = min(start, len(text)), min(start + length, len(text))
        if first == last and not new:
            continue
        if chosen.add(Fix("safe", "x", [edit(*place(first), *place(last), new)])) and (first, last, new) not in taken:
            taken.append((first, last, new))
    wanted = text
    for first, last, new in sorted(taken, reverse=True):
        wanted = wanted[:first] + new + wanted[last:]
    assert apply(text, chosen.edits.get("a.rs", [])) == wanted


# ---------------------------------------------------------------- files


def test_safe_fixes_are_made_and_nothing_is_left_of_them(project: Path) -> None:
    before = bpfsmith.check(".")
    assert before.mendable[0]
    report = bpfsmith.check(".", fix=True)
    assert (project / "src/main.rs").read_text() == MENDED
    assert report.mended is not None
    assert report.mended.files == ("src/main.rs",)
    assert report.mended.written
    assert not report.errors
    again = bpfsmith.check(".", fix=True)
    assert again.mended is not None
    assert not again.mended.files
    assert sorted(os.listdir(project / "src")) == ["main.rs"]


def test_diff_writes_nothing_and_says_so_by_its_exit_code(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--diff"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("--- a/src/main.rs\n+++ b/src/main.rs\n")
    assert "would mend 1 of " in said.err
    assert (project / "src/main.rs").read_text() == MAIN
    assert main(["check", "--fix"]) in (0, 1)
    assert "mended 1 of " in capsys.readouterr().out
    assert main(["check", "--fix", "--diff"]) == 0
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("every", "jede Menge für").encode(),
    ],
    ids=["crlf", "bom", "no-newline", "umlauts"],
)
def test_the_rest_of_the_file_is_as_it_was(project: Path, write: Callable[[str], bytes]) -> None:
    file = project / "src/main.rs"
    file.write_bytes(write(MAIN))
    file.chmod(0o640)
    bpfsmith.check(".", fix=True)
    assert file.read_bytes() == write(MENDED)
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_read_only_file_is_named_and_the_others_are_mended(project: Path) -> None:
    (project / "src/main.rs").write_text("mod other;\n" + MAIN)
    (project / "src/other.rs").write_text("use aya::Bpf;\npub fn f(_: &Bpf) {}\n")
    (project / "src/other.rs").chmod(0o444)
    report = bpfsmith.check(".", fix=True)
    assert [error.where for error in report.errors] == ["src/other.rs"]
    assert "read-only" in report.errors[0].message
    assert report.exit_code == 2
    assert (project / "src/main.rs").read_text() == "mod other;\n" + MENDED
    assert "Ebpf" not in (project / "src/other.rs").read_text()


def test_links_out_of_the_project_are_not_followed(project: Path) -> None:
    outside = project.parent / "outside.rs"
    outside.write_text("use aya::Bpf;\npub fn f(_: &Bpf) {}\n")
    (project / "src/other.rs").symlink_to(outside)
    (project / "src/main.rs").write_text("mod other;\nfn main() {}\n")
    report = bpfsmith.check(".", fix=True)
    assert "Ebpf" not in outside.read_text()
    assert ["outside the project" in error.message for error in report.errors] == [True]


def test_links_inside_stay_links(project: Path) -> None:
    (project / "src/real.rs").write_text("use aya::Bpf;\npub fn f(_: &Bpf) {}\n")
    (project / "src/other.rs").symlink_to("real.rs")
    (project / "src/main.rs").write_text("mod other;\nfn main() {}\n")
    report = bpfsmith.check(".", fix=True)
    assert not report.errors
    assert (project / "src/other.rs").is_symlink()
    assert (project / "src/real.rs").read_text() == "use aya::Ebpf;\npub fn f(_: &Ebpf) {}\n"


def test_what_is_not_utf8_is_left_alone(project: Path) -> None:
    data = MAIN.replace("every", "\udcff").encode("utf-8", "surrogateescape")
    (project / "src/main.rs").write_bytes(data)
    report = bpfsmith.check(".", fix=True)
    assert (project / "src/main.rs").read_bytes() == data
    assert any("UTF-8" in error.message for error in report.errors)


def test_a_file_that_changes_meanwhile_is_not_overwritten(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = project / "src/main.rs"
    write = fixing.Mender.write

    def late(self: fixing.Mender) -> list[str]:
        file.write_text(MAIN + "// more\n")
        return write(self)

    monkeypatch.setattr(fixing.Mender, "write", late)
    report = bpfsmith.check(".", fix=True)
    assert file.read_text() == MAIN + "// more\n"
    assert any("changed since" in error.message for error in report.errors)
    assert report.mended is not None
    assert not report.mended.mended


# ---------------------------------------------------------------- rounds


def _finding(fix: Fix, code: str = "AYA001") -> Finding:
    return Finding(code, "x", "warning", fix.message, fix.edits[0].span, fixes=[fix])


@pytest.fixture
def mender(project: Path) -> fixing.Mender:
    (project / "src/main.rs").write_text("fn main() { a(b) }\n")
    return fixing.Mender(fixing.SAFE)


def _rounds(mender: fixing.Mender, project: Path, *fixes: Fix) -> bool:
    return mender.round([_finding(fix) for fix in fixes], [str(project)])


def test_what_does_not_parse_is_not_made(mender: fixing.Mender, project: Path) -> None:
    wrong = Fix("safe", "break it", [edit(1, 15, 1, 15, "((", "src/main.rs")])
    right = Fix("safe", "borrow", [edit(1, 15, 1, 15, "&", "src/main.rs")])
    both = [Fix("safe", "name it", [edit(1, 13, 1, 14, "f", "src/main.rs")]), wrong]
    assert _rounds(mender, project, *both)
    assert mender.text("src/main.rs") == "fn main() { f(b) }\n"
    assert [type(error) for error in mender.errors] == [ToolError]
    assert not _rounds(mender, project, wrong)
    assert len(mender.errors) == 1
    assert _rounds(mender, project, right)
    assert mender.text("src/main.rs") == "fn main() { f(&b) }\n"


def test_fixes_that_undo_one_another_end_in_an_error(mender: fixing.Mender, project: Path) -> None:
    to = [Fix("safe", "to", [edit(1, 13, 1, 14, name, "src/main.rs")]) for name in "ab"]
    assert _rounds(mender, project, to[1])
    assert _rounds(mender, project, to[0])
    with pytest.raises(ToolError, match="undo one another"):
        _rounds(mender, project, to[1])
    assert (project / "src/main.rs").read_text() == "fn main() { a(b) }\n"


def test_files_of_one_fix_are_written_together_or_not(mender: fixing.Mender, project: Path) -> None:
    other = project / "src/other.rs"
    other.write_text("fn b() {}\n")
    together = Fix("safe", "x", [edit(1, 15, 1, 16, "c", "src/main.rs"), edit(1, 4, 1, 5, "c", "src/other.rs")])
    assert _rounds(mender, project, together)
    other.write_text("fn b() { }\n")
    assert mender.write() == []
    assert (project / "src/main.rs").read_text() == "fn main() { a(b) }\n"
    assert len(mender.errors) == 1


def test_only_what_is_accepted_is_made(mender: fixing.Mender, project: Path) -> None:
    unsafe = Fix("unsafe", "x", [edit(1, 13, 1, 14, "f", "src/main.rs")])
    shown = Fix("display", "x", [edit(1, 13, 1, 14, "f", "src/main.rs")])
    assert not _rounds(mender, project, unsafe, shown)
    assert fixing.fix_for(_finding(unsafe), fixing.UNSAFE) == unsafe
    assert fixing.fix_for(_finding(shown), fixing.UNSAFE) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("use aya::{Bpf, Ebpf};\n", "use aya::{Ebpf};\n"),
        ("use aya::{Ebpf, Bpf};\n", "use aya::{Ebpf};\n"),
        ("use aya::{\n    Ebpf,\n    Bpf,\n};\n", "use aya::{\n    Ebpf,\n};\n"),
        ("use aya::Bpf;\nuse aya::Ebpf;\n", "use aya::Ebpf;\n"),
        ("use aya::Bpf;\n", "use aya::Ebpf;\n"),
    ],
)
def test_a_new_name_is_not_imported_twice(project: Path, before: str, after: str) -> None:
    file = project / "src/main.rs"
    file.write_text(before + "pub fn f(_: &Bpf) {}\nfn main() {}\n")
    bpfsmith.check(".", fix=True, select="AYA001")
    assert file.read_text() == after + "pub fn f(_: &Ebpf) {}\nfn main() {}\n"


def test_a_new_name_that_is_taken_is_left_to_a_person(project: Path) -> None:
    file = project / "src/main.rs"
    text = "use aya::Bpf;\npub struct Ebpf;\npub fn f(_: &Bpf) {}\nfn main() {}\n"
    file.write_text(text)
    report = bpfsmith.check(".", fix=True, select="AYA001", unsafe_fixes=True)
    assert file.read_text() == text or "as " in file.read_text()
    assert not report.errors

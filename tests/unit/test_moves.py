"""The table of what moved between Aya's releases: rows are whole, the engine obeys the target, edits compose."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bpfsmith import rules
from bpfsmith.model.edits import Chosen, apply
from bpfsmith.rules import moves
from bpfsmith.rules._base import CheckContext
from bpfsmith.rules.moves._comments import keep_comments
from bpfsmith.rules.moves._edit import visible
from bpfsmith.rules.moves._edit_items import _without_leaf
from bpfsmith.rules.moves._pattern import arguments, matches
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves.engine import findings
from bpfsmith.source.project import Project, find_project
from bpfsmith.source.rust import SourceFile
from bpfsmith.source.versions import parse_version

ROWS = moves.table()
CRATES = {"aya", "aya-bpf", "aya-ebpf", "aya-log", "aya-obj", "aya or aya-ebpf"}

LOCK = """\
version = 4

[[package]]
name = "aya"
version = "0.11.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
"""
MANIFEST = """\
[package]
name = "app"
version = "0.1.0"
edition = "2021"

[dependencies]
aya = "0.11"
anyhow = "1"
"""
OLD = """\
use aya::{
    programs::{perf_event::perf_sw_ids::PERF_COUNT_SW_CPU_CLOCK, tc, CgroupSkb, CgroupSkbAttachType, PerfEvent,
               PerfEventScope, PerfTypeId, SamplePolicy, SchedClassifier, TcAttachType, UProbe, Xdp, XdpFlags},
    util::online_cpus,
    Bpf, BpfLoader, Btf,
};

fn main() -> anyhow::Result<()> {
    let mut bpf: Bpf = BpfLoader::new()
        .btf(Btf::from_sys_fs().ok().as_ref())
        .set_global("LIMIT", &5u32)
        .map_pin_path("/sys/fs/bpf/app") // for other programs
        .load(&[])?;
    let firewall: &mut Xdp = bpf.program_mut("firewall").unwrap().try_into()?;
    firewall.attach("eth0", XdpFlags::SKB_MODE)?;
    tc::qdisc_add_clsact("eth0")?;
    let limit: &mut SchedClassifier = bpf.program_mut("limit").unwrap().try_into()?;
    limit.attach("eth0", TcAttachType::Egress)?;
    let egress: &mut CgroupSkb = bpf.program_mut("egress").unwrap().try_into()?;
    egress.attach(std::fs::File::open("/sys/fs/cgroup")?, CgroupSkbAttachType::Egress)?;
    let probe: &mut UProbe = bpf.program_mut("malloc").unwrap().try_into()?;
    probe.attach(Some("malloc"), 0, /* the C library */ "libc", None)?;
    let sample: &mut PerfEvent = bpf.program_mut("sample").unwrap().try_into()?;
    for cpu in online_cpus()? {
        let scope = PerfEventScope::AllProcessesOneCpu { cpu };
        sample.attach(PerfTypeId::Software, PERF_COUNT_SW_CPU_CLOCK as u64, scope, SamplePolicy::Period(9))?;
    }
    Ok(())
}
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "Cargo.lock").write_text(LOCK, encoding="utf-8")
    (tmp_path / "src/main.rs").write_text(OLD, encoding="utf-8")
    return tmp_path


def project(folder: Path, **target: str) -> Project:
    found = find_project(str(folder))
    assert found is not None
    found.target = {name.replace("_", "-"): version for name, version in target.items()} or None
    return found


def moved_on(folder: Path, **target: str) -> str:
    """The source with the edits of the table made until there are none."""
    main = folder / "src/main.rs"
    for _ in range(9):
        edits = Chosen()
        for finding in findings(project(folder, **target), CheckContext()):
            for fix in finding.fixes[:1]:
                if fix.edits:
                    edits.add(fix)
        if not edits.edits:
            break
        (taken,) = edits.edits.values()
        main.write_text(apply(main.read_text(encoding="utf-8"), taken), encoding="utf-8")
    return main.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_a_row_is_whole(row: Row) -> None:
    assert re.fullmatch(r"AYA\d{3}", row.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.name)
    assert row.side in {"user", "kernel", "any"}
    assert row.crate in CRATES
    assert row.item
    assert row.replacement
    assert row.match.words
    assert row.edits
    assert row.first or row.before or row.crate in {"aya-bpf", "aya-ebpf", "aya or aya-ebpf"}
    last, first = parse_version(row.last), parse_version(row.first)
    assert last is None or first is None or last < first
    assert row.message[:1] in "`" or row.message[:1].islower()
    assert not row.message.endswith(".")
    rule = moves.rule(row.code)
    assert rule.docs.missing() == []
    assert "cargo check" in rule.docs.text or row.phase != "compile" or not row.first


def test_rows_are_rules_like_any_other() -> None:
    listed = {entry.code: entry for entry in rules.listing()}
    for row in ROWS:
        assert listed[row.code].name == row.name
        assert listed[row.code].rule is moves.rule(row.code)
        assert rules.find(row.name) is listed[row.code]


def test_versions_decide(old: Path) -> None:
    def codes(**target: str) -> set[str]:
        return {one.code for one in findings(project(old, **target), CheckContext())}

    assert codes() == set()  # aya 0.11, as locked
    assert codes(aya="0.12.0") == {"AYA006", "AYA234"}
    assert codes(aya="0.13.1") - codes(aya="0.12.0") == {"AYA001", "AYA019", "AYA240"}
    assert {"AYA009", "AYA014", "AYA015", "AYA018"} <= codes(aya="0.14.0")
    assert {"AYA201", "AYA203", "AYA210"} <= codes(aya="0.15.0")


def test_edits_compose_at_once_and_step_by_step(old: Path) -> None:
    for version in ("0.12.0", "0.13.1", "0.14.0", "0.15.0"):
        moved_on(old, aya=version)
    steps = moved_on(old, aya="0.16.0")
    (old / "src/main.rs").write_text(OLD, encoding="utf-8")
    at_once = moved_on(old, aya="0.16.0")
    assert at_once == steps
    assert findings(project(old, aya="0.16.0"), CheckContext()) == []
    assert 'firewall.attach(c"eth0", XdpMode::Skb)?;' in steps
    assert 'limit.attach(c"eth0", TcAttachType::Egress)?;' in steps
    assert "CgroupSkbAttachType::Egress, aya::programs::CgroupAttachMode::Single)?;" in steps
    assert 'probe.attach(["malloc"], ' in steps
    assert "UProbeScope::AllProcesses)?;" in steps
    assert "SamplePolicy::Period(9), false)?;" in steps
    assert "online_cpus().map_err(|(_, error)| error)?" in steps
    assert ".btf(" not in steps
    assert "// for other programs" in steps


def test_an_era_of_its_own(old: Path) -> None:
    text = moved_on(old, aya="0.14.0")
    assert 'probe.attach("malloc", ' in text
    assert 'firewall.attach("eth0", XdpMode::Skb)?;' in text


@pytest.mark.parametrize(
    ("pattern", "code", "captured"),
    [
        ("Some($lit_f), 0", 'Some("malloc"), 0', {"lit_f": '"malloc"'}),
        ("Some($lit_f), 0", "Some(name), 0", None),
        ("Some($f), $o", "Some(name), offset + 4", {"f": "name", "o": "offset + 4"}),
        ("None", "Some(1)", None),
        ("None", "(None)", {}),
        ("0", "0u64", {}),
        ("0", "0x0", {}),
        ("$a, $a", "x.y, x.y", {"a": "x.y"}),
        ("$a, $a", "x.y, x.z", None),
        ("$a.ok().as_ref()", "read()?.ok().as_ref()", {"a": "read()?"}),
        ("aya::Btf::from_sys_fs()", "aya::Btf::from_sys_fs()", {}),
        ("aya::Btf::from_sys_fs()", "Btf::from_sys_fs()", None),  # not aya's, as far as this text says
    ],
)
def test_patterns(pattern: str, code: str, captured: dict[str, str] | None) -> None:
    file = SourceFile("x.rs", f"fn a() {{ call({code}); }}".encode())
    call = next(file.calls("call"))
    found: dict[str, object] = {}
    wanted = arguments(pattern)
    same = len(wanted) == len(call.args) and all(
        matches(one, other, found)  # type: ignore[arg-type]
        for one, other in zip(wanted, call.args, strict=True)
    )
    assert same is (captured is not None)
    if captured is not None:
        assert {name: one.text for name, one in found.items()} == captured  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "name", "after"),
    [
        ("use a::B;\nuse c::D;\n", "B", "use c::D;\n"),
        ("use a::{B, C};\n", "B", "use a::{C};\n"),
        ("use a::{B, C};\n", "C", "use a::{B};\n"),
        ("use a::{\n    B,\n    C,\n};\n", "B", "use a::{\n    C,\n};\n"),
        ("use a::{\n    B,\n    C,\n};\n", "C", "use a::{\n    B,\n    };\n"),
        ("use a::{b::{C, D}, E};\n", "D", "use a::{b::{C}, E};\n"),
        ("use a::{b::D, E};\n", "D", "use a::{E};\n"),
        ("use a::{B};\n", "B", None),
        ("pub use a::B;\n", "B", None),
        ("use a::B as C;\n", "B", None),
    ],
)
def test_an_import_is_left_out(text: str, name: str, after: str | None) -> None:
    file = SourceFile("x.rs", text.encode())
    use = next(one for one in file.uses if one.path.endswith(name))
    found = _without_leaf(file, use.start)
    assert (text[: found[0]] + text[found[1] :] if found else None) == after


def test_names_are_written_as_short_as_they_are_known() -> None:
    path = "aya::programs::tc::TcHandle"
    assert visible(SourceFile("x.rs", b"use aya::programs::tc::TcHandle;"), None, path) == "TcHandle"
    assert visible(SourceFile("x.rs", b"use aya::programs::tc;"), None, path) == "tc::TcHandle"
    assert visible(SourceFile("x.rs", b"struct TcHandle;"), None, path) == path


# ---------------------------------------------------------------- comments

PAGES = Path(__file__).resolve().parents[1] / "md"


def _commented(text: str) -> tuple[str, int]:
    """The text with a comment after each argument of each call; every other one ends its line."""
    file = SourceFile("x.rs", text.encode())
    places = {
        arg.end: len(text[: arg.end])
        for call in file.of_kind("call", "method")
        for arg in call.args
        if text[arg.end : arg.end + 1] in (",", ")")
    }
    for at, end in enumerate(sorted(places, reverse=True)):
        ends_line = text[end] == "," and at % 2
        text = (
            f"{text[: end + 1]} // kept {at}.\n{text[end + 1 :]}"
            if ends_line
            else f"{text[:end]} /* kept {at}. */{text[end:]}"
        )
    return text, len(places)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_no_fix_loses_a_comment(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PAGES))
    import project as written
    from harness import cases

    import bpfsmith

    for at, case in enumerate(one for one in cases(PAGES / f"source/{row.code}.md") if one.kind == "bad"):
        folder = tmp_path / str(at)
        folder.mkdir()
        monkeypatch.chdir(folder)
        held = {}
        for path, text in case.files.items():
            if path.endswith(".rs"):
                case.files[path], held[path] = _commented(text)
        written.write(folder, case.files, case.options)
        bpfsmith.check(".", select=row.code, fix=True, unsafe_fixes=True)
        for path, count in held.items():
            after = (folder / path).read_text(encoding="utf-8")
            lost = [one for one in range(count) if f"kept {one}." not in after]
            assert not lost, f"{case.file.name}:{case.line}: {lost}\n{after}"


def test_a_comment_stays_beside_its_argument() -> None:
    text = """a.attach(
    Some("malloc"), // the symbol
    0, // from its start
    "libc", // the library
    Some(0), // ourselves
)"""
    start, end = text.index("Some"), text.rindex(",")
    edits = keep_comments(text, start, end, '["malloc"], "libc", Scope::Own')
    assert edits is not None
    for one, two, new in sorted(edits, reverse=True):
        text = text[:one] + new + text[two:]
    assert (
        text
        == """a.attach(
    ["malloc"], // the symbol
    // from its start
    "libc", // the library
    Scope::Own, // ourselves
)"""
    )

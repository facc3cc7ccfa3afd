"""`bpfsmith.check`: inputs, rules that break, configuration, merging, exit codes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import bpfsmith
from bpfsmith import rules
from bpfsmith.check.merge import merge
from bpfsmith.model.errors import EnvironmentMissing, InputError, ToolError
from bpfsmith.model.finding import Edit, Finding, Fix, Label, Span
from unit.fakes import install, object_rule, source_rule

DATA = Path(__file__).resolve().parent.parent / "data"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATA / "drop_all.c", tmp_path)
    shutil.copy(DATA / "drop_all.o", tmp_path)
    return tmp_path


def at_each_line(self, obj, ctx):
    for program in obj.programs:
        for slot, *_ in program.lines():
            yield self.finding(ctx, f"at slot {slot} of `{program.name}`", obj=obj, program=program, slot=slot)


def once(self, obj, ctx):
    yield self.finding(ctx, "here", obj=obj)


def test_positions_count_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, object_rule(at_each_line))
    report = bpfsmith.check("drop_all.o")
    assert [str(one.span) for one in report.findings] == ["drop_all.c:7:2", "drop_all.c:8:14", "drop_all.c:9:2"]
    second = report.findings[1]
    assert (second.span.end_column, second.object, second.program) == (32, "drop_all.o", "drop_all")
    assert report.exit_code == 1
    assert report.summary == {"files": 1, "error": 0, "warning": 3, "note": 0, "suppressed": 0}


def test_a_source_that_is_gone_or_changed(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    install(monkeypatch, object_rule(at_each_line))
    source = here / "drop_all.c"
    source.write_text(source.read_text(encoding="utf-8").replace("return XDP_DROP", "return  2"), encoding="utf-8")
    spans = [one.span is None for one in bpfsmith.check("drop_all.o").findings]
    assert sorted(spans) == [False, False, True]
    source.unlink()
    report = bpfsmith.check("drop_all.o")
    assert all(one.span is None and one.object == "drop_all.o" for one in report.findings)
    assert report.findings[0].evidence[0].kind == "source"
    assert "drop_all.c:7: `bpf_printk" in report.findings[0].evidence[0].text
    assert report.findings[0].to_json()["line"] is None


def test_sources_are_found_from_another_folder(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    install(monkeypatch, object_rule(at_each_line))
    (here / "else/where").mkdir(parents=True)
    (here / "out").mkdir()
    shutil.move(here / "drop_all.o", here / "out")
    monkeypatch.chdir(here / "else/where")
    report = bpfsmith.check(str(here / "out"))
    assert report.findings[0].span.path == str(here / "drop_all.c")
    monkeypatch.chdir(here)
    assert bpfsmith.check("out").findings[0].span.path == "drop_all.c"


def test_a_suppressed_finding(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    install(monkeypatch, object_rule(at_each_line))
    source = here / "drop_all.c"
    text = source.read_text(encoding="utf-8")
    # Written after the build: the object's own text of the line knows nothing of it.
    marked = text.replace('printk("dröp");', 'printk("dröp"); // bpfsmith: expect(OBJ900, reason = "why")')
    source.write_text(marked, encoding="utf-8")
    report = bpfsmith.check("drop_all.o")
    assert report.suppressed == 1
    assert [one.span.line for one in report.findings] == [8, 9]
    above = text.replace("\tbpf_printk", '\t// bpfsmith: expect(fake-rule, reason = "why")\n\tbpf_printk')
    source.write_text(above, encoding="utf-8")
    report = bpfsmith.check("drop_all.o")
    assert report.suppressed == 1
    assert [str(one.span) for one in report.findings] == ["drop_all.c:9:14", "drop_all.c:10:2"]


def test_a_comment_added_after_a_rust_build(here: Path) -> None:
    """The helper's own line is the bindings'; the user's line is one that DWARF names, and it has moved."""
    example = Path(__file__).resolve().parents[2] / "examples/packet-counter-broken"
    shutil.copy(example / "prebuilt/packet-counter.bpf.o", here)
    shutil.copytree(example / "packet-counter-ebpf/src", here / "packet-counter-ebpf/src")
    source = here / "packet-counter-ebpf/src/packets.rs"
    (found,) = bpfsmith.check("packet-counter.bpf.o", select="OBJ001").findings
    lines = source.read_text(encoding="utf-8").split("\n")
    assert "bpf_get_socket_cookie(" in lines[found.span.line - 1]
    lines[found.span.line - 1 : found.span.line - 1] = ["", '// bpfsmith: expect(OBJ001, reason = "why")']
    source.write_text("\n".join(lines), encoding="utf-8")
    report = bpfsmith.check("packet-counter.bpf.o", select="OBJ001")
    assert (report.findings, report.suppressed) == ((), 1)


def test_what_needs_kernels_is_not_unused_without(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    install(monkeypatch, object_rule(at_each_line, asks="kernels"))
    source = here / "drop_all.c"
    text = source.read_text(encoding="utf-8")
    marked = text.replace('printk("dröp");', 'printk("dröp"); // bpfsmith: expect(OBJ900, reason = "why")')
    source.write_text("// bpfsmith: expect(OBJ900, reason = 'not here')\n".replace("'", '"') + marked, encoding="utf-8")
    assert bpfsmith.check("drop_all.o").findings == ()
    report = bpfsmith.check("drop_all.o", kernels="5.10..")
    assert (report.suppressed, report.findings[0].code) == (1, "CHK001")


def test_one_word_needs_no_list() -> None:
    report = bpfsmith.check("drop_all.o", select="OBJ019", ignore="AYA", loaders="libbpf", btf=Path("drop_all.o"))
    assert {one.code for one in report.findings} == {"OBJ019"}


def test_of_several_bars_the_strictest_counts(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    install(monkeypatch, object_rule(once, severity="note"))
    for name, bar in (("one", "never"), ("two", "note"), ("three", None)):
        (here / name).mkdir()
        shutil.copy("drop_all.o", here / name)
        (here / name / "bpfsmith.toml").write_text(f'fail-on = "{bar}"\n' if bar else "")
    assert bpfsmith.check(["one", "two"]).exit_code == bpfsmith.check(["two", "one"]).exit_code == 1
    assert bpfsmith.check(["one", "three"]).fail_on == "warning"
    assert bpfsmith.check("one").exit_code == 0
    assert bpfsmith.check(["two", "one"], fail_on="never").exit_code == 0


def test_one_bad_file_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    install(monkeypatch, object_rule(once))
    (here / "cut.o").write_bytes((here / "drop_all.o").read_bytes()[:200])
    (here / "text.o").write_text("hello", encoding="utf-8")
    report = bpfsmith.check(["nope", "cut.o", "text.o", "drop_all.o"])
    assert [one.exit_code for one in report.errors] == [2, 2, 2]
    assert [one.object for one in report.findings] == ["drop_all.o"]
    assert report.exit_code == 2
    errors = json.loads(json.dumps(report.to_json()))["errors"]
    assert [one["where"] for one in errors] == ["nope", "cut.o", "text.o"]


def test_a_rule_that_breaks_is_named_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self, obj, ctx):
        yield self.finding(ctx, "before", obj=obj)
        raise KeyError("boom")

    install(monkeypatch, object_rule(broken, "OBJ901", "broken-rule"), object_rule(once, "OBJ902", "good-rule"))
    report = bpfsmith.check("drop_all.o")
    assert [one.code for one in report.findings] == ["OBJ901", "OBJ902"]
    assert isinstance(report.errors[0], ToolError)
    assert "OBJ901 broken-rule" in str(report.errors[0])
    assert "drop_all.o" in str(report.errors[0])
    assert report.exit_code == 4


def test_a_rule_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(rules.Entry):
        @property
        def rule(self):
            raise SyntaxError("oops")

    install(monkeypatch, Broken("OBJ901", "broken-rule", ""), object_rule(once, "OBJ902", "good-rule"))
    report = bpfsmith.check("drop_all.o")
    assert [one.code for one in report.findings] == ["OBJ902"]
    assert "OBJ901 broken-rule cannot be imported" in str(report.errors[0])


def test_folders_are_walked_by_content(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    install(monkeypatch, object_rule(once))
    deep = here / "a/b"
    deep.mkdir(parents=True)
    (here / "drop_all.o").rename(deep / "counter")
    os.link(deep / "counter", deep / "counter-1234")
    (deep / ".git").mkdir()
    shutil.copy(deep / "counter", deep / ".git/x")
    os.mkfifo(deep / "pipe")
    (deep / "dangling").symlink_to("nowhere")
    (deep / "text").write_text("x", encoding="utf-8")
    assert [one.object for one in bpfsmith.check(".").findings] == ["a/b/counter"]


def test_a_folder_with_nothing_in_it(here: Path) -> None:
    (here / "empty").mkdir()
    report = bpfsmith.check("empty")
    assert "no eBPF object and no Cargo workspace" in str(report.errors[0])
    assert report.exit_code == 2


def test_the_same_object_twice_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, object_rule(once))
    report = bpfsmith.check(["drop_all.o", "./drop_all.o", "."])
    assert len(report.findings) == 1
    assert report.files == 1


def test_configuration_and_arguments(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    seen = []

    def look(self, obj, ctx):
        seen.append((str(ctx.kernels) if ctx.kernels.specified else None, ctx.loaders))
        yield self.finding(ctx, "here", obj=obj)

    install(monkeypatch, object_rule(look), object_rule(once, "OBJ901", "other-rule"))
    config = 'kernels = "fleet"\nloaders = ["libbpf"]\nignore = ["OBJ901"]\nfail-on = "never"\n'
    config += '[kernel-names]\nfleet = "6.1"\n'
    (here / "bpfsmith.toml").write_text(config, encoding="utf-8")
    report = bpfsmith.check(".")
    assert [one.code for one in report.findings] == ["OBJ900"]
    assert report.exit_code == 0
    bpfsmith.check(".", kernels="5.10", loaders=["aya"])
    assert seen == [("6.1", ("libbpf",)), ("5.10", ("aya",))]
    assert [one.code for one in bpfsmith.check(".", select=["OBJ901"]).findings] == ["OBJ901"]
    assert bpfsmith.check(".", ignore=["OBJ900"]).findings == ()
    assert bpfsmith.check(".", fail_on="warning").exit_code == 1
    (here / "bpfsmith.toml").write_text('kernels = "9.9"\n', encoding="utf-8")
    report = bpfsmith.check(".")
    assert "bpfsmith.toml" in str(report.errors[0])
    assert report.exit_code == 2
    assert bpfsmith.check(".", config="/dev/null").exit_code == 1


def test_per_path(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    install(monkeypatch, object_rule(at_each_line))
    (here / "bpfsmith.toml").write_text('[per-path]\n"*.c" = ["OBJ9"]\n', encoding="utf-8")
    report = bpfsmith.check("drop_all.o")
    assert (report.findings, report.suppressed) == ((), 3)


@pytest.mark.parametrize(
    "arguments",
    [{"kernels": "x"}, {"select": ["x"]}, {"ignore": ["x"]}, {"fail_on": "x"}, {"loaders": ["x"]}, {"btf": ["x"]}],
)
def test_wrong_arguments(arguments: dict) -> None:
    try:
        report = bpfsmith.check("drop_all.o", **arguments)
    except InputError as error:
        assert error.exit_code == 2
    else:
        assert report.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("kernels", 5), ("select", 5), ("ignore", [5]), ("loaders", 5), ("btf", 5), ("config", 5), ("baseline", [])],
)
def test_arguments_of_the_wrong_shape(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"`{name}="):
        bpfsmith.check("drop_all.o", **{name: value})


def test_no_path_at_all() -> None:
    with pytest.raises(InputError, match="banana"):
        bpfsmith.check([], kernels="banana")
    assert bpfsmith.check([], kernels="5.10..").notes == ("no path was given: nothing was checked",)
    with pytest.raises(InputError, match="`paths="):
        bpfsmith.check(5)  # type: ignore[arg-type]


def test_a_report_says_its_errors_first() -> None:
    text = repr(bpfsmith.check(["/nonexistent/a", "/nonexistent/b"]))
    assert text.startswith("<Report 2 errors: no such file `/nonexistent/a`")
    assert "exit code 2" in text
    assert "\n" not in text


def test_the_earliest_kernel_is_told_when_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    report = bpfsmith.check("drop_all.o")
    assert len(report.loads) == 1
    assert report.loads[0].startswith("drop_all: loads from ")
    assert bpfsmith.check("drop_all.o", kernels="5.10..").loads == ()


def test_a_superseding_rule_replaces_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        monkeypatch,
        object_rule(at_each_line, "OBJ901", "general-rule"),
        object_rule(at_each_line, "OBJ902", "special-rule", supersedes=("OBJ901",)),
    )
    assert {one.code for one in bpfsmith.check("drop_all.o").findings} == {"OBJ902"}


def test_merge_keeps_one_finding_per_place() -> None:
    def at(program: str, line: int = 3) -> Finding:
        return Finding("OBJ001", "n", "error", f"`x` in `{program}`", Span("a.c", line), "a.o", program)

    assert merge([at("b"), at("a"), at("a", 4)]) == [at("a"), at("a", 4)]
    without = [Finding("OBJ001", "n", "error", "m", None, "a.o", name) for name in ("p", "q", "p")]
    assert len(merge(without)) == 2


def test_a_source_rule_names_the_programs_defect() -> None:
    said = Finding("AYA089", "n", "warning", "m", Span("kernel/src/main.rs", 9), None, "drop_all")
    same = Finding("OBJ013", "n", "warning", "m", Span("kernel/src/util.rs", 2), "a.o", "drop_all")
    bare = Finding("OBJ013", "n", "warning", "m", None, "a.o", "drop_all")
    other = Finding("OBJ013", "n", "warning", "m", Span("kernel/src/main.rs", 9), "a.o", "other")
    elsewhere = Finding("OBJ013", "n", "warning", "m", Span("second/src/main.rs", 9), "b.o", "drop_all")
    assert merge([same, said, bare]) == [said]
    assert merge([said, other, elsewhere]) == [said, other, elsewhere]


def test_baseline(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    install(monkeypatch, object_rule(at_each_line))
    first = bpfsmith.check("drop_all.o").to_json()
    first["findings"].pop()
    (here / "base.json").write_text(json.dumps(first), encoding="utf-8")
    report = bpfsmith.check("drop_all.o", baseline="base.json")
    assert ([one.span.line for one in report.findings], report.suppressed) == ([9], 2)
    for wrong in ("[]", "{", '{"findings": [{}]}'):
        (here / "base.json").write_text(wrong, encoding="utf-8")
        with pytest.raises(InputError, match="baseline"):
            bpfsmith.check("drop_all.o", baseline="base.json")


# ---------------------------------------------------------------- workspaces


@pytest.fixture
def workspace(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CARGO_TARGET_DIR", raising=False)
    root = here / "ws"
    (root / "demo-ebpf/src").mkdir(parents=True)
    (root / "Cargo.toml").write_text('[workspace]\nmembers = ["demo-ebpf"]\n', encoding="utf-8")
    (root / "demo-ebpf/Cargo.toml").write_text(
        '[package]\nname = "demo"\nversion = "0.1.0"\n[dependencies]\naya-ebpf = "0.2"\n', encoding="utf-8"
    )
    (root / "demo-ebpf/src/main.rs").write_text("#![no_std]\n#![no_main]\n", encoding="utf-8")
    return root


def place(workspace: Path, layout: str, age: float) -> Path:
    path = workspace / "target" / layout
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATA / "drop_all.o", path)
    now = (workspace / "demo-ebpf/src/main.rs").stat().st_mtime
    os.utime(path, (now - age, now - age))
    return path


def in_source(self, project, ctx):
    for file in project.files():
        span = Span(file.path, 1)
        fix = Fix("safe", "f", [Edit(span, "")])
        yield Finding(self.code, self.name, "warning", "m", span, labels=[Label(span, "l")], fixes=[fix])


def test_a_workspace_with_nothing_built(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    install(monkeypatch, object_rule(once), source_rule(in_source))
    for path in ("ws", "ws/Cargo.toml", "ws/demo-ebpf/src", "."):
        report = bpfsmith.check(path) if path != "." else bpfsmith.check("ws/demo-ebpf")
        data = next(one for one in report.to_json()["findings"] if one["code"] == "AYA900")
        assert (
            data["path"]
            == data["labels"][0]["path"]
            == data["fixes"][0]["edits"][0]["path"]
            == "ws/demo-ebpf/src/main.rs"
        )
        assert "nothing is built" in report.notes[-1]
        assert "`cd ws/demo-ebpf && cargo +nightly build" in report.notes[-1]
        assert report.exit_code == 1
    # An object of that workspace given by name is its build.
    shutil.copy("drop_all.o", "ws/kept.o")
    assert not any("nothing is built" in note for note in bpfsmith.check(["ws", "ws/kept.o"]).notes)
    assert any("nothing is built" in note for note in bpfsmith.check(["ws", "drop_all.o"]).notes)


def test_objects_passed_over_in_a_workspace_are_named(workspace: Path, here: Path) -> None:
    (workspace / "old").mkdir()
    shutil.copy(here / "drop_all.o", workspace / "old/drop_all.o")
    assert any("not checked" in note and "old/drop_all.o" in note for note in bpfsmith.check("ws").notes)
    named = bpfsmith.check(["ws", "ws/old/drop_all.o"])
    assert not any("not checked" in note for note in named.notes)


def test_a_large_foreign_workspace_is_read_once(monkeypatch: pytest.MonkeyPatch, workspace: Path, here: Path) -> None:
    from bpfsmith.check import inputs

    install(monkeypatch, source_rule(in_source))
    for name in "abc":
        (here / name).mkdir()
        (here / name / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nversion = "0.1.0"\n', encoding="utf-8")
    (here / "Cargo.toml").write_text('[workspace]\nmembers = ["a", "b", "c"]\nexclude = ["ws"]\n', encoding="utf-8")
    asked = []
    real = inputs.open_project
    monkeypatch.setattr(inputs, "open_project", lambda folder: asked.append(folder) or real(folder))
    report = bpfsmith.check(".")
    assert [one.span.path for one in report.findings] == ["ws/demo-ebpf/src/main.rs"]
    assert asked == [".", "./ws/demo-ebpf", str(workspace)]


def test_a_workspace_with_objects(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    install(monkeypatch, object_rule(once), source_rule(in_source))
    place(workspace, "bpfel-unknown-none/debug/demo", -30)
    newest = place(workspace, "release/build/demo-0123/out/demo", -60)
    report = bpfsmith.check("ws")
    assert [one.object for one in report.findings if one.code == "OBJ900"] == [str(newest.relative_to(Path.cwd()))]
    assert any("built 2 times" in note for note in report.notes)
    assert report.files == 2
    os.utime(newest, (1, 1))
    place(workspace, "bpfel-unknown-none/debug/demo", 60)
    stale = [one for one in bpfsmith.check("ws").findings if one.code == "CHK004"]
    assert [(one.severity, one.object) for one in stale] == [("note", "ws/target/bpfel-unknown-none/debug/demo")]
    assert "ws/demo-ebpf/src/main.rs" in stale[0].message


def test_nothing_is_built_unless_asked(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    from bpfsmith.source import build

    install(monkeypatch, object_rule(once), source_rule(in_source))
    called = []

    def fake(project):
        called.append(project.root)
        place(workspace, "bpfel-unknown-none/debug/demo", -30)
        return ""

    monkeypatch.setattr(build, "build", fake)
    bpfsmith.check("ws")
    assert called == []
    report = bpfsmith.check("ws", build=True)
    assert called == [str(workspace)]
    assert [one.code for one in report.findings] == ["OBJ900", "AYA900"][::-1]


def test_a_failed_build_still_checks_the_sources(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    from bpfsmith.source import build

    def fail(project):
        raise EnvironmentMissing("`bpf-linker` is not installed", "cargo install bpf-linker")

    monkeypatch.setattr(build, "build", fail)
    install(monkeypatch, source_rule(in_source))
    report = bpfsmith.check("ws", build=True)
    assert [one.code for one in report.findings] == ["AYA900"]
    assert report.exit_code == 3


def test_sources_of_a_build_on_another_machine(here: Path) -> None:
    from bpfsmith.rules._sources import Sources

    (here / "ebpf/src").mkdir(parents=True)
    (here / "ebpf/src/main.rs").write_text("fn a() {}\n", encoding="utf-8")
    (here / "main.rs").write_text("fn a() {}\n", encoding="utf-8")
    sources = Sources()
    assert sources.find("/builds/ci/42/ebpf/src/main.rs") == "ebpf/src/main.rs"
    assert sources.find("/builds/ci/42/other/main.rs") is None
    assert sources.span("/builds/ci/ebpf/src/main.rs", 1, 4, None, "fn a() {}") == Span("ebpf/src/main.rs", 1, 4, 1, 5)
    assert sources.span("/builds/ci/ebpf/src/main.rs", 1, 4, None, "fn b() {}") is None

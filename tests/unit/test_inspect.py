"""`inspect`: the JSON contract, and what a person sees, on committed objects and on freshly compiled ones."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toolchain import Clang

import bpfsmith
from bpfsmith.cli import main
from bpfsmith.inspect import inspect
from bpfsmith.inspect._document import object_document
from bpfsmith.inspect.schema import schema
from bpfsmith.model.errors import InputError
from bpfsmith.read import read_bytes, read_kernel
from bpfsmith.read.earliest import earliest_kernel, needs
from bpfsmith.render import inspect_asm, inspect_graph, inspect_text
from bpfsmith.render.inspect_table import Paint, listed, printable, table

FIXTURES = Path(__file__).parents[1] / "fixtures"
INSIDE = FIXTURES / "inside.bpf.o"

OBJECT = {"path", "endianness", "license", "btf", "notes", "programs", "maps", "globals", "tail_calls"}
PROGRAM = {
    *("name", "section", "type", "attach_type", "attach_to", "instructions", "subprograms", "helpers", "kfuncs"),
    *("maps", "stack", "core_relocations", "earliest_kernel", "fingerprint"),
}
MAP = {"name", "type", "key_size", "value_size", "max_entries", "flags", "pinning", "origin"}


def test_every_key_of_the_contract_is_there() -> None:
    document = inspect([INSIDE, FIXTURES / "count_packets.bpf.o"]).to_json()
    assert document["version"] == 1
    assert json.loads(json.dumps(document)) == document
    objects = document["objects"]
    assert isinstance(objects, list)
    assert len(objects) == 2
    for obj in objects:
        assert set(obj) == OBJECT
        assert all(set(one) == PROGRAM for one in obj["programs"])
        assert all(set(one["earliest_kernel"]) == {"version", "because"} for one in obj["programs"])
        assert all(set(one) == MAP for one in obj["maps"])
        assert all(set(one) == {"name", "section", "type", "offset", "size"} for one in obj["globals"])
        assert all(set(one) == {"program", "map", "index"} for one in obj["tail_calls"])


def test_documents_follow_the_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(inspect(sorted(FIXTURES.glob("*.o"))).to_json(), schema())


def test_document_of_a_program() -> None:
    document = inspect(INSIDE).to_json()
    (obj,) = document["objects"]  # type: ignore[misc]
    programs = {one["name"]: one for one in obj["programs"]}
    parse = programs["parse"]
    assert parse["helpers"] == ["bpf_map_lookup_elem", "bpf_tail_call", "bpf_xdp_load_bytes"]
    assert parse["subprograms"] == ["clamp"]
    assert set(parse["maps"]) == {"counts", "steps", ".rodata"}
    assert parse["earliest_kernel"] == {"version": "5.18", "because": ["bpf_xdp_load_bytes (5.18)"]}
    assert len(parse["fingerprint"]) == 64
    assert programs["nobody_knows"]["type"] is None
    assert any("no_such_section" in note for note in obj["notes"])
    assert {"program": "parse", "map": "steps", "index": 1} in obj["tail_calls"]
    assert {"program": "computed", "map": "steps", "index": None} in obj["tail_calls"]


def test_earliest_kernel_takes_the_newest_need() -> None:
    obj = bpfsmith.read(INSIDE)
    found = {one.name: earliest_kernel(one) for one in obj.programs}
    assert (found["connect"].version, found["connect"].because) == ("5.17", ("bpf_loop (5.17)",))
    # The kernel function is weak: a loader removes the call where it is missing.
    assert found["switched"].version == "5.5"
    assert "bpf_kfunc_of_ours" not in dict(needs(obj.programs[4]))
    assert found["nobody_knows"].version is None or found["nobody_knows"].because


def test_against_a_kernel_says_what_is_missing() -> None:
    kernel = read_kernel(INSIDE)
    report = inspect(INSIDE, btf=kernel)
    assert report.kernel is kernel
    plain = {one["name"]: one for one in inspect(INSIDE).to_json()["objects"][0]["programs"]}  # type: ignore[index]
    against = {one["name"]: one for one in report.to_json()["objects"][0]["programs"]}  # type: ignore[index]
    assert plain["parse"]["fingerprint"] == against["parse"]["fingerprint"]
    with pytest.raises(InputError):
        inspect(INSIDE, btf=FIXTURES / "nothing")


def test_one_bad_file_hides_nothing_of_the_others(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello")
    report = inspect([text, INSIDE, tmp_path])
    assert [one.path for one in report.objects] == [str(INSIDE)]
    assert [type(one) for one in report.errors] == [InputError, InputError]
    assert report.exit_code == 2


def test_text_names_what_matters() -> None:
    document = inspect(INSIDE).to_json()
    text = inspect_text.render(document)
    for word in (
        "little-endian",
        "Dual MIT/GPL",
        "parse",
        "sched_cls",
        "bpf_xdp_load_bytes (5.18)",
        "percpu_array",
        "0x480",
    ):
        assert word in text
    assert "\x1b" not in text
    assert "\x1b[" in inspect_text.render(document, color=True)
    assert all(line == line.rstrip() for line in text.splitlines())


def test_tables_align_and_never_print_control_characters() -> None:
    lines = table(("name", "size"), [("a\x1b[31m", 5), ("longer", None)], Paint(False), right=(1,), indent=0)
    assert lines == ["name       size", "a\\x1b[31m     5", "longer        -"]
    assert printable("ok") == "ok"
    assert listed("maps:", ["one", "two", "three"], indent=2, width=14) == [
        "  maps: one,",
        "        two,",
        "        three",
    ]


def test_listing_names_helpers_maps_labels_and_lines() -> None:
    parse = bpfsmith.read(INSIDE).program("parse")
    assert parse is not None
    text = inspect_asm.render(parse)
    assert "call bpf_xdp_load_bytes#189" in text
    assert "= map[counts]" in text
    assert "= map[.rodata]+0" in text
    assert "call clamp" in text
    assert "; ./inside.bpf.c:" in text or "inside.bpf.c:" in text
    assert "bpf_tail_call(context, &steps, 1);" in text
    assert "\nL1:" in text
    assert "goto L1" in text
    slots = [line for line in text.splitlines() if line.lstrip()[:1].isdigit()]
    assert len(slots) == sum(1 for _ in parse.instruction_view())


def test_relocated_listing_shows_what_changed() -> None:
    switched = bpfsmith.read(INSIDE).program("switched")
    assert switched is not None
    text = inspect_asm.render(switched, kernel=read_kernel(INSIDE))
    assert "byte_off struct task_struct.pid" in text


def test_graphs_hold_calls_callbacks_and_tail_calls() -> None:
    obj = bpfsmith.read(INSIDE)
    dot = inspect_graph.render([obj], "dot")
    assert dot.startswith("digraph bpf {")
    assert dot.count("{") == dot.count("}")
    for word in ("clamp", "callback", "steps[1]", "steps[computed]", "tcp_v4_connect"):
        assert word in dot
    mermaid = inspect_graph.render([obj], "mermaid")
    assert mermaid.startswith("flowchart LR")
    for word in ("clamp", "-.->", "==>", "steps[1]"):
        assert word in mermaid


def test_command_prints_and_exits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["inspect", str(INSIDE), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 1
    assert main(["inspect", str(INSIDE)]) == 0
    assert "parse" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "nothing")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: no such file")
    assert "help:" in err
    assert main(["inspect"]) == 2
    assert main(["inspect", str(INSIDE), "--graph", "png"]) == 2
    assert main(["inspect", str(INSIDE), "--asm", "pars"]) == 2
    assert "did you mean `parse`?" in capsys.readouterr().err
    assert main(["inspect", "--graph", str(INSIDE)]) == 0
    assert capsys.readouterr().out.startswith("digraph")
    assert main(["inspect", "--asm", str(INSIDE)]) == 0
    assert "nobody_knows (no_such_section)" in capsys.readouterr().out


def test_the_json_of_an_empty_call_is_still_a_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["inspect", str(tmp_path), "--format", "json"]) == 2
    assert json.loads(capsys.readouterr().out) == {"version": 1, "objects": []}


def test_file_names_that_are_no_utf8(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.o")
    (tmp_path / name).write_bytes(INSIDE.read_bytes())
    done = run_cli("inspect", name, "--format", "json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["objects"][0]["path"] == "caf\ufffd.o"
    assert run_cli("inspect", name).code == 0


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_objects_are_refused_or_shown(data: st.DataObject) -> None:
    """Whatever the bytes: a document, or an `InputError`; never another exception."""
    content = bytearray(INSIDE.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    try:
        obj = read_bytes(bytes(content))
    except InputError:
        return
    document = object_document(obj)
    inspect_text.render({"version": 1, "objects": [document]})
    inspect_graph.render([obj], "dot")
    for program in obj.programs:
        if program.link_error is None:
            inspect_asm.render(program, inlined=True)
            assert program.instructions * 8 == len(program.insns())


MAPS_ONLY = """
struct { int (*type)[2]; int (*max_entries)[1]; unsigned *key; unsigned *value; } only
__attribute__((section(".maps"), used));
"""


def _compile(clang: Clang, folder: Path, text: str, *flags: str) -> Path:
    source = folder / "made.c"
    source.write_text(text)
    made = folder / "made.o"
    command = [str(clang.path), "--target=bpf", "-O2", *flags, "-c", str(source), "-o", str(made)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


@pytest.mark.toolchain
def test_an_object_without_programs_is_shown_and_named(tmp_path: Path, clang: Clang) -> None:
    made = _compile(clang, tmp_path, MAPS_ONLY, "-g")
    report = inspect(made)
    (error,) = report.errors
    assert "holds no eBPF program" in error.message
    assert report.exit_code == 2
    assert report.to_json()["objects"][0]["maps"][0]["name"] == "only"  # type: ignore[index]


@pytest.mark.toolchain
def test_an_object_without_btf(tmp_path: Path, clang: Clang) -> None:
    made = _compile(
        clang,
        tmp_path,
        'static int count; __attribute__((section("socket"), used)) int pass(void *skb) { return ++count; }',
    )
    report = inspect(made)
    assert report.errors == ()
    (obj,) = report.to_json()["objects"]  # type: ignore[misc]
    assert obj["btf"] is False
    assert obj["license"] is None
    (program,) = obj["programs"]
    assert (program["name"], program["type"]) == ("pass", "socket_filter")
    assert program["maps"] == [".bss"]
    assert program["earliest_kernel"]["version"] == "5.2"


INLINED = """
static inline __attribute__((always_inline)) int inner(int value) { volatile int copy = value; return copy + 1; }
static inline __attribute__((always_inline)) int outer(int value) { return inner(value) * 3; }
__attribute__((section("socket"), used)) int entry(int *skb) { return outer(*skb); }
"""


@pytest.mark.toolchain
def test_the_chain_of_inlined_functions(tmp_path: Path, clang: Clang) -> None:
    program = bpfsmith.read(_compile(clang, tmp_path, INLINED, "-g")).programs[0]
    chains = [[frame[0] for frame in program.inline_frames(slot)] for slot in range(program.instructions)]
    assert ["inner", "outer", "entry"] in chains
    frames = program.inline_frames(chains.index(["inner", "outer", "entry"]))
    assert [line for _, _, line, _ in frames] == [2, 3, 4]
    assert all(path.endswith("made.c") for _, path, _, _ in frames)
    assert ";   in inner (" in inspect_asm.render(program, inlined=True)
    bare = bpfsmith.read(_compile(clang, tmp_path, INLINED)).programs[0]
    assert bare.inline_frames(0) == []

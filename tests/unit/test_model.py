"""The model and `read`: what a committed object shows, frozen and lazy views, and a stub that tells the truth."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

import bpfsmith
from bpfsmith import _native
from bpfsmith.model.errors import InputError
from bpfsmith.model.object import Object
from bpfsmith.model.program import is_panic
from bpfsmith.read import find_objects, is_object, read_bytes, read_kernel, read_many

FIXTURES = Path(__file__).parents[1] / "fixtures"
INSIDE = FIXTURES / "inside.bpf.o"
INSIDE_BE = FIXTURES / "inside-be.bpf.o"


@pytest.fixture(scope="module")
def inside() -> Object:
    return bpfsmith.read(INSIDE)


def test_object_says_what_the_file_holds(inside: Object) -> None:
    assert inside.path == str(INSIDE)
    assert (inside.endianness, inside.license, inside.gpl_compatible) == ("little", "Dual MIT/GPL", True)
    assert inside.has_btf
    assert inside.has_btf_ext
    assert inside.has_dwarf
    # libbpf's order: by section in the file, by offset in the section
    assert [one.name for one in inside.programs] == [
        "filter",
        "parse",
        "computed",
        "connect",
        "switched",
        "nobody_knows",
    ]
    assert {one.name for one in inside.maps} == {
        *("counts", "blocked", "steps", "unused", ".rodata", ".data", ".bss", ".kconfig")
    }
    assert [(one.name, one.section, one.type, one.offset, one.size) for one in inside.globals] == [
        ("limit", ".rodata", "const volatile u32", 0, 4),
        ("name", ".data", "char[16]", 0, 16),
        ("seen", ".bss", "u64", 0, 8),
    ]
    assert {(one.name, one.kind, one.weak) for one in inside.externs} == {
        ("bpf_kfunc_of_ours", "kfunc", True),
        ("CONFIG_HZ", "kconfig", False),
    }


def test_section_names_become_types(inside: Object) -> None:
    found = {one.name: (one.type, one.attach_type, one.attach_to, one.autoload) for one in inside.programs}
    assert found == {
        "filter": ("xdp", "xdp", None, True),
        "parse": ("xdp", "xdp", None, True),
        "computed": ("sched_cls", None, None, False),
        "connect": ("kprobe", None, "tcp_v4_connect", True),
        "switched": ("tracing", "trace_raw_tp", "sched_switch", True),
        "nobody_knows": (None, None, None, True),
    }
    assert {one.section for one in inside.programs if not one.autoload} == {"tc"}


def test_maps_carry_every_attribute(inside: Object) -> None:
    blocked = inside.map("blocked")
    assert blocked is not None
    assert (blocked.type, blocked.type_name, blocked.key_size, blocked.value_size) == (1, "hash", 8, 8)
    assert (blocked.max_entries, blocked.flags, blocked.pinning, blocked.origin) == (1024, 1, "by_name", "btf")
    steps = inside.map("steps")
    assert steps is not None
    assert steps.values == [(1, "filter")]
    data = inside.map(".data")
    assert data is not None
    assert (data.data or b"")[:7] == b"inside\0"
    assert inside.map("no such map") is None


def test_programs_say_what_they_use(inside: Object) -> None:
    parse = inside.program("parse")
    assert parse is not None
    assert parse.helpers == ["bpf_map_lookup_elem", "bpf_tail_call", "bpf_xdp_load_bytes"]
    assert parse.subprograms == ["clamp"]
    assert {one.name for one in parse.maps} == {"steps", "counts", ".rodata"}
    assert parse.owner is inside
    switched = inside.program("switched")
    assert switched is not None
    assert switched.kfuncs == ["bpf_kfunc_of_ours"]
    assert switched.core_relocations == 3
    assert inside.program("no such program") is None


def test_calls_name_helpers_subprograms_and_callbacks(inside: Object) -> None:
    named = {(program.name, kind, name) for program in inside.programs for _, kind, _, name in program.calls()}
    assert ("parse", "helper", "bpf_tail_call") in named
    assert ("parse", "subprog", "clamp") in named
    assert ("connect", "callback", "each") in named
    assert ("switched", "kfunc", "bpf_kfunc_of_ours") in named


def test_tail_calls_with_constant_and_computed_index(inside: Object) -> None:
    assert sorted(inside.tail_calls, key=str) == [("computed", "steps", None), ("parse", "steps", 1)]


def test_stack_of_the_deepest_chain(inside: Object) -> None:
    parse = inside.program("parse")
    assert parse is not None
    own = {name: size for name, _, _, size in parse.functions()}
    assert own["clamp"] == 32
    assert parse.stack == own["parse"] + 32
    rounded, unrounded, names = parse.stack_chains()[0]
    assert (unrounded, names) == (parse.stack, ["parse", "clamp"])
    assert rounded % 32 == 0
    assert rounded >= unrounded


def test_source_lines_and_instructions(inside: Object) -> None:
    parse = inside.program("parse")
    assert parse is not None
    lines = [parse.source_line(slot) for slot, *_ in parse.lines()]
    assert all(line is not None and line.path.endswith("inside.bpf.c") for line in lines)
    call = next(slot for slot, kind, _, name in parse.calls() if name == "bpf_tail_call")
    place = parse.source_line(call)
    assert place is not None
    assert "bpf_tail_call(context, &steps, 1);" in (place.text or "")
    assert parse.line_text(call) == place.text
    instructions = list(parse.instruction_view())
    assert sum(2 if one.wide else 1 for one in instructions) == parse.instructions == len(parse.insns()) // 8
    assert instructions[-1].code == 0x95


def test_big_endian_twin_is_the_same_program() -> None:
    little, big = read_many([INSIDE, INSIDE_BE])
    assert isinstance(little, Object)
    assert isinstance(big, Object)
    assert big.endianness == "big"
    for one, other in zip(little.programs, big.programs, strict=True):
        assert (one.name, one.instructions, one.helpers, one.calls()) == (
            *(other.name, other.instructions, other.helpers, other.calls()),
        )
        ours = [(i.code, i.dst, i.src, i.off) for i in one.instruction_view()]
        assert ours == [(i.code, i.dst, i.src, i.off) for i in other.instruction_view()]


def test_fingerprint_hashes_the_normalised_slots(inside: Object) -> None:
    for program in inside.programs:
        slots = program.native.normalised()
        assert program.fingerprint() == hashlib.sha256(slots).hexdigest()
        assert len(slots) == 8 * program.instructions


def test_views_are_frozen(inside: Object) -> None:
    for view in (inside, inside.programs[0], inside.maps[0], inside.globals[0], inside.externs[0]):
        with pytest.raises(AttributeError):
            view.name = "other"  # type: ignore[union-attr, misc]
        assert not hasattr(view, "__dict__")
    assert inside.programs is inside.programs


def test_reading_twice_gives_the_same(inside: Object) -> None:
    again = read_bytes(INSIDE.read_bytes())
    assert [one.fingerprint() for one in again.programs] == [one.fingerprint() for one in inside.programs]


def test_many_files_in_order_with_what_is_wrong(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("hello\n")
    first, second, third = read_many([INSIDE, text, INSIDE_BE], threads=3, analyse=True)
    assert isinstance(first, Object)
    assert isinstance(second, InputError)
    assert isinstance(third, Object)
    assert read_many([]) == []


def test_objects_are_found_by_content(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "program").write_bytes(INSIDE.read_bytes())
    (tmp_path / "deep" / "again-longer-name").hardlink_to(tmp_path / "deep" / "program")
    (tmp_path / "fake.o").write_bytes(b"\x7fELF")
    (tmp_path / "text.o").write_text("no object")
    assert find_objects(tmp_path) == [str(tmp_path / "deep" / "program")]
    assert is_object(tmp_path / "deep" / "program")
    assert not is_object(tmp_path / "fake.o")
    assert not is_object(tmp_path / "nothing")


def _x86_64_elf() -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + (1).to_bytes(2, "little") + (62).to_bytes(2, "little") + bytes(44)


@pytest.mark.parametrize(
    ("name", "content", "said", "hinted"),
    [
        ("empty.o", b"", "is empty", "build it again"),
        ("text.txt", b"hello\n", "is not an ELF file", "clang --target=bpf"),
        ("prog.c", b"int x;\n", "is a C source file", "compile it first"),
        ("main.rs", b"fn main() {}\n", "is a Rust source file", "bpfsmith check DIR"),
        ("kernel.rs", b"#![no_std]\n", "is a Rust source file", "bpfsmith check DIR"),
        ("build.sh", b"#!/bin/sh\n", "is a script", "clang --target=bpf"),
        ("lib.a", b"!<arch>\n" + bytes(60), "is an archive", "ar x"),
        ("prog.bc", b"BC\xc0\xde" + bytes(60), "is LLVM bitcode", "bpf-linker"),
        ("types.btf", b"\x9f\xeb\x01\x00" + bytes(60), "is raw BTF", "--btf"),
        ("prog.o.gz", b"\x1f\x8b\x08\x00" + bytes(60), "is gzip-compressed", "gunzip"),
        ("host.o", _x86_64_elf(), "ELF file for x86-64 (machine 62), not for BPF", "clang --target=bpf"),
        ("cut.o", INSIDE.read_bytes()[:18], "cut short inside the ELF header", "whole file"),
        ("half.o", INSIDE.read_bytes()[:3000], "cannot read", "build it again"),
    ],
)
def test_bad_input_says_what_where_and_next_step(
    tmp_path: Path, name: str, content: bytes, said: str, hinted: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        bpfsmith.read(path)
    error = caught.value
    assert said in error.message
    assert str(path) in error.message
    assert error.where == str(path)
    assert hinted in error.hint
    assert error.exit_code == 2


def test_btf_of_a_future_kind_asks_for_a_newer_bpfsmith() -> None:
    content = bytearray(INSIDE.read_bytes())
    header = content.index(b"\x9f\xeb\x01\x00\x18\0\0\0")
    content[header + 24 + 7] = 25  # the kind of the first type
    with pytest.raises(InputError, match="kind 25, which is not known") as caught:
        read_bytes(bytes(content), "future.o")
    assert "newer bpfsmith" in caught.value.hint


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file") as caught:
        bpfsmith.read(FIXTURES / "insid.bpf.o")
    assert "did you mean" in caught.value.hint
    with pytest.raises(InputError, match="is a folder"):
        bpfsmith.read(tmp_path)
    with pytest.raises(InputError, match="no regular file"):
        bpfsmith.read("/dev/null")


def test_kernel_from_an_object_with_btf_and_bad_ones(tmp_path: Path) -> None:
    kernel = read_kernel(INSIDE)
    assert kernel.name == str(INSIDE)
    assert kernel.targets == [kernel.btf]
    with pytest.raises(InputError, match="no such file"):
        read_kernel(tmp_path / "nothing")
    with pytest.raises(InputError, match="is a folder"):
        read_kernel(tmp_path)
    text = tmp_path / "text"
    text.write_text("hello")
    with pytest.raises(InputError, match="cannot read kernel types"):
        read_kernel(text)


def test_relocation_against_its_own_types_resolves_all(inside: Object) -> None:
    kernel = read_kernel(INSIDE)
    switched = inside.program("switched")
    assert switched is not None
    rows = switched.core(kernel)
    assert len(rows) == 3
    assert all(row["resolved"] for row in rows)
    assert len(switched.insns(kernel)) == len(switched.insns())
    # Types alone hold no kernel function.
    assert [one.name for one in inside.missing_externs(kernel)] in ([], ["bpf_kfunc_of_ours"])


def test_panic_symbols_of_both_manglings() -> None:
    assert is_panic("_ZN4core9panicking9panic_fmt17h0123456789abcdefE")
    assert is_panic("_RNvNtCs1234_4core9panicking9panic_fmt")
    assert is_panic("rust_begin_unwind")
    assert not is_panic("xdp_count")


def test_import_is_light() -> None:
    """`import bpfsmith` and reading one object import no heavy module."""
    code = (
        "import sys, bpfsmith; bpfsmith.read(sys.argv[1]).programs[0].helpers; "
        "print(*sorted({'dataclasses', 'argparse', 'json', 'inspect', 'difflib', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(INSIDE)], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(run.stdout.split()) <= {"json"}  # the facts' tables


def _stub() -> ast.Module:
    return ast.parse((Path(bpfsmith.__file__).parent / "_native.pyi").read_text())


def test_every_name_of_the_stub_is_in_the_module_and_the_reverse() -> None:
    public = {name for name in dir(_native) if not name.startswith("_")}
    told: set[str] = set()
    for node in _stub().body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            told.add(node.name)
    assert told == public


@pytest.mark.parametrize("cls", ["Btf", "Object", "Program", "Map", "Global", "Extern"])
def test_every_member_of_the_stub_is_in_its_class_and_the_reverse(cls: str) -> None:
    node = next(one for one in _stub().body if isinstance(one, ast.ClassDef) and one.name == cls)
    told: set[str] = set()
    for one in node.body:
        if isinstance(one, ast.FunctionDef):
            told.add(one.name)
        elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            told.add(one.target.id)
    there = {name for name in vars(getattr(_native, cls)) if not name.startswith("_")}
    assert {name for name in told if not name.startswith("_")} == there

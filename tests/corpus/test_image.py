"""What the kernel is handed equals what libbpf 1.7 hands it: the object's BTF, and the records of functions and lines.

The reference is libbpf itself against a stand-in kernel (`libbpf_ref/`), one with all of BTF and some that lack parts.
"""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from libbpf_ref import CannotBuild, RefObject, build, read

from bpfsmith import KernelError, _native

if TYPE_CHECKING:
    from conftest import Corpus

pytestmark = pytest.mark.corpus

SERIES = "6.12"
ENOSPC = 28
# What the stand-in's BTF lacks, in its words and in ours.
OLDER = {
    "19": ("enum64",),
    "18,19": ("type_tag", "enum64"),
    "17,18,19": ("decl_tag", "type_tag", "enum64"),
    "16": ("float",),
    "global": ("func_global",),
    "?": ("qmark_datasec",),
    "14,15,16,17,18,19,global": ("datasec", "float", "decl_tag", "type_tag", "enum64", "func_global"),
    "12,13,14,15,16,17,18,19": ("func", "func_global", "datasec", "float", "decl_tag", "type_tag", "enum64"),
}
# Kernels refuse what libbpf gives them for these (an enum of size 0, functions whose parameters have no name): it then
# goes on without BTF. Ours is mended and accepted.
REFUSED = {"btf_dump_test_case_namespacing", "uninit_stack", "verifier_bounds", "verifier_lsm"}
# libbpf clones functions for kernels below 6.8, which know no `arg:ctx` tags.
CLONED = {"test_global_func_ctx_args", "verifier_global_subprogs"}
LD_IMM64, PSEUDO_MAP, PSEUDO_MAP_VALUE = 0x18, 1, 2


@pytest.fixture(scope="module", autouse=True)
def _reference() -> None:
    try:
        build()
    except CannotBuild as error:
        pytest.skip(str(error))


def little(path: Path) -> _native.Object | None:
    obj = _native.Object.parse(path.read_bytes())
    return obj if obj.endianness == "little" else None


def stem(path: Path) -> str:
    return path.name.removesuffix(".bpf.o")


def text(data: bytes) -> str:
    """The types as text, for string tables that differ in order."""
    return _native.Btf.parse(data).dump_raw()


def map_places(slots: bytes) -> list[int]:
    """Where a descriptor of a map goes, found in a second hand."""
    found, at = [], 0
    while at < len(slots):
        wide = slots[at] == LD_IMM64
        if wide and slots[at + 1] >> 4 in (PSEUDO_MAP, PSEUDO_MAP_VALUE):
            found.append(at + 4)
        at += 16 if wide else 8
    return found


def compare(name: str, obj: _native.Object, ref: RefObject, kernel: _native.Btf, counts: Counter[str]) -> list[str]:
    wrong = []
    if ref.btf is not None and name not in REFUSED:
        counts["BTFs"] += 1
        mine = obj.kernel_btf()
        if mine != ref.btf:
            same = mine is not None and text(mine) == text(ref.btf)
            wrong.append("BTF differs in its strings" if same else "BTF differs")
    for mine_program, theirs in zip(obj.programs, ref.programs, strict=True):
        image = mine_program.image([kernel])
        counts["programs"] += 1
        if image.insns != mine_program.relocated([kernel]):
            wrong.append(f"{mine_program.name}: image and relocated slots differ")
        # Assembly may name descriptors by number: those no relocation stands at.
        named = {slot * 8 + 4 for slot, kind, _, _ in mine_program.refs() if kind != "jump_table"}
        if [at for at, _ in image.maps] != [at for at in map_places(image.insns) if at in named]:
            wrong.append(f"{mine_program.name}: places of maps differ")
        functions = b"".join(struct.pack("<II", *one) for one in theirs.functions)
        lines = b"".join(
            struct.pack("<IIII", slot, file, text, line << 10 | column)
            for slot, line, column, file, text in theirs.lines
        )
        counts["line records"] += len(theirs.lines)
        if image.func_info != functions:
            wrong.append(f"{mine_program.name}: func_info differs")
        if image.line_info != lines:
            wrong.append(f"{mine_program.name}: line_info differs")
    return wrong


def test_as_libbpf(corpus: Corpus) -> None:
    kernel = _native.Btf.open(str(corpus.btf(SERIES)))
    paths = list(corpus)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for path, ref in read(paths, corpus.btf(SERIES)).items():
        obj = little(path)
        if obj is None or ref.stage != "ok":
            continue
        counts["objects"] += 1
        wrong += [f"{path.relative_to(corpus.path)}: {one}" for one in compare(stem(path), obj, ref, kernel, counts)]
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:20])
    assert counts["programs"] >= len(paths) * 2, counts


@pytest.mark.parametrize("lacks", OLDER)
def test_as_libbpf_for_older_kernels(corpus: Corpus, lacks: str) -> None:
    paths = list(corpus)
    compared = 0
    wrong: list[str] = []
    for path, ref in read(paths, corpus.btf(SERIES), lacks).items():
        obj = little(path)
        if obj is None or ref.stage != "ok" or ref.btf is None or stem(path) in REFUSED | CLONED:
            continue
        compared += 1
        mine = obj.kernel_btf(OLDER[lacks])
        assert mine is not None
        if text(mine) != text(ref.btf):
            wrong.append(str(path.relative_to(corpus.path)))
    assert not wrong, f"{len(wrong)} of {compared}:\n" + "\n".join(wrong[:20])
    assert compared > len(paths) / 2


# What no loader can mend: nested deeper than kernels look, or with pointers to types of modules that are not loaded.
NOT_FOR_KERNELS = ("core_reloc_nesting___err_too_deep", "map_kptr", "map_kptr_fail")


@pytest.mark.root
def test_the_running_kernel_takes_every_btf(corpus: Corpus) -> None:
    """libbpf goes on without BTF when the kernel refuses it; ours is to be taken, whatever compiler it came from."""
    from bpfsmith import kernel

    taken = 0
    wrong = []
    for path in [*corpus, *Path(__file__).resolve().parents[2].glob("examples/**/prebuilt/*.o")]:
        obj = little(path)
        data = None if obj is None else obj.kernel_btf()
        if data is None or stem(path).endswith(NOT_FOR_KERNELS):
            continue
        log = bytearray(1 << 20)
        fields = {"btf": data, "btf_size": len(data), "btf_log_buf": log, "btf_log_size": len(log), "btf_log_level": 1}
        try:
            kernel.call_fd("BPF_BTF_LOAD", str(path), **fields).close()
            taken += 1
        except KernelError as error:
            if error.errno == ENOSPC:  # only the log has no room
                taken += 1
                continue
            wrong.append(f"{path}: {log.partition(bytes(1))[0].decode()[-200:]}")
    print(f"{taken} BTFs taken")
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:10])
    assert taken > 100

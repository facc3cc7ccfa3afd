"""Linked and relocated instructions, fingerprints and maps equal libbpf's, for every program libbpf accepts.

The reference is libbpf 1.7 itself (`libbpf_ref/`), fed with the corpus against the BTF of two kernels.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from libbpf_ref import CannotBuild, RefMap, RefObject, build, read

from bpfsmith import _native

if TYPE_CHECKING:
    from conftest import Corpus

pytestmark = pytest.mark.corpus

KERNELS = ("6.12", "6.1")
# Fewer comparisons mean that the corpus or the reference is broken, not that all is well: on average 2.8 to 3.1 are
# possible (776 programs of 262 objects in the sample, 8794 of 2842 in the whole).
PROGRAMS_PER_OBJECT = 2.5

LD_IMM64, CALL, SHIFT_LEFT = 0x18, 0x85, 0x67
RINGBUF, USER_RINGBUF, PAGE = 27, 31, 4096


def normalised(slots: bytes) -> bytes:
    """The fingerprint's rule in a second hand: no file descriptors, no BTF ids. Little-endian slots."""
    out = bytearray(slots)
    at = 0
    while at < len(out):
        code, source = out[at], out[at + 1] >> 4
        if code == LD_IMM64:
            if source:
                out[at + 4 : at + 8] = bytes(4)
                out[at + 12 : at + 16] = bytes(4)
            at += 16
            continue
        if code == CALL and source == 2:
            out[at + 2 : at + 8] = bytes(6)
        at += 8
    return bytes(out)


def swapped(slots: bytes) -> bytes:
    """Slots in the other byte order: registers trade places, `off` and `imm` turn around."""
    out = bytearray()
    for at in range(0, len(slots), 8):
        code, regs, o0, o1, i0, i1, i2, i3 = slots[at : at + 8]
        out += bytes((code, regs >> 4 | (regs & 15) << 4, o1, o0, i3, i2, i1, i0))
    return bytes(out)


def ringbuf_size(entries: int) -> int:
    """libbpf rounds ring buffers up to a power of two of pages; we keep what the object says."""
    if entries == 0 or (entries % PAGE == 0 and (entries // PAGE).bit_count() == 1):
        return entries
    size = PAGE
    while size <= entries:
        size *= 2
    return size


def ours(one: _native.Map) -> RefMap:
    entries = ringbuf_size(one.max_entries) if one.type in (RINGBUF, USER_RINGBUF) else one.max_entries
    return RefMap(one.name, one.type, one.key_size, one.value_size, entries, one.flags, one.map_extra, one.pinning == 1)


def map_differences(obj: _native.Object, ref: RefObject) -> list[str]:
    found = [ours(one) for one in obj.maps]
    wanted = list(ref.maps)
    if len(found) == len(wanted):
        # libbpf cuts the names of `.bss.*` maps to what the kernel keeps.
        wanted = [
            w._replace(name=f.name) if f.name.startswith(w.name) else w for f, w in zip(found, wanted, strict=True)
        ]
    return [] if found == wanted else [f"maps: libbpf {wanted}, here {found}"]


def big_endian_shift(mine: bytes, theirs: bytes) -> bool:
    """libbpf computes bit field shifts for the host's byte order, we for the object's: allowed for big endian."""
    pairs = [(mine[at : at + 8], theirs[at : at + 8]) for at in range(0, len(mine), 8)]
    return all(a == b or (a[0] == b[0] == SHIFT_LEFT and a[:4] == b[:4]) for a, b in pairs)


def compare(path: Path, ref: RefObject, kernel: _native.Btf, counts: Counter[str]) -> list[str]:
    """What differs; counts what was compared."""
    obj = _native.Object.parse(path.read_bytes())
    if ref.stage == "open":
        counts["objects libbpf does not open"] += 1
        return []
    wrong = map_differences(obj, ref)
    counts["maps"] += len(ref.maps)
    if ref.stage != "ok":
        counts["objects this kernel cannot satisfy"] += 1
        return wrong
    programs = [(one.name, one.section) for one in obj.programs]
    if programs != [(one.name, one.section) for one in ref.programs]:
        return [*wrong, f"programs: libbpf {ref.programs}, here {programs}"]
    for mine, theirs in zip(obj.programs, ref.programs, strict=True):
        slots = mine.normalised([kernel])
        wanted = normalised(theirs.insns)
        counts["programs"] += 1
        counts["slots"] += len(slots) // 8
        if mine.fingerprint([kernel]) != hashlib.sha256(slots).hexdigest():
            wrong.append(f"{mine.name}: the fingerprint is not the hash of the normalised slots")
        if theirs.lines:
            counts["line records"] += len(theirs.lines)
            if [(slot, line, column) for slot, _file, line, column in mine.lines()] != [
                one[:3] for one in theirs.lines
            ]:
                wrong.append(f"{mine.name}: line records differ")
        if theirs.functions and [one[1] for one in mine.functions()] != [one[0] for one in theirs.functions]:
            wrong.append(f"{mine.name}: functions start at {mine.functions()}, for libbpf at {theirs.functions}")
        if obj.endianness == "big":
            wanted = swapped(wanted)
            if slots != wanted and len(slots) == len(wanted) and big_endian_shift(slots, wanted):
                counts["big-endian shifts"] += 1
                continue
        if slots != wanted:
            at = next((i for i in range(0, len(wanted), 8) if wanted[i : i + 8] != slots[i : i + 8]), len(wanted))
            wrong.append(
                f"{mine.name}: {len(wanted) // 8} and {len(slots) // 8} slots, slot {at // 8}: "
                f"libbpf {wanted[at : at + 16].hex()}, here {slots[at : at + 16].hex()}"
            )
    return wrong


@pytest.mark.parametrize("series", KERNELS)
def test_links_as_libbpf(corpus: Corpus, series: str) -> None:
    try:
        build()
    except CannotBuild as error:
        pytest.skip(str(error))
    kernel = _native.Btf.open(str(corpus.btf(series)))
    paths = list(corpus)
    counts: Counter[str] = Counter(objects=len(paths))
    wrong: list[str] = []
    for path, ref in read(paths, corpus.btf(series)).items():
        wrong += [f"{path.relative_to(corpus.path)}: {text}" for text in compare(path, ref, kernel, counts)]
    print(f"against {series}:", ", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert not wrong, "\n".join(wrong[:20])
    assert counts["programs"] >= len(paths) * PROGRAMS_PER_OBJECT, counts

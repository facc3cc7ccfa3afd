"""Stack depths equal the running kernel's verifier, and calls go where the object's relocations say."""

from __future__ import annotations

import os
import struct
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from libbpf_ref import CannotBuild
from verifier_ref import build, verdicts

from bpfsmith import _native

if TYPE_CHECKING:
    from conftest import Corpus

BPF_LOOP = 181
R_BPF_64_32, SHT_REL, STT_FUNC, STT_SECTION = 10, 9, 2, 3
CALL = 0x85


@pytest.mark.root
@pytest.mark.corpus
def test_depths_as_the_verifier(corpus: Corpus) -> None:
    """The kernel counts after its own rewriting; what that adds or takes is told apart by cause:

    * an inlined `bpf_loop` spills three registers (24 bytes) in the calling function, `may_goto` takes 8 or 16;
    * functions and branches that constants rule out are gone (CO-RE guards, `.rodata` flags), as are spills around
      calls of `bpf_fastcall` helpers, and an address that a helper does not use is not counted: ours is deeper there;
    * a hidden function stands last where there are exceptions.
    """
    release = os.uname().release.split(".")
    if (int(release[0]), int(release[1])) < (6, 8):
        pytest.skip("kernel: before 6.8 depths were not rounded up to 8")
    try:
        build()
    except CannotBuild as error:
        pytest.skip(str(error))
    paths = corpus.objects("selftests-6.12", target="bpfel", cpu="v3")
    counts: Counter[str] = Counter(objects=len(paths))
    parsed: dict[Path, _native.Object] = {}
    wrong: list[str] = []
    for verdict in verdicts(paths):
        path, name, found = verdict.path, verdict.program, verdict.stack
        if verdict.what != "accepted" or found is None:
            continue
        if path not in parsed:
            parsed[path] = _native.Object.parse(path.read_bytes())
        program = next(one for one in parsed[path].programs if one.name == name)
        mine = [(stack + 7) // 8 * 8 for _, _, _, stack in program.functions()]
        calls = program.calls()
        counts["programs"] += 1
        throws = any(kind == "kfunc" and callee == "bpf_throw" for _, kind, _, callee in calls)
        theirs = found[: len(mine)] if throws else found
        features = {feature for feature, _ in program.features()}
        grows = any(kind == "helper" and number == BPF_LOOP for _, kind, number, _ in calls) or "may_goto" in features
        if theirs == mine:
            counts["equal"] += 1
        elif len(theirs) > len(mine):
            wrong.append(f"{path.name}: {name}: more functions in the kernel: {theirs}, here {mine}")
        elif len(theirs) < len(mine):
            counts["functions ruled out by constants"] += 1
        elif grows:
            added = {t - m for t, m in zip(theirs, mine, strict=True)}
            counts["loops rewritten"] += 1
            if not added <= {0, 8, 16, 24, 32, 40}:
                wrong.append(f"{path.name}: {name}: the kernel adds {added}: {theirs}, here {mine}")
        elif all(t <= m for t, m in zip(theirs, mine, strict=True)):
            counts["deeper here"] += 1
        else:
            wrong.append(f"{path.name}: {name}: the kernel says {theirs}, here {mine}")
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert not wrong, "\n".join(wrong[:20])
    assert counts["programs"] >= len(paths), counts
    assert counts["equal"] >= 0.93 * counts["programs"], counts
    assert counts["deeper here"] <= 0.03 * counts["programs"], counts


def called(data: bytes) -> dict[tuple[str, int], str]:
    """(section, byte offset) of every call relocation -> name of the function, read by hand from the ELF file."""
    order = ">" if data[5] == 2 else "<"
    shoff, shentsize, shnum, shstrndx = struct.unpack_from(f"{order}40xQ10xHHH", data)
    headers = [struct.unpack_from(f"{order}IIQQQQIIQQ", data, shoff + n * shentsize) for n in range(shnum)]

    def text(table: int, at: int) -> str:
        start = headers[table][4] + at
        return data[start : data.index(0, start)].decode("utf-8", "replace")

    found = dict[tuple[str, int], str]()
    for header in headers:
        if header[1] != SHT_REL:
            continue
        symtab, section = header[6], header[7]
        name = text(shstrndx, headers[section][0])
        symbols = [
            struct.unpack_from(f"{order}IBBHQ", data, at)
            for at in range(headers[symtab][4], headers[symtab][4] + headers[symtab][5], 24)
        ]
        strings = headers[symtab][6]
        functions = {(s[3], s[4]): text(strings, s[0]) for s in symbols if s[1] & 15 == STT_FUNC}
        for at in range(header[4], header[4] + header[5], 16):
            offset, info = struct.unpack_from(f"{order}QQ", data, at)
            place = headers[section][4] + offset
            if info & 0xFFFFFFFF != R_BPF_64_32 or data[place] != CALL:
                continue
            symbol = symbols[info >> 32]
            if symbol[1] & 15 == STT_SECTION:
                (imm,) = struct.unpack_from(f"{order}i", data, place + 4)
                found[name, offset] = functions[symbol[3], (imm + 1) * 8]
            else:
                found[name, offset] = text(strings, symbol[0])
    return found


@pytest.mark.corpus
def test_calls_as_the_relocations(corpus: Corpus) -> None:
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for path in corpus:
        data = path.read_bytes()
        wanted = called(data)
        try:
            obj = _native.Object.parse(data)
        except _native.ReadError:
            continue
        for program in obj.programs:
            try:
                calls = program.calls()
            except _native.ReadError:
                continue
            for slot, kind, _, name in calls:
                if slot >= program.own_instructions or kind == "helper":
                    continue
                counts[kind] += 1
                # libbpf, and we, call a section `?tc` by its name without the mark.
                section = program.section if program.autoload else f"?{program.section}"
                expected = wanted.get((section, program.offset + slot * 8))
                counts["with a relocation"] += expected is not None
                if kind != "callback" and expected is not None and expected != name:
                    wrong.append(f"{path}: {program.name}+{slot}: calls {expected}, here {name}")
                elif kind == "subprog" and expected is None and not name:
                    wrong.append(f"{path}: {program.name}+{slot}: a call to nowhere")
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert not wrong, "\n".join(wrong[:20])
    assert counts["subprog"] >= 20, counts
    assert counts["kfunc"] >= 20, counts
    assert counts["with a relocation"] >= 100, counts

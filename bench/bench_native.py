"""Why each native module is native: its work beside the same work, or less, in plain Python."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence

import _objects
import _peers
from _measure import ROOT, CannotMeasure, Case, inside, main, note, side_by_side
from _plain import STRUCT, Btf, disassemble, flow, relocate, tokens

from bpfsmith import _native

OBJECTS = 100


def cases(n: int) -> Sequence[Case]:
    """One table per module."""
    n = max(3, n // 3)
    out = []
    for table in (_isa, _btf, _elf, _core, _source):
        try:
            out.append(table(n))
        except CannotMeasure as error:
            note(str(error))
    return out


def _objects_read() -> list[_native.Object]:
    read = _native.parse_many([str(path) for path in _objects.many(OBJECTS)[0]])
    return [one for one in read if isinstance(one, _native.Object) and one.endianness == "little"]


def _isa(n: int) -> Case:
    programs = [program for obj in _objects_read() for program in obj.programs if program.link_error is None]
    codes = [program.insns() for program in programs]
    functions = [
        code[8 * first : 8 * (first + slots)]
        for program, code in zip(programs, codes, strict=True)
        for _, first, slots, _ in program.functions()
    ]
    flows = [flow(code) for code in functions]
    alike = sum(ours["idom"] == mine for ours, mine in zip(map(_native.cfg, functions), flows, strict=True))
    count = same = 0
    for code in codes:
        theirs = dict(disassemble(code))
        for slot, text in _native.disassemble(code):
            count += 1
            same += theirs.get(slot) == text
    rows = side_by_side(
        {
            "bpfsmith: text": inside(lambda: [_native.disassemble(code) for code in codes], "text"),
            "Python: text": inside(lambda: [disassemble(code) for code in codes], "text"),
            "bpfsmith: blocks, dominators, loops": inside(lambda: [_native.cfg(code) for code in functions], "flow"),
            "Python: blocks, dominators": inside(lambda: [flow(code) for code in functions], "flow"),
        },
        n,
    )
    remarks = (
        f"The Python twins know the common instructions only: {100 * same / count:.1f} % of the texts and "
        f"{100 * alike / len(functions):.1f} % of the dominator trees are the same."
    )
    return Case(f"`isa`: {count:,} instructions of {len(functions):,} functions", rows, remarks=remarks)


def _btf(n: int) -> Case:
    if not _objects.KERNEL.exists():
        raise CannotMeasure("this kernel shows no BTF")
    data = _objects.KERNEL.read_bytes()
    native = _native.Btf.parse(data)
    task = native.find("task_struct", "STRUCT")
    plain = Btf(data)
    assert len(native) == len(plain.offsets)
    assert task == plain.find(b"task_struct", STRUCT)

    def ours() -> object:
        btf = _native.Btf.parse(data)
        return btf.offset_of(btf.find("task_struct", "STRUCT") or 0, "pid")

    def many() -> object:
        btf = _native.Btf.parse(data)
        return [btf.find(name, "STRUCT") for name in ("task_struct", "sk_buff", "file", "inode", "sock")]

    def theirs() -> object:
        btf = Btf(data)
        return {name: bits for name, _, bits in btf.members(btf.find(b"task_struct", STRUCT))}[b"pid"]

    rows = side_by_side(
        {
            "bpfsmith, parse and one lookup": inside(ours),
            "bpfsmith, parse and five lookups (indexes names)": inside(many),
            "Python, parse only": inside(lambda: Btf(data)),
            "Python, parse and one lookup (indexes names)": inside(theirs),
        },
        n,
    )
    return Case(f"`btf`: the running kernel's {len(native):,} types, in memory", rows)


def _elf(n: int) -> Case:
    sys.path.insert(0, str(_peers.pyelftools()))
    from elftools.elf.elffile import ELFFile
    from elftools.elf.relocation import RelocationSection
    from elftools.elf.sections import SymbolTableSection

    images = [path.read_bytes() for path in _objects.many(OBJECTS)[0]]

    def theirs() -> int:
        count = 0
        for image in images:
            for section in ELFFile(io.BytesIO(image)).iter_sections():
                if isinstance(section, SymbolTableSection):
                    count += sum(bool(symbol.name) for symbol in section.iter_symbols())
                elif isinstance(section, RelocationSection) and not section.name.startswith((".rel.debug", ".rel.BTF")):
                    count += sum(1 for _ in section.iter_relocations())
        return count

    def ours(ask: Callable[[_native.Object], object]) -> None:
        for image in images:
            ask(_native.Object.parse(image))

    def everything(obj: _native.Object) -> None:
        for program in obj.programs:
            if program.link_error is None:
                program.calls()

    rows = side_by_side(
        {
            "bpfsmith, `Object.parse`": inside(lambda: ours(lambda obj: obj)),
            "bpfsmith, the same, all programs linked and analysed": inside(lambda: ours(everything)),
            "Python with pyelftools: sections, symbols, relocations of code": inside(theirs),
        },
        n,
    )
    size = sum(map(len, images)) >> 20
    remarks = "pyelftools finds neither programs nor maps, checks nothing and links nothing."
    return Case(f"`object`: {len(images)} objects of {size} MiB in memory", rows, remarks=remarks)


def _core(n: int) -> Case:
    data = _objects.big().read_bytes()
    obj = _native.Object.parse(data)
    kernel = _objects.KERNEL.read_bytes()
    sections = _sections(data)
    records = sections[".BTF.ext"]

    def ours() -> None:
        fresh = _native.Object.parse(data)
        target = _native.Btf.parse(kernel)
        for program in fresh.programs:
            program.relocated([target])

    assert obj.btf is not None
    types = obj.btf.to_bytes()
    assert relocate(Btf(types), records, Btf(kernel)) == 4000
    rows = side_by_side(
        {
            "bpfsmith: parse both, link, match, patch": inside(ours),
            "Python: parse both types, find the members by name": inside(
                lambda: relocate(Btf(types), records, Btf(kernel))
            ),
        },
        n,
    )
    remarks = (
        "The Python twin follows one level of members by name; flavours, ambiguity, anonymous members, bit fields, "
        "the check that types fit and patching are left out."
    )
    return Case("`btf`: 4,000 CO-RE relocations against the running kernel", rows, remarks=remarks)


def _sections(image: bytes) -> dict[str, bytes]:
    """Name -> bytes of a little-endian ELF file."""
    word = int.from_bytes
    table, count, names = word(image[40:48], "little"), word(image[60:62], "little"), word(image[62:64], "little")
    headers = [image[table + 64 * one : table + 64 * one + 64] for one in range(count)]
    places = [(word(one[24:32], "little"), word(one[32:40], "little")) for one in headers]
    start = places[names][0]
    out = {}
    for header, (offset, size) in zip(headers, places, strict=True):
        at = start + word(header[:4], "little")
        out[image[at : image.index(0, at)].decode()] = image[offset : offset + size]
    return out


def _source(n: int) -> Case:
    texts = [path.read_bytes() for path in sorted(ROOT.glob("crates/*/src/**/*.rs"))]
    lines = sum(text.count(b"\n") for text in texts)
    rows = side_by_side(
        {
            "bpfsmith, `rust_parse`: tree and facts": inside(lambda: [_native.rust_parse(text) for text in texts]),
            "Python: tokens by one regular expression": inside(lambda: [tokens(text) for text in texts]),
        },
        n,
    )
    remarks = (
        "Tokens only. What makes this part native is not their cost but the grammar: rust-analyzer's parser, which "
        "survives code being typed, is a Rust library."
    )
    return Case(f"`source`: {lines:,} lines of Rust", rows, remarks=remarks)


if __name__ == "__main__":
    main("native", cases)

"""What llvm-objdump says about objects, and the code sections of an object: the second opinion of `test_disasm.py`."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

BATCH = 64
PROGBITS, SYMTAB, EXECINSTR = 1, 2, 4

_FILE = re.compile(r"(.*):\tfile format ")
_SECTION = re.compile(r"Disassembly of section (.*):")
_LINE = re.compile(r"\s*([0-9]+):\s(.*)")
# Only jumps and calls get a symbol behind their number; the symbol may hold anything.
_TARGET = re.compile(r"((?:if .* )?(?:goto|gotol|may_goto|call) [-+]?0x[0-9a-f]+) <(.*)>")
_OFFSET = re.compile(r"(.*)\+0x([0-9a-f]+)")


class Line(NamedTuple):
    """One instruction: its text without the symbol, and the symbol objdump put behind it."""

    text: str
    symbol: str


def listing(tool: Path, paths: Iterable[Path], *flags: str) -> Iterator[tuple[Path, dict[str, dict[int, Line]]]]:
    """Per object: section -> slot -> line. Sections of one name run into each other: no object in the tests has two."""
    for batch in batches(paths):
        command: list[str | Path] = [tool, "-d", "-z", "--no-show-raw-insn", *flags, *batch]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found: dict[str, dict[str, dict[int, Line]]] = {}
        sections: dict[str, dict[int, Line]] = {}
        lines: dict[int, Line] = {}
        for raw in said.splitlines():
            if match := _LINE.fullmatch(raw):
                text = match[2].strip()
                target = _TARGET.fullmatch(text)
                lines[int(match[1])] = Line(target[1], target[2]) if target else Line(text, "")
            elif match := _SECTION.fullmatch(raw):
                lines = sections.setdefault(match[1], {})
            elif match := _FILE.match(raw):
                sections = found.setdefault(match[1], {})
        for path in batch:
            yield path, found.get(str(path), {})


def batches(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """llvm-objdump reads all its files in the byte order of the first: each batch has one."""
    order: dict[bool, list[Path]] = {False: [], True: []}
    for path in paths:
        with path.open("rb") as file:
            order[file.read(6)[5:] == b"\2"].append(path)
    for alike in order.values():
        for start in range(0, len(alike), BATCH):
            yield alike[start : start + BATCH]


class Elf(NamedTuple):
    """Just enough of an ELF64 object."""

    big_endian: bool
    code: list[tuple[str, bytes]]
    symbols: dict[tuple[str, str], set[int]]

    def target(self, section: str, symbol: str) -> set[int]:
        """Slots that `name+0x18` can mean in a section."""
        if (section, symbol) in self.symbols:
            return {value // 8 for value in self.symbols[section, symbol]}
        match = _OFFSET.fullmatch(symbol)
        name, offset = (match[1], int(match[2], 16)) if match else (symbol, 0)
        # Without a symbol in front objdump counts from the section.
        starts = self.symbols.get((section, name), {0} if name == section else set())
        return {(start + offset) // 8 for start in starts}


def read_elf(path: Path) -> Elf:
    """Executable sections in file order, and symbols by (section, name)."""
    data = path.read_bytes()
    order = ">" if data[5] == 2 else "<"
    shoff, shentsize, shnum, shstrndx = struct.unpack_from(f"{order}40xQ10xHHH", data)
    headers = [struct.unpack_from(f"{order}IIQQQQII16x", data, shoff + n * shentsize) for n in range(shnum)]

    def text(table: int, at: int) -> str:
        start = headers[table][4] + at
        return data[start : data.index(0, start)].decode("utf-8", "replace")

    names = [text(shstrndx, header[0]) for header in headers]
    code, symbols = [], dict[tuple[str, str], set[int]]()
    for name, (_, kind, flags, _, offset, size, link, _) in zip(names, headers, strict=True):
        if kind == PROGBITS and flags & EXECINSTR and size:
            code.append((name, data[offset : offset + size]))
        if kind == SYMTAB:
            for at in range(offset, offset + size, 24):
                st_name, _, _, section, value = struct.unpack_from(f"{order}IBBHQ", data, at)
                if 0 < section < shnum:
                    symbols.setdefault((names[section], text(link, st_name)), set()).add(value)
    return Elf(order == ">", code, symbols)

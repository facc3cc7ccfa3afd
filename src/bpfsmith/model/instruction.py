"""Instructions and source lines: made only when somebody asks for one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Instruction:
    """One instruction of a linked program.

    `slot` is its 8-byte slot; `imm` of an `ld_imm64` (two slots, `wide`) is the whole 64-bit value, unsigned, else a
    signed 32-bit number.
    """

    __slots__ = ("code", "dst", "imm", "off", "slot", "src")

    code: int
    dst: int
    imm: int
    off: int
    slot: int
    src: int

    def __init__(self, slot: int, code: int, dst: int, src: int, off: int, imm: int) -> None:
        self.slot = slot
        self.code = code
        self.dst = dst
        self.src = src
        self.off = off
        self.imm = imm

    @property
    def wide(self) -> bool:
        return self.code == 0x18

    def __repr__(self) -> str:
        fields = f"code={self.code:#04x} dst={self.dst} src={self.src} off={self.off} imm={self.imm}"
        return f"<Instruction {self.slot}: {fields}>"


def decode(slots: bytes, *, big_endian: bool) -> Iterator[Instruction]:
    """Yields the instructions of `slots`; a last half `ld_imm64` keeps its low half."""
    from struct import Struct

    fields = Struct(">BBhi" if big_endian else "<BBhi").unpack_from
    count = len(slots) // 8
    slot = 0
    while slot < count:
        code, registers, off, imm = fields(slots, slot * 8)
        dst, src = (registers >> 4, registers & 15) if big_endian else (registers & 15, registers >> 4)
        if code == 0x18 and slot + 1 < count:
            high = fields(slots, slot * 8 + 8)[3]
            yield Instruction(slot, code, dst, src, off, (high & 0xFFFFFFFF) << 32 | imm & 0xFFFFFFFF)
            slot += 2
            continue
        yield Instruction(slot, code, dst, src, off, imm)
        slot += 1


class SourceLine:
    """A position in a source file and the text the object carries for it (`None` when it carries none).

    `line` and `column` start at 1; a column of 0 says the compiler recorded none.
    """

    __slots__ = ("column", "line", "path", "text")

    column: int
    line: int
    path: str
    text: str | None

    def __init__(self, path: str, line: int, column: int, text: str | None = None) -> None:
        self.path = path
        self.line = line
        self.column = column
        self.text = text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SourceLine):
            return NotImplemented
        return (self.path, self.line, self.column) == (other.path, other.line, other.column)

    def __hash__(self) -> int:
        return hash((self.path, self.line, self.column))

    def __repr__(self) -> str:
        return f"<SourceLine {self.path}:{self.line}:{self.column}>"

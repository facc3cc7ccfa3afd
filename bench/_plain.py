"""The work of native modules in plain Python, as well as it can be written there without being clever: each does less
than its native counterpart (it trusts its input, leaves rare cases out), never more. Only `bench_native.py` needs it.
"""

from __future__ import annotations

import re
from struct import Struct

# ------------------------------------------------------------ instructions

_SLOT = Struct("<BBhi")
_ALU = ("+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", None, "%=", "^=", "=", "s>>=")
_JUMP = (None, "==", ">", ">=", "&", "!=", "s>", "s>=", None, None, "<", "<=", "s<", "s<=")
_SIZE = ("u32", "u16", "u8", "u64")


def disassemble(code: bytes) -> list[tuple[int, str]]:
    """As `_native.disassemble`, in the verifier log's words, of little-endian code; `?` for what is rare."""
    out = []
    slots = list(_SLOT.iter_unpack(code))
    at = 0
    while at < len(slots):
        op, registers, offset, number = slots[at]
        dst, src = registers & 15, registers >> 4
        kind, step = op & 7, 1
        text = "?"
        if kind in {4, 7}:
            word = _ALU[op >> 4] if op >> 4 < len(_ALU) else None
            letter = "w" if kind == 4 else "r"
            if word is not None and not offset:
                text = f"{letter}{dst} {word} " + (f"{letter}{src}" if op & 8 else str(number))
        elif kind in {5, 6}:
            word = _JUMP[op >> 4] if op >> 4 < len(_JUMP) else None
            letter = "w" if kind == 6 else "r"
            if word is not None:
                other = f"{letter}{src}" if op & 8 else hex(number & 0xFFFFFFFF)
                text = f"if {letter}{dst} {word} {other} goto pc{offset:+}"
            elif op == 0x05:
                text = f"goto pc{offset:+}"
            elif op == 0x95:
                text = "exit"
            elif op == 0x85:
                text = (f"call unknown#{number}", f"call pc{number:+}", f"call kernel-function#{number}")[min(src, 2)]
        elif kind == 1 and op >> 5 == 3:
            text = f"r{dst} = *({_SIZE[op >> 3 & 3]} *)(r{src} {offset:+})"
        elif kind == 2 and op >> 5 == 3:
            text = f"*({_SIZE[op >> 3 & 3]} *)(r{dst} {offset:+}) = {number}"
        elif kind == 3 and op >> 5 == 3:
            text = f"*({_SIZE[op >> 3 & 3]} *)(r{dst} {offset:+}) = r{src}"
        elif op == 0x18:
            step = 2
            text = f"r{dst} = {hex(slots[at + 1][3] << 32 & 0xFFFFFFFF00000000 | number & 0xFFFFFFFF)}"
        out.append((at, f"({op:02x}) {text}"))
        at += step
    return out


def flow(code: bytes) -> list[int | None]:
    """The immediate dominator of each basic block of one function's little-endian code, as `_native.cfg` has them."""
    following = _following(list(_SLOT.iter_unpack(code)))
    order: list[int] = []  # blocks after all that follow them
    seen = {0}
    stack = [(0, iter(following[0]))]
    while stack:
        block, rest = stack[-1]
        step = next((one for one in rest if one not in seen), None)
        if step is None:
            order.append(block)
            stack.pop()
        else:
            seen.add(step)
            stack.append((step, iter(following[step])))
    rank = {block: number for number, block in enumerate(order)}
    before: list[list[int]] = [[] for _ in following]
    for block in order:
        for one in following[block]:
            before[one].append(block)
    # Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm".
    idom = [-1] * len(following)
    idom[0] = 0
    changed = True
    while changed:
        changed = False
        for block in reversed(order[:-1]):
            new = -1
            for one in before[block]:
                if idom[one] < 0:
                    continue
                at, other = (one if new < 0 else new), one
                while at != other:
                    while rank[at] < rank[other]:
                        at = idom[at]
                    while rank[other] < rank[at]:
                        other = idom[other]
                new = at
            if idom[block] != new:
                idom[block] = new
                changed = True
    return [None, *(None if one < 0 else one for one in idom[1:])]


def _following(slots: list[tuple[int, ...]]) -> list[list[int]]:
    """The basic blocks each basic block may go on to."""
    starts = {0}
    jumps: dict[int, list[int]] = {}
    at = 0
    while at < len(slots):
        op, _, offset, number = slots[at]
        if op in {0x05, 0x06}:
            jumps[at] = [at + 1 + (number if op == 0x06 else offset)]
        elif op == 0x95:
            jumps[at] = []
        elif op & 7 in {5, 6} and op != 0x85:
            jumps[at] = [at + 1, at + 1 + offset]
        if at in jumps:
            starts.update(one for one in (at + 1, *jumps[at]) if one < len(slots))
        at += 2 if op == 0x18 else 1
    blocks = sorted(starts)
    number_of = {start: number for number, start in enumerate(blocks)}
    ends = [*blocks[1:], len(slots)]
    return [[number_of[one] for one in jumps.get(end - 1, [end]) if one in number_of] for end in ends]


# ------------------------------------------------------------ BTF

_HEADER = Struct("<HBBIIIII")
_TYPE = Struct("<III")
_MEMBER = Struct("<III")
# Bytes after the 12 of each kind's record: fixed ones, and those of each element.
_TAIL = (
    *((0, 0), (4, 0), (0, 0), (12, 0), (0, 12), (0, 12), (0, 8), (0, 0), (0, 0), (0, 0)),
    *((0, 0), (0, 0), (0, 0), (0, 8), (4, 0), (0, 12), (0, 0), (4, 0), (0, 0), (0, 12)),
)


class Btf:
    """A little-endian BTF: where each type starts, and its name."""

    def __init__(self, data: bytes) -> None:
        _, _, _, header, type_off, type_len, string_off, string_len = _HEADER.unpack_from(data)
        self.types = data[header + type_off : header + type_off + type_len]
        self.strings = data[header + string_off : header + string_off + string_len]
        self.offsets = [0]  # void
        at, types, record, tail = 0, self.types, _TYPE.unpack_from, _TAIL
        while at < len(types):
            self.offsets.append(at)
            info = record(types, at)[1]
            fixed, each = tail[info >> 24 & 0x1F]
            at += 12 + fixed + each * (info & 0xFFFF)
        self.names: dict[bytes, list[int]] = {}

    def string(self, offset: int) -> bytes:
        """The name at that offset."""
        return self.strings[offset : self.strings.index(0, offset)]

    def find(self, name: bytes, kind: int) -> int:
        """The first type of that name and kind; indexes all names first, as several lookups are to follow."""
        if not self.names:
            for number, at in enumerate(self.offsets[1:], 1):
                name_off = _TYPE.unpack_from(self.types, at)[0]
                if name_off:
                    self.names.setdefault(self.string(name_off), []).append(number)
        return next(one for one in self.names[name] if self.kind(one) == kind)

    def kind(self, number: int) -> int:
        """Its number in the kernel's header."""
        return int(_TYPE.unpack_from(self.types, self.offsets[number])[1]) >> 24 & 0x1F

    def members(self, number: int) -> list[tuple[bytes, int, int]]:
        """(name, type, bit offset) of a structure."""
        at = self.offsets[number]
        count = _TYPE.unpack_from(self.types, at)[1] & 0xFFFF
        each = (_MEMBER.unpack_from(self.types, at + 12 + 12 * one) for one in range(count))
        return [(self.string(name), kind, bits & 0xFFFFFF) for name, kind, bits in each]


STRUCT = 4

# ------------------------------------------------------------ CO-RE

_SECTION = Struct("<II")
_RELOCATION = Struct("<IIII")


def relocate(local: Btf, records: bytes, kernel: Btf) -> int:
    """Finds each field relocation's place in the kernel's types: members by name, one level deep. How many it found.

    No flavours, no other kinds, no check that types fit, no patching of instructions.
    """
    core_off, core_len = Struct("<II").unpack_from(records, 24)
    at = Struct("<I").unpack_from(records, 4)[0] + core_off
    end = at + core_len
    at += 4
    layouts: dict[int, dict[bytes, int]] = {}
    found = 0
    while at < end:
        _, count = _SECTION.unpack_from(records, at)
        at += 8
        for _ in range(count):
            _, number, access, _ = _RELOCATION.unpack_from(records, at)
            at += 16
            path = local.string(access).split(b":")
            member = local.members(number)[int(path[1])]
            if number not in layouts:
                name = local.string(_TYPE.unpack_from(local.types, local.offsets[number])[0])
                target = kernel.find(name, STRUCT)
                layouts[number] = {word: bits for word, _, bits in kernel.members(target)}
            found += member[0] in layouts[number]
    return found


# ------------------------------------------------------------ Rust

_TOKEN = re.compile(
    rb"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<string>b?r(?P<hashes>\#*)".*?"(?P=hashes)|[bc]?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])')
    |(?P<word>'?[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>[0-9][0-9A-Za-z_.]*)
    |(?P<sign>::|->|=>|\.\.=?|&&|\|\||[-+*/%^!&|=<>]=?|.)""",
    re.VERBOSE | re.DOTALL,
)


def tokens(text: bytes) -> int:
    """How many tokens; the first step of reading Rust, without a tree, names or facts."""
    return sum(match.lastgroup != "space" for match in _TOKEN.finditer(text))

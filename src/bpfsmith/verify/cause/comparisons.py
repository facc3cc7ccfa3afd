"""Comparisons about a number: of the number itself, of what it was made of, of what was made of it, of another reading
of the same memory; what each of them says on the path that was taken.

Compilers write one and the same question in many ways: with a constant or with a register that holds it, from either
side, of the low half, of the number moved by a constant, shifted, or as a test of the bits above a power of two.
"""

from __future__ import annotations

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.flow import WHOLE, constant, location, read_of, root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.cause.trace import Link, Step, Trace

    Value = Any

__all__ = ["Seen", "comparisons", "low_bits", "related"]

FAR = 4000
EQ, GT, GE, SET, NE, SGT, SGE, LT, LE, SLT, SLE = 1, 2, 3, 4, 5, 6, 7, 0xA, 0xB, 0xC, 0xD
SIGNED = (SGT, SGE, SLT, SLE)
UPPER = (LT, LE, SLT, SLE)
LOWER = (GT, GE, SGT, SGE)
NOT = {EQ: NE, NE: EQ, GT: LE, GE: LT, LT: GE, LE: GT, SGT: SLE, SGE: SLT, SLT: SGE, SLE: SGT}
TURNED = {GT: LT, GE: LE, LT: GT, LE: GE, SGT: SLT, SGE: SLE, SLT: SGT, SLE: SGE}
RSH = 7
LINEAR = (*WHOLE, "add", "sub", "narrow", "shift", "and-mask", "math")


class Seen:
    """A comparison about the value or about something made of it. `version`: how many changes lie between the value
    compared and the one used (0: none), -1 for something derived; `chain`: on the value's own way, or the kernel knew
    that it is the same; `narrow`: 32 bits of it; `mixed`: made with another unknown number; `kept`: so many low
    bits of it are compared, where a mask cut the others off; `below`: bits above it are compared with zero, which asks
    whether the number is less (None: no such test); `flag`: where a difference was made the bit that is tested, without
    a branch; `again`: what is compared is another reading of the same memory."""

    __slots__ = ("again", "below", "chain", "flag", "insn", "kept", "mixed", "narrow", "on", "step", "taken", "version")

    def __init__(
        self,
        step: Step,
        on: str,
        version: int,
        chain: bool,
        narrow: bool,
        mixed: bool = False,
        kept: int = 64,
        below: int | None = None,
        flag: Step | None = None,
        again: bool = False,
    ) -> None:
        self.step = step
        self.insn = step.insn
        self.on = on
        self.version = version
        self.chain = chain
        self.narrow = narrow
        self.mixed = mixed
        self.kept = kept
        self.below = below
        self.flag = flag
        self.again = again
        self.taken = step.taken

    @property
    def equality(self) -> bool:
        return code.operation(self.insn) in (EQ, NE) and self.below is None

    @property
    def holds(self) -> int:
        """The condition that is true on the path, as an operation (`LT` where `GE` was not taken)."""
        what = code.operation(self.insn)
        if self.below is not None:
            return LT if (what == EQ) == bool(self.taken) else GE
        if code.by_register(self.insn) and self.on == f"r{self.insn.src}" and self.insn.src != self.insn.dst:
            what = TURNED.get(what, what)
        return what if self.taken else NOT.get(what, what)

    @property
    def limit(self) -> int | None:
        """The constant it is compared with, also where a register holds it; None for numbers that are not constant."""
        if self.below is not None:
            return self.below
        if self.other is None:
            return self.insn.imm
        found, value = constant(self.step, self.other), self.compared
        return int(value.known) if found is None and value is not None and value.known is not None else found

    @property
    def least(self) -> int | None:
        """The least number that comes here, where only small ones were kept out."""
        limit = self.limit
        if limit is None or self.holds not in LOWER:
            return None
        return limit + (self.holds in (GT, SGT))

    @property
    def floor(self) -> bool:
        """A test that keeps negative numbers or zero out, and was never meant as an upper limit."""
        limit = self.limit
        return limit is not None and limit <= 1

    @property
    def other(self) -> str | None:
        """The register it is compared with, None for a number."""
        if not code.by_register(self.insn):
            return None
        return f"r{self.insn.dst}" if self.on == f"r{self.insn.src}" else f"r{self.insn.src}"

    @property
    def compared(self) -> Value | None:
        """What the kernel knew of the register it is compared with: kernels that print few states tell behind it."""
        other = self.other or ""
        value = self.step.value(other)
        after = self.step.next
        if (value is None or value.line_no is None) and after is not None and after.frame == self.step.frame:
            return after.value(other) or value
        return value

    @property
    def known(self) -> Value | None:
        """What the kernel knew of the register behind it, on this path."""
        after = self.step.next
        return None if after is None or after.frame != self.step.frame else after.value(self.on)


class comparisons:  # noqa: N801 - used as a function
    """Those on the path to a use, in its order: `comparisons(..).found`."""

    __slots__ = ("chain", "found", "read", "trace", "use", "versions", "where")

    def __init__(self, trace: Trace, use: Step, where: str, chain: list[Link], versions: list[tuple[int, str]]) -> None:
        self.trace = trace
        self.use = use
        self.where = where
        self.chain = chain
        self.versions = versions
        self.read = read_of(trace, use, where)
        loose = root(trace, use, where, narrow=True)
        first = chain[-1].step.at if chain and self.read is None else use.at - FAR
        self.found: list[Seen] = []
        for step in trace.steps.back(use.at, FAR):
            if step.at < first:
                break
            if not code.conditional(step.insn):
                continue
            for on in code.reads(step.insn)[: 1 if code.operation(step.insn) == SET else 2]:
                one = self.about(step, on, loose)
                if one is not None:
                    self.found.append(one)
                    break
        self.found.reverse()

    def about(self, step: Step, on: str, loose: tuple[int, str]) -> Seen | None:  # noqa: PLR0911 - one return a way
        insn, versions = step.insn, self.versions
        half = code.group(insn) == code.JMP32
        own = root(self.trace, step, on)
        if own[0] < 0 or _pointer(step.value(on)) or self.same(step):
            return None
        what = code.operation(insn)
        below = _above(insn.imm) if what == SET and not code.by_register(insn) else None
        if what == SET and below is None:
            return None
        if own in versions:
            frame, there = location(self.chain, step.at, self.use, self.where)
            chain = step.frame == frame and (there == on or _told(step, on, there))
            return Seen(step, on, versions.index(own), chain, half, below=below)
        if root(self.trace, step, on, narrow=True) == loose:
            return Seen(step, on, -1, False, True, below=below)
        bits = what in (EQ, NE) and not code.by_register(insn) and insn.imm == 0
        if what in (EQ, NE) and not bits:
            return None
        made = self.made(step, on, half, bits, below)
        read = read_of(self.trace, step, on) if made is None and not bits and self.read is not None else None
        if read is not None and self.read is not None and read[:2] == self.read[:2]:
            # Read from the same place, by another instruction: half a register is all of it where 4 bytes are read.
            return Seen(step, on, -1, False, half and self.read[2] > 4, again=True)
        return made

    def made(self, step: Step, on: str, half: bool, bits: bool, below: int | None) -> Seen | None:
        """Something made of it by additions, shifts or 32-bit copies: compilers compare `i - 1` or the low half, and
        ask for the bits above a power of two."""
        versions, narrow, mixed, kept = self.versions, half, False, 64
        bit: Step | None = None  # the shift that leaves the sign alone
        for link in self.trace.origin(step, on):
            if link.how not in LINEAR or link.source is None:
                break
            insn = link.step.insn
            plain = code.group(insn) in (code.ALU, code.ALU64) and not code.by_register(insn)
            if bits and below is None and plain and link.how == "and-mask" and (least := _above(insn.imm)) is not None:
                below = least
                kept = min(kept, (insn.imm & (1 << 64) - 1).bit_length())
            elif bits and below is None and link.how == "shift" and plain and code.operation(insn) == RSH:
                wide = 64 if link.wide else 32
                if insn.imm % wide > wide - 8:
                    bit = link.step
                else:
                    below = 1 << (insn.imm & 63) if insn.imm != 32 else None
            else:
                kept = min(kept, low_bits(link))
            narrow = narrow or not link.wide or (link.how == "shift" and insn.imm == 32)
            if link.how in ("add", "sub", "math") and code.by_register(insn):
                other = f"r{insn.src}" if link.source == f"r{insn.dst}" else f"r{insn.dst}"
                mixed = mixed or constant(link.step, other) is None
                if link.how != "math" and not bits and root(self.trace, link.step, other) in versions:
                    return Seen(step, on, -1, False, narrow, mixed)
            if link.how not in WHOLE and root(self.trace, link.step, link.source) in versions:
                if bits and below is None:
                    signed = bit is not None and link.how in ("add", "sub")
                    return Seen(step, on, -1, False, narrow, False, flag=bit) if signed else None
                return Seen(step, on, -1, False, narrow, mixed, kept if kept < 64 else 64, below)
        return None

    def same(self, step: Step) -> bool:
        """A comparison of a number with itself, moved by a constant: whether a sum or difference went over."""
        first, second = f"r{step.insn.dst}", f"r{step.insn.src}"
        if not code.by_register(step.insn) or first == second:
            return False
        for one, other in ((first, second), (second, first)):
            wanted = root(self.trace, step, other)
            for link in self.trace.origin(step, one):
                moved = link.how in ("add", "sub") and not code.by_register(link.step.insn)
                if link.source is None or not (moved or link.how in WHOLE or link.how == "narrow"):
                    break
                if wanted[0] >= 0 and root(self.trace, link.step, link.source) == wanted:
                    return True
        return False


def related(trace: Trace, at: Step, one: str, other: str, until: Step) -> Step | None:
    """The last comparison before `until` of the two numbers that `one` and `other` held before `at` with each other."""
    first = {root(trace, at, one), root(trace, at, one, narrow=True)}
    second = {root(trace, at, other), root(trace, at, other, narrow=True)}
    reads = [read_of(trace, at, one), read_of(trace, at, other)]
    for step in trace.steps.back(until.at, FAR):
        insn = step.insn
        if not code.conditional(insn) or not code.by_register(insn) or code.operation(insn) in (EQ, NE, SET):
            continue
        left, right = f"r{insn.dst}", f"r{insn.src}"
        for mine, its in ((left, right), (right, left)):
            if _is(trace, step, mine, first, reads[0]) and _is(trace, step, its, second, reads[1]):
                return step
    return None


def _is(trace: Trace, step: Step, on: str, roots: set[tuple[int, str]], read: object) -> bool:
    if root(trace, step, on) in roots or root(trace, step, on, narrow=True) in roots:
        return True
    return read is not None and read_of(trace, step, on) == read


def _above(mask: int) -> int | None:
    """The power of two above which a mask keeps all bits (of 8, 16, 32 or 64): `0xf0` asks for 16 and more."""
    for wide in (8, 16, 32, 64):
        bits = mask & (1 << wide) - 1
        low = bits & -bits
        if low > 1 and bits + low == 1 << wide and (mask in (bits, bits - (1 << wide)) or wide == 64):
            return low
    return None


def _pointer(value: Value | None) -> bool:
    """A packet's address, which is no number: what is compared is where the packet ends."""
    return value is not None and value.type in ("pkt", "pkt_end", "pkt_meta")


def low_bits(link: Link) -> int:
    """How many low bits of a number a mask keeps; 64 where it is none that cuts."""
    mask = link.step.insn.imm
    plain = link.how == "and-mask" and not code.by_register(link.step.insn) and mask > 1
    return mask.bit_length() if plain and mask & (mask + 1) == 0 else 64


def _told(step: Step, on: str, there: str) -> bool:
    """The kernel knew that the value at `there` is the one compared, and gave it the same bounds."""
    after = step.next
    if after is None or after.frame != step.frame:
        return False
    here, other, former = after.value(on), after.value(there), step.value(there)
    if here is None or other is None or former is None:
        return False
    known = (other.umin, other.umax, other.smin, other.smax)
    same = known == (here.umin, here.umax, here.smin, here.smax)
    return same and known != (former.umin, former.umax, former.smin, former.smax)

"""Why a number has no bound where one is needed: never compared, another copy compared, the wrong comparison, or the
right one whose result was lost.

Kernels keep bounds per register (and stack slot). A comparison tells of the register it names and of registers that
carry the same id; ids are given by copying a register (since 5.9), through the stack since 6.8. Arithmetic keeps bounds
where the result cannot overflow; 32-bit comparisons tell of the low half only. No relation between two numbers is kept.
"""

from __future__ import annotations

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.flow import later, location, read_of, root
from bpfsmith.verify.cause.result import Fact
from bpfsmith.verify.cause.words import amount, came, quoted, rust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.cause.trace import Link, Step, Trace

    Value = Any

__all__ = ["Need", "Story", "why"]

U32 = 0xFFFFFFFF
FAR = 4000
MUL, LSH, MOD, RIGHT = 2, 6, 9, (7, 0xC)
HUGE = 1 << 29
EQ, GT, GE, SET, NE, SGT, SGE, LT, LE, SLT, SLE = 1, 2, 3, 4, 5, 6, 7, 0xA, 0xB, 0xC, 0xD
SIGNED = (SGT, SGE, SLT, SLE)
UPPER = (LT, LE, SLT, SLE)
LOWER = (GT, GE, SGT, SGE)
NOT = {EQ: NE, NE: EQ, GT: LE, GE: LT, LT: GE, LE: GT, SGT: SLE, SGE: SLT, SLT: SGE, SLE: SGT}
TURNED = {GT: LT, GE: LE, LT: GT, LE: GE, SGT: SLT, SGE: SLE, SLT: SGT, SLE: SGE}
SAME = ("mov", "spill", "fill", "arg", "return")
LINEAR = (*SAME, "add", "sub", "narrow", "shift", "and-mask", "math")


class Story:
    """What became of a bound: `cls` of the cause, the `step` it happened at (None: the use itself), `facts` in the
    order of the path, `headline` about the number, `sure` of it or not; `slot`: of a comparison that is not on the
    path."""

    __slots__ = ("cls", "facts", "headline", "slot", "step", "sure")

    def __init__(
        self, cls: str, step: Step | None, headline: str, facts: list[Fact], sure: bool = True, slot: int | None = None
    ) -> None:
        self.cls = cls
        self.step = step
        self.headline = headline
        self.facts = facts
        self.sure = sure
        self.slot = slot


class Need:
    """What the verifier wants of a number: that it is not negative (`low`), not 0 (`zero`), at most `most` (None: some
    limit)."""

    __slots__ = ("low", "most", "zero")

    def __init__(self, low: bool = False, zero: bool = False, most: int | None = None) -> None:
        self.low = low
        self.zero = zero
        self.most = most

    def met(self, value: Value | None) -> bool:
        """The kernel knows it of `value`."""
        if value is None:
            return False
        if self.low:
            return value.smin is not None and value.smin >= 0
        if self.zero:
            return value.umin is not None and value.umin > 0
        return value.umax is not None and value.umax <= (HUGE if self.most is None else self.most)

    def lacking(self) -> str:
        """The end of a sentence about a number that does not meet it."""
        if self.low:
            return "may be negative"
        return "may be 0" if self.zero else "has no upper limit that fits"


def _pointer(value: Value | None) -> bool:
    """A packet's address, which is no number: what is compared is where the packet ends."""
    return value is not None and value.type in ("pkt", "pkt_end", "pkt_meta")


class Seen:
    """A comparison about the value or about something made of it. `version`: how many changes lie between the value
    compared and the one used (0: none), -1 for something derived; `chain`: on the value's own way, or the kernel knew
    that it is the same; `narrow`: 32 bits of it; `mixed`: made with another unknown number; `kept`: so many low
    bits of it are compared, where a mask cut the others off."""

    __slots__ = ("chain", "insn", "kept", "mixed", "narrow", "on", "step", "taken", "version")

    def __init__(
        self, step: Step, on: str, version: int, chain: bool, narrow: bool, mixed: bool = False, kept: int = 64
    ) -> None:
        self.step = step
        self.insn = step.insn
        self.on = on
        self.version = version
        self.chain = chain
        self.narrow = narrow
        self.mixed = mixed
        self.kept = kept
        self.taken = step.taken

    @property
    def equality(self) -> bool:
        return code.operation(self.insn) in (EQ, NE)

    @property
    def holds(self) -> int:
        """The condition that is true on the path, as an operation (`LT` where `GE` was not taken)."""
        what = code.operation(self.insn)
        if code.by_register(self.insn) and self.on == f"r{self.insn.src}" and self.insn.src != self.insn.dst:
            what = TURNED.get(what, what)
        return what if self.taken else NOT.get(what, what)

    @property
    def floor(self) -> bool:
        """A test that keeps negative numbers or zero out, and was never meant as an upper limit."""
        if not code.by_register(self.insn):
            return self.insn.imm <= 1
        limit = self.step.value(self.other or "")
        return limit is not None and limit.known is not None and -1 <= limit.known <= 1

    @property
    def other(self) -> str | None:
        """The register it is compared with, None for a number."""
        if not code.by_register(self.insn):
            return None
        return f"r{self.insn.dst}" if self.on == f"r{self.insn.src}" else f"r{self.insn.src}"

    @property
    def known(self) -> Value | None:
        """What the kernel knew of the register behind it, on this path."""
        after = self.step.next
        return None if after is None or after.frame != self.step.frame else after.value(self.on)


def why(trace: Trace, use: Step, where: str, need: Need, name: str | None = None) -> Story:
    """`where` before `use` is the number that lacks what it needs."""
    return _Search(trace, use, where, need, name).story()


class _Search:
    """One number's way to its use."""

    __slots__ = ("chain", "facts", "need", "read", "seen", "trace", "use", "value", "versions", "what", "where")

    def __init__(self, trace: Trace, use: Step, where: str, need: Need, name: str | None) -> None:
        self.trace = trace
        self.use = use
        self.where = where
        self.need = need
        self.chain = trace.origin(use, where)
        self.what = quoted(name or trace.name(use, where), "the number")
        self.value = use.value(where)
        self.facts: list[Fact] = []
        origin = came(trace, self.chain, self.what)
        if origin is not None:
            self.facts.append(origin)
        # Roots of the value as it is used (first), and as it was before each change.
        self.versions = [root(trace, use, where)]
        for link in self.chain:
            if link.source is not None and link.how not in SAME:
                self.versions.append(root(trace, link.step, link.source))
        self.read = read_of(trace, use, where)
        self.seen = self.comparisons()

    def story(self) -> Story:
        for find in (
            self.lost,
            self.saved,
            self.wrong,
            self.copied,
            self.remainder,
            self.masked,
            self.late,
            self.removed,
        ):
            found = find()
            if found is not None:
                return found
        lacks = amount(self.value) or "is not bounded"
        self.add(self.use, f"not compared with a limit on the way here: {self.what} {lacks}")
        headline = f"{self.what} {self.need.lacking()}, and nothing on the way checks it"
        return Story("missing-bounds-check", None, headline, self.facts)

    def add(self, step: Step, text: str) -> None:
        self.facts.append(self.trace.fact(step, text))

    # ------------------------------------------------------------ comparisons on the path

    def comparisons(self) -> list[Seen]:
        """Those about the value, in the order of the path."""
        versions = self.versions
        loose = root(self.trace, self.use, self.where, narrow=True)
        first = self.chain[-1].step.at if self.chain and self.read is None else self.use.at - FAR
        found: list[Seen] = []
        for step in self.trace.steps.back(self.use.at, FAR):
            if step.at < first:
                break
            if not code.conditional(step.insn) or code.operation(step.insn) == SET:
                continue
            for on in code.reads(step.insn):
                one = self.about(step, on, versions, loose)
                if one is not None:
                    found.append(one)
                    break
        found.reverse()
        return found

    def about(  # noqa: PLR0911 - one return a way
        self, step: Step, on: str, versions: list[tuple[int, str]], loose: tuple[int, str]
    ) -> Seen | None:
        half = code.group(step.insn) == code.JMP32
        own = root(self.trace, step, on)
        if own[0] < 0 or _pointer(step.value(on)):
            return None
        if self.same(step):
            return None
        if own in versions:
            frame, there = location(self.chain, step.at, self.use, self.where)
            chain = step.frame == frame and (there == on or _told(step, on, there))
            return Seen(step, on, versions.index(own), chain, half)
        if root(self.trace, step, on, narrow=True) == loose:
            return Seen(step, on, -1, False, True)
        if code.operation(step.insn) in (EQ, NE):
            return None
        if self.read is not None and read_of(self.trace, step, on) == self.read:
            return Seen(step, on, -1, False, half)  # read from the same place, by another instruction
        # Something made of it by additions, shifts or 32-bit copies: compilers compare `i - 1` or the low half.
        narrow, mixed, kept = half, False, 64
        for link in self.trace.origin(step, on):
            if link.how not in LINEAR or link.source is None:
                break
            insn = link.step.insn
            kept = min(kept, _low_bits(link))
            narrow = narrow or link.how == "narrow" or (link.how == "shift" and insn.imm == 32)
            if link.how in ("add", "sub", "math") and code.by_register(insn):
                other = f"r{insn.src}" if link.source == f"r{insn.dst}" else f"r{insn.dst}"
                added = link.step.value(other)
                mixed = mixed or added is None or added.known is None
                if link.how != "math" and root(self.trace, link.step, other) in versions:
                    return Seen(step, on, -1, False, narrow, mixed)
            if link.how not in SAME and root(self.trace, link.step, link.source) in versions:
                return Seen(step, on, -1, False, narrow, mixed, kept)
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
                if link.source is None or not (moved or link.how in SAME or link.how == "narrow"):
                    break
                if wanted[0] >= 0 and root(self.trace, link.step, link.source) == wanted:
                    return True
        return False

    # ------------------------------------------------------------ known, and lost

    def lost(self) -> Story | None:
        """The bound was known on the value's own way, and an instruction lost it."""
        if self.need.met(self.value):
            return None
        need = Need(self.need.low, self.need.zero)  # some limit: offsets grow by factors on their way
        for at, link in enumerate(self.chain):
            if link.source is None or link.how not in ("fill", "narrow", "mov"):
                continue
            before, after = self.before(at), link.step.result(link.where)
            blind = after is None and link.how == "fill" and self.cut_by(at)
            if not blind and (not need.met(before) or after is None or need.met(after)):
                continue
            tests = [one for one in self.seen if one.step.at < link.step.at and one.chain]
            if not tests and link.how != "fill":
                continue
            for one in tests[-1:]:
                self.add(one.step, f"{self.what} is compared here: it {amount(before)}")
            how = "cut here, which loses its range"
            if link.how == "fill":
                saved = self.chain[at + 1]
                self.add(saved.step, "saved to the stack here")
                how = "read back from the stack here, where its range was not kept"
            self.add(link.step, how)
            self.add(self.use, f"used here: {amount(self.value)}")
            return Story(
                "check-lost", link.step, f"the range of {self.what} is lost between its check and its use", self.facts
            )
        return None

    def cut_by(self, at: int) -> bool:
        """What is read back was checked before it was saved, and fewer than 8 bytes of it were kept: kernels that print
        no states here lose its range then."""
        link = self.chain[at]
        if code.width(link.step.insn) == 8 or at + 1 >= len(self.chain):
            return False
        saved = self.chain[at + 1].step.at
        return any(one.chain and one.step.at < saved and one.holds in UPPER for one in self.seen)

    def before(self, at: int) -> Value | None:
        """What was known of the value before a station; of one read back, when it was saved."""
        link = self.chain[at]
        if link.how == "fill" and at + 1 < len(self.chain):
            saved = self.chain[at + 1]
            if saved.how == "spill" and saved.source is not None:
                return saved.step.value(saved.source)
        return link.step.value(link.source) if link.source is not None else None

    def saved(self) -> Story | None:
        """Saved before it was checked, checked in a register, read back unchecked."""
        for at, link in enumerate(self.chain[:-1]):
            saved = self.chain[at + 1]
            if link.how != "fill" or saved.how != "spill":
                continue
            between = [
                one
                for one in self.seen
                if saved.step.at < one.step.at < link.step.at
                and not one.chain
                and one.holds in UPPER
                and self.constant(one)
            ]
            if between:
                one = between[-1]
                self.add(saved.step, f"a copy of {self.what} is saved to the stack")
                self.add(one.step, f"the check is on the copy in {one.on}")
                self.add(link.step, "the copy that was saved before the check is read back here")
                headline = f"the check of {self.what} does not reach the copy on the stack"
                return Story("check-lost", link.step, headline, self.facts)
        return None

    # ------------------------------------------------------------ compared, but not so that it helps

    def wrong(self) -> Story | None:  # noqa: PLR0911 - one return a mistake
        """A comparison on the value's own way that cannot give the bound."""
        own = [one for one in self.seen if one.chain and one.taken is not None and not one.equality]
        if not own:
            return None
        if self.need.zero:
            one = own[-1]
            return self.told(one, f"compared here, but 0 is not excluded: {self.what} {amount(one.known)}",
                             f"the check of {self.what} lets 0 pass")  # fmt: skip
        limits = [one for one in own if one.holds in UPPER]
        if not limits:
            one = own[-1]
            if self.need.low or (one.floor and self.answered()):
                return None
            if one.floor:
                return self.told(one, "compared here: small numbers are kept out, large ones are not",
                                 f"the check of {self.what} sets no upper limit")  # fmt: skip
            return self.told(one, f"the way on from here is the one on which {self.what} is too large",
                             f"the check of {self.what} goes on where it should leave")  # fmt: skip
        bound = [one for one in limits if self.constant(one)]
        if not bound:
            return self.relation(limits[-1])
        one = bound[-1]
        known = one.known
        if self.need.low or (one.holds in SIGNED and not self.need.met(known)):
            return self.told(one, f"compared here as signed, with an upper limit only: {self.what} may be negative",
                             f"the check of {self.what} does not exclude negative numbers")  # fmt: skip
        if one.narrow and known is not None and (known.umax is None or known.umax > U32):
            return self.told(one, f"only the low 32 bits of {self.what} are compared here; it is used with 64",
                             f"the check of {self.what} looks at its low 32 bits only")  # fmt: skip
        if known is not None and known.umax is not None and known.umax < 1 << 62:
            return self.told(one, f"checked here: {self.what} {amount(known)}, which is too much for what follows",
                             f"the check of {self.what} allows more than fits")  # fmt: skip
        return None

    def answered(self) -> bool:
        """The number is a helper's answer, which is negative for an error: whether it is one was all that was asked."""
        first = self.chain[-1] if self.chain else None
        return first is not None and first.how == "call" and first.where == "r0" and bool(first.step.insn.call)

    def constant(self, one: Seen) -> bool:
        """Compared with something the kernel knows a limit of."""
        if one.other is None:
            return True
        value = one.step.value(one.other)
        return value is not None and value.umax is not None and value.umax < HUGE

    def told(self, one: Seen, text: str, headline: str) -> Story:
        self.add(one.step, text)
        self.add(self.use, f"{self.what} is used here: it {amount(self.value) or 'is not bounded'}")
        return Story("check-wrong", one.step, headline, self.facts)

    def relation(self, one: Seen) -> Story:
        """Compared with another number that is not bounded itself."""
        other = one.other or ""
        limit = quoted(self.trace.name(one.step, other), "another number")
        later = [
            each
            for each in self.trace.tests(one.step, other)
            if each.step is None and code.operation(each.insn) not in (EQ, NE, SET)
        ]
        self.add(one.step, f"compared here with {limit}, which {amount(one.step.value(other)) or 'is not bounded'}")
        self.add(self.use, f"used here: the verifier keeps no relation between {self.what} and {limit}")
        if later:
            text = f"{self.what} is below {limit}, which is checked later only: the verifier does not join both"
            return Story("verifier-imprecision", one.step, text, self.facts, False)
        headline = f"{self.what} is compared with {limit} only, which has no limit itself"
        return Story("missing-bounds-check", None, headline, self.facts, False)

    def copied(self) -> Story | None:
        """The comparison was about another register that held the same value, or one made of it."""
        others = [one for one in self.seen if not one.chain and not one.equality]
        if not others:
            return None
        one = others[-1]
        if one.mixed:
            self.add(one.step, f"what is compared here is {self.what} together with another number")
            self.add(self.use, f"{self.what} alone is used here: it {amount(self.value) or 'is not bounded'}")
            headline = (
                f"the check is on a number made of {self.what} and another: nothing follows for {self.what} alone"
            )
            return Story("verifier-imprecision", one.step, headline, self.facts, False)
        if self.need.low and one.holds in SIGNED and one.holds in UPPER:
            return self.told(one, f"compared here as signed, with an upper limit only: {self.what} may be negative",
                             f"the check of {self.what} does not exclude negative numbers")  # fmt: skip
        frame, there = location(self.chain, one.step.at, self.use, self.where)
        whole = one.step.value(there) if frame == one.step.frame else None
        halved = any(link.how == "narrow" or (link.how == "shift" and link.step.insn.imm == 32) for link in self.chain)
        if one.narrow and not halved and whole is not None and (whole.umax is None or whole.umax > U32):
            return self.told(one, f"only 32 bits of {self.what} are compared here, in {one.on}; it is used with 64",
                             f"the check of {self.what} looks at its low 32 bits only")  # fmt: skip
        cut = one.kept < 64 and (self.value is None or self.value.umax is None or self.value.umax >> one.kept)
        if cut and not any(link.how == "and-mask" for link in self.chain):
            return self.told(one, f"only the low {one.kept} bits of {self.what} are compared here; all of it is used",
                             f"the check of {self.what} looks at its low {one.kept} bits only")  # fmt: skip
        place = "in another function" if one.step.frame > self.use.frame else f"in {one.on}"
        self.add(one.step, f"the check is on a copy of {self.what}, {place}")
        self.add(self.use, f"the copy that is used here was not checked: it {amount(self.value) or 'is not bounded'}")
        headline = f"{self.what} is checked in one copy and used in another"
        return Story("check-on-copy", one.step, headline, self.facts, one.version >= 0)

    def remainder(self) -> Story | None:
        """A remainder is below its divisor, which verifiers do not follow."""
        if self.need.zero:
            return None
        for link in self.chain:
            insn = link.step.insn
            math = code.group(insn) in (code.ALU, code.ALU64)
            plain = math and code.operation(insn) == MOD and not code.by_register(insn)
            place = self.trace.own_place(link.step) if math and link.how in ("math", "sub") else None
            # Compilers write the remainder of a constant as a product, a shift and a difference.
            if not plain and (place is None or not place.exact or " % " not in (place.text or "")):
                continue
            if plain and self.need.most is not None and (insn.imm - 1) * self.scale(link) > self.need.most:
                self.add(link.step, f"the remainder can be as much as {insn.imm - 1} here")
                self.add(self.use, f"{self.offset()} is used here: it {amount(self.value) or 'is not bounded'}")
                headline = f"{self.what} is a remainder that can be {insn.imm - 1}, which is more than fits"
                return Story("check-wrong", link.step, headline, self.facts)
            below = f" and below {insn.imm}" if plain else ""
            self.add(link.step, "the remainder of a division is computed here: any number to the verifier")
            self.add(self.use, f"{self.what} is used here: it {amount(self.value) or 'is not bounded'}")
            headline = f"{self.what} is a remainder{below}, which the verifier does not follow"
            return Story("verifier-imprecision", link.step, headline, self.facts)
        return None

    def scale(self, until: Link) -> int:
        """By how much the value is multiplied on its way from a station to its use; 0 where that is not known."""
        factor = 1
        for link in self.chain:
            if link is until:
                break
            insn = link.step.insn
            if link.how in ("shift", "math") and not code.by_register(insn) and 0 < insn.imm < 1 << 16:
                what = code.operation(insn)
                if what in RIGHT and insn.imm != 32:
                    return 0  # made smaller again: not followed
                factor *= 1 << insn.imm if what == LSH and insn.imm < 16 else insn.imm if what == MUL else 1
        return factor

    def offset(self) -> str:
        """The number as it is used: entries of more than a byte make a larger one of an index."""
        return f"the offset made of {self.what}" if self.chain and self.scale(self.chain[-1]) > 1 else self.what

    def masked(self) -> Story | None:
        """A mask in the source that keeps too many bits."""
        if self.need.low or self.need.zero:
            return None
        for link in self.chain:
            insn = link.step.insn
            if link.how != "and-mask" or code.by_register(insn) or insn.imm in (0xFF, 0xFFFF):
                continue
            place = self.trace.own_place(link.step)
            if place is None or place.text is None or "&" not in place.text.replace("&&", ""):
                continue
            self.add(link.step, f"the mask {insn.imm & (1 << 64) - 1:#x} keeps more than fits")
            self.add(self.use, f"{self.offset()} is used here: it {amount(self.value) or 'is not bounded'}")
            return Story("check-wrong", link.step, f"the mask of {self.what} keeps more than fits", self.facts)
        return None

    def late(self) -> Story | None:
        """Compared after the use, on another line."""
        here = self.trace.own_place(self.use)
        # The value may be scaled for its use, and compared as it was.
        numbers = [f"r{number}" for number in range(10)]
        also = frozenset(name for name in numbers if root(self.trace, self.use, name) in self.versions)
        for one in later(self.trace, self.use, self.where, also):
            if code.operation(one.insn) in (EQ, NE, SET):
                continue
            place = self.trace.own_place(one.insn.slot)
            if place is None or place.same_line(here):
                continue
            self.add(self.use, f"{self.what} is used here: it {amount(self.value) or 'is not bounded'}")
            self.facts.append(Fact(one.insn.slot, place, "compared only here, after the use"))
            headline = f"{self.what} is used before it is checked"
            return Story("check-wrong", None, headline, self.facts, True, one.insn.slot)
        return None

    def removed(self) -> Story | None:
        """Rust checks every index: where no check is left, the compiler proved that it is not needed."""
        place = self.trace.own_place(self.use)
        computed = any(link.how in ("math", "and-mask") for link in self.chain)
        if place is None or self.need.zero or not computed or not rust(place) or not _indexes(place.text or ""):
            return None
        self.add(self.use, "the compiler left the bounds check out here: it could prove what the verifier cannot")
        headline = (
            f"the compiler could prove that {self.what} stays in bounds and left the check out; the verifier cannot"
        )
        return Story("verifier-imprecision", self.use, headline, self.facts, False)


def _indexes(text: str) -> bool:
    """An index expression of Rust stands in the line: `a[i]`, not `#[..]`, `[0; 4]` or `&[..]`."""
    at = text.find("[")
    while at > 0:
        before = text[at - 1]
        if before.isalnum() or before in ")]_":
            return "get_unchecked" not in text and ".add(" not in text and ".offset(" not in text
        at = text.find("[", at + 1)
    return False


def _low_bits(link: Link) -> int:
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

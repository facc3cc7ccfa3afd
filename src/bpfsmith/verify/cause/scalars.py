"""Why a number has no bound where one is needed: never compared, another copy compared, the wrong comparison, or the
right one whose result was lost.

Kernels keep bounds per register (and stack slot). A comparison tells of the register it names and of registers that
carry the same id; ids are given by copying a register (since 5.9), through the stack since 6.8. Arithmetic keeps bounds
where the result cannot overflow; 32-bit comparisons tell of the low half only. No relation between two numbers is kept.
"""

from __future__ import annotations

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.bounds import HUGE, Need, Story
from bpfsmith.verify.cause.comparisons import EQ, NE, SET, SIGNED, UPPER, comparisons, low_bits, related
from bpfsmith.verify.cause.flow import WHOLE, constant, later, location, read_of, root
from bpfsmith.verify.cause.names import masks
from bpfsmith.verify.cause.result import Fact
from bpfsmith.verify.cause.words import amount, came, quoted, rust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.cause.comparisons import Seen
    from bpfsmith.verify.cause.trace import Link, Step, Trace

    Value = Any

__all__ = ["Need", "Story", "why"]

U32 = 0xFFFFFFFF
FAR = 4000
NEAR = 4
MUL, OR, LSH, MOD, XOR, RIGHT = 2, 4, 6, 9, 0xA, (7, 0xC)


def why(trace: Trace, use: Step, where: str, need: Need, name: str | None = None) -> Story:
    """`where` before `use` is the number that lacks what it needs."""
    return _Search(trace, use, where, need, name).story()


class _Search:
    """One number's way to its use."""

    __slots__ = ("chain", "facts", "need", "seen", "trace", "use", "value", "versions", "what", "where")

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
            if link.source is not None and link.how not in WHOLE:
                self.versions.append(root(trace, link.step, link.source))
        self.seen = comparisons(trace, use, where, self.chain, self.versions).found

    def story(self) -> Story:
        for find in (
            self.distance,
            self.difference,
            self.unfollowed,
            self.lost,
            self.saved,
            self.kept,
            self.clamped,
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

    # ------------------------------------------------------------ made of two numbers

    def distance(self) -> Story | None:
        """How far the packet's end lies from an address in it, taken for bytes of the packet: it is a number like any
        other."""
        if not self.need.packet:
            return None
        from bpfsmith.verify.cause.ranges import apart

        for link in self.chain:
            insn = link.step.insn
            if link.how != "sub" or not code.by_register(insn):
                continue
            if not apart(self.trace, link.step, f"r{insn.dst}", f"r{insn.src}"):
                continue
            self.facts = [self.trace.fact(link.step, f"{self.what} is the distance of two addresses: any number")]
            self.add(self.use, "so many bytes of the packet are used here: no number shows that they are there")
            headline = f"{self.what} is the distance of two addresses, of which the verifier knows nothing"
            return Story("verifier-imprecision", link.step, headline, self.facts)
        return None

    def difference(self) -> Story | None:
        """A difference of two numbers that were compared with each other, the first of them bounded: the verifier does
        not know that it is not negative."""
        for link in self.chain:
            insn = link.step.insn
            if link.how != "sub" or not code.by_register(insn) or link.source is None:
                if link.how in WHOLE or link.how == "narrow" or not code.by_register(insn):
                    continue
                return None
            other = f"r{insn.src}"
            if constant(link.step, other) is not None or not self.bounded(link):
                return None
            test = related(self.trace, link.step, link.source, other, self.use)
            if test is None:
                return None
            for step in sorted((test, link.step), key=lambda one: one.at):
                if step is test:
                    self.add(test, "the two numbers are compared with each other here: the verifier keeps nothing")
                else:
                    self.add(step, "their difference is computed here: to the verifier it may be negative, or huge")
            self.add(self.use, f"{self.what} is used here: it {amount(self.value) or 'is not bounded'}")
            place = self.trace.own_place(link.step)
            told = place is not None and place.text is not None and "-" in place.text.replace("->", "")
            headline = f"{self.what} is a difference of numbers that were compared, which the verifier does not follow"
            return Story("verifier-imprecision", link.step if told else None, headline, self.facts)
        return None

    def unfollowed(self) -> Story | None:
        """Small numbers, checked, go into an operation of which verifiers know no result: bits that are turned by a
        sign (an absolute value without a branch)."""
        if self.need.zero or not any(one.holds in UPPER and self.constant(one) for one in self.seen):
            return None
        for link in self.chain:
            insn = link.step.insn
            if link.how != "math" or link.source is None or code.operation(insn) not in (OR, XOR):
                continue
            given = [link.step.value(name) for name in code.reads(insn)]
            result = link.step.result(link.where)
            if result is None or not all(_small(value) for value in given) or _small(result):
                continue
            self.add(link.step, f"{self.what} is computed here by an operation of which the verifier knows no result")
            self.add(self.use, f"{self.what} is used here: it {amount(self.value) or 'is not bounded'}")
            place = self.trace.own_place(link.step)
            headline = f"{self.what} is computed from numbers that were checked, in a way the verifier does not follow"
            return Story("verifier-imprecision", link.step if place and place.own else None, headline, self.facts)
        return None

    def bounded(self, link: Link) -> bool:
        """The number that something is subtracted from had a limit."""
        value = link.step.value(link.source or "")
        if value is not None and value.umax is not None and value.umax < HUGE:
            return True
        if value is not None and value.line_no is not None and link.wide:
            return False
        before = [one for one in self.seen if one.step.at < link.step.at and one.holds in UPPER]
        return any(one.chain or not link.wide for one in before)

    # ------------------------------------------------------------ known, and lost

    def lost(self) -> Story | None:
        """The bound was known on the value's own way, and an instruction lost it."""
        if self.need.met(self.value):
            return None
        for at, link in enumerate(self.chain):
            if link.source is None or link.how not in ("fill", "narrow", "mov"):
                continue
            need = self.wanted(at)
            before, after = self.before(at), link.step.result(link.where)
            blind = after is None and link.how == "fill" and self.cut_by(at)
            low = code.width(link.step.insn) if link.how == "fill" else 8
            if not blind and (not need.met(before, low) or after is None or need.met(after)):
                continue
            tests = [one for one in self.seen if one.step.at < link.step.at and one.chain]
            if not tests and link.how != "fill":
                continue
            if link.how == "fill" and before is not None and after is not None and before.umax == after.umax:
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

    def wanted(self, at: int) -> Need:
        """What is needed of the value at a station; some limit where factors and sums lie between it and the use."""
        factor = 1 if at == 0 else self.scale(self.chain[at])
        sums = any(link.how in ("add", "sub") for link in self.chain[:at])
        most = self.need.most // factor if self.need.most is not None and factor and not sums else None
        return Need(self.need.low, self.need.zero, most)

    def cut_by(self, at: int) -> bool:
        """What is read back was checked before it was saved, and fewer than 8 bytes of it were kept: kernels that print
        no states here lose its range then."""
        link = self.chain[at]
        if code.width(link.step.insn) == 8 or at + 1 >= len(self.chain):
            return False
        saved = self.chain[at + 1].step.at
        if any(one.chain and one.step.at < saved and one.holds in UPPER for one in self.seen):
            return True
        return any(0 < low_bits(link) < 16 for link in self.chain[at + 1 :])  # bounded by a mask

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

    def kept(self) -> Story | None:
        """Checked, put into memory that is not the stack, and read from there: nothing is known of numbers there."""
        first = self.chain[-1] if self.chain else None
        read = read_of(self.trace, self.use, self.where) if first is not None and first.how == "load" else None
        if first is None or read is None:
            return None
        for step in self.trace.steps.back(first.step.at, FAR):
            insn = step.insn
            if not code.is_store(insn) or code.group(insn) != code.STX or (insn.off, code.width(insn)) != read[1:]:
                continue
            if root(self.trace, step, f"r{insn.dst}") != read[0]:
                continue
            value = step.value(f"r{insn.src}")
            asked = any(one.taken is not None for one in self.trace.tests(step, f"r{insn.src}"))
            if not asked or (value is not None and value.line_no is not None and not self.need.met(value)):
                return None
            self.add(step, f"{self.what} is put into memory here, checked: it {amount(value) or 'is in bounds'}")
            self.add(first.step, "it is read from there again: what is known of a number is not kept in memory")
            self.add(self.use, f"{self.what} is used here: it {amount(self.value) or 'is not bounded'}")
            headline = f"{self.what} was checked, and is read again from memory, where its range is not kept"
            return Story("check-lost", first.step, headline, self.facts)
        return None

    def clamped(self) -> Story | None:
        """A copy was cut to the limit where the number is larger, and the number itself is used."""
        for one in reversed(self.seen):
            least = one.least
            if not one.chain or least is None or one.floor or one.taken is None:
                continue
            cut = self.cut(one, least)
            if cut is None:
                continue
            self.add(one.step, f"compared here, to cut a copy of {self.what} that is too large")
            self.add(cut, f"the copy is cut to the limit here; {self.what} itself stays as it is")
            self.add(self.use, f"{self.what} is used here: it {amount(self.value) or 'is not bounded'}")
            headline = f"a copy of {self.what} is cut to the limit, and {self.what} itself is used"
            return Story("check-on-copy", one.step, headline, self.facts)
        return None

    def cut(self, one: Seen, least: int) -> Step | None:
        """Where a register that holds the value on the other way of a comparison got the limit on this one."""
        same = {name for name in self.trace.copies(one.step, one.on) if name.startswith("r")}
        other = [slot for slot in self.trace.successors(one.step.slot) if one.step.next and slot != one.step.next.slot]
        insn = self.trace.insn(other[0]) if other else None
        for _ in range(NEAR):
            if insn is None:
                break
            math = code.group(insn) in (code.ALU, code.ALU64)
            moved = math and code.operation(insn) == code.MOV and code.by_register(insn)
            if moved and f"r{insn.src}" in same | {one.on}:
                same.add(f"r{insn.dst}")
            after = code.successors(insn)
            insn = self.trace.insn(after[0]) if len(after) == 1 else None
        step = one.step.next
        for _ in range(NEAR):
            if step is None or step.at > self.use.at or step.frame != one.step.frame:
                break
            for name in same:
                held = constant(step, name)
                if held is not None and abs(held - least) <= 1:
                    made = self.trace.defined(step, name)
                    return made if made is not None else step
            step = step.next
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
            if self.outside(one):
                return self.told(one, f"the way on from here is the one on which {self.what} is too large",
                                 f"the check of {self.what} goes on where it should leave")  # fmt: skip
            if one.floor and (self.need.low or self.answered()):
                return None
            return self.told(one, "compared here: small numbers are kept out, large ones are not",
                             f"the check of {self.what} sets no upper limit")  # fmt: skip
        bound = [one for one in limits if self.constant(one)]
        if not bound:
            return self.relation(limits[-1])
        one = bound[-1]
        known = one.known
        if one.limit is None and self.unlearnt(one):
            return self.relation(one)
        negative = known is None or known.smin is None or known.smin < 0
        if self.need.low or (one.holds in SIGNED and negative and not self.need.met(known)):
            return self.told(one, f"compared here as signed, with an upper limit only: {self.what} may be negative",
                             f"the check of {self.what} does not exclude negative numbers")  # fmt: skip
        if one.narrow and known is not None and (known.umax is None or known.umax > U32):
            return self.told(one, f"only the low 32 bits of {self.what} are compared here; it is used with 64",
                             f"the check of {self.what} looks at its low 32 bits only")  # fmt: skip
        if known is not None and known.umax is not None and known.umax < 1 << 62:
            return self.told(one, f"checked here: {self.what} {amount(known)}, which is too much for what follows",
                             f"the check of {self.what} allows more than fits")  # fmt: skip
        return None

    def outside(self, one: Seen) -> bool:
        """Of the numbers that come here, not even the least fits."""
        least, most = one.least, self.need.most
        factor = self.scale(self.chain[-1]) if self.chain else 1
        if least is None or one.floor:
            return False
        return least * max(factor, 1) > most if most is not None else not self.need.low

    def answered(self) -> bool:
        """The number is a helper's answer, which is negative for an error: whether it is one was all that was asked."""
        first = self.chain[-1] if self.chain else None
        return first is not None and first.how == "call" and first.where == "r0" and bool(first.step.insn.call)

    def unlearnt(self, one: Seen) -> bool:
        """The comparison with a bounded number gave the value no bound: only constants do so before 6.8."""
        limit, known = one.compared, one.known
        if known is None or limit is None or limit.umax is None:
            return False
        return known.umax is None or known.umax > limit.umax

    def constant(self, one: Seen) -> bool:
        """Compared with something the kernel knows a limit of."""
        if one.other is None:
            return True
        value = one.compared
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
        if self.constant(one):
            text = f"{self.what} is below {limit}, which is bounded: this kernel does not join both"
            return Story("verifier-imprecision", one.step, text, self.facts)
        if later:
            text = f"{self.what} is below {limit}, which is checked later only: the verifier does not join both"
            return Story("verifier-imprecision", one.step, text, self.facts, False)
        headline = f"{self.what} is compared with {limit} only, which has no limit itself"
        return Story("missing-bounds-check", None, headline, self.facts, False)

    def copied(self) -> Story | None:  # noqa: PLR0911 - one return a mistake
        """The comparison was about another register that held the same value, or one made of it."""
        others = [one for one in self.seen if not one.chain and (one.flag is not None or not one.equality)]
        if not others:
            return None
        one = others[-1]
        if one.flag is not None:
            self.add(one.flag, f"whether {self.what} is small enough is computed here as a bit, without a branch")
            self.add(one.step, f"the bit is tested here: of {self.what} nothing is learnt")
            self.add(self.use, f"{self.what} is used here: it {amount(self.value) or 'is not bounded'}")
            headline = f"the check of {self.what} is kept as a bit, from which the verifier learns nothing"
            return Story("check-lost", one.flag, headline, self.facts)
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
        halved = any(_halves(link) for link in self.chain)
        if one.narrow and not halved and not one.again and not self.need.half and self.long(whole):
            return self.told(one, f"only 32 bits of {self.what} are compared here, in {one.on}; it is used with 64",
                             f"the check of {self.what} looks at its low 32 bits only")  # fmt: skip
        cut = one.kept < 64 and (self.value is None or self.value.umax is None or self.value.umax >> one.kept)
        if cut and one.kept < self.bits() and not any(link.how == "and-mask" for link in self.chain):
            return self.told(one, f"only the low {one.kept} bits of {self.what} are compared here; all of it is used",
                             f"the check of {self.what} looks at its low {one.kept} bits only")  # fmt: skip
        place = "in another function" if one.step.frame > self.use.frame else f"in {one.on}"
        self.add(one.step, f"the check is on a copy of {self.what}, {place}")
        self.add(self.use, f"the copy that is used here was not checked: it {amount(self.value) or 'is not bounded'}")
        headline = f"{self.what} is checked in one copy and used in another"
        return Story("check-on-copy", one.step, headline, self.facts, one.version >= 0)

    def bits(self) -> int:
        """How many bits the number began with, as the load and the shifts that extend its sign tell."""
        found = 64
        for link in self.chain:
            insn = link.step.insn
            if link.how == "shift" and code.operation(insn) == LSH and not code.by_register(insn) and insn.imm >= 32:
                found = min(found, 64 - insn.imm)
            elif link.how in ("load", "fill") and code.is_load(insn):
                found = min(found, 8 * code.width(insn))
        return found

    def long(self, value: Value | None) -> bool:
        """The number may have more than 32 bits: as the state says, else by the instruction it began with."""
        if value is not None and value.line_no is not None:
            return value.umax is None or bool(value.umax > U32)
        first = self.chain[-1] if self.chain else None
        if first is None or first.how not in ("load", "call"):
            return False
        return first.how == "call" or code.width(first.step.insn) == 8

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
            here = self.trace.place(link.step.slot)
            told = place is not None and place.exact and bool(place.text) and here is not None and here.own
            if told and place is not None and not masks(place.text or "", insn.imm):
                continue
            if not told and low_bits(link) >= 64:
                continue
            self.add(link.step, f"the mask {insn.imm & (1 << 64) - 1:#x} keeps more than fits")
            self.add(self.use, f"{self.offset()} is used here: it {amount(self.value) or 'is not bounded'}")
            return Story("check-wrong", link.step, f"the mask of {self.what} keeps more than fits", self.facts, told)
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
            # In Rust a line is checked where it is indexed; C's comparison has its place from what stands before it.
            if place is None or (place.same_line(here) and rust(place)):
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


def _small(value: Value | None) -> bool:
    """A number that is known to lie in some narrow range, negative or not."""
    if value is None or value.type != "scalar":
        return False
    if value.known is not None:
        return True
    return value.smin is not None and value.smax is not None and value.smin > -HUGE and value.smax < HUGE


def _halves(link: Link) -> bool:
    """A station that lets 32 bits or fewer through."""
    insn = link.step.insn
    if link.how in ("spill", "fill"):
        return code.width(insn) < 8
    return link.how == "narrow" or (link.how == "shift" and insn.imm == 32)


def _indexes(text: str) -> bool:
    """An index expression of Rust stands in the line: `a[i]`, not `#[..]`, `[0; 4]` or `&[..]`."""
    at = text.find("[")
    while at > 0:
        before = text[at - 1]
        if before.isalnum() or before in ")]_":
            return "get_unchecked" not in text and ".add(" not in text and ".offset(" not in text
        at = text.find("[", at + 1)
    return False

"""Packet accesses that no comparison with the packet's end covers (V08).

A comparison of a packet pointer with the end gives every pointer of the same id a range: bytes from its base that are
there. A pointer to which an unknown number was added has an id of its own; two additions of the same number have two.
A comparison says nothing when the number added may be larger than 65535, and a call that may move the packet ends all
ranges and all pointers.
"""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.comparisons import LE, LT
from bpfsmith.verify.cause.ends import (
    MOST,
    PACKET,
    Told,
    at_least,
    beyond,
    follows,
    instead_of_context,
    late,
    told,
    words,
)
from bpfsmith.verify.cause.flow import ceiling, constant, read_of, root, variable
from bpfsmith.verify.cause.headers import begins, followed, past
from bpfsmith.verify.cause.ranges import FIELDS, LENGTHS, Check, Fields, checks, holds_on_path, known_range
from bpfsmith.verify.cause.result import Advice, Cause, Fact
from bpfsmith.verify.cause.scalars import Need, why
from bpfsmith.verify.cause.words import amount, came, octets, quoted, register, said, subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

    Value = Any

__all__ = ["examine", "find"]

FAR = 4000
NEAR = 10
# Ends of headers people check for: link, VLAN, network and transport headers, alone and one after another.
_HEADERS = frozenset((8, 14, 18, 20, 22, 26, 28, 34, 38, 40, 42, 44, 46, 48, 54, 58, 62, 74))


def find(trace: Trace, match: Match | None) -> Cause | None:  # noqa: PLR0911 - one return a kind
    """None where the log has no path, or the access is not one of a packet."""
    last, where = trace.last, register(trace)
    message = trace.log.message
    if last is None:
        return None
    if "access to the packet is not allowed" in message and (found := instead_of_context(trace, last)) is not None:
        return found
    if (
        "not allow writes" in message
        or "access to the packet is not allowed" in message
        or "cannot write into packet" in message
    ):
        return Cause(
            "environment",
            "high",
            "programs of this type may not do this with packet data",
            place=trace.own_place(last),
            slot=last.slot,
            because=[trace.fact(last, message)],
            advice=[Advice("describe", "use bpf_skb_load_bytes or bpf_skb_store_bytes, or another program type")],
        )
    if where is None:
        return None
    value = last.value(where)
    if code.is_call(last.insn):
        from bpfsmith.verify.cause.memory import find as memory

        return memory(trace, match)
    if code.group(last.insn) in (code.ALU, code.ALU64):
        return None
    if (value is None or value.type not in PACKET) and told(said(trace)) is None:
        return None
    low = any("min value is negative" in line for line in said(trace))
    return examine(trace, last, where, last.insn.off, code.width(last.insn), low)


def examine(trace: Trace, last: Step, where: str, off: int, size: int, low: bool = False) -> Cause | None:
    """Why `size` bytes at `where + off` before `last` are not known to be in the packet."""
    value = last.value(where)
    if value is None or value.type not in PACKET:
        value, off = told(said(trace)), 0  # the message tells of the whole offset
    return None if value is None else _Access(trace, last, where, off, size, value).cause(low)


class _Access:
    """Bytes that are used, and the comparisons before."""

    __slots__ = (
        "added", "chain", "checks", "facts", "have", "last", "moved", "name", "need", "number", "same", "size", "trace",
        "value", "what", "where",
    )  # fmt: skip

    def __init__(self, trace: Trace, last: Step, where: str, off: int, size: int, value: Value) -> None:
        self.trace = trace
        self.last = last
        self.where = where
        self.size = size
        self.value = value
        self.need = int(value.off or 0) + off + size
        self.chain = trace.origin(last, where)
        self.what, self.name = subject(trace, last, where, "the packet pointer")
        self.facts = [one for one in (came(trace, self.chain, self.what),) if one is not None]
        self.checks, self.moved = checks(trace, last, where, value)
        self.added, self.number = variable(self.chain)
        self.same = [one for one in self.checks if one.same and one.right]
        # Kernels print the registers an instruction names, not all that a comparison tells of: the message knows.
        message = told(said(trace))
        self.have = known_range(message) if message is not None and message.range else known_range(value)

    def add(self, step: Step, text: str) -> None:
        self.facts.append(self.trace.fact(step, text))

    def cause(self, low: bool) -> Cause:
        if low and self.added is not None and self.number is not None:
            return self.negative(self.added, self.number)
        if low:
            return self.missing("moved by a number that may be negative or too large: no check of it counts")
        ways = (
            self.unlimited,
            self.by_length,
            self.short,
            self.wrong_end,
            self.moved_on,
            self.other,
            self.stale,
            self.as_number,
            self.as_field,
        )
        for find_one in ways:
            found = find_one()
            if found is not None:
                if self.name and self.name not in found.variables:
                    found.variables.insert(0, self.name)
                return found
        return self.missing()

    def negative(self, added: Step, number: str) -> Cause:
        story = why(self.trace, added, number, Need(low=True))
        at = story.step if story.step is not None else self.last
        self.facts = story.facts
        self.add(self.last, f"{octets(self.size)} used here, before the packet's start when it is negative")
        name = self.trace.name(added, number)
        return Cause(
            story.cls,
            "high" if story.sure else "medium",
            story.headline,
            place=self.trace.own_place(at if story.slot is None else story.slot),
            slot=at.slot,
            because=self.facts,
            variables=[name] if name else [],
            advice=[Advice("check-bounds", "check that it is not negative before it is added", name=name)],
        )

    def unlimited(self) -> Cause | None:
        """Compared, but with a number inside that may be larger than any packet."""
        added, number = self.added, self.number
        if not self.same or not self.value.umax or added is None or number is None:
            return None
        there = self.same[-1].step.value(self.same[-1].on)
        beside = max(0, self.same[-1].off)
        if there is not None and there.umax is not None:
            # Kernels from 7.1 on count the constant part in.
            beside = max(0, int(there.umax) + int(there.off or 0) - int(self.value.umax))
        if self.value.umax + beside <= MOST:
            return None
        name = self.trace.name(added, number)
        offset = quoted(name, "the offset")
        story = why(self.trace, added, number, Need(most=MOST - beside))
        self.facts = story.facts
        self.add(added, f"{offset} is added here and {amount(added.value(number)) or 'is not bounded'}")
        self.add(self.same[-1].step, f"this check counts for nothing while {offset} may be larger than {MOST}")
        self.add(self.last, f"{octets(self.size)} used here")
        at = story.step if story.step is not None else added
        return Cause(
            story.cls,
            "high" if story.sure else "medium",
            f"{offset} may be larger than {MOST}: the verifier then ignores the check against the packet's end",
            place=self.trace.own_place(at),
            slot=at.slot,
            because=self.facts,
            variables=[name] if name else [],
            advice=[Advice("mask-offset", f"limit {offset} before it is added", name=name, most=MOST)],
        )

    def by_length(self) -> Cause | None:
        """Compared for as many bytes behind the pointer as a number says that may be 0."""
        used = root(self.trace, self.last, self.where)
        for one in reversed(self.checks):
            if one.same:
                return None
            for link in self.trace.origin(one.step, one.on):
                insn = link.step.insn
                if link.how != "add" or not code.by_register(insn) or link.source is None:
                    continue
                if root(self.trace, link.step, link.source) != used:
                    break
                number = f"r{insn.src}" if link.source == f"r{insn.dst}" else f"r{insn.dst}"
                value = link.step.value(number)
                if value is None or value.line_no is None or value.known is not None or value.umin:
                    break
                name = quoted(self.trace.name(link.step, number), "a number")
                self.add(one.step, f"compared here: as many bytes are there as {name} says, which may be 0")
                self.add(self.last, f"{octets(self.size)} used here, however many those are")
                return self.wrong(one, f"the check covers as many bytes as {name} says, which may be 0")
        return None

    def short(self) -> Cause | None:  # noqa: PLR0911 - one return a mistake
        """Compared, but for fewer bytes, or on the way where it failed."""
        if not self.same:
            return None
        one = self.same[-1]
        have, start = self.have - self.folded(), self.need - self.size
        if have <= 0:
            if one.step.taken is None:
                return None
            if one.off + 1 >= self.need and holds_on_path(one) == LT:
                self.add(one.step, "on the way from here the end lies behind this address: one byte is there")
                self.add(
                    self.last, f"{self.size} byte is used here: from a comparison without an addition nothing is learnt"
                )
                headline = "the check is right, and the compiler wrote it in a form the verifier learns nothing from"
                found = self.wrong(one, headline)
                found.cls = "verifier-imprecision"
                return found
            if (again := self.read_again(one)) is not None:
                return again
            if code.operation(one.step.insn) in (1, 5):
                text = "compared for equality here, which says nothing of what lies between"
                headline = f"the check of {self.what} asks for equality only"
            elif one.off <= 0 and one.off < self.need:
                return self.begins(one)
            else:
                text = "the way on from here is the one on which the bytes are not there"
                headline = f"the check of {self.what} goes on where it should leave"
            self.add(one.step, text)
            self.add(self.last, f"{octets(self.size)} used here all the same")
            return self.wrong(one, headline)
        if self.added is not None and have == one.off <= start and start - have <= MOST:
            return self.begins(one)  # of a pointer with an unknown number in it: what was compared is where it leads
        whole = have in _HEADERS or self.used_up(have)
        inside = self.inside(one, start, have)
        if not inside:
            used = root(self.trace, one.step, one.on) == root(self.trace, self.last, self.where)
            begun = used and inside is None
            inside = (inside is None and (not whole or self.meant(one))) or begun or self.bare(one)
        if start < have or inside:
            self.add(one.step, f"checked here: {octets(have)} {'is' if have == 1 else 'are'} there")
            self.add(self.last, f"{octets(self.size)} at offset {start} used here: {self.need} are needed")
            return self.wrong(one, f"the check covers {octets(have)} of the packet, and {self.need} are used")
        self.add(one.step, f"checked here: the first {have} bytes are there")
        return None

    def read_again(self, one: Check) -> Cause | None:
        """The right comparison, of a pointer that was read from the context before; this one was read again."""
        holds = holds_on_path(one)
        first = [
            next((link.step.at for link in chain if link.how == "load"), None)
            for chain in (self.trace.origin(one.step, one.on), self.chain)
        ]
        if holds not in (LT, LE) or one.off < self.need or None in first or first[0] == first[1] or self.added:
            return None
        self.add(one.step, f"compared here: {octets(max(one.off, 0))} are there, of the pointer that was read before")
        self.add(self.last, f"{octets(self.size)} used here through another reading, of which nothing was compared")
        return parts.cause(
            self.trace,
            "check-on-copy",
            "high",
            "the check is on one reading of the packet's start, the access goes through another",
            step=one.step,
            because=self.facts,
            advice=[Advice("check-packet", "use the very pointer that was compared", need=self.need)],
        )

    def begins(self, one: Check) -> Cause:
        self.add(one.step, "compared here: what lies before this address is shown to be there, nothing behind it")
        behind = self.need - max(one.off, 0)
        self.add(self.last, f"{octets(behind)} behind it used here")
        return self.wrong(one, f"the check compares where {self.what} begins, not where it ends", behind)

    def wrong(self, one: Check, headline: str, need: int | None = None) -> Cause:
        """`need`: bytes behind what is compared, where that is not the start of the packet."""
        more = beyond(self.trace, self.last, self.where, self.size)
        tip = f"compare with the end for {at_least(self.need, more)}"
        if need is not None:
            tip = f"compare the address {at_least(need, more)} further on with the end"
        return Cause(
            "check-wrong",
            "high",
            headline,
            place=self.trace.own_place(one.step),
            slot=one.step.slot,
            because=self.facts,
            advice=[Advice("check-packet", tip, need=self.need + more)],
        )

    def folded(self) -> int:
        """What kernels from 7.1 on count in: there the range begins where the pointer does that no number was added to,
        and the message's offset holds the largest the number may be."""
        unknown, most = self.value.var_off and self.value.var_off[1], int(self.value.umax or 0)
        if not unknown or not most or self.have < most:
            return 0
        return most if any(f"off={self.need - self.size + most} " in line for line in said(self.trace)) else 0

    def meant(self, one: Check) -> bool:
        """The line of the check is about the variable that is used: the check was meant for it."""
        check, use = self.trace.own_place(one.step), self.trace.own_place(self.last)
        if check is None or use is None or check.text is None or use.text is None or check.same_line(use):
            return False
        pointers = {word for word in words(use.text) if follows(use.text, word)}
        return bool(pointers & words(check.text))

    def inside(self, one: Check, start: int, have: int) -> bool | None:
        """What is used is of a header of which the check covers a part, as the lines of both tell; None where they do
        not."""
        check, use = self.trace.own_place(one.step), self.trace.own_place(self.last)
        text = check.text if check is not None else None
        if use is None or not use.text or not text or use.same_line(check) or self.added is not None:
            return None
        starts = begins(use.text, start)
        mine, whole = self.pointers(use.text), past(text)
        if mine and whole:
            return bool(whole & mine)
        found = {first < have for several in starts.values() for first in several}
        return found.pop() if len(found) == 1 else None

    def used_up(self, have: int) -> bool:
        """What the check covers was read to its last byte: it was meant for that, and not for what follows."""
        for step in self.trace.steps.back(self.last.at, FAR):
            insn = step.insn
            value = step.value(f"r{insn.src}") if code.group(insn) == code.LDX else None
            if value is None or value.type != self.value.type or (value.var_off and value.var_off[1]):
                continue
            if int(value.off or 0) + insn.off + code.width(insn) == have:
                return self.added is None
        return False

    def pointers(self, text: str) -> set[str]:
        """What a line reads through."""
        return {pointer for pointer, _ in followed(text)} | {word for word in words(text) if follows(text, word)}

    def another(self, after: code.Insn) -> bool:
        """The line of a later comparison is about another pointer than the one that is used."""
        check, use = self.trace.own_place(after.slot), self.trace.own_place(self.last)
        if check is None or use is None or not check.text or not use.text:
            return False
        mine = self.pointers(use.text)
        theirs = past(check.text)
        return bool(mine and theirs) and not mine & theirs

    def bare(self, one: Check) -> bool:
        """The line of the check names an address and no size: it compares where something begins."""
        place = self.trace.own_place(one.step)
        if place is None or not place.text or not any(sign in place.text for sign in "<>"):
            return False
        sizes = any(word in place.text.lower() for word in ("size", "len", "+ 1", "hdr", "add("))
        return not sizes and not any(word[0].isdigit() for word in place.text.replace("(", " ").split())

    def wrong_end(self) -> Cause | None:
        """Metadata compared with the packet's end instead of its start, or the other way round."""
        wrong = [one for one in self.checks if not one.right and one.same]
        if self.same or not wrong:
            return None
        meta = self.value.type == "pkt_meta"
        right = "`data`, where metadata ends" if meta else "`data_end`"
        self.add(wrong[-1].step, f"compared here with {'the end of the packet' if meta else 'another address'}")
        self.add(self.last, f"{octets(self.size)} used here")
        return self.wrong(wrong[-1], f"the check of {self.what} has to compare with {right}")

    def other(self) -> Cause | None:
        """The comparison was about another pointer, made by adding the same number once more."""
        added, number = self.added, self.number
        if self.same or added is None or number is None:
            return None
        wanted, read = root(self.trace, added, number, narrow=True), read_of(self.trace, added, number)
        for one in reversed(self.checks):
            there, its = variable(self.trace.origin(one.step, one.on))
            if there is None or its is None or there.at == added.at or wanted[0] < 0:
                continue
            again = root(self.trace, there, its, narrow=True) != wanted
            if again and (read is None or read_of(self.trace, there, its) != read):
                continue
            name = self.trace.name(added, number)
            offset = quoted(name, "the same number")
            self.add(there, f"{offset} is added to the packet's start: the pointer that is checked")
            self.add(one.step, "this pointer is compared with the end")
            how = "read and added" if again else "added"
            self.add(added, f"{offset} is {how} once more: another pointer to the verifier, not checked")
            self.add(self.last, f"{octets(self.size)} used here through the one that was not checked")
            return Cause(
                "check-on-copy",
                "high",
                "the check is on one pointer, the access goes through another that was computed anew",
                place=self.trace.own_place(one.step),
                slot=one.step.slot,
                because=self.facts,
                variables=[name] if name else [],
                advice=[Advice("check-packet", "use the very pointer that was compared", need=self.need)],
            )
        return None

    def moved_on(self) -> Cause | None:
        """Enough bytes were checked for all that the number may be, before it was added: no range is left after."""
        added, number = self.added, self.number
        if self.same or added is None or number is None:
            return None
        link = next((one for one in self.chain if one.step.at == added.at), None)
        most = ceiling(added, number)
        if link is None or link.source is None or most is None:
            return None
        before: Any = added.value(link.source)
        if before is None or before.type not in PACKET:
            before = Told(None, Fields(self.trace, added, link.source, "pkt").offset(added, link.source), 0)
        if before.var_off and before.var_off[1]:
            return None
        former = [one for one in checks(self.trace, added, link.source, before)[0] if one.same and one.right]
        have = max([known_range(before), *(one.off for one in former)])
        # Kernels count the constant part of the pointer into the one that was made of it.
        after = self.need if self.value.off else self.need + int(before.off or 0)
        if not former or after + most > have:
            return None
        name = self.trace.name(added, number)
        offset = quoted(name, "a number")
        self.add(former[-1].step, f"checked here: {octets(have)} are there")
        self.add(added, f"{offset} is added here: of the new address nothing is known, however small the number is")
        self.add(self.last, f"{octets(self.size)} used here")
        place = self.trace.own_place(added)
        if name is None or place is None or name not in words(place.text or ""):
            place = self.trace.own_place(former[-1].step)
        return parts.cause(
            self.trace,
            "check-lost",
            "high",
            f"the check was made before {offset} was added: the verifier keeps no range over that",
            step=added,
            place=place,
            because=self.facts,
            variables=[name],
            advice=[Advice("check-packet", "add first, and compare the new address with the end", need=self.need)],
        )

    def stale(self) -> Cause | None:
        """Compared only before a call that may move the packet."""
        moved = self.moved
        if moved is None or self.checks:
            return None
        call = moved.insn.call or "the call"
        self.add(moved, f"{call} may move the packet: what was checked before it counts no longer")
        self.add(self.last, f"{octets(self.size)} used here without a new check")
        self.facts.sort(key=lambda fact: fact.step if fact.step is not None else 1 << 60)
        return Cause(
            "stale-pointer",
            "high",
            f"the check was made before {call}, which may move the packet, and not again after it",
            place=self.trace.own_place(moved),
            slot=moved.slot,
            because=self.facts,
            advice=[Advice("check-again", f"read data and data_end again after {call} and compare again")],
        )

    def as_number(self) -> Cause | None:
        """The length of the packet was compared, as a number: nothing follows for pointers."""
        if self.same:
            return None
        fields = Fields(self.trace, self.last, self.where, self.value.type)
        for step in self.trace.steps.back(self.last.at, FAR):
            insn = step.insn
            if not code.conditional(insn) or code.operation(insn) in (1, 5):
                continue
            for on in code.reads(insn):
                taken = next((one for one in self.trace.origin(step, on) if one.how == "sub"), None)
                if taken is None or not code.by_register(taken.step.insn):
                    continue
                length = taken.step.insn
                if fields.type(taken.step, f"r{length.dst}") != "pkt_end":
                    continue
                if fields.type(taken.step, f"r{length.src}") not in PACKET:
                    continue
                self.add(taken.step, "the length of the packet is computed here: a number from now on")
                self.add(step, "the number is compared here: nothing is learnt of where pointers may lead")
                self.add(self.last, f"{octets(self.size)} used here")
                found = self.wrong(
                    Check(step, on, 0, False, False),
                    "the check is on the packet's length, a number; the verifier wants one of pointers",
                )
                found.cls = "verifier-imprecision"
                return found
        return None

    def as_field(self) -> Cause | None:
        """The length field of the context was compared: it counts bytes that are not behind the pointer, too."""
        if self.checks:
            return None
        fields = Fields(self.trace, self.last, self.where, self.value.type)
        wanted = LENGTHS.get(FIELDS.index(fields.row)) if fields.row else None
        if wanted is None:
            return None
        for step in self.trace.steps.back(self.last.at, FAR):
            insn = step.insn
            if not code.conditional(insn) or code.operation(insn) in (1, 5):
                continue
            named = code.reads(insn)
            on = next((name for name in named if fields.field(step, name) == wanted), None)
            other = next((name for name in named if name != on), "")
            limit = constant(step, other) if code.by_register(insn) else insn.imm
            if on is None or limit is None or limit + 1 < self.need:
                continue
            self.add(step, "the length in the context is compared here, which is no check of where the packet ends")
            self.add(self.last, f"{octets(self.size)} used here")
            self.facts.sort(key=lambda fact: fact.step if fact.step is not None else 1 << 60)
            return self.wrong(
                Check(step, on, 0, False, False),
                "the check is on the length in the context, which says nothing of the bytes between data and data_end",
            )
        return None

    def around(self) -> Cause | None:
        """A comparison with the end stands in the condition of a branch that the path took, behind another test."""
        if self.checks:
            return None
        for step in self.trace.steps.back(self.last.at, FAR):
            if step.frame != self.last.frame or not code.conditional(step.insn) or step.taken is None:
                continue
            line = self.trace.own_place(step)
            after = step.next
            if line is None or after is None:
                continue
            other = [slot for slot in self.trace.successors(step.slot) if slot != after.slot]
            found = late(self.trace, step, self.where, other, NEAR) if other else None
            place = self.trace.own_place(found.slot) if found is not None else None
            if found is None or place is None or not place.same_line(line):
                continue
            self.add(step, "on this way the comparison with the packet's end in the same condition is left out")
            self.add(self.last, f"{octets(self.size)} used here all the same")
            return self.wrong(
                Check(step, self.where, 0, False, False),
                "the condition compares with the packet's end only where its other part holds",
            )
        return None

    def missing(self, drifted: str = "") -> Cause:
        after = late(self.trace, self.last, self.where)
        if after is not None and self.another(after):
            after = None
        if after is None and (found := self.around()) is not None:
            return found
        unknown = bool(self.value.var_off and self.value.var_off[1])
        at = "at a variable offset" if unknown else f"at offset {self.need - self.size}"
        names = [self.name] if self.name else []
        more = beyond(self.trace, self.last, self.where, self.size)
        tip = f"compare with the end for {at_least(self.need, more)} before"
        advice = Advice("check-packet", tip, need=self.need + more)
        if after is not None:
            self.add(self.last, f"{octets(self.size)} {at} used here")
            place = self.trace.own_place(after.slot)
            self.facts.append(Fact(after.slot, place, "compared with the packet's end only here"))
            headline = f"{self.what} is used before it is compared with the packet's end"
            return Cause("check-wrong", "high", headline, place=place, slot=after.slot, because=self.facts,
                         variables=names, advice=[advice])  # fmt: skip
        covered = (
            "no check against the packet's end reaches that far" if self.checks else "nothing was compared with its end"
        )
        part = bool(self.trace.log.cut & {"head", "middle"})
        if part and not self.checks:
            covered = "what is left of the log has no check against the packet's end"
        have = self.have
        headline = f"{octets(self.size)} of the packet {at} {'is' if self.size == 1 else 'are'} used "
        if drifted:
            at, covered, headline = "here", drifted, f"{self.what} was {drifted}"
            advice = Advice("check-bounds", "limit the number (0 to 65535 at most) before it is added", most=MOST)
        elif have and not self.checks and not unknown and self.need > have:  # the check stands where the log is cut
            covered = f"the checks before cover the first {have} only"
            headline += f"and {covered}"
        elif have and part and not self.checks:
            headline += "beyond what a check covers that is not in this log"
        else:
            headline += "without a check that the packet is long enough"
        self.add(self.last, f"{octets(self.size)} {at} used here, and {covered}")
        return Cause(
            "missing-bounds-check",
            "high",
            headline,
            place=self.trace.own_place(self.last),
            slot=self.last.slot,
            because=self.facts,
            variables=names,
            advice=[advice],
        )

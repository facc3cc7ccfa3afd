"""Accesses beyond what is known to be there: map values, memory of known size, the stack, lengths given to helpers
(V03, V09, V10, V12); packets have a module of their own."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import variable
from bpfsmith.verify.cause.loops import cut_to, lets_in, unrolled
from bpfsmith.verify.cause.names import argument, index
from bpfsmith.verify.cause.names import words as named_words
from bpfsmith.verify.cause.places import check_line, use_line
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place
from bpfsmith.verify.cause.scalars import Need, Story, why
from bpfsmith.verify.cause.words import amount, came, kind, octets, quoted, register, said, subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.cause.trace import Link, Step, Trace
    from bpfsmith.verify.messages import Match

    Value = Any

__all__ = ["find", "told"]

PACKET = ("pkt", "pkt_meta")
STACK = 512


def find(trace: Trace, match: Match | None) -> Cause | None:
    """None where the log has no path or the register is not known."""
    last = trace.last
    where = register(trace)
    if last is None or where is None:
        return None
    value = last.value(where)
    lines = said(trace)
    if value is not None and value.type in PACKET and code.group(last.insn) in (code.LDX, code.ST, code.STX):
        from bpfsmith.verify.cause.packet import find as packet

        return packet(trace, match)
    if code.is_call(last.insn):
        return _call(trace, last, where, lines)
    if value is not None and value.type == "scalar" and code.group(last.insn) not in (code.ALU, code.ALU64):
        return None
    return _access(trace, last, where, lines)


def told(lines: list[str], word: str) -> int | None:
    """The number behind `word=` (or `word `) in any of the lines."""
    for line in lines:
        for mark in (f" {word}=", f",{word}=", f" {word} "):
            rest = line.partition(mark)[2]
            digits = rest[: 1 + len(rest[1:]) - len(rest[1:].lstrip("0123456789"))] if rest else ""
            if digits and digits.lstrip("-").isdigit():
                return int(digits)
    return None


# ---------------------------------------------------------------- loads and stores


def _access(trace: Trace, last: Step, where: str, lines: list[str]) -> Cause | None:
    insn, value = last.insn, last.value(where)
    message = lines[-1] if lines else ""
    if code.group(insn) in (code.ALU, code.ALU64):
        return _math(trace, last, message)
    chain = trace.origin(last, where)
    step, number = variable(chain)
    low = "min value is negative" in message or "min value is outside" in message
    if (value is not None and value.type == "fp") or where == "r10" or "stack" in message:
        return _stack(trace, last, where, chain, step, number, lines)
    if "unbounded memory access" in message and (step is None or number is None):
        return _unbounded(trace, last, where, chain, lines)
    if step is None or number is None or (_constant(value) and "max value" not in message):
        return _beyond(trace, last, where, chain, lines)
    if low and value is not None and value.smin is not None and value.smin >= 0 and (value.off or 0) + insn.off >= 0:
        low = False
    if _inside(value, insn, lines):
        return _imprecise(trace, last, step, number, where)
    need = Need(low=low, most=_most(value, insn, lines))
    return _cause(trace, last, why(trace, step, number, need, _index(trace, last, step, number)), where, lines)


def _imprecise(trace: Trace, last: Step, step: Step, number: str, where: str) -> Cause:
    name = _index(trace, last, step, number)
    what = quoted(name, "the number")
    base, base_name = subject(trace, last, where, kind(last.value(where), said(trace)))
    facts = [trace.fact(step, f"{what} {amount(step.value(number))} and is added to {base} here")]
    facts.append(
        trace.fact(last, "all of these addresses lie inside: the verifier adds up unsigned limits and loses it")
    )
    return parts.cause(
        trace,
        "verifier-imprecision",
        "high",
        f"{what} keeps the access inside {base}, which the verifier loses where it may be negative",
        step=last,
        because=facts,
        variables=[one for one in (name, base_name) if one],
        advice=[Advice("unsigned-index", "use an unsigned index from the start of the memory", name=name)],
    )


def _index(trace: Trace, last: Step, step: Step, number: str) -> str | None:
    """The variable of an index: as it was made, else as the line that uses it says."""
    name = trace.name(step, number)
    for each in (step, last):
        place = trace.own_place(each)
        if name is None and place is not None and place.text:
            name = index(place.text)
    place = trace.own_place(last)
    used = index(place.text) if place is not None and place.text else None
    if name is not None and used is not None and name not in named_words((place and place.text) or ""):
        return used  # what the index was made of is named elsewhere
    return name


def _constant(value: Value | None) -> bool:
    """The address has no variable part, as printed."""
    if value is None or value.line_no is None:
        return False
    if value.smin is not None and value.smin != value.smax:
        return False
    return value.var_off is None or value.var_off[1] == 0


def _inside(value: Value | None, insn: code.Insn, lines: list[str]) -> bool:
    """Every offset the signed bounds allow lies inside: the verifier knows it and does not put it together."""
    size = told(lines, "value_size") or told(lines, "mem_size")
    if size is None and value is not None:
        size = value.mem_size if value.mem_size is not None else (value.map[2] if value.map else None)
    if value is None or size is None or value.smin is None or value.smax is None or value.smin == value.smax:
        return False
    first = int(value.off or 0) + insn.off
    return bool(first + value.smin >= 0 and first + value.smax + code.width(insn) <= size)


def _most(value: Value | None, insn: code.Insn, lines: list[str]) -> int | None:
    """The greatest offset that would do."""
    size = told(lines, "value_size") or told(lines, "mem_size")
    if size is None and value is not None:
        size = value.mem_size if value.mem_size is not None else (value.map[2] if value.map else None)
    if size is None or value is None:
        return None
    return max(0, int(size) - int(value.off or 0) - insn.off - code.width(insn))


def _cause(trace: Trace, last: Step, story: Story, where: str, lines: list[str], what: str = "") -> Cause:
    """The story of a number as the cause of an access."""
    value = last.value(where)
    facts: list[Fact] = list(story.facts)
    ends = what or f"{kind(value, said(trace))} is used here at an offset the verifier cannot bound"
    facts.append(trace.fact(last, ends))
    at = story.step
    use = trace.own_place(last)
    place = trace.own_place(at if at is not None else last)
    if at is not None and story.cls in ("check-wrong", "check-on-copy") and code.conditional(at.insn):
        place = check_line(trace, at, _named(story), use)
        facts = [_moved(fact, at, place) for fact in facts]
    if story.slot is not None:
        place = trace.own_place(story.slot)
    variables = [word for word in (_named(story),) if word]
    name = trace.name(last, where)
    if name and name not in variables:
        variables.append(name)
    size = told(lines, "value_size") or told(lines, "mem_size")
    advice = _advice(story, _named(story), size, last, what)
    return Cause(
        story.cls,
        "high" if story.sure else "medium",
        story.headline,
        place=place,
        slot=at.slot if at is not None else last.slot,
        because=_tidy(facts),
        variables=variables,
        advice=advice,
    )


def _moved(fact: Fact, at: Step, place: Place | None) -> Fact:
    """A fact about step `at` at the line that was found for it."""
    return Fact(fact.slot, place, fact.text, fact.step) if fact.step == at.id else fact


def _named(story: Story) -> str | None:
    """The source name a headline quotes first."""
    name = story.headline.partition("`")[2].partition("`")[0]
    return name if name.isidentifier() else None


def _tidy(facts: list[Fact]) -> list[Fact]:
    """In the order of the path; one sentence an instruction where two say the same."""
    found: list[Fact] = []
    for fact in facts:
        if not any(fact.slot == one.slot and fact.text == one.text for one in found):
            found.append(fact)
    return found


def _advice(story: Story, named: str | None, size: int | None, last: Step, what: str) -> list[Advice]:
    name = quoted(named, "the length" if "as the length of" in what else "the index")
    if what.endswith("it may be 0"):
        return [Advice("check-bounds", f"leave when {name} is 0, before it is passed", name=named, slot=last.slot)]
    text = {
        "check-wrong": f"correct the check: {name} has to stay in range",
        "check-on-copy": "check the very value that is used, right before its use; or mask it there",
        "check-lost": "check once more right before the use, or mask the value there",
        "verifier-imprecision": "compare with a constant right before the use",
    }.get(story.cls, f"compare {name} with the size before its use")
    return [Advice("check-bounds", text, name=named, size=size, slot=last.slot)]


def _unbounded(trace: Trace, last: Step, where: str, chain: list[Link], lines: list[str]) -> Cause:
    """An offset without a limit, added where the log does not show it."""
    value = last.value(where)
    thing, name = subject(trace, last, where, kind(value, lines))
    if value is None and name is None:
        thing = "the memory"
    place = trace.own_place(last)
    number = index(place.text) if place is not None and place.text else None
    size = None
    if value is not None:
        size = value.map[2] if value.map else value.mem_size
    top = value.umax if value is not None else None
    reach = f"up to {top}" if top is not None and 0 < top < 1 << 62 else "without a limit"
    has = f", and has {octets(size)}" if size else ""
    offset = f"`{number}`," if number and number != name else "an offset"
    facts = [one for one in (came(trace, chain, thing),) if one is not None]
    facts.append(trace.fact(last, f"{thing} is used here at {offset} {reach}"))
    tip = "limit the offset right before it is added: mask it, or compare it with the size"
    return Cause(
        "missing-bounds-check",
        "medium",
        f"{thing} is used at {offset} {reach}{has}",
        place=place,
        slot=last.slot,
        because=facts,
        variables=[one for one in (number, name) if one],
        advice=[Advice("check-bounds", tip, name=number, size=size, slot=last.slot)],
    )


def _beyond(trace: Trace, last: Step, where: str, chain: list[Link], lines: list[str]) -> Cause:
    """A constant offset beyond the end."""
    value, insn = last.value(where), last.insn
    size = told(lines, "value_size") or told(lines, "mem_size")
    off, width = told(lines, "off"), told(lines, "size")
    thing, name = subject(trace, last, where, kind(value, lines))
    facts = [one for one in (came(trace, chain, thing),) if one is not None]
    first = ((value.off or 0) if value is not None else 0) + insn.off if off is None else off
    wide = width or code.width(insn)
    known = f" of {size}" if size is not None else ""
    facts.append(trace.fact(last, f"{octets(wide)} at offset {first} used here{known}"))
    limit = lets_in(trace, last, chain) or unrolled(trace, last)
    if limit is not None:
        facts.insert(len(facts) - 1, trace.fact(limit, "the limit of the loop lets it come here once too often"))
        return parts.cause(
            trace,
            "check-wrong",
            "medium",
            f"the loop goes on beyond the end of {thing}",
            step=limit,
            because=facts,
            variables=[name],
            advice=[Advice("limit-loop", _rounds(size, wide), size=size)],
        )
    cut = cut_to(trace, last, chain)
    if cut is not None:
        facts.insert(len(facts) - 1, trace.fact(cut, "what is larger than this limit is cut to it"))
        return parts.cause(
            trace,
            "check-wrong",
            "high",
            f"the limit that the offset is cut to lies beyond the end of {thing}",
            step=cut,
            because=facts,
            variables=[name],
            advice=[Advice("fit-size", "cut it to the last number that fits", size=size)],
        )
    held = _held(value, lines)
    stack = held == "the stack" and first + wide > 0  # a frame ends at 0
    edge = "start" if first < 0 and not stack else "end"
    side = "before" if edge == "end" else "behind"
    beyond = f"{held} has {octets(size)}" if size is not None else f"the {edge} of {held} lies {side} that"
    if first < 0 and size is not None:
        beyond = f"{held} starts at 0"
    return parts.cause(
        trace,
        "missing-bounds-check",
        "high" if size is not None else "medium",
        f"{octets(wide)} at offset {first} {'is' if wide == 1 else 'are'} used, and {beyond}",
        step=last,
        because=facts,
        variables=[name],
        advice=[Advice("fit-size", _fitting(first, wide, size, held), size=size, offset=first, width=wide)],
    )


def _held(value: Value | None, lines: list[str]) -> str:
    """The memory, with its map's name where the state tells it; maps of global variables are named after sections."""
    name = value.map[0] if value is not None and value.type == "map_value" and value.map else None
    if not name:
        return kind(value, lines)
    return "the memory of global variables" if "." in name else f"a value of `{name}`"


def _rounds(size: int | None, wide: int) -> str:
    if not size or not wide:
        return "end the loop earlier"
    return f"end the loop in time: {octets(size)} hold {size // wide} times {octets(wide)}"


def _fitting(first: int, wide: int, size: int | None, held: str) -> str:
    """What an access at a constant offset would have to be, or what it is in."""
    if size is None:
        return "use an offset and a width that lie inside, or make it larger"
    fits = f"use an offset of {'0' if size == wide else f'0 to {size - wide}'} for {octets(wide)}"
    if size < wide:
        fits = f"use {octets(size)} at most"
    return fits if first < 0 else f"{fits}, or make {held} at least {octets(first + wide)} large"


# ---------------------------------------------------------------- arithmetic with a number that has no bound


def _math(trace: Trace, last: Step, message: str) -> Cause | None:
    insn = last.insn
    if not code.by_register(insn):
        return None
    left, right = f"r{insn.dst}", f"r{insn.src}"
    one = last.value(left)
    number = left if one is not None and one.type == "scalar" else right
    pointer = right if number == left else left
    low = "unbounded min value" in message or "value -" in message
    value = last.value(number)
    if value is not None and value.known is not None:
        return None
    base, _ = subject(trace, last, pointer, kind(last.value(pointer), said(trace)))
    name = _index(trace, last, last, number)
    story = why(trace, last, number, Need(low=low, most=_rest(last.value(pointer))), name)
    cause = _cause(trace, last, story, pointer, [message], f"added to {base} here, which has to stay within bounds")
    if story.step is None and story.slot is None:
        cause.place = use_line(trace, cause.place, name)
    return cause


def _rest(value: Value | None) -> int | None:
    """How far an address in a map's value may go on and still have a byte; None where that is not known."""
    if value is None or not value.map or not value.map[2] or not _constant(value):
        return None
    return max(0, int(value.map[2]) - int(value.off or 0) - 1)


# ---------------------------------------------------------------- the stack


def _stack(
    trace: Trace, last: Step, where: str, chain: list[Link], step: Step | None, number: str | None, lines: list[str]
) -> Cause | None:
    message = lines[-1] if lines else ""
    if step is not None and number is not None:
        return _stack_index(trace, last, where, step, number, message)
    off = told(lines, "off")
    if off is not None and off < -STACK:
        return parts.cause(
            trace,
            "stack-limit",
            "high",
            f"{-off} bytes of stack are used, and a function has {STACK}",
            step=last,
            because=[trace.fact(last, f"{-off} bytes below the top of the frame: there are {STACK}")],
            advice=[Advice("map-scratch", "keep large values in a per-CPU array map", size=-off)],
        )
    if off is not None:
        return _beyond_stack(trace, last, chain, off, lines)
    return None


def _stack_index(trace: Trace, last: Step, where: str, step: Step, number: str, message: str) -> Cause:
    """An array on the stack at an offset that is not constant."""
    value = step.value(number)
    room = _room(last.value(where), last.insn)
    fits = (
        value is not None
        and value.smin is not None
        and value.smin >= 0
        and value.umax is not None
        and room is not None
        and value.umax <= room
    )
    if fits and "variable" in message:
        name = trace.name(step, number)
        what = quoted(name, "the index")
        facts = [trace.fact(step, f"{what} {amount(value)}: inside the array")]
        facts.append(trace.fact(last, "this kernel takes constant offsets on the stack only"))
        return parts.cause(
            trace,
            "environment",
            "medium",
            f"this kernel does not allow an array on the stack to be indexed by {what}, bounded or not",
            step=last,
            because=facts,
            variables=[name],
            advice=[Advice("map-scratch", "keep the array in a per-CPU array map, or unroll the loop")],
        )
    low = value is not None and value.umax is not None and value.umax < 1 << 62
    need = Need(low=bool(low and value is not None and value.smin is not None and value.smin < 0), most=room)
    what = "an array on the stack is used here at an offset without bound"
    return _cause(trace, last, why(trace, step, number, need), where, [message], what)


def _room(value: Value | None, insn: code.Insn) -> int | None:
    """How far an index may go from an address on the stack up to the frame's top."""
    if value is None:
        return None
    return max(0, -(int(value.off or 0) + insn.off) - code.width(insn))


def _beyond_stack(trace: Trace, last: Step, chain: list[Link], off: int, lines: list[str]) -> Cause:
    size = told(lines, "size") or code.width(last.insn)
    end = off + size
    facts = [trace.fact(last, f"bytes {off} to {end} of the frame are used here; it ends at 0")]
    limit = lets_in(trace, last, chain)
    if limit is not None:
        facts.insert(0, trace.fact(limit, "the limit of the loop lets it come here once too often"))
    return Cause(
        "check-wrong" if limit is not None else "missing-bounds-check",
        "medium",
        f"the access goes {end} bytes beyond the stack frame" if end > 0 else "the access lies outside the stack frame",
        place=trace.own_place(limit if limit is not None else last),
        slot=limit.slot if limit is not None else last.slot,
        because=facts,
        advice=[Advice("fit-size", "use an offset inside the array")],
    )


# ---------------------------------------------------------------- lengths given to helpers


def _call(  # noqa: PLR0912 - one branch a form of message
    trace: Trace, last: Step, where: str, lines: list[str]
) -> Cause | None:
    """A call whose memory argument is too short for its length, or whose length has no bound."""
    if last.insn.call == "bpf_ringbuf_reserve" and where == "r2":
        return _constant_size(trace, last)
    message = lines[-1] if lines else ""
    value = last.value(where)
    length = where
    named = "'var &= const'" in message or "zero-sized" in message or "use unsigned or" in message
    if _is_address(value, where, message) and not named:
        length = f"r{int(where[1:]) + 1}"
        given = last.value(length)
        told_length = trace.origin(last, length) if given is None and length != "r6" else []
        if told_length and told_length[0].how == "const":
            return _fixed_length(trace, last, where, told_length[0].step.insn.imm, lines)
        none = (last.insn.call or "").startswith("bpf_map_")  # keys and values: the map knows their sizes
        if given is None or given.type != "scalar" or length == "r6" or none:
            return _argument(trace, last, where, lines)
    given = last.value(length)
    pointer = f"r{int(length[1:]) - 1}"
    base, base_name = subject(trace, last, pointer, kind(last.value(pointer), said(trace)))
    size = told(lines, "value_size") or told(lines, "mem_size")
    if given is not None and given.known is not None:
        return _fixed_length(trace, last, pointer, given.known, lines)
    zero = "zero-sized" in message or "access_size=0" in message or told(lines[:-1], "size") == 0
    low = "min value is negative" in message
    most = None
    holder = last.value(pointer)
    if size is not None and holder is not None:
        most = max(0, size - int(holder.off or 0))
    elif holder is not None and holder.type == "fp":
        most = -int(holder.off or 0)
    elif holder is not None and holder.type in PACKET and holder.range is not None:
        most = max(0, int(holder.range) - int(holder.off or 0))
    name = trace.name(last, length)
    here = trace.own_place(last)
    if here is not None and here.text and last.insn.call:
        passed = argument(here.text, last.insn.call, int(pointer[1:]) - 1)
        if passed is not None and passed != name:
            base, base_name = quoted(passed, base), passed
        elif base_name == name:
            base, base_name = kind(last.value(pointer), said(trace)), None
    if name is None and here is not None and here.text and last.insn.call:
        name = argument(here.text, last.insn.call, int(length[1:]) - 1)
    packet = (holder is not None and holder.type in PACKET) or any("access to packet" in line for line in lines)
    story = why(trace, last, length, Need(low, zero, most, packet, half=code.is_helper_call(last.insn)), name)
    verb = "may be negative" if low else "may be 0" if zero else "is not bounded by the size of what it is for"
    cause = _cause(
        trace, last, story, pointer, lines,
        f"passed to {last.insn.call or 'the function'} here as the length of {base}: it {verb}",
    )  # fmt: skip
    if base_name and base_name not in cause.variables:
        cause.variables.append(base_name)
    return cause


def _is_address(value: Value | None, where: str, message: str) -> bool:
    """The register the message names is the address, not the length: by its type, else by the words."""
    if value is not None and (value.type != "scalar" or value.line_no is not None):
        return bool(value.type != "scalar")
    return where == "r1" or any(word in message for word in ("stack", "packet", "memory range"))


def _constant_size(trace: Trace, last: Step) -> Cause:
    name = trace.name(last, "r2")
    what = quoted(name, "the size")
    return parts.cause(
        trace,
        "argument-type",
        "high",
        f"{what} has to be a constant: so many bytes are reserved on every path",
        step=last,
        because=[trace.fact(last, f"bpf_ringbuf_reserve is given {what}, which is not the same on every path")],
        variables=[name],
        advice=[Advice("constant-size", "reserve a constant size, or use bpf_ringbuf_output", name=name)],
    )


def _fixed_length(trace: Trace, last: Step, pointer: str, length: int, lines: list[str]) -> Cause | None:
    value = last.value(pointer)
    if value is not None and value.type in PACKET and length > 0:
        from bpfsmith.verify.cause.packet import examine

        return examine(trace, last, pointer, 0, length)
    chain = trace.origin(last, pointer)
    step, number = variable(chain)
    if step is not None and number is not None and (not _constant(value) or "variable-offset" in lines[-1]):
        size = told(lines, "value_size") or told(lines, "mem_size")
        most = max(0, size - length - int(value.off or 0)) if size is not None and value is not None else None
        greatest, off = step.value(number), told(lines, "off")
        if most is None and None not in (size, off) and greatest is not None and greatest.umax is not None:
            most = max(0, int(greatest.umax) - (int(off or 0) + length - int(size or 0)))
        low = value is not None and value.smin is not None and value.smin < 0
        return _cause(trace, last, why(trace, step, number, Need(low=low, most=most)), pointer, lines)
    size = told(lines, "value_size") or told(lines, "mem_size")
    if size is None and value is not None and value.type == "fp":
        size = -int(value.off or 0)
    base, name = subject(trace, last, pointer, kind(value, said(trace)))
    has = f"; there are {size}" if size is not None else ""
    call = last.insn.call or "the function"
    if length <= 0:
        headline = f"{call} is given a length of {length}"
    else:
        headline = f"{call} is given {length} bytes of {base}{has}"
    facts = [one for one in (came(trace, chain, base),) if one is not None]
    facts.append(trace.fact(last, headline))
    return parts.cause(
        trace,
        "missing-bounds-check",
        "medium",
        headline,
        step=last,
        because=facts,
        variables=[name],
        advice=[Advice("fit-size", "pass the size of the memory that is passed", size=size)],
    )


def _argument(trace: Trace, last: Step, where: str, lines: list[str]) -> Cause | None:
    """Memory of a fixed size the callee wants, in another argument than a pair with a length."""
    value = last.value(where)
    if value is not None and value.type in PACKET:
        from bpfsmith.verify.cause.packet import examine

        return examine(trace, last, where, 0, told(lines, "size") or 1)
    chain = trace.origin(last, where)
    step, number = variable(chain)
    if step is not None and number is not None and (not _constant(value) or "variable" in lines[-1]):
        low = value is not None and value.smin is not None and value.smin < 0
        return _cause(trace, last, why(trace, step, number, Need(low=low)), where, lines)
    return _beyond(trace, last, where, chain, lines)

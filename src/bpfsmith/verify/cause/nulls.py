"""Pointers that may be null where they are used (V06).

A comparison with zero tells of every register and stack slot with the same id: copies of a pointer profit, results of
another call do not, and neither does a comparison of the low half.
"""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import address, root
from bpfsmith.verify.cause.names import assigned, followed, follows, words
from bpfsmith.verify.cause.places import lines
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place
from bpfsmith.verify.cause.words import kind, quoted, register

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.cause.trace import Link, Step, Test, Trace
    from bpfsmith.verify.messages import Match

    Value = Any

__all__ = ["find", "named", "origin_call"]

EQ, NE, LSH = 1, 5, 6
FAR = 3000
NEAR = 4
AROUND = 40  # lines


def find(trace: Trace, _match: Match | None) -> Cause | None:
    """None where the log has no path or the register is not known."""
    last, where = trace.last, register(trace)
    if last is None or where is None:
        return None
    value = last.value(where)
    chain = trace.origin(last, where)
    giver = origin_call(chain)
    name = named(trace, last, where)
    asked = _asked(trace, name, giver, last)
    name = None if asked else name
    what = asked or quoted(name, "the pointer")
    facts: list[Fact] = []
    if giver is not None:
        made = f"{what} comes from {_giver(giver)}" if asked else f"{what} is what {_giver(giver)} gave"
        facts.append(trace.fact(giver, f"{made}: it may be null"))
    elif chain:
        facts.append(_start(trace, chain[-1], what))
    arg = next((link for link in chain if link.how == "arg"), None)
    if arg is not None:
        facts.append(trace.fact(arg.step, f"{what} is passed on here as it is"))
    for find_one in (_half, _copied, _other, _late, _meant):
        found = find_one(trace, last, where, what, facts, giver)
        if found is not None:
            found.variables = [name, *found.variables] if name else found.variables
            return found
    place = trace.own_place(last)
    first = _first(trace, last, name, giver) if name else None
    if first is not None:
        place = first
        facts.append(Fact(None, first, f"{what} is followed here first, and nothing before compared it with null"))
        facts.append(trace.fact(last, f"{_use(last, what)}: the compiler put this before the other"))
    else:
        facts.append(trace.fact(last, f"{_use(last, what)}, and nothing on the way compared it with null"))
    return Cause(
        "missing-null-check",
        "high" if giver is not None or (value is not None and value.maybe_null) else "medium",
        f"{what} may be null and is used without a check",
        place=place,
        slot=last.slot,
        because=facts,
        variables=[name] if name else [],
        advice=_advice(name, last, giver, asked),
    )


def _first(trace: Trace, last: Step, name: str, giver: Step | None) -> Place | None:
    """The first line that follows the pointer, where others stand right before the one that was refused: compilers
    put accesses in another order. None where the lines between are not known, or any of them is no plain statement."""
    use = trace.own_place(last)
    if use is None or use.path is None or use.line is None or not use.exact or code.is_call(last.insn):
        return None
    if not follows(use.text or "", name) or (use.text or "").startswith(("}", "else", "case ", "default")):
        return None
    known = lines(trace, use.path)
    first = pending = 0
    for line in range(use.line - 1, max(0, use.line - AROUND), -1):
        text = _statement(known.get(line, "?"))
        if not text:
            continue
        if not text.endswith((";", "{", "}", ":")):
            break  # the head of a branch, or the first part of a statement: what stands below is a part of it
        first, pending = pending or first, 0
        if not _plain(text) or assigned(text) == name:
            break
        if follows(text, name) and f"&{name}->" not in text and "sizeof" not in text:
            pending = line
    if not first or first in _accepted(trace, last, use.path, giver):
        return None
    return Place(use.path, first, 0, known[first], use.function)


def _statement(text: str) -> str:
    """A line without comments."""
    text = text.strip()
    if text.startswith(("* ", "*/", "//", "/*")) or text == "*":
        return ""
    return text.partition("//")[0].partition("/*")[0].strip()


def _plain(text: str) -> bool:
    """Whether a line is a statement that goes on to the next and always does all it says."""
    if text.startswith("unsafe {") and text.endswith(("}", "};")):
        text = text.removeprefix("unsafe {").rstrip(";").removesuffix("}").strip().rstrip(";") + ";"
    heads = ("if", "for", "while", "do", "loop", "match", "switch", "return", "goto", "break", "continue", "case")
    head = text[: next((at for at, letter in enumerate(text) if not letter.isalnum() and letter != "_"), None)]
    return text.endswith(";") and head not in heads and not any(one in text for one in ("{", "}", "?", "&&", "||"))


def _accepted(trace: Trace, last: Step, path: str, giver: Step | None) -> set[int]:
    """Lines whose accesses through the same pointer were let through on the way: they need no check."""
    out = set()
    for step in trace.steps.back(last.at, FAR):
        insn = step.insn
        if giver is not None and step.at <= giver.at:
            break
        if not code.is_load(insn) and not code.is_store(insn):
            continue
        base = insn.src if code.is_load(insn) else insn.dst
        place = trace.own_place(step) if base != 10 else None
        if place is None or place.path != path or not place.line or place.line in out:
            continue
        other = origin_call(trace.origin(step, f"r{base}"))
        if giver is None or (other is not None and other.at == giver.at):
            out.add(place.line)
    return out


def _asked(trace: Trace, name: str | None, giver: Step | None, last: Step) -> str:
    """A map's name in Rust stands for what it was asked for, which no variable holds: "what `BEGUN.get(..)` gives"."""
    if name is None or giver is None or not name.isupper():
        return ""
    for step in (giver, last):
        place = trace.own_place(step)
        rest = ((place.text if place is not None else None) or "").partition(f"{name}.")[2]
        method = rest.partition("(")[0]
        if method.isidentifier() and "(" in rest:
            return f"what `{name}.{method}(..)` gives"
    return ""


def named(trace: Trace, last: Step, where: str) -> str | None:
    """The pointer's variable: as it was made, else the only one its use follows."""
    name = trace.name(last, where)
    if name is None and not code.is_call(last.insn):
        place = trace.own_place(last)
        if place is not None and place.text is not None:
            name = followed(place.text)
    return name


def origin_call(chain: list[Link]) -> Step | None:
    """The call that gave a pointer."""
    for link in chain:
        if link.how == "call":
            return link.step
        if link.how not in ("mov", "spill", "fill", "arg", "return", "add", "sub"):
            return None
    return None


def _giver(step: Step) -> str:
    call = step.insn.call or ""
    return call if call and not call.startswith("pc") else "a function"


def _start(trace: Trace, link: Link, what: str) -> Fact:
    insn = link.step.insn
    if link.how == "load":
        base = link.step.value(f"r{insn.src}")
        return trace.fact(link.step, f"{what} is read from {kind(base)}: it may be null")
    return trace.fact(link.step, f"{what} comes from here: it may be null")


def _use(last: Step, what: str) -> str:
    insn = last.insn
    if code.is_call(insn):
        return f"{what} is passed to {insn.call or 'a function'} here"
    if code.group(insn) in (code.ALU, code.ALU64):
        return f"an offset is added to {what} here"
    return f"{what} is {'read' if code.is_load(insn) else 'written'} through here"


def _advice(name: str | None, last: Step, giver: Step | None, asked: str = "") -> list[Advice]:
    what = quoted(name, "the pointer")
    tip = f"compare {what} with null before this use, and leave when it is"
    if asked:
        tip = f"take {asked} apart before this use: `let Some(value) = .. else {{ return .. }};`"
    return [
        Advice(
            "check-null",
            tip,
            name=name,
            slot=last.slot,
            giver=giver.slot if giver is not None else None,
        )
    ]


def _half(trace: Trace, last: Step, where: str, what: str, facts: list[Fact], giver: Step | None) -> Cause | None:
    """Compared, but its low half only, or something made of it."""
    shift = last.insn
    if code.group(shift) == code.ALU64 and code.operation(shift) == LSH and not code.by_register(shift):
        return _cut(trace, last, what, facts, giver) if shift.imm == 32 else None
    for test in _tests(trace, last, where):
        if test.step is None or not test.narrow or code.operation(test.insn) not in (EQ, NE):
            continue
        facts.append(trace.fact(test.step, f"only the low 32 bits of {what} are compared here, which shows nothing"))
        facts.append(trace.fact(last, _use(last, what)))
        return Cause(
            "check-wrong",
            "high",
            f"the null check of {what} looks at its low 32 bits only",
            place=trace.own_place(test.step),
            slot=test.step.slot,
            because=facts,
            advice=_advice(None, last, giver),
        )
    return None


def _cut(trace: Trace, last: Step, what: str, facts: list[Fact], giver: Step | None) -> Cause | None:
    """Its low half is taken by shifts, to be compared with null."""
    on, slot = last.insn.dst, last.slot
    place = trace.own_place(last)
    compared = place is not None and _null_test(place.text or "")
    for _ in range(NEAR):
        after = trace.successors(slot)
        insn = trace.insn(after[0]) if len(after) == 1 else None
        if insn is None:
            break
        slot = insn.slot
        if code.conditional(insn):
            plain = not code.by_register(insn) and insn.imm == 0 and insn.dst == on
            compared = plain and code.operation(insn) in (EQ, NE)
            break
    if not compared:
        return None
    facts.append(trace.fact(last, f"only the low 32 bits of {what} are taken here, to be compared with null"))
    return parts.cause(
        trace,
        "check-wrong",
        "high",
        f"the null check of {what} looks at its low 32 bits only",
        step=last,
        because=facts,
        advice=_advice(None, last, giver),
    )


def _null_test(text: str) -> bool:
    return text.lstrip("} ").startswith(("if", "else if")) and ("== 0" in text or "!= 0" in text or "!" in text)


def _copied(trace: Trace, last: Step, where: str, what: str, facts: list[Fact], giver: Step | None) -> Cause | None:
    """Compared in another register: kernels before 4.10 learn of that register alone."""
    value = last.value(where)
    if value is None or not value.maybe_null:
        return None
    for test in reversed(_tests(trace, last, where)):
        if test.step is None or not test.copy or test.narrow or test.other != 0:
            continue
        after = test.step.next
        known = after.value(test.on) if after is not None else None
        if code.operation(test.insn) not in (EQ, NE) or known is None or known.maybe_null or known.type == "scalar":
            continue
        facts.append(trace.fact(test.step, f"{test.on} is compared with null here, a copy of {what}"))
        facts.append(trace.fact(last, f"{_use(last, what)} in another register, of which this kernel learnt nothing"))
        return Cause(
            "check-on-copy",
            "high",
            f"the null check is on a copy of {what}, and this kernel knows of the copy only",
            place=trace.own_place(test.step),
            slot=test.step.slot,
            because=facts,
            advice=_advice(None, last, giver),
        )
    return None


def _tests(trace: Trace, last: Step, where: str) -> list[Test]:
    return trace.tests(last, where)


def _other(trace: Trace, last: Step, where: str, what: str, facts: list[Fact], giver: Step | None) -> Cause | None:
    """The answer of another call was compared with null: one for the same key, or one the variable held before."""
    if giver is None or giver.insn.call is None:
        return None
    name = named(trace, last, where)
    for step in trace.steps.back(last.at, FAR):
        insn = step.insn
        if not code.conditional(insn) or code.operation(insn) not in (EQ, NE) or code.by_register(insn) or insn.imm:
            continue
        on = f"r{insn.dst}"
        other = origin_call(trace.origin(step, on))
        if other is None or other.at == giver.at or other.insn.call != giver.insn.call:
            continue
        again = step.next
        if again is None or _null(again.value(on)):
            continue
        same = _same_map(trace, giver, other) and _same_key(trace, giver, other)
        place = trace.own_place(step)
        exact = place is not None and place.exact and not place.same_line(trace.own_place(last))
        before = not same and exact and step.at < giver.at and name is not None and name in words(_text(place))
        if not same and not before:
            continue
        facts.insert(0, trace.fact(other, f"{other.insn.call} is called here too"))
        facts.append(
            trace.fact(step, f"the answer of {'the other' if same else 'that'} call is compared with null here")
        )
        facts.sort(key=lambda fact: -1 if fact.step is None else _order(trace, fact))
        facts.append(trace.fact(last, _use(last, what)))
        headline = f"the null check is on the answer of another call; {what} was not compared"
        if before:
            headline = f"{what} was compared with null before it got another value, and not after"
        return Cause(
            "check-wrong" if before else "check-on-copy",
            "high",
            headline,
            place=place,
            slot=step.slot,
            because=facts,
            advice=_advice(None, last, giver),
        )
    return None


def _meant(trace: Trace, last: Step, where: str, what: str, facts: list[Fact], giver: Step | None) -> Cause | None:
    """Between the call and the use stands a null check of another variable, which was checked before already. The
    compiler leaves the second one out: only the source tells of it."""
    name = named(trace, last, where)
    use = trace.own_place(last)
    made = trace.own_place(giver) if giver is not None else None
    if name is None or use is None or made is None or use.path is None or made.path != use.path:
        return None
    if use.line is None or made.line is None or not made.line < use.line <= made.line + 40:
        return None
    known = lines(trace, use.path)
    for line in range(made.line + 1, use.line):
        other = _null_check(known.get(line, ""))
        if other is None:
            continue
        if other == name:
            return None
        if any(_null_check(known.get(before, "")) == other for before in range(max(1, made.line - 40), made.line)):
            place = Place(use.path, line, 0, known[line], use.function)
            facts.append(Fact(None, place, f"`{other}` is compared with null here once more, not {what}"))
            facts.append(trace.fact(last, _use(last, what)))
            return Cause(
                "check-wrong",
                "medium",
                f"the null check before the use looks at `{other}`, not at {what}",
                place=place,
                because=facts,
                variables=[name, other],
                advice=_advice(name, last, giver),
            )
    return None


def _null_check(text: str) -> str | None:
    """The variable a line compares with null and nothing else: `if (!v)`, `if (v == NULL)`, `if v.is_null() {`."""
    line = text.strip()
    if not line.startswith("if"):
        return None
    inside = line[2:].strip().removesuffix("{").strip()
    if inside.startswith("(") and ")" in inside:
        inside = inside[1 : inside.rfind(")")] if inside.endswith(")") else inside[1 : inside.find(")")]
    for part in (" == NULL", ".is_null()", ".is_none()", " == 0"):
        inside = inside.removesuffix(part)
    inside = inside.lstrip("!").strip()
    return inside if inside.isidentifier() else None


def _text(place: Place | None) -> str:
    return "" if place is None else place.text or ""


def _order(trace: Trace, fact: Fact) -> int:
    """Where a fact stands on the path."""
    for at in range(len(trace.steps) - 1, -1, -1):
        if trace.steps[at].id == fact.step:
            return at
    return -1


def _same_map(trace: Trace, one: Step, other: Step) -> bool:
    """Both calls are about the same map: by the state, or by the number that was loaded."""
    mine, its = one.value("r1"), other.value("r1")
    if mine is not None and its is not None:
        return bool(mine.text == its.text)
    loaded = [trace.origin(step, "r1")[-1:] for step in (one, other)]
    numbers = [links[0].step.insn.imm if links and links[0].how == "const" else None for links in loaded]
    return numbers[0] is not None and numbers[0] == numbers[1]


def _same_key(trace: Trace, one: Step, other: Step) -> bool:
    """Both calls are given the same key: the same bytes on the stack, or the same pointer."""
    mine, its = address(trace, one, "r2"), address(trace, other, "r2")
    if mine is None or its is None:
        return root(trace, one, "r2") == root(trace, other, "r2")
    if root(trace, one, f"fp{mine:+d}:4") == root(trace, other, f"fp{its:+d}:4"):
        return True
    here, there = _constant(trace, one, mine), _constant(trace, other, its)
    return here is not None and here == there


def _constant(trace: Trace, step: Step, off: int) -> int | None:
    """The number stored on the stack at `off`, when it is one."""
    writer = trace.defined(step, f"fp{off:+d}:4")
    if writer is None:
        return None
    insn = writer.insn
    if code.group(insn) == code.ST:
        return insn.imm
    value = writer.value(f"r{insn.src}")
    return None if value is None or value.known is None else int(value.known)


def _null(value: Value | None) -> bool:
    return value is not None and value.known == 0


def _late(trace: Trace, last: Step, where: str, what: str, facts: list[Fact], giver: Step | None) -> Cause | None:
    """Compared only after the use."""
    here = trace.own_place(last)
    for test in _tests(trace, last, where):
        if test.step is not None or code.operation(test.insn) not in (EQ, NE) or test.other != 0:
            continue
        place = trace.own_place(test.insn.slot)
        if place is None or place.same_line(here):
            continue

        facts.append(trace.fact(last, _use(last, what)))
        facts.append(Fact(test.insn.slot, place, "compared with null only here"))
        return Cause(
            "check-wrong",
            "high",
            f"{what} is used before it is compared with null",
            place=place,
            slot=test.insn.slot,
            because=facts,
            advice=_advice(None, last, giver),
        )
    return None

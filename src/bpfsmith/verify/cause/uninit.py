"""Registers and bytes of the stack that are read before anything was written to them."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.panics import NEAR, panic_cause, panicking, trapped
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find"]

ARGUMENTS = ("r1", "r2", "r3", "r4", "r5")


def find(trace: Trace, match: Match | None) -> Cause | None:
    """`uninitialised`, `panic-or-unreachable` where a panic's way fell through, `context-access` for the kernel's own
    bytes on the stack."""
    message = parts.said(trace, match)
    if "__bpf_trap" in message:
        return trapped(trace)
    if "read from stack" in message or "indirect access to stack" in message:
        from bpfsmith.verify.cause import written

        return written.stack(trace, message)
    if "!read_ok" in message or ("is invalid" in message and parts.register(message)):
        return _register(trace, message)
    return None


# ---------------------------------------------------------------- registers


def _register(trace: Trace, message: str) -> Cause | None:  # noqa: PLR0911
    step = trace.last
    reg = parts.register(message)
    if reg is None or (step is None and int(reg[1:]) <= 10):
        return None
    if step is None or int(reg[1:]) > 10:
        return parts.cause(
            trace, "loader-or-metadata", "high", f"the instruction names a register that there is not (`{reg}`)",
            step=step, advice=[Advice("rebuild", "the program's bytes are not what a compiler makes: build it again")],
        )  # fmt: skip
    panic = panicking(trace, step)
    if panic is not None:
        return panic_cause(trace, step, panic, f"the program then runs into code where {reg} was never set")
    if reg in ARGUMENTS and (name := parts.called(step)):
        return _unset_argument(trace, step, reg, name)
    writer = trace.defined(step, reg)
    if writer is not None and writer.frame < step.frame:
        return _missing_argument(trace, step, reg, writer)
    if (short := _contradiction(trace, step)) is not None:
        return _impossible(trace, step, reg, short)
    if writer is not None and code.is_call(writer.insn):
        joined = _joined(trace, step, reg, writer)
        return _clobbered(trace, step, reg, writer) if joined is None else _partly(trace, step, reg, joined)
    if writer is not None and code.group(writer.insn) == code.LD and reg != "r0":
        return _after_load(trace, step, reg, writer)
    if reg == "r0" and code.is_exit(step.insn):
        return _no_return(trace, step)
    whole = len(trace.steps) > 0 and trace.steps[0].slot == 0
    entered = writer is None and whole and step.frame == 0 and reg in ARGUMENTS and reg != "r1"
    if entered and not parts.rust(trace) and _skipped(trace, step, reg) is None:
        return _one_argument(trace, step, reg)
    return _never(trace, step, reg)


def _missing_argument(trace: Trace, step: Step, reg: str, call: Step) -> Cause:
    name = parts.function(trace, step.slot) or "the function"
    if reg not in ARGUMENTS:
        return _never(trace, step, reg)
    which = _ordinal(int(reg[1:]))
    if caller := parts.called(call):  # it decides what a callback gets
        return parts.cause(
            trace, "uninitialised", "high", f"`{caller}` calls `{name}` without a {which} argument, which it uses",
            step=step,
            because=[
                trace.fact(call, f"`{caller}` calls `{name}`: {reg} holds nothing there"),
                trace.fact(step, f"{reg}, the {which} argument, is used here"),
            ],
            advice=[Advice("callback-arguments", f"declare `{name}` with the arguments that `{caller}` gives, and hand "
                                                 "over the rest through its context")],
        )  # fmt: skip
    return parts.cause(
        trace, "uninitialised", "high", f"`{name}` uses its {which} argument ({reg}), and this call does not pass one",
        step=call,
        because=[
            trace.fact(call, f"`{name}` is called and {reg} holds nothing"),
            trace.fact(step, f"{reg}, the {which} argument, is used here"),
        ],
        advice=[Advice("pass-argument", f"pass a value as the {which} argument, or declare it as it is called")],
    )  # fmt: skip


def _one_argument(trace: Trace, step: Step, reg: str) -> Cause:
    return parts.cause(
        trace, "uninitialised", "high",
        f"the kernel calls a program with its context alone: there is no {_ordinal(int(reg[1:]))} argument ({reg})",
        step=step, because=[trace.fact(step, f"{reg} is used here, and nothing on the way sets it")],
        advice=[Advice("context-arguments", "read it from the context (`BPF_PROG`, `BPF_KPROBE` and their like do "
                                            "that), or give the variable a value where it is declared")],
    )  # fmt: skip


def _unset_argument(trace: Trace, step: Step, reg: str, name: str) -> Cause:
    from bpfsmith.facts import helpers

    position = int(reg[1:])
    row = helpers.by_name(name)
    wanted = f", {_article(row.arguments[position - 1])}," if row and position <= len(row.arguments) else ""
    count = f" takes {len(row.arguments)} arguments, and" if row else ":"
    return parts.cause(
        trace, "uninitialised", "high",
        f"`{name}`{count} nothing was passed as the {_ordinal(position)}{wanted.rstrip(',')} ({reg})",
        step=step, because=[trace.fact(step, f"`{name}` is called, and {reg} holds nothing")], variables=[name],
        advice=[
            Advice("pass-argument", f"pass the {_ordinal(position)} argument, and use the helper as its header "
                                    f"declares it",
                   function=name, position=position)
        ],
    )  # fmt: skip


def _article(what: str) -> str:
    return f"{'an' if what[:1] in 'aeiou' else 'a'} {what}"


def _clobbered(trace: Trace, step: Step, reg: str, call: Step) -> Cause:
    name = parts.called(call) or parts.function(trace, call.insn.target) or "a function"
    if reg == "r0":
        return parts.cause(
            trace, "uninitialised", "high", f"`{name}` returns nothing, and its result is used",
            step=step,
            because=[
                trace.fact(call, f"`{name}` leaves no value in r0"),
                trace.fact(step, "r0 is used here" if not code.is_exit(step.insn) else "r0 is returned here"),
            ],
            variables=[name],
            advice=[Advice("return-value", "give the value explicitly (`return 0;`) after the call", call=name)],
        )  # fmt: skip
    earlier = trace.defined(call, reg)
    because: list[Fact | None] = []
    if earlier is not None and earlier.frame == call.frame:
        because.append(trace.fact(earlier, f"{reg} is set"))
    because += [
        trace.fact(call, f"`{name}` is called: r1 to r5 hold nothing afterwards"),
        trace.fact(step, f"{reg} is used here"),
    ]
    return parts.cause(
        trace, "uninitialised", "high",
        f"{reg} is used after the call of `{name}`, which leaves nothing in r1 to r5",
        step=step, because=because, variables=[],
        advice=[
            Advice(
                "reload-after-call",
                f"set {reg} again after the call, or keep the value in r6 to r9 (in inline assembly: name r0 to r5 as "
                "clobbered)",
                register=reg, call=name,
            )
        ],
    )  # fmt: skip


def _after_load(trace: Trace, step: Step, reg: str, load: Step) -> Cause:
    return parts.cause(
        trace, "uninitialised", "high", f"{reg} is used after an old packet load (LD_ABS, LD_IND), which leaves "
                                        f"nothing in it",
        step=step, because=[trace.fact(load, "the load leaves nothing in r1 to r5"),
                            trace.fact(step, f"{reg} is used here")],
        advice=[Advice("reload-after-call", f"set {reg} again after the load, or keep the value in r6 to "
                                            f"r9", register=reg)],
    )  # fmt: skip


def _no_return(trace: Trace, step: Step) -> Cause:
    name = parts.function(trace, step.slot)
    shown = f"`{name}`" if name else "the program"
    end = trace.place(step.slot)
    place = end if end is not None and (end.text or "").startswith("}") else trace.own_place(step)
    if place is not None and place.text is not None and not place.text.startswith("}"):
        place = parts.downward(trace, place, "}", "", 1) or place
    return parts.cause(
        trace, "uninitialised", "high", f"{shown} ends without a return value on this path",
        step=step, place=place,
        because=[trace.fact(step, "the exit hands on r0, and nothing on this path set it")],
        advice=[Advice("return-value", "return a value on every path (`return 0;`), of the declared type", value=0)],
    )  # fmt: skip


def _never(trace: Trace, step: Step, reg: str) -> Cause:
    """Nothing on this path wrote the register: where the path left the one that does."""
    branch = _skipped(trace, step, reg)
    name, place = _variable(trace, step)
    because: list[Fact | None] = []
    if branch is not None:
        because.append(trace.fact(branch, f"this way leaves out where {f'`{name}`' if name else reg} is set"))
    because.append(trace.fact(step, f"{f'`{name}`' if name else reg} is used here and has no value"))
    shown = f"`{name}`" if name else f"the value in {reg}"
    return parts.cause(
        trace, "uninitialised", "medium" if place is None else "high",
        f"{shown} is used here, and on this path nothing has set it",
        step=step, place=place, because=because, variables=[name],
        advice=[Advice("initialise", f"give {shown} a value where it is declared", variable=name)],
    )  # fmt: skip


def _skipped(trace: Trace, step: Step, reg: str) -> Step | None:
    """The branch on the path that left a way on which `reg` is written before it is used."""
    writers = [
        slot for slot, insn in trace.cfg.items() if reg in code.writes(insn) and not code.is_call(insn)
    ]  # fmt: skip
    if not writers:
        return None
    for former in trace.steps.back(step.at, NEAR):
        if former.frame != step.frame or not code.conditional(former.insn):
            continue
        after = former.next
        other = [slot for slot in trace.successors(former.slot) if after is None or slot != after.slot]
        if any(parts.reaches(trace, one, writers, avoid=(step.slot,)) for one in other):
            return former
    return None


# Jumps where the first operand is more (or no less), and where it is less (or no more).
_MORE, _LESS = (2, 3, 6, 7), (0xA, 0xB, 0xC, 0xD)


def _contradiction(trace: Trace, step: Step) -> Step | None:
    """A comparison on the path that found the packet too short for bytes which another one found in it: such a way does
    not exist, and the compiler knows."""
    there: dict[object, int] = {}  # bytes behind a pointer that are in the packet on this way
    for former in trace.steps.back(step.at, NEAR):
        insn = former.insn
        if former.frame != step.frame or not code.conditional(insn) or not code.by_register(insn):
            continue
        behind = former.next  # old kernels tell what is known at the next branch only
        one, other = (
            former.value(reg) or (behind.value(reg) if behind is not None else None)
            for reg in (f"r{insn.dst}", f"r{insn.src}")
        )
        if one is None or other is None or former.taken is None or "pkt_end" not in (one.type, other.type):
            continue
        first = other.type == "pkt_end"
        pointer = one if first else other
        if pointer.type != "pkt" or code.operation(insn) not in (*_MORE, *_LESS):
            continue
        short = ((code.operation(insn) in _MORE) == first) == former.taken
        key = (pointer.id, str(pointer.var_off))
        if not short:
            there[key] = max(there.get(key, 0), pointer.off)
        elif there.get(key, -1) >= pointer.off:
            return former
    return None


def _impossible(trace: Trace, step: Step, reg: str, short: Step) -> Cause:
    return parts.cause(
        trace, "verifier-imprecision", "high",
        "the way to here finds the packet too short for one field and long enough for one behind it: the compiler "
        "knows that there is no such way, the verifier does not",
        step=step,
        because=[
            trace.fact(short, "here the packet is too short, and what would be read is not"),
            trace.fact(step, f"{reg}, which was to be read there, is used here"),
        ],
        advice=[Advice("check-once", "compare once, for all bytes that are read, before the first of them")],
    )  # fmt: skip


def _joined(trace: Trace, step: Step, reg: str, call: Step) -> Step | None:
    """The last step on this path before another way comes in that has set the register."""
    before: dict[int, list[int]] = {}
    for slot in trace.cfg:
        for after in trace.successors(slot):
            before.setdefault(after, []).append(slot)
    for former in trace.steps.back(step.at, NEAR):
        if former.at < call.at:
            return None
        behind = former.next
        for other in before.get(behind.slot, ()) if behind is not None else ():
            if other != former.slot and _sets(trace, other, reg, before):
                return former
    return None


def _sets(trace: Trace, slot: int, reg: str, before: dict[int, list[int]]) -> bool:
    """The straight way that ends in `slot` sets the register, not by a call."""
    for _ in range(16):
        insn = trace.insn(slot)
        if insn is None or code.is_call(insn):
            return False
        if reg in code.writes(insn):
            return True
        ways = before.get(slot, [])
        if len(ways) != 1:
            return False
        slot = ways[0]
    return False


def _partly(trace: Trace, step: Step, reg: str, made: Step) -> Cause:
    """Where ways meet, one of which leaves out part of a value: enums with variants of different length, locals that
    one branch sets."""
    name, place = _variable(trace, step)
    shown = f"`{name}`" if name else "the value"
    return parts.cause(
        trace, "uninitialised", "high" if name else "medium",
        f"{shown} is made here without all of its bytes, and all of them are used where the ways meet",
        step=made, place=place,
        because=[
            trace.fact(made, f"on this way nothing sets what {reg} is to hold; another way that leads on does"),
            trace.fact(step, f"{reg} is used here and has no value"),
        ],
        variables=[name],
        advice=[Advice("initialise", "give every part a value on each way: a struct without variants, or zeroes first",
                       variable=name)],
    )  # fmt: skip


def _variable(trace: Trace, step: Step) -> tuple[str | None, Place | None]:
    """The variable read at `step`, where its line names one that is declared without a value."""
    place = trace.own_place(step)
    if place is None or place.text is None:
        return None, None
    for name in _names(place.text):
        found = parts.declaration(trace, place, name)
        if found is not None and found.text is not None and "=" not in found.text:
            return name, found
    return None, None


def _names(text: str) -> list[str]:
    letters = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text)
    return list(dict.fromkeys(word for word in letters.split() if word.isidentifier()))


def _ordinal(number: int) -> str:
    return ("zeroth", "first", "second", "third", "fourth", "fifth")[number]

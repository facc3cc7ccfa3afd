"""Arithmetic that pointers do not take, and addresses that must be as they were given (V11, V12, V13, V17, V19)."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import gives_pointer
from bpfsmith.verify.cause.nulls import origin_call
from bpfsmith.verify.cause.places import called_from, made_at
from bpfsmith.verify.cause.result import Advice, Cause
from bpfsmith.verify.cause.words import came, kind, register, subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.cause.result import Fact
    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

    Value = Any

__all__ = ["find"]


SHIFTS = (6, 7, 0xC)


def find(trace: Trace, match: Match | None) -> Cause | None:  # noqa: PLR0911 - one return a kind
    """None where the log has no path."""
    last = trace.last
    message = trace.log.message
    if last is None:
        return None
    if "null-check it first" in message or "_or_null prohibited" in message:
        from bpfsmith.verify.cause.nulls import find as nulls

        return nulls(trace, match)
    if "32-bit pointer arithmetic" in message or "partial copy of pointer" in message or "sign-extension" in message:
        return _narrowed(trace, last)
    if "misaligned" in message:
        return _misaligned(trace, last, message)
    if "dereference of modified" in message or "must have zero offset" in message or "negative offset" in message:
        return _modified(trace, last)
    if "variable " in message and "access var_off" in message:
        return _modified(trace, last)
    if any(word in message for word in ("math between", "makes", "pointer offset", "to packet pointer", "to ptr_to_")):
        found = _far(trace, last, match, message)
        if found is not None:
            return found
    if _read_only(message):
        return _written(trace, last, message)
    return _forbidden(trace, last, message)


# Memory with bounds: an offset beyond them is a matter of bounds, not of arithmetic.
_BOUNDED = ("map_value", "pkt", "pkt_meta", "mem", "rdonly_mem", "ringbuf_mem", "alloc_mem", "buf", "fp", "map_key")


def _far(trace: Trace, last: Step, match: Match | None, message: str) -> Cause | None:
    """An offset that leads too far from where a pointer starts."""
    insn = last.insn
    if code.group(insn) == code.ALU64 and code.operation(insn) not in (code.ADD, code.SUB):
        return None
    before = "negative constant to packet" in message or "ptr_to_packet" in message  # of 4.7 to 4.13
    if before or "unbounded" in message or "pointer be out of bounds" in message:
        from bpfsmith.verify.cause.memory import find as memory

        found = memory(trace, match)
        if found is not None:
            return found
    where = f"r{insn.dst}"
    value = last.value(where)
    if value is not None and value.type == "scalar" and code.by_register(insn):
        where = f"r{insn.src}"
        value = last.value(where)
    word = (
        message.partition("math between ")[2].partition(" ")[0] or message.partition(" pointer")[0].rpartition(" ")[2]
    )
    if (value.type if value is not None and value.type != "scalar" else word) not in _BOUNDED:
        return None
    what, name = subject(trace, last, where, kind(value))
    offset = next((part for part in message.split() if part.lstrip("-").isdigit()), "such an offset")
    return parts.cause(
        trace,
        "pointer-arithmetic",
        "medium",
        f"{offset} is too far from where {what} starts for any memory there is",
        step=last,
        because=[trace.fact(last, f"{offset} is added to {what} here")],
        variables=[name],
        advice=[Advice("fit-size", f"use an offset inside of {what}: {offset} is none", offset=offset)],
    )


def _read_only(message: str) -> bool:
    return any(
        part in message
        for part in ("cannot write into", "write into map forbidden", "read from map forbidden", "change key",
                     "read only", "may write into memory")
    )  # fmt: skip


def _forbidden(trace: Trace, last: Step, message: str) -> Cause:
    insn = last.insn
    where = register(trace, message) or f"r{insn.dst}"
    value = last.value(where)
    if (
        code.group(insn) == code.ALU64
        and code.operation(insn) in SHIFTS
        and insn.imm == 32
        and not code.by_register(insn)
    ):
        return _narrowed(trace, last)  # a pair of shifts: how 32 bits of 64 are taken
    what, name = subject(trace, last, where, kind(value))
    facts = [one for one in (came(trace, trace.origin(last, where), what),) if one is not None]
    both = [_nullable(trace, last, f"r{insn.dst}"), _nullable(trace, last, f"r{insn.src}")]
    if "|=" in insn.text and code.by_register(insn) and all(both):
        facts.append(trace.fact(last, "both pointers are joined here (`|=`), to compare them with null at once"))
        return parts.cause(
            trace,
            "check-wrong",
            "medium",
            f"one comparison asks whether both pointers are null ({what} and another): each has to be compared alone",
            step=last,
            because=facts,
            variables=[name],
            advice=[Advice("check-null", "leave when one of them is null (`||` in place of `&&`), each by itself")],
        )
    facts.append(trace.fact(last, f"`{_bare(insn.text)}`: not allowed with {kind(value)}" if value else message))
    named = f", {kind(value)}," if name else ""
    return parts.cause(
        trace,
        "pointer-arithmetic",
        "high" if value is not None else "medium",
        f"{what}{named} takes no such arithmetic",
        step=last,
        because=facts,
        variables=[name],
        advice=[
            Advice(
                "use-offset",
                f"compute with a number beside it, and leave {what} as it is:"
                f" an address takes no `{_operator(insn.text)}`",
            )
        ],
    )


def _operator(text: str) -> str:
    """The operator of an instruction: `>>=` of `r1 >>= 6`."""
    return next(
        (word for word in text.split() if word and not word[0].isalnum() and word[0] not in "(;-"), "such arithmetic"
    )


def _nullable(trace: Trace, last: Step, where: str) -> bool:
    """A pointer that may be null: as the state says, else what a helper gave that answers one."""
    value = last.value(where)
    if value is not None and (value.type != "scalar" or value.line_no is not None):
        return bool(value.maybe_null)
    giver = origin_call(trace.origin(last, where))
    return giver is not None and gives_pointer(giver.insn)


def _bare(text: str) -> str:
    """An instruction's text without its operation code."""
    return text.partition(") ")[2] if text.startswith("(") else text


def _narrowed(trace: Trace, last: Step) -> Cause:
    insn = last.insn
    where = f"r{insn.src}" if code.operation(insn) == code.MOV else f"r{insn.dst}"
    what, name = subject(trace, last, where, kind(last.value(where)))
    chain = trace.origin(last, where)
    facts = [one for one in (came(trace, chain, what),) if one is not None]
    at = chain[0].step if chain and chain[0].how == "add" else last
    if at is not last:
        facts.append(trace.fact(at, f"{what} is computed here, as a number of 32 bits"))
    facts.append(trace.fact(last, f"32 bits of {what} are used here, and a pointer has 64"))
    return Cause(
        "pointer-to-scalar",
        "high",
        f"{what} is a pointer, and only 32 bits of it are used",
        place=made_at(trace, at, None if chain and origin_call(chain) is not None else name),
        slot=at.slot,
        because=facts,
        variables=[name] if name else [],
        advice=[Advice("keep-pointer", "no casts of pointers to 32-bit integers")],
    )


def _modified(trace: Trace, last: Step) -> Cause:
    """A pointer that has to be used as it was given: the addition that changed it."""
    where = register(trace)
    if where is None:
        insn = last.insn
        where = f"r{insn.src}" if code.is_load(insn) else f"r{insn.dst}"
    value = last.value(where)
    what, name = subject(trace, last, where, "the pointer")
    change = next((link for link in trace.origin(last, where) if link.how in ("add", "sub", "math")), None)
    pointed = f" to {kind(value)}" if value is not None else ""
    facts: list[Fact] = []
    at = last
    if change is not None:
        at = change.step
        facts.append(trace.fact(at, f"{what} is moved here: `{_bare(at.insn.text)}`"))
    facts.append(trace.fact(last, "it is used here, and such a pointer may only be used as it was given"))
    return parts.cause(
        trace,
        "pointer-arithmetic",
        "high" if change is not None else "medium",
        f"{what}{pointed} was moved before its use",
        step=at,
        because=facts,
        variables=[name],
        advice=[
            Advice(
                "constant-offset",
                f"use {what} as it was before `{_bare(at.insn.text)}`, with a constant offset where it is used"
                if change is not None
                else f"use {what} as it was given, with a constant offset where it is used",
            )
        ],
    )


def _misaligned(trace: Trace, last: Step, message: str) -> Cause:
    insn = last.insn
    if code.is_call(insn):
        return _misaligned_argument(trace, last, message)
    where = f"r{insn.src}" if code.is_load(insn) else f"r{insn.dst}"
    what, name = subject(trace, last, where, kind(last.value(where)))
    size = message.rpartition("size ")[2].partition(" ")[0]
    wide = size if size.isdigit() else str(code.width(insn))
    facts: list[Fact] = []
    place = trace.own_place(last)
    for link in trace.origin(last, where):
        moved = link.step.insn
        if link.how in ("add", "sub") and not code.by_register(moved) and moved.imm % int(wide):
            facts.append(trace.fact(link.step, f"{what} is moved by {moved.imm} here"))
            place = trace.own_place(link.step)
            break
    else:
        place = called_from(trace, last) or place
    facts.append(trace.fact(last, f"{wide} bytes are used here at an address that is not a multiple of {wide}"))
    return Cause(
        "pointer-arithmetic",
        "high",
        f"{wide} bytes of {what} are used at an address that is not a multiple of {wide}",
        place=place,
        slot=last.slot,
        because=facts,
        variables=[name] if name else [],
        advice=[
            Advice(
                "align",
                f"put the {wide} bytes at an offset that is a multiple of {wide} (no `packed`, no field of another size"
                " before it), or copy them byte by byte",
                size=int(wide),
            )
        ],
    )


def _misaligned_argument(trace: Trace, last: Step, message: str) -> Cause:
    """A function that reads or writes a whole number was given the address of a smaller one."""
    call = last.insn.call or "the function"
    size = message.rpartition("size ")[2].partition(" ")[0]
    wide = size if size.isdigit() else "8"
    return parts.cause(
        trace,
        "argument-type",
        "high",
        f"{call} is given an address that is not a multiple of {wide}: it wants memory for {wide} bytes",
        step=last,
        because=[trace.fact(last, f"{call} uses {wide} bytes here, at an address that is not a multiple of {wide}")],
        variables=[],
        advice=[Advice("align", f"pass the address of a variable of {wide} bytes (`long`)", size=int(wide))],
    )


def _written(trace: Trace, last: Step, message: str) -> Cause:
    insn = last.insn
    where = register(trace, message) or f"r{insn.dst}"
    value = last.value(where)
    what, name = subject(trace, last, where, kind(value))
    reading = "read from" in message
    facts = [one for one in (came(trace, trace.origin(last, where), what),) if one is not None]
    verb = "read" if reading else "written"
    by = f" by {insn.call}" if code.is_call(insn) and insn.call else ""
    facts.append(trace.fact(last, f"{verb} here{by}, which is not allowed: {message}"))
    return parts.cause(
        trace,
        "context-access",
        "high",
        f"{what} may not be {verb}" if value is not None and value.type != "scalar" else message,
        step=last,
        because=facts,
        variables=[name],
        advice=[Advice("copy", "write to a copy on the stack, or to a map that programs may write")],
    )

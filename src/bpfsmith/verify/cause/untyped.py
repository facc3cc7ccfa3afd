"""Numbers that are used as pointers (V07): what turned the pointer into a number, or loaded it as one."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import gives_pointer, root
from bpfsmith.verify.cause.nulls import origin_call
from bpfsmith.verify.cause.places import beside
from bpfsmith.verify.cause.result import Advice, Cause
from bpfsmith.verify.cause.words import kind, quoted, register

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith.verify.cause.result import Fact
    from bpfsmith.verify.cause.trace import Link, Step, Trace
    from bpfsmith.verify.messages import Match

    Value = Any

__all__ = ["find"]

PACKET = ("pkt", "pkt_meta", "pkt_end")
FAR = 4000
PLAIN = ("mov", "spill", "fill", "add", "sub", "arg", "return")
EQ, NE = 1, 5


def find(trace: Trace, _match: Match | None) -> Cause | None:
    """None where the log has no path, or the register holds a number that never was a pointer."""
    last, where = trace.last, register(trace)
    if last is None or where is None:
        return None
    message = trace.log.message
    if "32-bit pointer" in message or "partial copy" in message or "sign-extension" in message:
        from bpfsmith.verify.cause.arithmetic import find as arithmetic

        return arithmetic(trace, _match)
    chain = trace.origin(last, where)
    name = trace.name(last, where)
    what = quoted(name, "the address")
    for find_one in (_null, _stale, _turned, _passed, _loaded, _given):
        found = find_one(trace, last, where, chain, what)
        if found is not None:
            if name and name not in found.variables:
                found.variables.insert(0, name)
            return found
    return None


def _use(trace: Trace, last: Step, what: str) -> Fact:
    insn = last.insn
    if code.is_call(insn):
        return trace.fact(last, f"{what} is passed to {insn.call or 'a function'} here, which wants a pointer")
    if code.is_load(insn):
        return trace.fact(last, f"{what} is read through here: to the verifier it is a number")
    return trace.fact(last, f"{what} is used here as an address: to the verifier it is a number")


def _pointer(value: Value | None) -> bool:
    return value is not None and value.type not in ("scalar", "", None)


# ---------------------------------------------------------------- null on this path


def _null(trace: Trace, last: Step, where: str, chain: list[Link], _what: str) -> Cause | None:
    """The number is 0: the path on which a null check failed goes on to the use."""
    value = last.value(where)
    null = chain and chain[-1].how == "const" and chain[-1].step.insn.imm == 0
    if not null and (value is None or value.known is None or not 0 <= value.known < 4096):
        return None
    first = chain[-1].step if chain and chain[-1].how == "const" else None
    for step in trace.steps.back(last.at, FAR):
        test = step.insn
        if not code.conditional(test) or code.operation(test) not in (EQ, NE) or code.by_register(test) or test.imm:
            continue
        on = f"r{test.dst}"
        before = step.value(on)
        after = step.next.value(on) if step.next is not None else None
        if (before is not None and before.line_no is not None and not before.maybe_null) or not _is_null(step, after):
            continue
        giver = origin_call(trace.origin(step, on))
        if giver is not None and not gives_pointer(giver.insn) and (before is None or not before.maybe_null):
            continue
        if giver is None and before is None:
            continue
        # Compilers put the constant for what is known to be null.
        known = first is not None and first.insn.imm == 0 and chain[0].step.at > step.at
        if not known and not _comes(trace, chain, last, where, root(trace, step, on)):
            continue
        return _null_followed(trace, last, step, giver, trace.name(step, on))
    return None


def _is_null(step: Step, after: Value | None) -> bool:
    """The path goes on where what is compared is null."""
    if after is not None and after.line_no is not None and after.known is not None:
        return bool(after.known == 0)
    return step.taken is not None and (code.operation(step.insn) == EQ) == step.taken


def _null_followed(trace: Trace, last: Step, step: Step, giver: Step | None, name: str | None) -> Cause:
    what = quoted(name, "the pointer")
    facts: list[Fact] = []
    if giver is not None:
        facts.append(trace.fact(giver, f"{what} is what {giver.insn.call or 'a function'} gave: it may be null"))
    facts.append(trace.fact(step, f"{what} is compared with null here; the path goes on where it is null"))
    facts.append(trace.fact(last, f"{what} is used here on that path too"))
    return parts.cause(
        trace,
        "check-wrong",
        "high",
        f"the path on which {what} is null does not leave and comes to its use",
        step=step,
        because=facts,
        variables=[name],
        advice=[Advice("leave-on-null", f"return where {what} is null", name=name, slot=last.slot)],
    )


def _comes(trace: Trace, chain: list[Link], last: Step, where: str, wanted: tuple[int, str]) -> bool:
    """The value's way leads over the one with root `wanted`."""
    if root(trace, last, where) == wanted:
        return True
    return any(link.source is not None and root(trace, link.step, link.source) == wanted for link in chain)


# ---------------------------------------------------------------- invalidated by a call


# Words of functions that end what they are given.
_ENDING = (
    "_release", "_submit", "_discard", "_drop", "_put", "_destroy", "rcu_read_unlock", "spin_unlock", "dynptr_write",
)  # fmt: skip


def _stale(trace: Trace, last: Step, where: str, chain: list[Link], what: str) -> Cause | None:
    """A pointer that a call took away: packets that moved, references that were released. Kernels do not print what a
    call invalidates: a register that was a pointer when it was last told of is a number in the message."""
    location, until = where, last
    for link in (*chain, None):
        value = link.step.result(link.where) if link is not None else until.value(location)
        if value is None:
            value = until.value(location)
        if link is not None and _pointer(value):
            call = _taken(trace, value, link.step.at, last)
            if call is not None:
                return _stale_cause(trace, last, chain, call, value, what)
        if link is not None and not _pointer(value) and link.how == "load":
            return _stale_unprinted(trace, last, chain, link, until, what)
        if link is not None and not _pointer(value) and link.how == "call" and gives_pointer(link.step.insn):
            ended = next((one for one in _between(trace, link.step, last) if _ends(one)), None)
            return None if ended is None else _stale_cause(trace, last, chain, ended, None, what, link.step.insn.call)
        if link is None or link.source is None or link.how not in PLAIN:
            return None
        location, until = link.source, link.step
    return None


def _between(trace: Trace, first: Step, until: Step) -> Iterator[Step]:
    """The calls between two steps, the last one first."""
    for step in trace.steps.back(until.at, FAR):
        if step.at <= first.at:
            return
        if step.frame <= until.frame and code.is_call(step.insn):
            yield step


def _ends(step: Step) -> bool:
    return step.insn.call is not None and any(word in step.insn.call for word in _ENDING)


def _stale_unprinted(trace: Trace, last: Step, chain: list[Link], link: Link, until: Step, what: str) -> Cause | None:
    """Kernels that print few states do not tell that what was read from the context was a packet pointer."""
    from bpfsmith.verify.cause.ranges import moves, read_from_context

    found = None
    for step in trace.steps.back(last.at, FAR):
        if step.at <= link.step.at:
            break
        if step.frame == until.frame and code.is_call(step.insn) and moves(step):
            found = step
    if found is None or not read_from_context(trace, until, link.where, found.insn.call or ""):
        return None
    return _stale_cause(trace, last, chain, found, None, what)


def _taken(trace: Trace, value: Value, first: int, until: Step) -> Step | None:
    """The first call between two steps that ends a pointer like `value`; the only one there is, where none is known
    to."""
    from bpfsmith.verify.cause.ranges import moves

    found, calls = None, []
    for step in trace.steps.back(until.at, FAR):
        if step.at <= first:
            break
        insn = step.insn
        if step.frame > until.frame or not code.is_call(insn):
            continue
        calls.append(step)
        ends = moves(step) if value.type in (*PACKET, "mem") else False
        if not ends and value.type not in PACKET:
            ends = insn.call is not None and any(word in insn.call for word in _ENDING)
        if ends:
            found = step
    if found is None:
        likely = [step for step in calls if code.is_subprogram_call(step.insn)] if value.type in PACKET else calls
        found = likely[0] if len(likely) == 1 else None
    return found


def _stale_cause(
    trace: Trace, last: Step, chain: list[Link], call: Step, value: Value | None, what: str, given: str | None = None
) -> Cause:
    name = call.insn.call or "the call"
    if name.startswith("pc"):
        name = "the function called"
    packet = given is None and (value is None or value.type in PACKET)
    facts: list[Fact] = []
    if given is not None:
        facts.append(trace.fact(chain[-1].step, f"{what} is what {given} gave"))
    elif chain:
        facts.append(
            trace.fact(chain[-1].step, f"{what} is {'packet data' if value is None else kind(value)} since here")
        )
    if packet:
        facts.append(trace.fact(call, f"{name} may move the packet: all packet pointers end here"))
        headline = f"{what} points into the packet as it was before {name}"
        advice = Advice("read-again", f"read data and data_end again after {name} and compare again", call=call.slot)
    else:
        facts.append(trace.fact(call, f"{name} gives {'it' if given else kind(value)} back: pointers to it end here"))
        headline = f"{what} is used after {name} ended it"
        advice = Advice("use-before", f"use it before {name}", call=call.slot)
    facts.append(_use(trace, last, what))
    return parts.cause(
        trace,
        "stale-pointer",
        "high",
        headline,
        step=call,
        place=beside(trace, call, last),
        because=facts,
        advice=[advice],
    )


# ---------------------------------------------------------------- turned into a number


def _turned(trace: Trace, last: Step, _where: str, chain: list[Link], what: str) -> Cause | None:
    """An instruction on the way had a pointer and gave a number."""
    for link in chain:
        if link.source is None:
            continue
        before = link.step.value(link.source)
        after = link.step.result(link.where)
        if not _pointer(before) or (_pointer(after) and link.how not in ("narrow", "fill")) or link.how == "arg":
            continue
        insn = link.step.insn
        how = {
            "narrow": "only its low 32 bits are kept here: what is left is a number",
            "fill": f"{code.width(insn)} bytes of it are read back from the stack here: what is left is a number",
            "spill": "only a part of it is saved here",
            "and-mask": "a mask is applied to it here: the result is a number",
            "shift": "it is shifted here: the result is a number",
            "sub": "another pointer is subtracted from it here: the result is a number",
        }.get(link.how, "it is computed with here: the result is a number")
        facts = [trace.fact(link.step, f"{what} was {kind(before)}; {how}"), _use(trace, last, what)]
        return parts.cause(
            trace,
            "pointer-to-scalar",
            "high",
            f"{what} was {kind(before)} and became a number",
            step=link.step,
            because=facts,
            advice=[Advice("keep-pointer", "keep it as a pointer: no casts through integers", how=link.how)],
        )
    return None


def _passed(trace: Trace, last: Step, where: str, chain: list[Link], what: str) -> Cause | None:
    """A number that never was a pointer, passed where a pointer is wanted."""
    if not code.is_call(last.insn):
        return None
    from bpfsmith.verify.cause.arguments import kind as argument_kind

    call = last.insn.call or "a function"
    link = _last_plain(chain)
    facts = []
    if link is not None:
        giver = link.step.insn.call if link.how == "call" else None
        text = f"{giver} gives {what} as a number" if giver else f"{what} is a number from here on"
        facts.append(trace.fact(link.step, text))
    wanted = trace.log.message.partition("expected=")[2].partition(",")[0].strip()
    asked = argument_kind(wanted) if wanted else "a pointer"
    facts.append(trace.fact(last, f"passed to {call} here as argument {where[1:]}, which wants {asked}"))
    return parts.cause(
        trace,
        "argument-type",
        "high" if wanted == "map_ptr" else "medium",
        f"{what} is a number, and {call} wants a pointer",
        step=last,
        because=facts,
        advice=[
            Advice(
                "typed-pointer",
                f"pass {call} the pointer itself as argument {where[1:]}: {what} is a number",
                wanted=wanted,
            )
        ],
    )


# ---------------------------------------------------------------- loaded as a number


def _loaded(trace: Trace, last: Step, _where: str, chain: list[Link], what: str) -> Cause | None:
    """Read from memory: the verifier does not know that a pointer lies there."""
    link = _last_plain(chain)
    if link is None or link.how not in ("load", "fill", "spill"):
        return None
    if link.how == "spill":
        return _overwritten(trace, last, link, what)
    insn = link.step.insn
    if link.how == "load" and code.is_load(insn):
        base = link.step.value(f"r{insn.src}")
        source = kind(base)
        typed = base.type if base is not None else ""
    else:
        source, typed = "the stack", "fp"
    facts: list[Fact] = []
    if typed == "ctx":
        text = "is read from the context as a number: kernel memory, to the verifier"
        advice = Advice("probe-read", "read through it with bpf_probe_read_kernel (or _user), or use a typed program")
    elif typed == "fp":
        writer = trace.defined(link.step, link.source) if link.source is not None else None
        filler = writer if writer is not None and code.is_call(writer.insn) else _filler(trace, link)
        if filler is not None and filler is writer and (former := _kept_before(trace, filler, link)) is not None:
            return _written_over(trace, last, filler, former, what)
        if filler is not None:
            facts.append(trace.fact(filler, f"{filler.insn.call} copies bytes to the stack here, without types"))
        text = "is read from the stack, where bytes without a type lie"
        advice = Advice("probe-read", "read through it with bpf_probe_read_kernel (or _user)")
    elif typed in ("map_value", "mem", "ringbuf_mem", "alloc_mem", "pkt", "buf"):
        text = f"is read from {source}: pointers that are kept there become numbers"
        advice = Advice("store-value", "keep what it points to there, not the pointer; look it up again")
    elif typed.startswith("ptr_") or "untrusted" in typed:
        text = f"is read from {source}: a field the verifier follows no further"
        advice = Advice("probe-read", "read through it with bpf_probe_read_kernel, or a CO-RE read")
    else:
        text = "is read from memory as a number"
        advice = Advice("probe-read", "read through it with bpf_probe_read_kernel (or _user)")
    facts.append(trace.fact(link.step, f"{what} {text}"))
    facts.append(_use(trace, last, what))
    return parts.cause(
        trace,
        "pointer-to-scalar",
        "high" if typed else "medium",
        f"{what} {text.partition(':')[0]}, and is used as a pointer",
        step=link.step,
        because=facts,
        advice=[advice],
    )


def _overwritten(trace: Trace, last: Step, link: Link, what: str) -> Cause:
    facts = [trace.fact(link.step, "this write changes only a part of what is read back: no pointer is left")]
    facts.append(_use(trace, last, what))
    return parts.cause(
        trace,
        "pointer-to-scalar",
        "medium",
        f"{what} was saved on the stack, and something else was written over it",
        step=link.step,
        because=facts,
        advice=[Advice("keep-pointer", "keep pointers apart from other data on the stack")],
    )


def _kept_before(trace: Trace, filler: Step, link: Link) -> Link | None:
    """The spill of a pointer whose place a helper's bytes took."""
    origin = trace.origin(filler, link.source or "")
    spilled = origin[0] if origin and origin[0].how == "spill" and origin[0].source is not None else None
    return spilled if spilled is not None and _pointer(spilled.step.value(spilled.source or "")) else None


def _written_over(trace: Trace, last: Step, filler: Step, former: Link, what: str) -> Cause:
    call = filler.insn.call or "the call"
    thing = kind(former.step.value(former.source or ""))
    return parts.cause(
        trace,
        "pointer-to-scalar",
        "high",
        f"{call} writes its bytes over the place on the stack where a pointer to {thing} was kept",
        step=filler,
        because=[
            trace.fact(former.step, f"a pointer to {thing} is saved on the stack here"),
            trace.fact(filler, f"{call} writes over it: bytes without a type are left"),
            _use(trace, last, what),
        ],
        advice=[Advice("keep-pointer", f"give {call} memory of its own", call=filler.slot)],
    )


def _last_plain(chain: list[Link]) -> Link | None:
    """The station a value comes from over copies and additions."""
    for link in chain:
        if link.how not in ("mov", "add", "sub", "arg", "return", "narrow", "and-mask", "shift", "math"):
            if link.how == "fill" and link is not chain[-1]:
                continue
            if link.how == "spill" and link.source is not None:
                continue
            return link
    return None


def _filler(trace: Trace, link: Link) -> Step | None:
    """The call that was given the place on the stack that is read."""
    insn = link.step.insn
    for step in trace.steps.back(link.step.at, 600):
        if step.frame != link.step.frame or not code.is_call(step.insn):
            continue
        for name in code.CLOBBERED[1:]:
            value = step.value(name)
            if value is not None and value.type == "fp" and insn.src == 10 and value.off == insn.off:
                return step
    return None


# ---------------------------------------------------------------- given as a number


# Calls that answer an address of the kernel as a number.
_ADDRESSES = ("bpf_get_current_task", "bpf_get_func_ip", "bpf_get_attach_cookie")


def _null_given(trace: Trace, last: Step, giver: Step, call: str, what: str) -> Cause:
    """The verifier follows the two answers of a call apart: this is the path on which it gave null."""
    return parts.cause(
        trace,
        "missing-null-check",
        "high",
        f"{what} may be null and is used without a check",
        step=last,
        because=[
            trace.fact(giver, f"{what} is what {call} gave: null on this path"),
            trace.fact(last, f"{what} is used here without a check"),
        ],
        advice=[Advice("check-null", f"return where {what} is null", slot=giver.slot)],
    )


def _given(  # noqa: PLR0911 - one return a kind of answer
    trace: Trace, last: Step, _where: str, chain: list[Link], what: str
) -> Cause | None:
    """A call's answer, or a constant."""
    if not chain:
        return None
    link = chain[-1]
    insn = link.step.insn
    value = link.step.result(link.where)
    if _pointer(value):
        return None
    if link.how == "call" and link.where == "r0":
        call = insn.call or "a function"
        if value is not None and value.known == 0:
            return _null_given(trace, last, link.step, call, what)
        facts = [trace.fact(link.step, f"{call} gives {what} as a number"), _use(trace, last, what)]
        if not call.startswith(_ADDRESSES):
            return parts.cause(
                trace,
                "pointer-to-scalar",
                "high",
                f"what {call} gives is a number and no pointer, and it is used as an address",
                step=link.step,
                because=facts,
                advice=[Advice("keep-pointer", "use a pointer that the verifier knows, not this number")],
            )
        return parts.cause(
            trace,
            "pointer-to-scalar",
            "high",
            f"{call} gives an address as a number; what it points to is read with bpf_probe_read_kernel",
            step=link.step,
            because=facts,
            advice=[
                Advice("probe-read", "read through it with bpf_probe_read_kernel, or use its typed variant", call=call)
            ],
        )
    if link.how == "call":
        facts = [trace.fact(link.step, "registers r1 to r5 do not survive this call"), _use(trace, last, what)]
        return parts.cause(
            trace,
            "stale-pointer",
            "medium",
            f"{what} did not survive the call",
            step=link.step,
            because=facts,
        )
    if link.how == "const":
        facts = [trace.fact(link.step, f"{what} starts as the number {insn.imm}"), _use(trace, last, what)]
        null = insn.imm == 0
        return Cause(
            "missing-null-check" if null else "pointer-to-scalar",
            "medium",
            f"{what} is null on this path" if null else f"{what} is made of a number",
            place=trace.own_place(last if null else link.step),
            slot=last.slot if null else link.step.slot,
            because=facts,
        )
    return None

"""Stack: who grew it, function by function, and pointers saved on it that do not come back whole."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import stack_slot
from bpfsmith.verify.cause.places import library
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place
from bpfsmith.verify.cause.words import octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find", "locals_of"]

LIMIT = 512
_BIG = 64  # bytes of a variable that are worth naming


def find(trace: Trace, match: Match | None) -> Cause | None:  # noqa: PLR0911
    """`stack-limit`; `pointer-to-scalar` and `stale-pointer` for pointers on the stack; None for what is in bounds."""
    message = parts.said(trace, match)
    if "frames is too deep" in message or "call stack of" in message:
        return _deep(trace, message)
    if "recursive call" in message:
        return recursive(trace, None, parts.word(message, "call from "), parts.word(message, " to "))
    if "combined stack size" in message or "stack size" in message:
        return _big(trace, message)
    if "stack frame of the caller" in message or "return stack pointer" in message:
        return _outlives(trace, message)
    if "spill" in message or "fill" in message:
        return _partial(trace, message)
    if "leaking pointer" in message:
        from bpfsmith.verify.cause import available

        return available.find(trace, match)
    if "stack" in message and "off=" in message and "var_off" not in message:
        return _below(trace, message)
    return None


# ---------------------------------------------------------------- size


def _deep(trace: Trace, message: str) -> Cause:
    if "bytes" in message:
        return _tail_call(trace, message)
    frames = parts.number(message, "call stack of ") or 0
    step = trace.last
    chain = _chain(trace)
    call = _first_call(trace) or _last_call(trace)
    names = [name for name, _ in chain]
    shown = f": {' > '.join(f'`{name}`' for name in names)}" if names else ""
    place = trace.own_place(call) if call is not None else None
    again = next((name for name in names if names.count(name) > 1), None)
    what = f"`{again}` calls itself" if again else f"functions call one another {frames} deep"
    return parts.cause(
        trace, "stack-limit", "high" if place is not None else "medium",
        f"{what}, and the kernel follows 8 frames (16 from Linux 7.3 on){shown}",
        place=place, slot=call, step=step if call is None else None,
        because=[Fact(call, place, "the chain of calls begins here")] if call is not None else [], variables=names[-1:],
        advice=[Advice("inline", "let the compiler inline some of them (`#[inline(always)]`, `__always_inline`), or "
                                 "make a "
                       "tail call", functions=names)],
    )  # fmt: skip


def _last(name: str) -> str:
    """A function as kernels name it: the last part of a Rust path."""
    return parts.readable(name).rpartition("::")[2]


def quoted(trace: Trace, slot: int) -> Place | None:
    """The source line that kernels quote beside an edge that they do not take: `18: return depth(node) + 1;`."""
    stem = f"{slot}: "
    text = next((text for _, text in trace.log.told if text.startswith(stem)), "").removeprefix(stem).strip()
    return Place(None, None, 0, text) if text and not text.startswith("(") else None


def recursive(trace: Trace, slot: int | None, caller: str, callee: str = "") -> Cause:
    """Functions that call themselves, at a call in `slot`, else in `caller` of `callee`."""
    caller, callee = caller.partition("(")[0], callee.partition("(")[0]
    if slot is None and trace.program is not None:
        spans = {_last(name): (first, first + slots) for name, first, slots, _ in trace.program.functions()}
        low, high = spans.get(_last(caller), (0, 0))
        callee_ = _last(callee)
        calls = [at for at, what, _, name in trace.program.calls() if what == "subprog" and _last(name) == callee_]
        slot = next((at for at in calls if low <= at < high), None)
    shown = parts.readable(caller) if caller else "a function"
    itself = "itself" if callee in ("", caller) else f"`{parts.readable(callee)}`, which leads back to it"
    place = trace.own_place(slot) or quoted(trace, slot) if slot is not None else None
    return parts.cause(
        trace, "stack-limit", "high" if place is not None else "medium",
        f"`{shown}` calls {itself}: the kernel follows no recursion, as nothing says how deep it goes",
        place=place, slot=slot, because=[Fact(slot, place, "the call stands here")] if slot is not None else [],
        variables=[shown],
        advice=[Advice("loop", "write it as a loop with a bound, or with a stack of its own in a map")],
    )  # fmt: skip


def _first_call(trace: Trace) -> int | None:
    """The slot of the program's own call that the chain begins with; None where a function calls itself."""
    chain = _chain(trace)
    calls = [step for step in trace.steps.back(len(trace.steps)) if code.is_subprogram_call(step.insn)]
    targets = [step.insn.target for step in calls]
    if len(set(targets)) < len(targets):
        return None
    if calls:
        first = [step for step in calls if step.frame == 0]
        return first[0].slot if first else None
    if trace.program is None or len(chain) < 2:
        return None
    outer, inner = chain[0][0], chain[1][0]
    spans = {name: (first, first + slots) for name, first, slots, _ in trace.program.functions()}
    low, high = spans.get(outer, (0, 0))
    for slot, what, _, name in trace.program.calls():
        if what == "subprog" and low <= slot < high and name == inner:
            return slot
    return None


def _last_call(trace: Trace) -> int | None:
    """The slot of the call that opens the deepest frame: on the path, else in the object's deepest chain."""
    best: Step | None = None
    for step in trace.steps:
        if code.is_subprogram_call(step.insn) and (best is None or step.frame >= best.frame):
            best = step
    if best is not None:
        return best.slot
    chain = _chain(trace)
    if trace.program is None or len(chain) < 2:
        return None
    inner, outer = chain[-1][0], chain[-2][0]
    spans = {name: (first, first + slots) for name, first, slots, _ in trace.program.functions()}
    low, high = spans.get(outer, (0, 0))
    for slot, what, _, name in trace.program.calls():
        if what == "subprog" and low <= slot < high and name == inner:
            return slot
    return None


def _chain(trace: Trace) -> list[tuple[str, int]]:
    """(function, bytes) of the deepest chain of calls, outermost first."""
    program = trace.program
    if program is None:
        return []
    own = {name: size for name, _, _, size in program.functions()}
    chains = program.stack_chains()
    return [(name, own.get(name, 0)) for name in chains[0][2]] if chains else []


def _big(trace: Trace, message: str) -> Cause:
    total = parts.number(message, " is ") or 0
    chain = _chain(trace)
    sizes = trace.log.stack or []
    names = {number: name for number, _, name in trace.log.functions}
    if not chain and sizes:
        chain = [(names.get(number) or f"function {number}", size) for number, size in enumerate(sizes)]
    elif chain and sizes and trace.program is not None:
        known = dict(zip([name for name, _, _, _ in trace.program.functions()], sizes, strict=False))
        chain = [(name, known.get(name, size)) for name, size in chain]
    because: list[Fact | None] = []
    place: Place | None = None
    slot: int | None = None
    worst: tuple[int, str | None] = (0, None)
    for name, size in chain:
        first, last = _span(trace, name)
        biggest = locals_of(trace, first, last)[:1] if first is not None else []
        at = (_largest(trace, first, last) if first is not None else None) or (biggest[0][1] if biggest else None)
        shown = f"`{parts.readable(name)}` uses {octets(size)}"
        if biggest:
            shown += f", {biggest[0][0]} of them for what this line needs"
        because.append(Fact(biggest[0][2] if biggest else first, at, shown))
        if size > worst[0]:
            worst = (size, name)
            place, slot = at, biggest[0][2] if biggest else first
    place = _declared(trace, place) or place
    who = f"`{parts.readable(worst[1])}` alone takes {worst[0]}" if worst[1] else ""
    many = parts.number(message, "size of ") if "calls" in message else None
    over = f"{many} functions that call one another need" if many else "the program needs"
    headline = f"{over} {total} bytes of stack, and there are {LIMIT}" + (f"; {who}" if who else "")
    last_step = trace.last
    return parts.cause(
        trace, "stack-limit", "high" if place is not None else "medium", headline, place=place, slot=slot,
        step=last_step if place is None and slot is None else None, because=because,
        variables=_declared_names(place),
        advice=[Advice("map-scratch", "keep the biggest of them in a per-CPU array map with one element instead of "
                                      "on the stack",
                       bytes=worst[0], function=worst[1]),
                Advice("inline", "or let the compiler join functions (`#[inline(always)]`), or use fewer at once")],
    )  # fmt: skip


def _span(trace: Trace, name: str) -> tuple[int | None, int]:
    if trace.program is not None:
        for told, first, slots, _ in trace.program.functions():
            if told == name:
                return first, first + slots
    starts = sorted((first, told) for _, first, told in trace.log.functions)
    for at, (first, told) in enumerate(starts):
        if told == name:
            return first, starts[at + 1][0] if at + 1 < len(starts) else 1 << 31
    return None, 0


def locals_of(trace: Trace, first: int | None, end: int) -> list[tuple[int, Place | None, int]]:
    """(bytes, line, slot) of what a function keeps on the stack, the biggest first: from one offset that is "
      "addressed to
    the next. A line is where its address is taken first."""
    seen: dict[int, int] = {}
    for slot in sorted(trace.cfg):
        if first is None or not first <= slot < end:
            continue
        insn = trace.insn(slot)
        if insn is None:
            continue
        offset: int | None = None
        if insn.code == 0x07 and insn.imm < 0:  # r2 = r10; r2 += -16
            before = trace.insn(slot - 1)
            if before is not None and code.is_mov(before) and before.src == 10 and before.dst == insn.dst:
                offset = insn.imm
        elif (code.is_store(insn) and insn.dst == 10) or (code.is_load(insn) and insn.src == 10):
            offset = insn.off
        if offset is not None and offset < 0:
            seen.setdefault(offset, slot)
    found: list[tuple[int, Place | None, int]] = []
    lines: dict[tuple[str | None, int | None], int] = {}
    offsets = sorted(seen)
    for at, offset in enumerate(offsets):
        size = (offsets[at + 1] if at + 1 < len(offsets) else 0) - offset
        place = trace.own_place(seen[offset])
        key = (place.path, place.line) if place is not None else (None, seen[offset])
        if key in lines:
            old = found[lines[key]]
            found[lines[key]] = (old[0] + size, old[1], old[2])
        else:
            lines[key] = len(found)
            found.append((size, place, seen[offset]))
    found.sort(key=lambda row: -row[0])
    return found


def _largest(trace: Trace, first: int, end: int) -> Place | None:
    """The declaration of the biggest variable that a function keeps on the stack, inlined ones included."""
    from bpfsmith.verify.cause.locals import place, variables

    found = [
        one
        for one in variables(trace)
        if one.line and one.size >= _BIG
        and any(what == "frame" and first <= start < end for start, _, what, _ in one.places)
    ]  # fmt: skip
    biggest = max(found, key=lambda one: one.size, default=None)
    at = place(trace, biggest) if biggest is not None else None
    return at if at is not None and not library(at.path) else None


def _declared(trace: Trace, place: Place | None) -> Place | None:
    """The declaration of an array or struct that the line names."""
    if place is None or not place.text:
        return None
    letters = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in place.text)
    for name in dict.fromkeys(letters.split()):
        found = parts.declaration(trace, place, name)
        if found is not None and found.text and ("[" in found.text or "struct " in found.text or "{" in found.text):
            return found
    return None


def _declared_names(place: Place | None) -> list[str]:
    from bpfsmith.verify.cause.names import assigned

    if place is None or not place.text:
        return []
    found = assigned(place.text)
    if found:
        return [found]
    head = place.text.partition("[")[0].partition(";")[0].rpartition(" ")[2].strip("*")
    return [head] if head.isidentifier() and place.text.endswith(";") else []


def _tail_call(trace: Trace, message: str) -> Cause:
    size = parts.number(message, "frames is ") or parts.number(message, " is ") or 0
    call = _last_call(trace)
    tail = next(
        (s for s, insn in sorted(trace.cfg.items()) if insn.call and insn.call.startswith("bpf_tail_call")), None
    )
    chain = _chain(trace)
    place, slot = None, call
    for name, own in sorted(chain, key=lambda row: -row[1])[:1]:
        first, end = _span(trace, name)
        biggest = locals_of(trace, first, end)[:1]
        if biggest and own:
            place = _largest(trace, first or 0, end) or _declared(trace, biggest[0][1]) or biggest[0][1]
            slot = biggest[0][2]
    if place is None and tail is not None:
        place, slot = trace.own_place(tail), tail
    because = (
        [Fact(tail, trace.own_place(tail), "the tail call stands in a function that is called")]
        if tail is not None
        else []
    )
    return parts.cause(
        trace, "stack-limit", "high" if place is not None else "medium",
        f"a function that makes a tail call is called while {size} bytes of stack are in use: then 256 are the limit",
        place=place, slot=slot, because=because, variables=_declared_names(place),
        advice=[Advice("map-scratch", "keep big values of the callers in a per-CPU array map, or make the tail call "
                                      "in the "
                       "program itself", bytes=size)],
    )  # fmt: skip


def _below(trace: Trace, message: str) -> Cause | None:
    """An access at a constant offset below the 512 bytes there are."""
    offset = parts.number(message, "off=")
    step = trace.last
    if offset is None or offset >= -LIMIT:
        return None
    if step is None:  # a message alone: which instruction it was is not needed to know what is too large
        return parts.cause(
            trace, "stack-limit", "medium", f"the stack is used down to {-offset} bytes, and there are {LIMIT}",
            step=None,
            advice=[Advice("map-scratch", "keep the biggest local values in a per-CPU array map with one "
                                          "element", bytes=-offset)],
        )  # fmt: skip
    base = [reg for reg in code.reads(step.insn) if reg == "r10"]
    if not base and not parts.called(step):
        value = step.value(code.reads(step.insn)[0]) if code.reads(step.insn) else None
        if value is None or (value.var_off is not None and value.var_off[1]):
            return None
    name = parts.function(trace, step.slot)
    first, end = _span(trace, name) if name else (None, 0)
    place = _declared(trace, trace.own_place(step)) or (_largest(trace, first, end) if first is not None else None)
    return parts.cause(
        trace, "stack-limit", "high", f"the function uses the stack down to {-offset} bytes, and there are {LIMIT}",
        step=step if place is None else None, place=place, slot=step.slot,
        because=[trace.fact(step, f"the stack is accessed at fp{offset}")], variables=_declared_names(place),
        advice=[Advice("map-scratch", "keep the biggest local values in a per-CPU array map with one "
                                      "element", bytes=-offset)],
    )  # fmt: skip


# ---------------------------------------------------------------- pointers on the stack


def _partial(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    if step is None:
        return None
    insn = step.insn
    size = code.width(insn)
    at = stack_slot(step, insn.dst if code.is_store(insn) else insn.src, insn.off)
    spill: Step | None = None
    if at is not None:
        for former in trace.steps.back(step.at, 5000):
            other = former.insn
            if former.frame == step.frame and code.is_store(other) and code.width(other) == 8:
                place = stack_slot(former, other.dst, other.off)
                if place is not None and place <= at < place + 8:
                    spill = former
                    break
    because: list[Fact | None] = []
    if spill is not None:
        because.append(trace.fact(spill, "a pointer is saved here, all 8 bytes of it"))
    if "corrupt" in message:
        headline, what = (
            f"{size} of the 8 bytes of a pointer that is saved on the stack are overwritten",
            "part of it is overwritten",
        )
    elif "fill" in message:
        headline, what = f"{size} of the 8 bytes of a saved pointer are read back", "only part of it is read"
    else:
        headline, what = (
            f"a pointer is saved on the stack with {size} of its 8 bytes",
            "only part of the pointer is saved",
        )
    because.append(trace.fact(step, what))
    reg = f"r{insn.src}" if code.is_store(insn) else None
    return parts.cause(
        trace, "pointer-to-scalar", "high", headline, step=step, because=because,
        variables=[trace.name(step, reg) if reg else None],
        advice=[Advice("keep-pointer", "copy and save pointers whole: a type of 8 bytes, no union over a pointer, no "
                                       "copy of "
                       "parts of a struct that holds one")],
    )  # fmt: skip


def _outlives(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    if step is None:
        return None
    returned = "return" in message
    reg = "r0" if returned else f"r{step.insn.src}"
    links = trace.origin(step, reg)
    at = next((link.step for link in links if link.how in ("add", "mov") and link.step.frame == step.frame), None)
    because: list[Fact | None] = []
    if at is not None and at.at != step.at:
        because.append(trace.fact(at, "the address of a local variable is taken"))
    because.append(trace.fact(step, "it is returned" if returned else "it is stored in the caller's frame"))
    place = trace.own_place(at) if returned and at is not None else trace.own_place(step)
    return parts.cause(
        trace, "stale-pointer", "high",
        "a function returns a pointer to its own stack, which ends with it" if returned
        else "a function stores a pointer to its own stack where it outlives the function",
        place=place, slot=at.slot if returned and at is not None else step.slot, because=because,
        variables=[trace.name(step, reg)],
        advice=[Advice("callers-memory", "let the caller pass the memory, or return the value itself (8 bytes at "
                                         "most), or "
                       "inline the function (`#[inline(always)]`)")],
    )  # fmt: skip

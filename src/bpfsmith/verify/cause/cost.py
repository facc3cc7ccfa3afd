"""Programs that take too long to follow, and loops in which nothing changes."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find", "loop", "loops", "ranked"]

_FOLLOWED = 1_000_000  # instructions that kernels follow


def find(trace: Trace, match: Match | None) -> Cause | None:
    """`no-progress-loop`, `complexity`, or `panic-or-unreachable` for a panic handler's own loop."""
    message = parts.said(trace, match)
    if "infinite loop" in message or "back-edge" in message:
        return _endless(trace, message)
    if any(word in message for word in ("too large. Processed", "jumps is too complex", "iteration")):
        return _complex(trace, message)
    if any(word in message for word in ("too many subprograms", "too many different", "maps per program")):
        what = message.strip().rstrip(".!")
        return parts.cause(
            trace, "complexity", "high", f"the program exceeds a limit of the kernel: {what}", step=trace.last,
            advice=[Advice("split", "split the program, or share functions and maps between its parts")],
        )  # fmt: skip
    return None


# ---------------------------------------------------------------- loops


def loop(trace: Trace, slot: int, most: int = 20_000) -> set[int]:
    """The slots of the loop that `slot` is part of (all that it reaches and that reach it); empty when it is in "
    "none."""
    forward = _reached(trace, slot, most)
    if slot not in forward:
        return set()
    back: dict[int, list[int]] = {}
    for one in forward:
        for after in trace.successors(one):
            back.setdefault(after, []).append(one)
    found: set[int] = set()
    waiting = [slot]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [before for before in back.get(one, ()) if before in forward]
    return found


def _reached(trace: Trace, slot: int, most: int) -> set[int]:
    """What can follow `slot`; with `slot` itself only where a way leads back."""
    seen: set[int] = set()
    waiting = list(trace.successors(slot))
    while waiting and most:
        most -= 1
        one = waiting.pop()
        if one not in seen and trace.insn(one) is not None:
            seen.add(one)
            waiting += trace.successors(one)
    return seen


def loops(trace: Trace) -> list[set[int]]:
    """All loops among the known instructions, outermost ones only, by Tarjan's way without recursion."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on: set[int] = set()
    found: list[set[int]] = []
    known = trace.cfg
    for root in sorted(known):
        if root in order:
            continue
        work: list[tuple[int, list[int]]] = [(root, [s for s in trace.successors(root) if s in known])]
        order[root] = low[root] = len(order)
        stack.append(root)
        on.add(root)
        while work:
            slot, after = work[-1]
            if after:
                one = after.pop()
                if one not in order:
                    order[one] = low[one] = len(order)
                    stack.append(one)
                    on.add(one)
                    work.append((one, [s for s in trace.successors(one) if s in known]))
                elif one in on:
                    low[slot] = min(low[slot], order[one])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[slot])
            if low[slot] == order[slot]:
                group: set[int] = set()
                while True:
                    one = stack.pop()
                    on.discard(one)
                    group.add(one)
                    if one == slot:
                        break
                if len(group) > 1 or slot in trace.successors(slot):
                    found.append(group)
    return found


def _endless(trace: Trace, message: str) -> Cause:
    from bpfsmith.verify.cause.panics import panicking

    slot = parts.number(message, "at insn ")
    if slot is None:
        slot = parts.number(message, "from insn ")
    last = trace.last
    insn = trace.insn(slot) if slot is not None else None
    called = _called(trace, slot, parts.number(message, " to ")) if "back-edge" in message else ""
    if called or (insn is not None and "back-edge" in message and code.is_subprogram_call(insn)):
        from bpfsmith.verify.cause.stack import recursive

        return recursive(trace, slot, parts.function(trace, slot) or called, called)
    if slot is None:
        slot = last.slot if last is not None else 0
    body = loop(trace, slot)
    step = last
    empty = bool(body) and all(_idle(trace, one) for one in body)
    panic = panicking(trace, step) if step is not None else None
    if panic is None and empty and step is not None and parts.rust(trace):
        panic = _never_returns(trace, step, body)
    if panic is not None:
        return parts.cause(
            trace, "panic-or-unreachable", "high", f"`{panic.text or 'this line'}` can panic, and the panic handler "
                                                   f"never returns",
            place=panic, slot=slot,
            because=[Fact(None, panic, "this can panic"), *_at(trace, step, "the panic handler's `loop {}` stands "
                                                                            "here")],
            advice=[Advice("avoid-panic", "use what cannot panic: `get()` and `get_mut()` instead of `[..]`, a match "
                                          "instead of "
                           "`unwrap()`, `checked_div()`; check the value before")],
        )  # fmt: skip
    names = _unchanged(trace, body)
    place = _head(trace, body) or (trace.own_place(step) if step is not None else trace.own_place(slot))
    if place is None:
        from bpfsmith.verify.cause.stack import quoted

        place = quoted(trace, slot)
    if empty and not names:
        headline = "this loop has no end: nothing in it can leave it"
    elif names:
        headline = f"nothing that this loop's end depends on changes in it ({', '.join(f'`{one}`' for one in names)})"
    else:
        names = _compared(place.text if place is not None else None)
        on = f" ({', '.join(f'`{one}`' for one in names)})" if names else ""
        headline = f"for the verifier one round of this loop is like the next: what ends it{on} is not counted"
    tip = "count in a variable that the loop compares and changes (`for i in 0..N`), or use `bpf_loop()` (Linux 5.17)"
    cls = "no-progress-loop"
    if "back-edge" in message:
        cls, headline = "environment", "loops load on Linux 5.3 or newer, and with CAP_BPF only; this load had not both"
        tip = "load it with CAP_BPF on Linux 5.3 or newer, or unroll the loop (`#pragma unroll`)"
    return parts.cause(
        trace, cls, "high" if body else "medium", headline, place=place, slot=slot,
        because=_at(trace, step, "the verifier comes here again with nothing changed"), variables=names,
        advice=[Advice("progress" if cls != "environment" else "capability", tip, needed="CAP_BPF")],
    )  # fmt: skip


def _called(trace: Trace, slot: int | None, target: int | None) -> str:
    """The function whose head kernels quote as an edge's target and that the edge's own line calls; "" for a loop's."""
    lines = [text for _, text in trace.log.told]
    line = next((text for text in lines if text.startswith(f"{slot}: ")), "")
    head = next((text for text in lines if text.startswith(f"{target}: ")), "")
    for part in head.split("("):
        name = part.split()[-1].lstrip("*") if part.split() else ""
        if name.isidentifier() and f"{name}(" in line.partition(": ")[2]:
            return name
    return ""


def _at(trace: Trace, step: Step | None, text: str) -> list[Fact]:
    return [trace.fact(step, text)] if step is not None else []


def _idle(trace: Trace, slot: int) -> bool:
    insn = trace.insn(slot)
    return insn is not None and code.group(insn) in (code.JMP, code.JMP32) and code.operation(insn) == code.JA


def _never_returns(trace: Trace, step: Step, body: set[int]) -> Place | None:
    """What a `loop {}` of Rust stands for: the line that can panic; where none can, the user's own loop."""
    before = _before(trace, step, body)
    inner = trace.place(step.slot)
    own = inner if inner is not None and inner.own else trace.own_place(step)
    if before is not None and before.text is not None and any(word in before.text for word in _CAN_PANIC):
        return before
    name = ""
    if trace.program is not None and body:
        name = " ".join(frame[0] for frame in trace.program.inline_frames(min(body)))
    if own is not None and own.text and "loop" in own.text and name and "begin_unwind" not in name:
        return own
    return before or own


_CAN_PANIC = ("unwrap", "expect(", "assert", "panic!", "[", "unreachable", " / ", " % ", "todo!", "copy_from_slice")


def _before(trace: Trace, step: Step, body: set[int]) -> Place | None:
    """The last line of the user's own on the path before the loop: the branch that led to it."""
    for former in (step, *trace.steps.back(step.at, 2000)):
        if former.slot in body:
            continue
        place = trace.own_place(former)
        if place is not None and place.text:
            return place
    return None


def _head(trace: Trace, body: set[int]) -> Place | None:
    """The line of the loop: one that says `for`, `while`, `loop` or `goto`, else where a jump leads back."""
    best: Place | None = None
    for slot in sorted(body):
        place = trace.own_place(slot)
        if place is None or not place.text:
            continue
        bare = place.text.strip()
        if bare.startswith(("for ", "for(", "while", "loop", "do ", "goto ", "} while")) or " while " in bare:
            return place
        insn = trace.insn(slot)
        if insn is not None and code.conditional(insn) and best is None:
            best = place
    if best is None and body:
        best = trace.own_place(min(body))
    return _opening(trace, best) or best


def _opening(trace: Trace, place: Place | None) -> Place | None:
    """The loop's own line above a line of its body, from the source file."""
    found = parts.upward(trace, place, ("for (", "for(", "while (", "while(", "while ", "loop {", "for ", "do {"), 30)
    if found is None or found.text is None:
        return None
    return found if found.text.startswith(("for", "while", "loop", "do", "'")) else None


def _unchanged(trace: Trace, body: set[int]) -> list[str]:
    """Variables that the loop's exits compare and that no instruction in it writes."""
    written: set[str] = set()
    for slot in body:
        insn = trace.insn(slot)
        if insn is not None:
            written |= set(code.writes(insn))
    found: list[str] = []
    for slot in sorted(body):
        insn = trace.insn(slot)
        if insn is None or not code.conditional(insn):
            continue
        if all(after in body for after in trace.successors(slot)):
            continue
        place = trace.own_place(slot)
        if set(code.reads(insn)) & written:
            continue
        for name in _compared(place.text if place is not None else None):
            if name not in found:
                found.append(name)
    return found[:3]


def _compared(text: str | None) -> list[str]:
    """The variables of a loop's condition: `i` of `while (i < n) {`."""
    if not text:
        return []
    bare = text.strip().lstrip("}").strip()
    for start in ("while", "for", "if"):
        if bare.startswith(start):
            inside = bare[len(start) :].strip().strip("(){;").strip()
            parts_ = inside.split(";")
            inside = parts_[1] if start == "for" and len(parts_) > 1 else inside
            letters = "".join(one if one.isalnum() or one == "_" else " " for one in inside)
            return [
                word for word in letters.split() if word.isidentifier() and word not in ("in", "let", "as", "true")
            ][:2]
    return []


# ---------------------------------------------------------------- effort


def ranked(trace: Trace) -> list[tuple[int, Place | None, list[int]]]:
    """(times followed, line, its slots), the most followed line first."""
    rows: dict[tuple[str | None, int | None, str | None], list[int]] = {}
    places: dict[tuple[str | None, int | None, str | None], Place | None] = {}
    for slot in trace.log.insns:
        place = trace.own_place(slot)
        key = (place.path, place.line, place.text) if place is not None else (None, None, None)
        rows.setdefault(key, []).append(slot)
        places[key] = place
    found = [(sum(trace.log.visits(slot) for slot in slots), places[key], slots) for key, slots in rows.items()]
    found.sort(key=lambda row: -row[0])
    return found


def _complex(trace: Trace, message: str) -> Cause:  # noqa: PLR0912
    rows = [row for row in ranked(trace) if row[0]]
    body = _heaviest(trace)
    place = _head(trace, body) if body else None
    slot: int | None = min(body) if body else None
    if body and not _counts(trace, body):
        return _endless(trace, message)
    if body and "jumps" not in message and (doubling := _doubling(trace, body)) is not None:
        slot, place = doubling, trace.own_place(doubling)
    because: list[Fact | None] = []
    total = sum(count for count, _, _ in rows) or 1
    for count, one, slots in rows[:5]:
        because.append(Fact(slots[0], one, f"followed {count} times ({count * 100 // total} % of what the log shows)"))
    branches = _branches(trace, body or trace.log.insns)
    for count, at in branches[:2]:
        because.append(Fact(at, trace.own_place(at), f"this branch was followed both ways, {count} times"))
    if not rows and not body:
        slot, place = _branchy(trace)
    if place is None:
        jumps = "jumps" in message
        if jumps and branches:
            slot, place = branches[0][1], trace.own_place(branches[0][1])
        elif rows:
            slot, place = rows[0][2][0], rows[0][1]
        else:
            slot = next((at for at, insn in sorted(trace.cfg.items()) if code.conditional(insn)), None)
            place = trace.own_place(slot) if slot is not None else None
    number = (
        parts.number(message, "Processed ")
        or parts.number(message, "sequence of ")
        or trace.log.counts.get("processed")
    )
    many = f" ({number:,})" if isinstance(number, int) and number > 1000 else ""
    kernel = ""
    if "jumps is too complex" in message:
        headline = f"too many branches are open at once{many}: states do not become alike where the paths meet"
    elif "iteration" in message:
        headline = "a loop's states do not become alike from one round to the next"
    elif isinstance(number, int) and number <= 5000:
        headline = f"the program has more instructions than an unprivileged user may load{many}"
        kernel = "load it with CAP_BPF (then 1,000,000 instructions are followed, from Linux 5.2 on)"
    else:
        headline = f"the verifier gave up after following too many instructions{many}"
    what = "loop" if body else "line"
    if place is not None and place.text:
        headline += f"; most of them in the {what} at `{place.text.strip()}`"
    tips = [
        Advice("bpf-loop", "let the kernel run the loop: `bpf_loop()` (Linux 5.17), `bpf_for` (6.4), "
                           "`bpf_repeat`/may_goto (6.9)",
               slots=sorted(body)[:1]),
        Advice("split", "or do less in one program: fewer rounds, a function that is verified on its own (a global "
                        "function, "
               "Linux 5.6), a tail call"),
    ]  # fmt: skip
    if kernel:
        tips.insert(0, Advice("capability", kernel, needed="CAP_BPF"))
    return parts.cause(
        trace, "complexity", "high" if place is not None else "medium", headline, place=place, slot=slot,
        because=because, advice=tips,
    )  # fmt: skip


_KEPT_IN_RANGE = (5, 9)  # AND, MOD


def _counts(trace: Trace, body: set[int]) -> bool:
    """A way out of the loop depends on what goes on from round to round: a number or an address that something is added
    to, and that nothing brings back into a range. What is read from memory does not count, as the verifier does not
    know it; what lies on the stack may."""
    added: set[str] = set()
    held: set[str] = set()
    others: set[str] = set()  # written from elsewhere in each round
    exits: set[str] = set()
    copied: dict[str, set[str]] = {}
    sources: dict[str, set[str]] = {}
    for slot in body:
        insn = trace.insn(slot)
        if insn is None or code.is_subprogram_call(insn) or (code.is_load(insn) and insn.src == 10):
            return True
        where, kind, what = f"r{insn.dst}", code.group(insn), code.operation(insn)
        if code.conditional(insn) and any(after not in body for after in trace.successors(slot)):
            exits |= set(code.reads(insn))
        elif code.is_mov(insn):
            copied.setdefault(where, set()).add(f"r{insn.src}")
        elif kind in (code.ALU, code.ALU64) and what in (code.ADD, code.SUB):
            added.add(where)
        elif kind in (code.ALU, code.ALU64) and what in _KEPT_IN_RANGE:
            held.add(where)
        elif kind not in (code.ALU, code.ALU64):
            others |= set(code.writes(insn))
        if kind in (code.ALU, code.ALU64) and code.by_register(insn):
            sources.setdefault(where, set()).add(f"r{insn.src}")
    counted = {
        one for one in added - held
        if (one not in others and one not in copied) or _comes_back(one, copied)
    }  # fmt: skip
    for _ in range(4):
        counted |= {to for to, of in sources.items() if of & counted and to not in held}
    return bool(exits & counted) or not exits


def _comes_back(where: str, sources: dict[str, set[str]]) -> bool:
    """A register gets its own value of the round before, by way of others."""
    seen: set[str] = set()
    waiting = list(sources.get(where, ()))
    while waiting:
        one = waiting.pop()
        if one == where:
            return True
        if one not in seen:
            seen.add(one)
            waiting += sources.get(one, ())
    return False


def _doubling(trace: Trace, body: set[int]) -> int | None:
    """The branch in a loop of few rounds that both ways of a value go through: every round doubles the paths."""
    rounds = 0
    inner: int | None = None
    for slot in sorted(body):
        insn = trace.insn(slot)
        if insn is None or not code.conditional(insn):
            continue
        if all(after in body for after in trace.successors(slot)):
            inner = slot if inner is None else inner
        elif not code.by_register(insn):
            rounds = max(rounds, abs(insn.imm))
    return inner if rounds and rounds * len(body) < _FOLLOWED else None


def _branchy(trace: Trace) -> tuple[int | None, Place | None]:
    """The line with the most branches, of a log without instructions."""
    counts: dict[tuple[str | None, int | None], list[int]] = {}
    for slot, insn in sorted(trace.cfg.items()):
        if code.conditional(insn):
            place = trace.own_place(slot)
            counts.setdefault((place.path, place.line) if place is not None else (None, None), []).append(slot)
    if not counts:
        return None, None
    slots = max(counts.values(), key=len)
    return slots[0], trace.own_place(slots[0])


def _heaviest(trace: Trace) -> set[int]:
    """The loop with the most steps in it; empty when less than a third of them are in one."""
    best: set[int] = set()
    most = 0
    total = 0
    for slot in trace.log.insns:
        total += trace.log.visits(slot)
    for body in loops(trace):
        count = sum(trace.log.visits(slot) for slot in body)
        if count > most:
            best, most = body, count
    if not total and best == set():
        return max(loops(trace), key=len, default=set())  # a log without instructions: the object's longest loop
    return best if most * 3 >= total else set()


def _branches(trace: Trace, slots: Iterable[int]) -> list[tuple[int, int]]:
    """(times, slot) of conditional jumps of which both ways were followed."""
    found: list[tuple[int, int]] = []
    for slot in slots:
        insn = trace.insn(slot)
        if insn is None or not code.conditional(insn):
            continue
        if all(trace.log.visits(after) for after in trace.successors(slot)):
            found.append((trace.log.visits(slot), slot))
    found.sort(reverse=True)
    return found

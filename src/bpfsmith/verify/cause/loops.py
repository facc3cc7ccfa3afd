"""Constant offsets that do not fit: loops that come to an access once too often, numbers that are cut to a limit that
is too large; the comparison that lets them."""

from __future__ import annotations

import re
from itertools import pairwise

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.flow import WHOLE, constant, root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.verify.cause.trace import Link, Step, Trace

__all__ = ["cut_to", "lets_in", "unrolled"]

FAR = 4000
WALK = 20_000
ROUNDS = 3
_INDEXED = re.compile(r"\w\[[^]]*[A-Za-z_]")
_LOOP = re.compile(r"\s*(?:for|while|do|bpf_for|bpf_repeat)\b")


def lets_in(trace: Trace, last: Step, chain: list[Link]) -> Step | None:
    """The comparison that lets a loop come to an access once too often, whose counter made its constant offset: of
    the counter with a constant, or of the constant's stead, a number that was itself compared with one."""
    visits = trace.log.visits(last.slot)
    if visits < 2:
        return None
    for link in chain:
        if link.how not in ("add", "sub"):
            continue
        insn = link.step.insn
        if code.by_register(insn):
            number = f"r{insn.src}" if link.source == f"r{insn.dst}" else f"r{insn.dst}"
            found = _ends_loop(trace, link.step, number, visits)
        else:
            found = _ends_loop(trace, last, link.where, visits)
        if found is not None:
            return found
    for step in trace.steps.back(last.at, 200):  # an address that is moved on, and a counter beside it
        insn = step.insn
        if step.frame != last.frame or not code.conditional(insn) or trace.log.visits(step.slot) < visits - 1:
            continue
        place = trace.place(step.slot)
        if place is not None and not place.own:
            return None  # a copy of a library: its length is what is wrong
        for on in code.reads(insn):
            counted = any(
                link.how in ("add", "sub") and not code.by_register(link.step.insn) for link in trace.origin(step, on)
            )
            if counted:
                return _limit(trace, step, on)
    return None


def cut_to(trace: Trace, last: Step, chain: list[Link]) -> Step | None:
    """The comparison with the limit that a number was cut to, where the limit is what does not fit."""
    for link in chain:
        insn = link.step.insn
        if link.how not in ("add", "sub") or not code.by_register(insn):
            continue
        number = f"r{insn.src}" if link.source == f"r{insn.dst}" else f"r{insn.dst}"
        first = next(reversed(trace.origin(link.step, number)), None)
        if first is None or first.how != "const" or first.step.insn.code == 0x18 or first.step.insn.imm <= 0:
            return None
        for near in (first.step.at - 1, first.step.at + 1, first.step.at - 2):
            step = trace.steps[near] if 0 <= near < last.at else None
            if step is None or not code.conditional(step.insn) or step.frame != first.step.frame:
                continue
            limits = [step.insn.imm] if not code.by_register(step.insn) else []
            limits += [held for name in code.reads(step.insn)[1:] if (held := constant(step, name)) is not None]
            if code.by_register(step.insn) and (held := constant(step, f"r{step.insn.dst}")) is not None:
                limits.append(held)
            if any(abs(limit - first.step.insn.imm) <= 1 for limit in limits):
                return step
        return None
    return None


def unrolled(trace: Trace, last: Step) -> Step | None:
    """Where a loop begins that the compiler wrote out round by round: the accesses before this one are of the same
    line, of the same memory, each as far behind the other. `last` itself where the loop's own line is not told."""
    insn, here = last.insn, trace.own_place(last)
    if not (code.is_store(insn) or code.is_load(insn)) or here is None or not _INDEXED.search(here.text or ""):
        return None
    base = f"r{insn.dst if code.is_store(insn) else insn.src}"
    wanted, offsets, head = root(trace, last, base), [insn.off], None
    for step in trace.steps.back(last.at, FAR):
        if step.frame != last.frame:
            continue
        each = step.insn
        place = trace.own_place(step)
        if head is None and place is not None and place.own and _LOOP.match(place.text or ""):
            head = step
        if (each.code, each.dst if code.is_store(each) else each.src) != (insn.code, int(base[1:])):
            continue
        if place is not None and place.same_line(here) and root(trace, step, base) == wanted:
            offsets.append(each.off)
    far = {one - other for one, other in pairwise(offsets)}
    if len(offsets) < ROUNDS or len(far) != 1 or abs(far.pop()) < code.width(insn):
        return None
    return head or last


def _ends_loop(trace: Trace, use: Step, number: str, visits: int) -> Step | None:
    """The last comparison of a counter, or of what it was before it was counted on."""
    chain = trace.origin(use, number)
    roots = {root(trace, use, number, narrow=True)}
    for link in chain:
        if link.source is not None and link.how in ("add", "sub", "narrow"):
            roots.add(root(trace, link.step, link.source, narrow=True))
            roots.add((link.step.at, link.where))
    for step in trace.steps.back(use.at, FAR):
        insn = step.insn
        if not code.conditional(insn) or trace.log.visits(step.slot) < visits - 1:
            continue
        for on in code.reads(insn):
            if root(trace, step, on, narrow=True) in roots:
                return _limit(trace, step, on)
    return None


def _limit(trace: Trace, step: Step, on: str) -> Step | None:
    """The comparison that sets a loop's end: this one where it is with a constant, else the one of its limit. Compilers
    count down from the limit, too: then it is the one of what the counter began with."""
    insn = step.insn
    first = next((one for one in _former(trace, step) if one.slot == step.slot), step)
    limit = on
    if code.by_register(insn):
        limit = f"r{insn.src}" if on == f"r{insn.dst}" else f"r{insn.dst}"
    elif code.operation(insn) not in (1, 5):
        return step
    values = [(first, limit)]
    for link in trace.origin(first, limit):
        if link.how == "const":
            return step
        if link.source is not None and link.how in (*WHOLE, "add", "sub", "narrow"):
            values.append((link.step, link.source))
    for use, where in values:
        for test in reversed(trace.tests(use, where)):
            fixed = isinstance(test.other, int) and code.operation(test.insn) not in (1, 4, 5)
            if test.step is not None and test.step.at < first.at and fixed:
                return test.step
    return None


def _former(trace: Trace, step: Step) -> Iterator[Step]:
    """The steps of a path from its beginning, as far as a walk goes."""
    for at in range(max(0, step.at - WALK), step.at):
        yield trace.steps[at]

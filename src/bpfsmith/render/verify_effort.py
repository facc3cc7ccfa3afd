"""`verify --effort` for a person: how near the limits a program is, kernels that agree in one row, then what costs."""

from __future__ import annotations

from bpfsmith.render.inspect_table import Paint, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["effort", "markdown", "rows"]

_WORDS = {
    "instructions": "instructions", "jumps": "branches open", "stack": "stack bytes",
    "stack-before-tail-call": "stack above tail call", "frames": "call frames", "tail-calls": "tail calls in a row",
}  # fmt: skip
_LINES = 10
_LOOPS = 3
_NEAR = 0.75  # of a limit: worth a colour


def rows(results: list[Any]) -> list[tuple[str, str, str, float | None, str, list[str]]]:
    """(limit, value, allowed, share, where, kernels), the nearest first; kernels that say the same are one row, those
    that differ stand together."""
    told: dict[tuple[Any, ...], tuple[Any, list[str]]] = {}
    for one in results:
        for limit in one.effort.limits:
            key = (limit.name, limit.value, limit.limit, limit.bound, limit.where)
            told.setdefault(key, (limit, []))[1].append(one.kernel)
    nearest: dict[str, float] = {}
    found = []
    for limit, kernels in told.values():
        word = _WORDS[limit.name]
        nearest[word] = max(nearest.get(word, -1.0), -1.0 if limit.share is None else limit.share)
        value = "?" if limit.value is None else f"{limit.value:,}"
        if limit.bound == "at-least" and limit.value is not None:
            value = f"{value}+"
        elif limit.bound == "run-time":
            value = "run time"
        found.append((word, value, f"{limit.limit:,}", limit.share, limit.where, kernels))
    found.sort(key=lambda one: (-nearest[one[0]], one[0], one[3] is None, -(one[3] or 0)))
    return found


def effort(row: Any, paint: Paint, width: int) -> list[str]:
    """One program on all kernels that were asked."""
    results = [one for one in row.results if one.effort is not None]
    out = [f"{paint(printable(row.program), 'bold')}: how near the limits"]
    out += _table(results, paint, width)
    told: dict[tuple[Any, ...], list[Any]] = {}
    for one in results:
        told.setdefault(_same(one.effort), []).append(one)
    for group in told.values():
        out += _costs(group, paint, width)
    return out


def _table(results: list[Any], paint: Paint, width: int) -> list[str]:
    found = rows(results)
    sizes = [max(len(one[at]) for one in found) for at in range(3)]  # type: ignore[arg-type]
    names = [", ".join(one[5]) for one in found]
    widest = max(map(len, names))
    out = []
    for (what, value, allowed, share, where, _), kernels in zip(found, names, strict=True):
        part = "" if share is None else percent(share)
        text = f"  {what.ljust(sizes[0])}  {value.rjust(sizes[1])} of {allowed.rjust(sizes[2])}  {part:>8}  "
        text += f"{kernels.ljust(widest)}  {printable(where)}"
        text = text[: max(width, 60)].rstrip()
        out.append(paint(text, "yellow") if share is not None and share >= _NEAR else text)
    return out


def _same(one: Any) -> tuple[Any, ...]:
    lines = tuple((line.path, line.line, line.count, line.states) for line in one.lines)
    return one.processed, one.states, one.peak, one.counted, tuple(one.functions), lines


def _costs(group: list[Any], paint: Paint, width: int) -> list[str]:
    first = group[0]
    one = first.effort
    kernels = ", ".join(each.kernel for each in group)
    said = "instructions not counted" if one.processed is None else f"{one.processed:,} instructions"
    states = "" if one.states is None else f", {one.states:,} states, {one.peak:,} at once"
    if one.per_instruction:
        states += f", {one.per_instruction:,} at one instruction"
    took = f", {first.ns / 1e6:.1f} ms" if first.ns is not None and len(group) == 1 else ""
    out = [f"  {paint('on ' + kernels, 'dim')}: {said}{states}{took}"]
    if len(one.functions) > 1:
        for name, own, stack in one.functions:
            did = f", {own:,} instructions" if own is not None else ""
            out.append(f"    {printable(name)}: {stack} bytes of stack{did}")
    if not one.lines:
        return out
    cut = one.processed is not None and one.counted < one.processed * 0.8
    partly = f" (of {one.counted:,} that the log holds)" if cut else ""
    size = max(len("followed"), len(f"{one.lines[0].count:,}"))
    out.append(paint(f"    {'followed'.rjust(size)}  {'states':>6}  {'known':>6}  source line{partly}", "dim"))
    for line in one.lines[:_LINES]:
        place = f"{printable(line.path.rpartition('/')[2])}:{line.line}"
        counts = f"{line.count:,}".rjust(size) + f"  {line.states or '':>6}  {line.pruned or '':>6}"
        out.append(f"    {counts}  {place}  {printable(line.text)}"[: max(width, 40)].rstrip())
    for loop in one.loops[:_LOOPS]:
        out += _loop(loop, width)
    return out


def _loop(loop: Any, width: int) -> list[str]:
    """What a loop costs, where it is gone round more than a few times."""
    if loop.rounds < 2:
        return []
    path = (loop.path or "").rpartition("/")[2]
    place = f"{printable(path)}:{loop.line}" if loop.line else f"instruction {loop.slot}"
    entered = f", entered {loop.entered:,} times" if loop.entered > 1 else ""
    end = f"{loop.pruned:,} paths ended at known states" if loop.pruned else "no round was like one before"
    text = f"    loop at {place}: {loop.rounds:,} rounds{entered}, {loop.count:,} instructions; {end}"
    return [text[: max(width, 40)]]


def markdown(row: Any) -> list[str]:
    """The table of one program."""
    results = [one for one in row.results if one.effort is not None]
    name = row.program.replace("`", "'")
    out = ["", f"**`{name}`**: how near the limits", "", "| limit | value | of | share | kernels | |",
           "|---|---:|---:|---:|---|---|"]  # fmt: skip
    for what, value, allowed, share, where, kernels in rows(results):
        part = "" if share is None else percent(share)
        shown = f"`{where}`" if where else ""
        out.append(f"| {what} | {value} | {allowed} | {part} | {', '.join(kernels)} | {shown} |")
    one = results[-1]
    if one.effort.lines:
        out += ["", f"Hottest lines on {one.kernel}:", "", "| followed | states | line | |", "|---:|---:|---|---|"]
        for line in one.effort.lines[:5]:
            text = line.text.replace("`", "'").replace("|", "\\|")
            shown = f"`{text}`" if text else ""
            out.append(f"| {line.count:,} | {line.states:,} | {line.path.rpartition('/')[2]}:{line.line} | {shown} |")
    return out


def percent(share: float) -> str:
    """`12.3 %`; `< 0.1 %` for very little."""
    if share < 0.001:
        return "< 0.1 %" if share else "0 %"
    return f"{share * 100:.1f} %"

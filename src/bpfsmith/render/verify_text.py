"""`verify` for a person: programs by kernels, then what was not accepted, each thing said once."""

from __future__ import annotations

from bpfsmith.render._cells import cells as width_of
from bpfsmith.render._groups import grouped
from bpfsmith.render.inspect_table import Paint, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = ["render"]

_NAMES = 6  # of programs of which the same is said
_SHORT = {"prog-type": "type", "attach-target": "target", "no-target-given": "no target"}  # the whole word is below


def render(report: Any, *, color: bool = False, width: int = 120, logs: bool = False) -> str:
    """The text for a whole `VerifyReport`."""
    paint = Paint(color)
    out: list[str] = []
    if report.programs:
        out += _table(report, paint, width)
    else:
        out.append("no programs")
    out += _said(report, paint, width, logs)
    if report.changes is not None:
        out += ["", *_changes(report, paint)]
    for row in report.programs:
        if any(one.effort is not None for one in row.results):
            from bpfsmith.render.verify_effort import effort

            out += ["", *effort(row, paint, width)]
    if report.notes:
        out += ["", *(f"note: {printable(one)}" for one in report.notes)]
    out += ["", _summary(report, paint)]
    return "\n".join(out) + "\n"


# ------------------------------------------------------------ the table


def _cell(one: Any) -> tuple[str, str]:
    """(text, style) of a verdict: the count of an accepted program says more than a word."""
    if one.verdict == "accepted":
        return (f"ok {_short(one.processed)}" if one.processed is not None else "ok"), "green"
    if one.verdict == "rejected":
        return "REJECTED", "red"
    return f"- {_SHORT.get(one.reason, one.reason)}", "yellow"


def _short(count: int) -> str:
    """`204`, `12.3k`, `1.0M`: how much it was, in five cells."""
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 999_950 else f"{count / 1e6:.1f}M"


def _table(report: Any, paint: Paint, width: int) -> list[str]:
    names = [one.name for one in report.kernels]
    several = len({row.object for row in report.programs}) > 1
    head = [_kernel(name, report) for name in names]
    labels = [printable(row.program) for row in report.programs]
    grid = [[_cell(one) for one in row.results] for row in report.programs]
    first = min(max([len("program"), *map(len, labels)]), max(20, width // 3))
    columns = [max([len(head[at]), *(len(row[at][0]) for row in grid if at < len(row))]) for at in range(len(names))]
    # As many kernels side by side as fit; the rest below, so that nothing is cut.
    blocks: list[list[int]] = [[]]
    used = first
    for at, size in enumerate(columns):
        if used + 2 + size > width and blocks[-1]:
            blocks.append([])
            used = first
        blocks[-1].append(at)
        used += 2 + size
    lines: list[str] = []
    for block in blocks:
        if lines:
            lines.append("")
        title = "program".ljust(first) + "".join(f"  {head[at].ljust(columns[at])}" for at in block)
        lines.append(paint(title.rstrip(), "dim"))
        before = ""
        for row, label, cells in zip(report.programs, labels, grid, strict=True):
            if several and row.object != before:
                before = row.object
                lines.append(paint(printable(row.object), "dim"))
            shown = label if len(label) <= first else label[: first - 2] + ".."
            line = paint(shown.ljust(first), "bold")
            for at in block:
                if at < len(cells):
                    text, style = cells[at]
                    line += "  " + paint(text, style) + " " * (columns[at] - len(text))
            lines.append(line.rstrip())
    return lines


def _kernel(name: str, report: Any) -> str:
    """`host` says which series it is."""
    if name != "host":
        return name
    release = next((one.release for one in report.kernels if one.name == name), "")
    series = ".".join(release.split(".")[:2])
    return f"host ({series})" if series else name


# ------------------------------------------------------------ what was not accepted


def _said(report: Any, paint: Paint, width: int, logs: bool) -> list[str]:
    """Each thing once: by the kernels that say it, and by the programs of an object they say it of."""
    out: list[str] = []
    several = len({one.object for one in report.programs}) > 1
    told: dict[tuple[object, ...], tuple[list[Any], list[Any]]] = {}
    for row in report.programs:
        for group in grouped(row.results):
            first = group[0]
            asked = tuple(one.kernel for one in group)
            key = (row.object, asked, first.verdict, first.reason, first.message, first.path, first.line)
            told.setdefault(key, ([], group))[0].append(row)
    for rows, group in told.values():
        first = group[0]
        kernels = ", ".join(one.kernel for one in group)
        word = paint("rejected", "red") if first.verdict == "rejected" else paint(f"cannot ({first.reason})", "yellow")
        names = ", ".join(paint(printable(row.program), "bold") for row in rows[:_NAMES])
        more = f" and {len(rows) - _NAMES} more" if len(rows) > _NAMES else ""
        file = f"  ({printable(rows[0].object)})" if several else ""
        out += ["", f"{names}{more}  {word} on {kernels}{file}"]
        out += _wrapped(printable(first.message or "without a word"), width, "  ")
        out += _why(group, paint, width)
        places: dict[str, list[str]] = {}
        lines: dict[str, str] = {}
        for one in group:
            place = f"{printable(one.path)}:{one.line}" if one.path else ""
            if one.instruction is not None:
                place += f"{', ' if place else ''}instruction {one.instruction}"
            if place:
                places.setdefault(place, []).append(one.kernel)
                lines[place] = one.source
        for place, some in places.items():
            where = f" ({', '.join(some)})" if len(places) > 1 else ""
            out.append(paint(f"  --> {place}{where}", "dim"))
            if one_source := lines.get(place):
                out.append(f"      {printable(one_source)}"[:width])
        if first.why and not _said_already(first):
            out += _wrapped(f"= {printable(first.why)}", width, "  ")
        if logs:
            out += [f"  | {printable(line)}" for line in (first.log or "").splitlines()]
    return out


def _why(group: list[Any], paint: Paint, width: int) -> list[str]:
    """The cause, once for all kernels that lead to the same: its class, the sentence, and the line."""
    told: dict[tuple[Any, ...], tuple[Any, list[str]]] = {}
    for result in group:
        one = result.explained() if result.verdict == "rejected" else None
        if one is None or one.cause is None or one.cause.cls == "unknown":
            continue
        if one.headline not in result.why:  # else a loader knew it, and it stands there
            told.setdefault((one.cls, one.line, one.headline), (one, []))[1].append(result.kernel)
    out = []
    for one, kernels in told.values():
        where = f" ({', '.join(kernels)})" if len(told) > 1 else ""
        result = next(each for each in group if each.kernel == kernels[0])
        head, *rest = _wrapped(f"= {one.cls}: {printable(one.headline)}{where}", width, "  ")
        out += [head.replace(one.cls, paint(one.cls, "bold"), 1), *rest]
        path, line = one.line
        if path and line and (path, line) != (result.path, result.line):  # else it stands below
            place = one.cause.place
            out.append(paint(f"    --> {printable(path)}:{line}", "dim"))
            if place.text:
                out.append(f"        {printable(place.text.strip())}"[:width])
    return out


def _said_already(result: Any) -> bool:
    """Whether the cause says what the loader, or the kernel in its own report, has to say of it."""
    one = result.explained() if result.verdict == "rejected" else None
    if one is None or one.cause is None or one.cause.cls == "unknown":
        return False
    return bool(one.log.report is not None and result.why.startswith(one.log.report.reason[:20] or " "))


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    out, line = [], ""
    for word in text.split(" "):
        if line and width_of(line) + 1 + width_of(word) > width - len(indent):
            out.append(indent + line)
            line = f"  {word}" if text.startswith("= ") else word
        else:
            line = f"{line} {word}" if line else word
    return [*out, indent + line]


# ------------------------------------------------------------ versions, effort, the end


def _changes(report: Any, paint: Paint) -> list[str]:
    if not report.changes:
        return [f"against {printable(report.old)}: the same verdicts, counts and stacks"]
    told: dict[tuple[object, ...], tuple[Any, list[str]]] = {}
    for one in report.changes:
        key = (one.object, one.program, one.what, one.old, one.new, one.worse)
        told.setdefault(key, (one, []))[1].append(one.kernel)
    out = [f"against {printable(report.old)}:"]
    for one, kernels in told.values():
        where = f" on {', '.join(kernels)}" if kernels[0] else ""
        if one.what == "program":
            text = "is new" if one.old is None else "is gone"
        elif one.what == "verdict":
            text = f"was {one.old}, is {one.new}"
        else:
            by = f" ({(one.new - one.old) / one.old:+.0%})" if one.old else ""
            what = "instructions" if one.what == "processed" else "bytes of stack"
            text = f"{one.old} -> {one.new} {what}{by}"
        word = paint("worse ", "red") if one.worse else paint("better", "green") if one.what != "program" else "      "
        out.append(f"  {word}  {printable(one.program)}{where}: {text}")
    return out


def _summary(report: Any, paint: Paint) -> str:
    counts: Mapping[str, int] = {word: report.count(word) for word in ("accepted", "rejected", "cannot")}
    styles = {"accepted": "green", "rejected": "red", "cannot": "yellow"}
    told: Sequence[str] = [
        paint(f"{count} {'cannot be tried' if word == 'cannot' else word}", styles[word])
        for word, count in counts.items()
        if count
    ]
    programs, kernels = len(report.programs), len(report.kernels)
    size = f"{programs} program{'s' * (programs != 1)} on {kernels} kernel{'s' * (kernels != 1)}"
    return f"{size}: {', '.join(told) or 'no verdict'}"

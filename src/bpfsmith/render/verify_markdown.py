"""`verify --format markdown`: the table and what was not accepted, for a pull request."""

from __future__ import annotations

from bpfsmith.render._groups import grouped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["render"]

_MARKS = {"accepted": "✅", "rejected": "❌", "cannot": "➖"}


def render(report: Any) -> str:
    """The text for a whole `VerifyReport`."""
    counts = ", ".join(f"{report.count(word)} {word}" for word in ("accepted", "rejected", "cannot"))
    several = "s" * (len(report.kernels) != 1)
    out = [f"### Verdicts of {len(report.kernels)} kernel{several}: {counts}", ""]
    if report.programs:
        out += _table(report)
    for row in report.programs:
        for group in grouped(row.results):
            out += _said(row, group)
    for row in report.programs:
        if any(one.effort is not None for one in row.results):
            from bpfsmith.render.verify_effort import markdown

            out += markdown(row)
    if report.changes:
        out += ["", f"#### Against `{_code(report.old)}`", "", "| | program | kernel | what | was | is |",
                "|---|---|---|---|---|---|"]  # fmt: skip
        for one in report.changes:
            mark = "🔺" if one.worse else ""
            cells = (mark, f"`{_code(one.program)}`", one.kernel, one.what, one.old, one.new)
            out.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    elif report.changes is not None:
        out += ["", f"The same verdicts, counts and stacks as `{_code(report.old)}`."]
    out += [f"\n> {_escaped(note)}" for note in report.notes]
    out += [f"\n> **{_escaped(str(error))}**" for error in report.errors]
    return "\n".join(out) + "\n"


def _table(report: Any) -> list[str]:
    names = [one.name if one.name != "host" else f"host ({one.release})" for one in report.kernels]
    several = len({row.object for row in report.programs}) > 1
    out = ["| program | " + " | ".join(_escaped(name) for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in report.programs:
        name = f"`{_code(row.program)}`" + (f" ({_escaped(row.object.rpartition('/')[2])})" if several else "")
        cells = [_cell(one) for one in row.results]
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    return out


def _cell(one: Any) -> str:
    mark = _MARKS[one.verdict]
    if one.verdict == "accepted":
        return mark if one.processed is None else f"{mark} {one.processed}"
    return f"{mark} {one.reason or ''}".strip()


def _said(row: Any, group: list[Any]) -> list[str]:
    first = group[0]
    kernels = ", ".join(one.kernel for one in group)
    place = f" at `{_code(first.path)}:{first.line}`" if first.path else ""
    what = "rejected" if first.verdict == "rejected" else f"cannot be loaded ({first.reason})"
    out = ["", f"**`{_code(row.program)}`** {what} on {_escaped(kernels)}{place}", "", "```text"]
    out += [(first.message or "without a word").replace("```", "'''"), "```"]
    if first.why:
        out += ["", _escaped(first.why)]
    return out


def _code(text: str) -> str:
    """Inside backticks: none of its own."""
    return text.replace("`", "'").replace("\n", " ")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")

"""A rejected program: why, or the source line the verifier stopped at, and the log where asked for."""

from __future__ import annotations

from bpfsmith.render._cells import show
from bpfsmith.render.inspect_table import Paint, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.errors import VerifierRejected

__all__ = ["log", "reason", "source"]

_AROUND = 2


def log(error: VerifierRejected) -> str:
    """The verifier's log, an empty line after it; "" when there is none."""
    lines = error.log.rstrip("\n").split("\n") if error.log else []
    return "".join(f"{printable(line.expandtabs())}\n" for line in [*lines, ""]) if lines else ""


def reason(error: VerifierRejected, *, color: bool = False) -> str:
    """The cause at its source line, as `bpfsmith explain` shows it; "" where the log does not lead to one."""
    one = error.explained
    if one is None or one.cause is None or one.cause.cls == "unknown":
        return ""
    from bpfsmith.render.explain_text import ExplainText

    return ExplainText(color=color).explained(one, "normal", True)


def source(error: VerifierRejected, *, color: bool = False) -> str:
    """The line the verifier stopped at with those around it where the file is here, else as the object quotes it; ""
    when nothing is known."""
    paint = Paint(color)
    lines = _source(error.path, error.line)
    if not lines and error.line and error.hint.startswith("at `"):
        lines = [(error.line, error.hint[4:].rstrip("`"))]
    if not lines:
        return ""
    width = len(str(lines[-1][0]))
    out = [f"  {paint('-->', 'blue')} {printable(error.path)}:{error.line}"]
    for number, text in lines:
        mark = paint(">", "red") if number == error.line else " "
        out.append(f" {mark} {paint(str(number).rjust(width), 'dim')} {paint('|', 'blue')} {show(text)}")
    return "\n".join(out) + "\n"


def _source(path: str, line: int) -> list[tuple[int, str]]:
    """(number, text) around the line; empty when the file is not here."""
    if not path or line < 1:
        return []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 22).split("\n")
    except OSError:
        return []
    if line > len(lines):
        return []
    first = max(1, line - _AROUND)
    return [(number, lines[number - 1]) for number in range(first, min(len(lines), line + _AROUND) + 1)]

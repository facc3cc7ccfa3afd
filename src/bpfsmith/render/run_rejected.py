"""A rejected program: the source line the verifier stopped at, the reason, and the log where asked for."""

from __future__ import annotations

from bpfsmith.render._cells import show
from bpfsmith.render.inspect_table import Paint, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.errors import VerifierRejected

__all__ = ["render"]

_AROUND = 2


def render(error: VerifierRejected, *, whole: bool = False, color: bool = False) -> str:
    """Lines before the error's own; "" when nothing is known."""
    paint = Paint(color)
    out = []
    if whole and error.log:
        out += [printable(line) for line in error.log.rstrip("\n").split("\n")]
        out.append("")
    source = _source(error.path, error.line)
    if source:
        out.append(f"  {paint('-->', 'blue')} {printable(error.path)}:{error.line}")
        width = len(str(source[-1][0]))
        for number, text in source:
            mark = paint(">", "red") if number == error.line else " "
            out.append(f" {mark} {paint(str(number).rjust(width), 'dim')} {paint('|', 'blue')} {show(text)}")
    return "\n".join(out) + "\n" if out else ""


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

"""`--format github`: workflow commands that GitHub Actions shows on the changed lines of a pull request."""

from __future__ import annotations

from bpfsmith.render._base import Renderer
from bpfsmith.render._cells import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.finding import Finding
    from bpfsmith.render._base import Reported

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


class GitHub(Renderer):
    """`::error file=..,line=..,col=..,endLine=..,endColumn=..,title=..::message` per finding."""

    machine = True

    def render(self, report: Reported) -> str:
        """One line each, in the report's order."""
        return "".join(_line(finding) for finding in report.findings)


def _line(finding: Finding) -> str:
    fields: list[tuple[str, object]] = []
    message = finding.message
    span = finding.span
    if span is not None:
        fields = [("file", span.path), ("line", span.line)]
        if span.end_line == span.line:
            # GitHub's end column is inclusive, and it refuses columns of a range over several lines.
            fields += [("col", span.column), ("endLine", span.end_line), ("endColumn", span.end_column - 1)]
        else:
            fields += [("endLine", span.end_line)]
    else:
        if finding.object:
            fields = [("file", finding.object)]
        if finding.program:
            message = f"program `{finding.program}`: {message}"
    fields.append(("title", f"{finding.code} {finding.name}"))
    said = ",".join(f"{name}={_property(str(value))}" for name, value in fields)
    return f"::{_COMMANDS[finding.severity]} {said}::{_data(message)}\n"


def _data(text: str) -> str:
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


FORMAT = GitHub

"""`--format text`: for a person, in the manner of rustc."""

from __future__ import annotations

from bpfsmith.render._base import Renderer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.render._base import Reported


class Text(Renderer):
    """Header, place, source excerpt, help, kernels; a summary line at the end."""

    def render(self, report: Reported) -> str:
        """The findings and the summary."""
        out = []
        for one in report.findings:
            out.append(f"{one.severity}[{one.code} {one.name}]: {one.message}\n --> {one.span or one.object}\n")
        counts = report.summary
        out.append(f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes\n")
        return "".join(out)


FORMAT = Text

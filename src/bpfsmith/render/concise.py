"""`--format concise`: one line per finding."""

from __future__ import annotations

from bpfsmith.render._base import Renderer
from bpfsmith.render._cells import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.render._base import Reported


class Concise(Renderer):
    """`path:line:column: CODE name message`; without a source `object:program: ...`."""

    def render(self, report: Reported) -> str:
        """One line each, in the report's order."""
        lines = []
        for one in report.findings:
            if one.span:
                place = str(one.span)
            else:
                place = ":".join(part for part in (one.object or "", one.program or "") if part) or "-"
            lines.append(clean(f"{place}: {one.code} {one.name} {' '.join(one.message.split())}") + "\n")
        return "".join(lines)


FORMAT = Concise

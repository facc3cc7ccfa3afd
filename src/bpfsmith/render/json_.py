"""`--format json`: the versioned contract for programs (`api/finding.schema.json`)."""

from __future__ import annotations

from bpfsmith.render._base import Renderer, json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.render._base import Reported


class Json(Renderer):
    """One JSON document, every key present."""

    machine = True

    def render(self, report: Reported) -> str:
        """Keys in the order of the contract."""
        return json_text(report.to_json())


FORMAT = Json

"""`--format json`: the versioned contract for programs (`api/finding.schema.json`)."""

from __future__ import annotations

from bpfsmith.render._base import Renderer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.render._base import Reported


class Json(Renderer):
    """One JSON document, every key present."""

    def render(self, report: Reported) -> str:
        """Indented by two, keys in the order of the contract, Unicode kept."""
        import json

        return json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"


FORMAT = Json

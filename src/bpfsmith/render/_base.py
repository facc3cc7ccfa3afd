"""What an output format is: a report in, text out."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._sources import Sources

    class Reported(Protocol):
        """What a renderer needs of `bpfsmith.check.report.Report` (a floor above)."""

        findings: tuple[Finding, ...]
        notes: tuple[str, ...]
        loads: tuple[str, ...]
        sources: Sources | None

        @property
        def summary(self) -> Mapping[str, int]: ...

        @property
        def mending(self) -> str: ...

        def to_json(self) -> dict[str, Any]: ...


__all__ = ["Renderer", "json_text"]


class Renderer:
    """Base of all formats. `color` is already decided by the caller. What a `machine` reads is UTF-8 everywhere."""

    machine = False

    def __init__(self, *, color: bool = False) -> None:
        self.color = color

    def render(self, report: Reported) -> str:
        """The whole text, ending in a newline unless it is empty."""
        raise NotImplementedError


def json_text(value: object) -> str:
    """A JSON document, indented by two, Unicode kept; bytes of a file name that are no UTF-8 show as U+FFFD."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

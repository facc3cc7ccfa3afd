"""`run` for programs: one JSON object a line, described in docs/json.md."""

from __future__ import annotations

from json import JSONEncoder

from bpfsmith.run.runreport import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from bpfsmith.run.runreport import MapShown, RunReport

__all__ = ["JsonOutput"]

VERSION = 1


class JsonOutput:
    """A sink that writes lines; `kind` says what each is."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._encode = JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode

    def _line(self, row: dict[str, Any]) -> None:
        text = self._encode(row)
        if not text.isascii():  # names of files and programs may hold bytes that are no UTF-8
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self._out.write(text + "\n")

    def started(self, report: RunReport, seconds: float) -> None:
        told = report.to_json()
        programs = [{key: row[key] for key in ("name", "type", "targets", "note")} for row in told["programs"]]
        streams = [{key: row[key] for key in ("name", "type", "record")} for row in told["streams"]]
        self._line(
            {
                "kind": "start",
                "version": VERSION,
                "path": report.path,
                "ready_seconds": round(seconds, 6),
                "programs": programs,
                "streams": streams,
                "notes": report.notes,
            }
        )
        self._out.flush()

    def event(self, name: str, value: Any, at: float) -> None:
        self._line({"kind": "event", "seconds": round(at, 6), "map": name, "data": plain(value)})

    def log(self, record: Any, at: float) -> None:
        self._line({"kind": "log", "seconds": round(at, 6), **_log(record)})

    def lost(self, name: str, count: int, at: float) -> None:
        self._line({"kind": "lost", "seconds": round(at, 6), "map": name, "count": count})

    def shown(self, entries: MapShown, at: float) -> None:
        self._line({"kind": "map", "seconds": round(at, 6), **entries.to_json()})

    def text(self, name: str, text: str) -> None:
        self._line({"kind": "text", "program": name, "text": text.rstrip("\n")})

    def flush(self) -> None:
        self._out.flush()

    def finished(self, report: RunReport) -> None:
        """The summary: the last line."""
        self._line(report.to_json())
        self._out.flush()


def _log(record: Any) -> dict[str, Any]:
    return {key: plain(getattr(record, key, None)) for key in ("level", "target", "module", "file", "line", "message")}

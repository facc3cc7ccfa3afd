"""The JSON schema of a line of `run --format json`; `api/run.schema.json` is its snapshot, docs/json.md its words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_OPTIONAL = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_KNOWN = {"type": ["integer", "null"], "minimum": 0}
_TIME = {"type": "number", "minimum": 0}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12; every key is required, keys and kinds may be added within version 1."""
    program = {"name": _TEXT, "type": _TEXT, "targets": _TEXTS, "note": _OPTIONAL}
    counted = {
        "runs": _KNOWN,
        "run_time_ns": _KNOWN,
        "ns_per_run": {"type": ["number", "null"]},
        "recursion_misses": _KNOWN,
    }
    stream = {"name": _TEXT, "type": _TEXT, "record": _OPTIONAL}
    entries = {"type": "array", "items": _object({"key": {}, "value": {}})}
    shown = {"name": _TEXT, "type": _TEXT, "entries": entries, "more": {"type": "boolean"}}
    lines: dict[str, dict[str, Any]] = {
        "start": {
            "version": {"const": 1},
            "path": _TEXT,
            "ready_seconds": _TIME,
            "programs": {"type": "array", "items": _object(program)},
            "streams": {"type": "array", "items": _object(stream)},
            "notes": _TEXTS,
        },
        "event": {"seconds": _TIME, "map": _TEXT, "data": {}},
        "log": {
            "seconds": _TIME,
            "level": _OPTIONAL,
            "target": _OPTIONAL,
            "module": _OPTIONAL,
            "file": _OPTIONAL,
            "line": _KNOWN,
            "message": _OPTIONAL,
        },
        "lost": {"seconds": _TIME, "map": _TEXT, "count": _COUNT},
        "map": {"seconds": _TIME, **shown},
        "text": {"program": _TEXT, "text": _TEXT},
        "summary": {
            "path": _TEXT,
            "seconds": _TIME,
            "stopped": {"enum": ["time", "end", "caller", "SIGINT", "SIGTERM", "SIGHUP", "workload"]},
            "programs": {"type": "array", "items": _object(program | counted)},
            "streams": {"type": "array", "items": _object(stream | {"count": _COUNT, "lost": _KNOWN, "bad": _COUNT})},
            "logs": _COUNT,
            "maps": {"type": "array", "items": _object(shown)},
            "globals": {"type": "object"},
            "notes": _TEXTS,
            "workload": _object({"command": _TEXT, "status": _KNOWN}) | {"type": ["object", "null"]},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a line of bpfsmith run --format json",
        "description": "What happened while an object was loaded and attached; `kind` says what a line is.",
        "oneOf": [_object({"kind": {"const": kind}, **keys}) for kind, keys in lines.items()],
    }


def _object(keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(keys), "properties": keys}

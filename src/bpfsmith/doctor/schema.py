"""The JSON schema of `doctor --format json`; `api/doctor.schema.json` is its snapshot, docs/json.md its words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12; every key is required, keys may be added within version 1."""
    features = _array({"$ref": "#/$defs/feature"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bpfsmith doctor --format json",
        "description": "What eBPF this machine allows this user.",
        **_object(
            {
                "version": {"const": 1},
                "kernel": _TEXT,
                "arch": _TEXT,
                "usable": {"type": "boolean"},
                "checks": _array(
                    _object(
                        {
                            "group": {"enum": ["kernel", "rights", "mounts", "tracing", "lab"]},
                            "name": _TEXT,
                            "status": {"enum": ["ok", "missing", "note"]},
                            "detail": _TEXT,
                            "command": _TEXT,
                        }
                    )
                ),
                "program_types": features,
                "map_types": features,
                "attach_types": features,
                "link_types": features,
                "features": features,
                "helpers": {
                    "type": "object",
                    "additionalProperties": {"type": ["array", "null"], "items": _TEXT},
                },
                "left": _array(
                    _object({"kind": _TEXT, "where": _TEXT, "pid": _COUNT, "what": _TEXT, "outcome": _TEXT})
                ),
            }
        ),
        "$defs": {
            "feature": _object(
                {"name": _TEXT, "status": {"enum": ["yes", "no", "denied"]}, "since": _TEXT, "why": _TEXT}
            ),
        },
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}

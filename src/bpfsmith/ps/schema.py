"""The JSON schema of `ps --format json`; `api/ps.schema.json` is its snapshot, docs/json.md its words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]

_TEXT = {"type": "string"}
_OPTIONAL = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_FLAG = {"type": "boolean"}
_IDS = {"type": "array", "items": _COUNT}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12; every key is required, keys may be added within version 1."""
    shared: dict[str, Any] = {
        "owners": _array(_object({"pid": _COUNT, "name": _TEXT})),
        "pins": _array(_TEXT),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bpfsmith ps --format json",
        "description": "What is loaded into the running kernel. Sizes are bytes, times seconds since 1970.",
        **_object(
            {
                "version": {"const": 1},
                "kernel": _TEXT,
                "stats": _FLAG,
                "programs": _array({"$ref": "#/$defs/program"}),
                "maps": _array({"$ref": "#/$defs/map"}),
                "links": _array({"$ref": "#/$defs/link"}),
                "btf": _array({"$ref": "#/$defs/btf"}),
            }
        ),
        "$defs": {
            "program": _object(
                {
                    "id": _COUNT,
                    "type": _TEXT,
                    "name": _TEXT,
                    "tag": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                    "gpl": _FLAG,
                    "loaded_at": _COUNT,
                    "uid": _COUNT,
                    "xlated": _COUNT,
                    "jited": _COUNT,
                    "verified": _COUNT,
                    "memory": _COUNT,
                    "map_ids": _IDS,
                    "btf_id": _COUNT,
                    "runs": _COUNT,
                    "run_time_ns": _COUNT,
                    "ns_per_run": {"type": ["number", "null"]},
                    "misses": _COUNT,
                    "links": _IDS,
                    "attached": _array(_TEXT),
                    **shared,
                }
            ),
            "map": _object(
                {
                    "id": _COUNT,
                    "type": _TEXT,
                    "name": _TEXT,
                    "key_size": _COUNT,
                    "value_size": _COUNT,
                    "max_entries": _COUNT,
                    "flags": _COUNT,
                    "map_extra": _COUNT,
                    "frozen": _FLAG,
                    "memory": _COUNT,
                    "btf_id": _COUNT,
                    "programs": _IDS,
                    **shared,
                }
            ),
            "link": _object(
                {
                    "id": _COUNT,
                    "type": _TEXT,
                    "program_id": _COUNT,
                    "attach_type": _OPTIONAL,
                    "target": _TEXT,
                    "details": {"type": "object"},
                    **shared,
                }
            ),
            "btf": _object(
                {
                    "id": _COUNT,
                    "name": _TEXT,
                    "kernel": _FLAG,
                    "size": _COUNT,
                    "programs": _IDS,
                    "maps": _IDS,
                    **shared,
                }
            ),
        },
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}

"""The JSON schema of `inspect --format json`; `api/inspect.schema.json` is its snapshot, docs/json.md its words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]

_TEXT = {"type": "string"}
_OPTIONAL = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_NAMES = {"type": "array", "items": _TEXT}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12; every key is required, keys may be added within version 1."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bpfsmith inspect --format json",
        "description": "What eBPF objects hold. Sizes are bytes, instructions are 8-byte slots.",
        **_object({"version": {"const": 1}, "objects": _array({"$ref": "#/$defs/object"})}),
        "$defs": {
            "object": _object(
                {
                    "path": _TEXT,
                    "endianness": {"enum": ["little", "big"]},
                    "license": _OPTIONAL,
                    "btf": {"type": "boolean"},
                    "notes": _NAMES,
                    "programs": _array({"$ref": "#/$defs/program"}),
                    "maps": _array({"$ref": "#/$defs/map"}),
                    "globals": _array(
                        _object({"name": _TEXT, "section": _TEXT, "type": _OPTIONAL, "offset": _COUNT, "size": _COUNT})
                    ),
                    "tail_calls": _array(
                        _object({"program": _TEXT, "map": _OPTIONAL, "index": {"type": ["integer", "null"]}})
                    ),
                }
            ),
            "program": _object(
                {
                    "name": _TEXT,
                    "section": _TEXT,
                    "type": _OPTIONAL,
                    "attach_type": _OPTIONAL,
                    "attach_to": _OPTIONAL,
                    "instructions": _COUNT,
                    "subprograms": _NAMES,
                    "helpers": _NAMES,
                    "kfuncs": _NAMES,
                    "maps": _NAMES,
                    "stack": _COUNT,
                    "core_relocations": _COUNT,
                    "earliest_kernel": _object({"version": _OPTIONAL, "because": _NAMES}),
                    "fingerprint": {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"},
                }
            ),
            "map": _object(
                {
                    "name": _TEXT,
                    "type": _OPTIONAL,
                    "key_size": _COUNT,
                    "value_size": _COUNT,
                    "max_entries": _COUNT,
                    "flags": _COUNT,
                    "pinning": {"enum": ["none", "by_name"]},
                    "origin": {"enum": ["btf", "legacy", "data", "kconfig", "struct_ops"]},
                }
            ),
        },
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}

"""The JSON schema of `lab list --format json`; `api/lab.schema.json` is its snapshot, docs/json.md its words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_FLAG = {"type": "boolean"}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12; every key is required, keys may be added within version 1."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bpfsmith lab list --format json",
        "description": "Kernels of the lab. Sizes are bytes, times seconds since 1970. `lab get` and `lab add` print "
        "`version` and `kernels` alone.",
        **_object(
            {
                "version": {"const": 1},
                "folder": _TEXT,
                "size": _COUNT,
                "kernels": _array(_kernel()),
                "offered": _array(_offered()),
                "read_at": {"type": ["integer", "null"]},
            }
        ),
    }


def _kernel() -> dict[str, Any]:
    return _object(
        {
            "name": _TEXT,
            "series": _TEXT,
            "release": _TEXT,
            "version": _TEXT,
            "package": _TEXT,
            "arch": _TEXT,
            "origin": _TEXT,
            "added": _COUNT,
            "folder": _TEXT,
            "boot": {"enum": ["pvh", "bzimage", "image"]},
            "size": _COUNT,
            "btf": _FLAG,
            "modules": _array(_TEXT),
            "features": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}},
            "lacks": _array(
                _object({"what": {"enum": ["btf", "config", "virtio", "traffic", "pvh", "files"]}, "lost": _TEXT})
            ),
        }
    )


def _offered() -> dict[str, Any]:
    return _object(
        {
            "series": _TEXT,
            "release": _TEXT,
            "package": _TEXT,
            "suite": _TEXT,
            "download": _COUNT,
            "modules": {"type": ["boolean", "null"]},
            "default": _FLAG,
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}

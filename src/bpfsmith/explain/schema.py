"""The JSON schema of `explain --format json` for rejections; `api/explain.schema.json` is its snapshot."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]

_TEXT = {"type": "string"}
_OPTIONAL = {"type": ["string", "null"]}
_SLOT = {"type": ["integer", "null"], "minimum": 0}
_FROM_ONE = {"type": ["integer", "null"], "minimum": 1}
_FAMILY = {"type": ["string", "null"], "pattern": "^V[0-9]{2,}$"}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12: the document of one load, or of several. Every key is required, keys may be added within
    version 1."""
    from bpfsmith.model.finding import APPLICABILITIES
    from bpfsmith.verify.cause.result import CLASSES

    symptom = {
        "message": _OPTIONAL,
        "family": _FAMILY,
        "instruction": _SLOT,
        "path": _OPTIONAL,
        "line": _FROM_ONE,
        "text": _OPTIONAL,
    }
    cause = {
        "class": {"enum": [*CLASSES, None]},
        "path": _OPTIONAL,
        "line": _FROM_ONE,
        "column": _FROM_ONE,
        "text": _OPTIONAL,
        "confidence": {"enum": ["high", "medium", "low", None]},
        "variables": _array(_TEXT),
    }
    step = {"instruction": _SLOT, "path": _OPTIONAL, "line": _FROM_ONE, "text": _OPTIONAL, "fact": _TEXT}
    place = {"type": "integer", "minimum": 1}
    edit = {"path": _TEXT, **dict.fromkeys(("line", "column", "end_line", "end_column"), place), "text": _TEXT}
    fix = {
        "applicability": {"enum": list(APPLICABILITIES)},
        "message": _TEXT,
        "edits": _array(_object(edit)),
    }
    one = {
        "version": {"const": 1},
        "program": _OPTIONAL,
        "kernel": _OPTIONAL,
        "verdict": {"enum": ["rejected", "accepted", "unknown"]},
        "symptom": _object(symptom),
        "cause": _object(cause),
        "chain": _array(_object(step)),
        "fixes": _array(_object(fix)),
    }
    several = {"version": {"const": 1}, "programs": _array({"$ref": "#/$defs/load"})}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bpfsmith explain --format json",
        "description": "Why the verifier refused a program: one load, or several. What is not known is null. Of words "
        "the document is another: pages.",
        "anyOf": [{"$ref": "#/$defs/load"}, _object(several)],
        "$defs": {"load": _object(one)},
    }


def _object(keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(keys), "properties": keys}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}

"""The JSON schema of `verify --format json`; `api/verify.schema.json` is its snapshot, docs/json.md its words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]

_TEXT = {"type": "string"}
_OPTIONAL = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_KNOWN = {"type": ["integer", "null"], "minimum": 0}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12; every key is required but `changes` (with `--against`) and `effort` (with `--effort`), keys
    may be added within version 1."""
    from bpfsmith.verdict import REASONS, VERDICTS
    from bpfsmith.verify.cause.result import CLASSES
    from bpfsmith.verify.effort_limits import BOUNDS, NAMES

    result = {
        "kernel": _TEXT,
        "verdict": {"enum": list(VERDICTS)},
        "reason": {"enum": [*REASONS, None]},
        "message": _OPTIONAL,
        "instruction": _KNOWN,
        "path": _OPTIONAL,
        "line": {"type": ["integer", "null"], "minimum": 1},
        "processed": _KNOWN,
        "states": _KNOWN,
        "stack": {"type": ["array", "null"], "items": _COUNT},
        "ns": _KNOWN,
        "log": _OPTIONAL,
        "cause": _object(
            {
                "class": {"enum": list(CLASSES)},
                "family": _OPTIONAL,
                "confidence": {"enum": ["high", "medium", "low"]},
                "path": _OPTIONAL,
                "line": {"type": ["integer", "null"], "minimum": 1},
                "text": _TEXT,
            }
        )
        | {"type": ["object", "null"]},
    }
    program = {"object": _TEXT, "program": _TEXT, "section": _TEXT, "results": _array(_object(result))}
    change = {
        "object": _TEXT,
        "program": _TEXT,
        "kernel": _TEXT,
        "what": {"enum": ["verdict", "processed", "stack", "program"]},
        "old": {},
        "new": {},
        "worse": {"type": "boolean"},
    }
    effort = {
        "object": _TEXT,
        "program": _TEXT,
        "kernel": _TEXT,
        "processed": _KNOWN,
        "limit": _COUNT,
        "states": _KNOWN,
        "peak": _KNOWN,
        "states_per_instruction": _KNOWN,
        "limits": _array(
            _object(
                {
                    "name": {"enum": list(NAMES)},
                    "value": _KNOWN,
                    "limit": _COUNT,
                    "share": {"type": ["number", "null"], "minimum": 0},
                    "bound": {"enum": list(BOUNDS)},
                    "where": _TEXT,
                }
            )
        ),
        "functions": _array(_object({"name": _TEXT, "processed": _KNOWN, "stack": _COUNT})),
        "lines": _array(
            _object(
                {"path": _TEXT, "line": _COUNT, "text": _TEXT}
                | dict.fromkeys(("count", "states", "pruned", "opened"), _COUNT)
            )
        ),
        "loops": _array(
            _object(
                {"path": _OPTIONAL, "line": {"type": ["integer", "null"], "minimum": 1}, "text": _TEXT}
                | dict.fromkeys(("instruction", "rounds", "entered", "count", "pruned"), _COUNT)
            )
        ),
        "tail_calls": _array(
            _object(
                {
                    "slot": _COUNT,
                    "map": _OPTIONAL,
                    "path": _OPTIONAL,
                    "line": {"type": ["integer", "null"], "minimum": 1},
                }
            )
        ),
        "counted": _COUNT,
    }
    made = _object(
        {
            "version": {"const": 1},
            "kernels": _array(_object({"name": _TEXT, "release": _TEXT})),
            "programs": _array(_object(program)),
            "notes": _array(_TEXT),
            "errors": _array(_object(dict.fromkeys(("kind", "message", "where", "hint"), _TEXT))),
        }
    )
    made["properties"] |= {"changes": _array(_object(change)), "effort": _array(_object(effort))}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bpfsmith verify --format json",
        "description": "Verdicts of real kernels. What is not known is null; `ns` of an emulated kernel is comparable "
        "only within one document.",
        **made,
    }


def _object(keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(keys), "properties": keys}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}

"""The JSON schema of `check --format json`, made from the model; `api/finding.schema.json` is its snapshot."""

from __future__ import annotations

from bpfsmith.model.finding import APPLICABILITIES, SEVERITIES, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_POSITION = {"type": "integer", "minimum": 1}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12; every key is required, keys may be added within version 1."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bpfsmith check --format json",
        "description": "Lines and columns start at 1, columns count Unicode characters, the end is exclusive.",
        **_object(
            {
                "version": {"const": 1},
                "findings": _array({"$ref": "#/$defs/finding"}),
                "summary": _object(dict.fromkeys(("files", *SEVERITIES, "suppressed"), _COUNT)),
                "mending": _object(
                    {
                        "safe": {**_COUNT, "description": "findings that `--fix` would mend"},
                        "unsafe": {**_COUNT, "description": "findings that only `--unsafe-fixes` would mend"},
                        "mended": _array({"$ref": "#/$defs/finding"}, "with places as they were when it was mended"),
                        "files": _array(_TEXT, "what `--fix` wrote, or `--diff` would"),
                        "written": {"type": "boolean"},
                        "diff": {**_TEXT, "description": "unified, empty without `--fix` and `--diff`"},
                    }
                ),
                "notes": _array(_TEXT, "what was noticed: earliest kernels, which of several builds was taken"),
                "errors": _array(
                    _object(dict.fromkeys(("kind", "message", "where", "hint"), _TEXT)),
                    "what could not be checked, and why",
                ),
            }
        ),
        "$defs": {"finding": _finding()},
    }


def _finding() -> dict[str, Any]:
    place = {name: _TEXT if name == "path" else _POSITION for name in Span.FIELDS}
    open_place = {name: {"type": [kind["type"], "null"]} for name, kind in place.items()}
    return _object(
        {
            "code": {"type": "string", "pattern": "^[A-Z]{3}[0-9]{3}$"},
            "name": _TEXT,
            "severity": {"enum": list(SEVERITIES)},
            "message": _TEXT,
            **open_place,
            "object": {"type": ["string", "null"]},
            "program": {"type": ["string", "null"]},
            "kernels": _array(_TEXT, "series on which it holds, empty for all"),
            "labels": _array(_object({**place, "message": _TEXT})),
            "evidence": _array(_object({"kind": _TEXT, "text": _TEXT})),
            "fixes": _array(
                _object(
                    {
                        "applicability": {"enum": list(APPLICABILITIES)},
                        "message": _TEXT,
                        "edits": _array(_object({**place, "text": _TEXT})),
                    }
                )
            ),
            "see": _array(_TEXT, "codes and names to read next"),
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: dict[str, Any], description: str = "") -> dict[str, Any]:
    return {"type": "array", "items": items, **({"description": description} if description else {})}

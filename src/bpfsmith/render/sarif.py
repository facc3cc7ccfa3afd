"""`--format sarif`: SARIF 2.1.0 for code scanning; fingerprints survive moved lines, paths are relative URIs."""

from __future__ import annotations

import os

from bpfsmith.render._base import Renderer, json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.model.finding import Finding, Fix, Span
    from bpfsmith.render._base import Reported
    from bpfsmith.rules._sources import Sources

_ROOT = "%SRCROOT%"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


class Sarif(Renderer):
    """One run with the metadata of the rules that found something."""

    machine = True

    def render(self, report: Reported) -> str:
        """The log file."""
        return json_text(document(report))


def document(report: Reported) -> dict[str, Any]:
    """The SARIF log as plain values."""
    from bpfsmith import __version__

    codes = sorted({finding.code for finding in report.findings})
    index = {code: at for at, code in enumerate(codes)}
    seen: dict[tuple[str, ...], int] = {}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "bpfsmith",
                        "semanticVersion": __version__,
                        "version": __version__,
                        "rules": [_rule(code, report) for code in codes],
                    }
                },
                "invocations": [_invocation(report)],
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {_ROOT: {"uri": _uri(os.getcwd()) + "/"}},
                "results": [_result(one, index, seen, report.sources) for one in report.findings],
            }
        ],
    }


def _invocation(report: Reported) -> dict[str, Any]:
    """What could not be checked stands beside the results, so that nobody takes silence for a clean bill."""
    errors = report.to_json()["errors"]
    return {
        "executionSuccessful": not errors,
        "toolExecutionNotifications": [
            {
                "level": "error",
                "message": {"text": error["message"] + (f" ({error['hint']})" if error["hint"] else "")},
                "descriptor": {"id": error["kind"]},
            }
            for error in errors
        ],
    }


def _rule(code: str, report: Reported) -> dict[str, Any]:
    from bpfsmith import rules

    entry = rules.find(code)
    if entry is None:  # a finding of a rule that is not installed, such as one read back from JSON
        name = next(one.name for one in report.findings if one.code == code)
        return {"id": code, "name": name}
    rule = entry.rule
    docs = rule.docs
    return {
        "id": code,
        "name": entry.name,
        "shortDescription": {"text": docs.summary or entry.name},
        "fullDescription": {"text": docs.sections.get("What it does") or docs.summary or entry.name},
        "help": {"text": docs.text, "markdown": docs.text},
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"tags": [rule.group, f"phase:{rule.phase}"], "since": rule.since_version},
    }


def _result(
    finding: Finding, index: dict[str, int], seen: dict[tuple[str, ...], int], sources: Sources | None
) -> dict[str, Any]:
    context = _context(finding, sources)
    occurrence = seen.get(context, 0)
    seen[context] = occurrence + 1
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index[finding.code],
        "level": finding.severity,
        "message": {"text": finding.message},
        "locations": [_location(finding)],
        "partialFingerprints": {"bpfsmith/v1": _hash((*context, str(occurrence)))},
    }
    if finding.labels:
        result["relatedLocations"] = [
            {"id": at, "physicalLocation": _physical(label.span), "message": {"text": label.message}}
            for at, label in enumerate(finding.labels)
        ]
    fixes = [_fix(fix) for fix in finding.fixes if fix.edits and fix.applicability != "display"]
    if fixes:
        result["fixes"] = fixes
    properties: dict[str, Any] = {}
    if finding.kernels:
        properties["kernels"] = list(finding.kernels)
    if finding.evidence:
        properties["evidence"] = [f"{one.kind}: {one.text}" for one in finding.evidence]
    help_texts = [fix.message for fix in finding.fixes]
    if help_texts:
        properties["help"] = help_texts
    if properties:
        result["properties"] = properties
    return result


def _location(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {}
    if finding.span is not None:
        location["physicalLocation"] = _physical(finding.span)
    elif finding.object:
        location["physicalLocation"] = {"artifactLocation": _artifact(finding.object)}
    if finding.program:
        logical = {"name": finding.program, "kind": "function"}
        if finding.object:
            logical["fullyQualifiedName"] = f"{finding.object}:{finding.program}"
        location["logicalLocations"] = [logical]
    return location


def _physical(span: Span) -> dict[str, Any]:
    return {"artifactLocation": _artifact(span.path), "region": _region(span)}


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _artifact(path: str) -> dict[str, str]:
    if os.path.isabs(path):
        return {"uri": _uri(path)}
    return {"uri": _quote(path.replace(os.sep, "/")), "uriBaseId": _ROOT}


def _fix(fix: Fix) -> dict[str, Any]:
    changes: dict[str, list[dict[str, Any]]] = {}
    for edit in fix.edits:
        change = {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}}
        changes.setdefault(edit.span.path, []).append(change)
    return {
        "description": {"text": fix.message},
        "artifactChanges": [
            {"artifactLocation": _artifact(path), "replacements": listed} for path, listed in changes.items()
        ],
    }


def _context(finding: Finding, sources: Sources | None) -> tuple[str, ...]:
    """What stays the same when lines move: the rule, the file, and the line's text, or the object and program."""
    span = finding.span
    if span is not None:
        line = sources.line(span.path, span.line) if sources is not None else None
        if line is not None:
            return finding.code, span.path, " ".join(line.split())
        return finding.code, span.path, finding.message
    return finding.code, os.path.basename(finding.object or ""), finding.program or "", finding.message


def _hash(parts: tuple[str, ...]) -> str:
    from hashlib import sha256

    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _uri(path: str) -> str:
    return "file://" + _quote(path)


def _quote(text: str) -> str:
    from urllib.parse import quote

    return quote(text.encode("utf-8", "surrogateescape"))


FORMAT = Sarif

"""Verdicts as findings, for the formats that print those: SARIF, GitHub, and whoever reads findings already."""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Finding, Fix, Label, Span
from bpfsmith.render._groups import grouped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.report import Result, Row, VerifyReport

__all__ = ["findings"]


def findings(report: VerifyReport) -> list[Finding]:
    """One per program and thing said of it, with the kernels that say it."""
    found = []
    for row in report.programs:
        for group in grouped(row.results):
            first = group[0]
            rejected = first.verdict == "rejected"
            code, name = ("CHK006", "rejected-by-kernel") if rejected else ("CHK007", "cannot-be-loaded")
            severity = "error" if rejected or report.strict else "note"
            found.append(Finding(code, name, severity, _message(row, group), **_place(row, group)))
    return sorted(found)


def _message(row: Row, group: list[Result]) -> str:
    first = group[0]
    kernels = ", ".join(one.kernel for one in group)
    if first.verdict == "rejected":
        return f"{kernels}: the verifier rejects `{row.program}`: {first.message}"
    return f"{kernels}: `{row.program}` cannot be loaded ({first.reason}): {first.message}"


def _place(row: Row, group: list[Result]) -> dict[str, Any]:
    first = group[0]
    evidence = [
        Evidence(
            "kernel", f"{one.kernel}: instruction {one.instruction}" if one.instruction is not None else one.kernel
        )
        for one in group
    ]
    span = Span(_shown(first.path), first.line) if first.path and first.line else None
    fixes = [Fix("display", first.why)] if first.why else []
    labels: list[Label] = []
    one = first.explained() if first.verdict == "rejected" else None
    if one is not None and one.cause is not None and one.cause.cls != "unknown":
        told, _ = one.finding()
        if told.span is not None and one.line[1] is not None:
            span = _moved(told.span)
            labels = [label.replace(span=_moved(label.span)) for label in told.labels]
        evidence.insert(0, Evidence("cause", f"{one.cls} ({one.cause.confidence} confidence): {one.headline}"))
        fixes += [fix for fix in told.fixes if fix.message != first.why]
    return {
        "span": span,
        "object": row.object,
        "program": row.program,
        "labels": labels,
        "evidence": evidence,
        "fixes": fixes,
        # Names and `host` are in the message; findings hold series.
        "kernels": [one.kernel for one in group if _is_series(one.kernel)],
    }


def _moved(span: Span) -> Span:
    return span.replace(path=_shown(span.path))


def _is_series(name: str) -> bool:
    from bpfsmith.model.kernels import series_key

    try:
        series_key(name)
    except ValueError:
        return False
    return True


def _shown(path: str) -> str:
    """As code hosts want it: relative to the current folder where it lies below, without `./`."""
    import os

    plain = os.path.normpath(path)
    here = os.path.join(os.getcwd(), "")
    return plain.removeprefix(here)

"""`check --prove`: what the report says of kernels, held against real ones by the code of `verify`."""

from __future__ import annotations

from bpfsmith.model.errors import BpfsmithError
from bpfsmith.model.finding import Evidence
from bpfsmith.model.kernels import KernelSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.verify.report import Result, Row

__all__ = ["Proved", "prove"]

# Findings about what the kernel does with a program; others claim nothing a verdict could show.
_PHASES = ("load", "verify")
_SHOWN = 3


class Proved:
    """`findings` with the kernels' verdicts as evidence; `loads`: a sentence per program; `errors`: why there is
    none."""

    __slots__ = ("errors", "findings", "loads")

    def __init__(self, findings: list[Finding], loads: list[str], errors: list[BpfsmithError]) -> None:
        self.findings = findings
        self.loads = loads
        self.errors = errors


def prove(objects: Sequence[Object], findings: list[Finding], kernels: KernelSet | str | None) -> Proved:
    """Has every prepared kernel of the set (without one: every prepared one, and the running one) judge the programs.

    A rejection on a kernel that was asked for is a finding of its own (CHK006)."""
    from bpfsmith.verify import verify
    from bpfsmith.verify.claims import loads

    asked = _asked(kernels)
    try:
        report = verify(objects, kernels=asked)
    except BpfsmithError as error:
        return Proved(findings, [], [error])
    rows = {(row.object, row.program): row for row in report.programs}
    proved = [_with_evidence(one, rows) for one in findings]
    if kernels is not None:
        proved += [one for one in report.findings() if one.code == "CHK006"]
    release = {one.name: one.release for one in report.kernels}
    said = [f"{row.program}: {loads(row.results)}" for row in report.programs]
    if release:
        said.append(f"asked: {', '.join(f'{name} ({built})' for name, built in release.items())}")
    if report.unprepared:
        said.append(f"not prepared, so not asked: {', '.join(report.unprepared)}")
    return Proved(proved, said, list(report.errors))


def _asked(kernels: KernelSet | str | None) -> str | list[str] | None:
    if kernels is None or isinstance(kernels, str):
        return kernels
    from bpfsmith.lab import store

    here = {one.name for one in store.all()}
    # Those of the set that are prepared; when none is, the error names what to get.
    return [one for one in kernels.series if one in here] or [kernels.newest()]


def _with_evidence(finding: Finding, rows: dict[tuple[str, str], Row]) -> Finding:
    from bpfsmith import rules

    row = rows.get((finding.object or "", finding.program or ""))
    entry = rules.find(finding.code)
    if row is None or entry is None or entry.rule.phase not in _PHASES:
        return finding
    if not finding.kernels:
        # What claims nothing of the verifier is not about its refusals, but about what cannot be loaded at all.
        refused = ("rejected", "cannot") if entry.rule.phase == "verify" else ("cannot",)
        judged = [one for one in row.results if one.verdict in refused]
    else:
        judged = [one for one in row.results if one.kernel in finding.kernels]
    lines = {span.line for span in (finding.span, *(label.span for label in finding.labels)) if span is not None}
    evidence = [_evidence(one, lines) for one in judged if one.verdict != "accepted"][:_SHOWN]
    taken = [one.kernel for one in judged if one.verdict == "accepted"]
    if taken and finding.kernels:
        evidence.append(Evidence("kernel", f"{', '.join(taken)} accepts `{row.program}` all the same"))
    return finding.replace(evidence=(*finding.evidence, *evidence)) if evidence else finding


def _evidence(one: Result, lines: set[int]) -> Evidence:
    """`lines`: of the finding; a refusal of another one is said to be."""
    what = "rejects it" if one.verdict == "rejected" else f"cannot load it ({one.reason})"
    if one.verdict == "rejected" and one.line and lines and one.line not in lines:
        what = f"rejects the program at line {one.line}"
    return Evidence("kernel", f"{one.kernel} {what}: {one.message}")

"""The result of `bpfsmith.check`: findings, counts, notes, errors, and what each program needs."""

from __future__ import annotations

from bpfsmith.model.finding import SEVERITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._sources import Sources

__all__ = ["DEFAULT_FAIL_ON", "FAIL_ON", "Report", "strictest"]

FAIL_ON = (*SEVERITIES, "never")
DEFAULT_FAIL_ON = "warning"


def strictest(bars: Iterable[str]) -> str:
    """Of the bars of several configurations the one that fails most: which path was named first must not matter."""
    order = ("never", *SEVERITIES)
    return max(bars, key=order.index, default=DEFAULT_FAIL_ON)


class Report:
    """What one check found.

    `exit_code`: 0 clean, 1 findings from `fail_on` up, 2 bad input, 3 environment, 4 our bug.
    """

    __slots__ = ("errors", "fail_on", "files", "findings", "loads", "notes", "sources", "suppressed")

    def __init__(
        self,
        findings: Iterable[Finding] = (),
        *,
        files: int = 0,
        suppressed: int = 0,
        notes: Iterable[str] = (),
        loads: Iterable[str] = (),
        errors: Iterable[BpfsmithError] = (),
        fail_on: str = DEFAULT_FAIL_ON,
        sources: Sources | None = None,
    ) -> None:
        self.findings: tuple[Finding, ...] = tuple(findings)
        self.files = files
        self.suppressed = suppressed
        self.notes: tuple[str, ...] = tuple(notes)
        # One sentence per program, such as `xdp_count: loads from 5.18 (bpf_xdp_load_bytes)`.
        self.loads: tuple[str, ...] = tuple(loads)
        self.errors: tuple[BpfsmithError, ...] = tuple(errors)
        self.fail_on = fail_on
        self.sources = sources

    @property
    def summary(self) -> Mapping[str, int]:
        """`{files, error, warning, note, suppressed}`."""
        counts = dict.fromkeys(SEVERITIES, 0)
        for finding in self.findings:
            counts[finding.severity] += 1
        return {"files": self.files, **counts, "suppressed": self.suppressed}

    @property
    def exit_code(self) -> int:
        """The worst that happened: our bug, then the environment, then input, then findings."""
        codes = {error.exit_code for error in self.errors}
        for code in (4, 2, 3):
            if code in codes:
                return code
        if self.fail_on == "never":
            return 0
        failing = SEVERITIES[: SEVERITIES.index(self.fail_on) + 1]
        return int(any(finding.severity in failing for finding in self.findings))

    def to_json(self) -> dict[str, Any]:
        """What `check --format json` prints (`api/finding.schema.json`)."""
        return {
            "version": 1,
            "findings": [finding.to_json() for finding in self.findings],
            "summary": dict(self.summary),
            "notes": [*self.loads, *self.notes],
            "errors": [error.to_json() for error in self.errors],
        }

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={count}" for name, count in self.summary.items())
        what = ""
        if self.errors:
            # What could not be checked comes first: the counts after it say nothing about that.
            more = len(self.errors)
            first = " ".join(str(self.errors[0]).split())
            what = f"{more} error{'s' * (more > 1)}: {first}{' ...' * (more > 1)}; "
        return f"<Report {what}{counts}, exit code {self.exit_code}>"

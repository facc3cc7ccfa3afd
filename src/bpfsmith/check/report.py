"""The result of `bpfsmith.check`: findings, counts, notes, errors, and what each program needs."""

from __future__ import annotations

from bpfsmith.model.finding import SEVERITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from bpfsmith.check.fix import Mended
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

    `exit_code`: 0 clean, 1 findings from `fail_on` up, 2 bad input, 3 environment, 4 our bug. `mended` is what `fix`
    did (or `diff` would do); then the findings are those that are left. With `diff` 1 means: something would change.
    """

    __slots__ = ("errors", "fail_on", "files", "findings", "loads", "mended", "notes", "sources", "suppressed")

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
        mended: Mended | None = None,
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
        self.mended = mended

    def after(self, mended: Mended, errors: Iterable[BpfsmithError]) -> Report:
        """The report with what was mended."""
        return Report(
            self.findings,
            files=self.files,
            suppressed=self.suppressed,
            notes=self.notes,
            loads=self.loads,
            errors=(*self.errors, *errors),
            fail_on=self.fail_on,
            sources=self.sources,
            mended=mended,
        )

    @property
    def mendable(self) -> tuple[int, int]:
        """How many findings `--fix` would mend, and how many more `--unsafe-fixes` would."""
        from bpfsmith.check.fix import SAFE, UNSAFE, fix_for

        safe = sum(fix_for(one, SAFE) is not None for one in self.findings)
        return safe, sum(fix_for(one, UNSAFE) is not None for one in self.findings) - safe

    @property
    def mending(self) -> str:
        """One line about it: `mended 3 of 5`, or what `--fix` could do; empty when there is nothing to say."""
        safe, more = self.mendable
        unsafe = f"{more} more with `--unsafe-fixes`" if more else ""
        if self.mended is None:
            if safe:
                return f"{safe} can be mended with `--fix`" + (f", {unsafe}" if unsafe else "")
            return f"{more} can be mended with `--fix --unsafe-fixes`" if more else ""
        done = len(self.mended.mended)
        if not done and not self.findings:
            return ""
        word = "mended" if self.mended.written else "would mend"
        count = len(self.mended.files)
        files = f" in {count} file{'' if count == 1 else 's'}" if done else ""
        return f"{word} {done} of {done + len(self.findings)}{files}" + (f", {unsafe}" if unsafe else "")

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
        if self.mended is not None and not self.mended.written:
            return int(bool(self.mended.files))
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
            "mending": self._mending(),
            "notes": [*self.loads, *self.notes],
            "errors": [error.to_json() for error in self.errors],
        }

    def _mending(self) -> dict[str, Any]:
        safe, unsafe = self.mendable
        done = self.mended
        return {
            "safe": safe,
            "unsafe": unsafe,
            "mended": [one.to_json() for one in done.mended] if done is not None else [],
            "files": list(done.files) if done is not None else [],
            "written": done is not None and done.written,
            "diff": done.diff if done is not None else "",
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

"""The result of `bpfsmith.verify`: programs by kernels, what changed, and what it means for the exit code."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.model.finding import Finding
    from bpfsmith.model.program import Program
    from bpfsmith.verdict import Judged
    from bpfsmith.verify.effort import Effort
    from bpfsmith.verify.explained import Explained

__all__ = ["Change", "JudgedKernel", "Result", "Row", "VerifyReport"]


class JudgedKernel:
    """A kernel that was asked. `name`: series, release, added name, or `host`; `release`: what `uname -r` answers."""

    __slots__ = ("name", "release")

    def __init__(self, name: str, release: str) -> None:
        self.name = name
        self.release = release

    def __repr__(self) -> str:
        return f"<JudgedKernel {self.name}: {self.release}>"


class Result:
    """What one kernel says of one program. `verdict`: `accepted`, `rejected` or `cannot`; `reason`: of `cannot`, else
    None; `message`: the verifier's last line, or our sentence; `why`: what a person should know besides; `source`: the
    text of the line, "" when it is not at hand; `program`: what was judged; the rest are the kernel's own figures (`ns`
    of an emulated kernel is comparable only within one report). None: not known."""

    __slots__ = (
        "_explained", "_judged", "effort", "instruction", "kernel", "line", "log", "message", "notes", "ns", "path",
        "processed", "program", "reason", "source", "stack", "states", "verdict", "why",
    )  # fmt: skip

    def __init__(self, kernel: str, judged: Judged, program: Program | None = None) -> None:
        self.kernel = kernel
        self.verdict = judged.verdict
        self.reason = judged.reason or None
        self.message = judged.message or None
        self.why = judged.why
        self.instruction = judged.instruction
        self.path = judged.path or None
        self.line = judged.line or None
        self.source = ""
        self.processed = judged.processed
        self.states = judged.states
        self.stack = judged.stack
        self.ns = judged.ns
        self.log = judged.log or None
        self.notes = judged.notes
        self.effort: Effort | None = None
        self.program = program
        self._judged = judged
        self._explained: Explained | None = None

    def explained(self) -> Explained | None:
        """Why: the cause at the source line, worked out on first use. None for what could not be tried."""
        if self._explained is None and self.verdict != "cannot":
            from bpfsmith.verify.explained import of_verdict

            try:
                self._explained = of_verdict(self._judged, self.program, self.kernel)
            except ImportError:  # a native half that was built before it could read logs
                return None
        return self._explained

    def _cause(self) -> dict[str, Any] | None:
        one = self.explained() if self.verdict == "rejected" else None
        if one is None or one.cause is None:
            return None
        path, line = one.line
        return {
            "class": one.cls,
            "family": one.family,
            "confidence": one.cause.confidence,
            "path": path,
            "line": line,
            "text": one.headline,
        }

    def to_json(self) -> dict[str, Any]:
        """An entry of `results`, every key present."""
        return {
            "kernel": self.kernel,
            "verdict": self.verdict,
            "reason": self.reason,
            "message": self.message,
            "instruction": self.instruction,
            "path": self.path,
            "line": self.line,
            "processed": self.processed,
            "states": self.states,
            "stack": self.stack,
            "ns": self.ns,
            "log": self.log,
            "cause": self._cause(),
        }

    def __repr__(self) -> str:
        said = f" ({self.reason})" if self.reason else ""
        return f"<Result {self.kernel}: {self.verdict}{said}>"


class Row:
    """One program on every kernel. `object`: the path of its file; `loader`: whose rules it was held to."""

    __slots__ = ("loader", "object", "program", "results", "section")

    def __init__(self, path: str, program: str, section: str, loader: str) -> None:
        self.object = path
        self.program = program
        self.section = section
        self.loader = loader
        self.results: list[Result] = []

    def to_json(self) -> dict[str, Any]:
        """An entry of `programs`."""
        return {
            "object": self.object,
            "program": self.program,
            "section": self.section,
            "results": [one.to_json() for one in self.results],
        }

    def __repr__(self) -> str:
        return f"<Row {self.program}: {', '.join(f'{one.kernel} {one.verdict}' for one in self.results)}>"


class Change:
    """A difference to the older version. `what`: `verdict`, `processed` or `stack`, or `program` for one that only one
    version has; `old`, `new`: the two values; `worse`: whether it got worse."""

    __slots__ = ("kernel", "new", "object", "old", "program", "what", "worse")

    def __init__(self, row: Row, kernel: str, what: str, old: Any, new: Any, worse: bool) -> None:
        self.object = row.object
        self.program = row.program
        self.kernel = kernel
        self.what = what
        self.old = old
        self.new = new
        self.worse = worse

    def to_json(self) -> dict[str, Any]:
        """`{"object","program","kernel","what","old","new","worse"}`."""
        return {name: getattr(self, name) for name in ("object", "program", "kernel", "what", "old", "new", "worse")}

    def __repr__(self) -> str:
        return f"<Change {self.program} on {self.kernel}: {self.what} {self.old} -> {self.new}>"


class VerifyReport:
    """Every verdict. `kernels`: those asked, in the order of the columns; `programs`: rows; `errors`: files that could
    not be read, kernels that this machine cannot start; `notes`: sentences; `changes`: against an older version, None
    when none was given; `untried`: names of kernels that could not be started (their cells are `cannot`, `crash`);
    `unprepared`: those of the default matrix that are in a range asked for, but not prepared, so not asked.

    `exit_code`: 0 all accepted, 1 any rejected, 3 nothing could be tried, or a kernel could not be started; 2 when a
    file could not be read."""

    __slots__ = ("changes", "errors", "kernels", "notes", "old", "programs", "strict", "unprepared", "untried")

    def __init__(
        self,
        kernels: Sequence[JudgedKernel] = (),
        programs: Sequence[Row] = (),
        *,
        errors: Iterable[BpfsmithError] = (),
        notes: Iterable[str] = (),
        changes: Sequence[Change] | None = None,
        old: str = "",
        strict: bool = False,
        untried: Iterable[str] = (),
        unprepared: Iterable[str] = (),
    ) -> None:
        self.kernels = tuple(kernels)
        self.programs = tuple(programs)
        self.errors = tuple(errors)
        self.notes = tuple(notes)
        self.changes = None if changes is None else tuple(changes)
        self.old = old
        self.strict = strict
        self.untried = tuple(untried)
        self.unprepared = tuple(unprepared)

    def count(self, verdict: str) -> int:
        """How many cells have that verdict."""
        return sum(one.verdict == verdict for row in self.programs for one in row.results)

    @property
    def exit_code(self) -> int:
        codes = {error.exit_code for error in self.errors}
        for code in (4, 2):
            if code in codes:
                return code
        if self.count("rejected") or (self.strict and self.count("cannot")):
            return 1
        return 0 if self.count("accepted") and not self.untried else 3

    def result(self, program: str, kernel: str) -> Result:
        """One cell. `UnknownName` for a program or kernel that is not in the report."""
        from bpfsmith.model.errors import UnknownName
        from bpfsmith.model.near import did_you_mean

        rows = [row for row in self.programs if row.program == program]
        if not rows:
            hint = did_you_mean(program, [row.program for row in self.programs])
            raise UnknownName(f"no program `{program}` was judged", hint=hint)
        for one in rows[0].results:
            if one.kernel == kernel:
                return one
        names = ", ".join(one.name for one in self.kernels)
        raise UnknownName(f"kernel `{kernel}` was not asked", hint=f"those asked: {names}")

    def to_json(self) -> dict[str, Any]:
        """What `verify --format json` prints (`api/verify.schema.json`)."""
        document: dict[str, Any] = {
            "version": 1,
            "kernels": [{"name": one.name, "release": one.release} for one in self.kernels],
            "programs": [row.to_json() for row in self.programs],
            "notes": list(self.notes),
            "errors": [error.to_json() for error in self.errors],
        }
        if self.changes is not None:
            document["changes"] = [one.to_json() for one in self.changes]
        efforts = [
            {"object": row.object, "program": row.program, "kernel": one.kernel, **one.effort.to_json()}
            for row in self.programs
            for one in row.results
            if one.effort is not None
        ]
        if efforts:
            document["effort"] = efforts
        return document

    def findings(self) -> list[Finding]:
        """One per message about a program, with the kernels that say it: CHK006 for rejections, CHK007 for programs
        that could not be tried (errors when strict, else notes)."""
        from bpfsmith.verify.findings import findings

        return findings(self)

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(one)} {one}" for one in ("accepted", "rejected", "cannot"))
        return f"<VerifyReport {len(self.programs)} programs x {len(self.kernels)} kernels: {counts}>"

"""One load of one program, explained: symptom, cause, chain and what would mend it; every view is made from it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from bpfsmith.model.finding import Finding, Fix
    from bpfsmith.model.program import Program
    from bpfsmith.verify.cause.result import Cause
    from bpfsmith.verify.explained._finding import LogSources

__all__ = ["Explained"]


class Explained:
    """One load of one program, explained.

    `program`, `kernel`: names, None where neither log nor object tells; `verdict`: `rejected`, `accepted` or `unknown`
    (the log does not say: it is cut, or none of the verifier's); `message`: the kernel's, "" without one; `family`: its
    code (`V06`), None for a message that no row of the table fits; `title`: what the family is about; `instruction`:
    slot the verifier stopped at; `cause`: why (`verify.cause.Cause`), None for what was not rejected; `fixes`: what
    would mend it, by `applicability`; `notes`: sentences about the log; `log`: the parsed log."""

    __slots__ = (
        "_fixes", "_symptom", "cause", "family", "instruction", "kernel", "kernels", "log", "message", "notes",
        "object", "program", "source", "title", "trace", "verdict",
    )  # fmt: skip

    def __init__(self, log: Any, verdict: str, program: str | None = None, kernel: str | None = None) -> None:
        self.log = log
        self.verdict = verdict
        self.program = program
        self.kernel = kernel
        self.kernels: list[str] = []
        self.message = ""
        self.family: str | None = None
        self.title = ""
        self.instruction: int | None = None
        self.cause: Cause | None = None
        self.trace: Any = None
        self.object: str | None = None
        self.source: Program | None = None
        self.notes: list[str] = []
        self._fixes: tuple[Fix, ...] | None = None
        self._symptom: dict[str, Any] | None = None

    @property
    def cls(self) -> str | None:
        """The cause's class (`missing-null-check`, ..); None where there is no cause."""
        return None if self.cause is None else self.cause.cls

    @property
    def headline(self) -> str:
        """The cause in one sentence; the kernel's message, or what is known of the log, without one."""
        if self.cause is not None:
            return self.cause.headline
        if self.verdict == "accepted":
            counted = self.log.counts.get("processed")
            return "it is accepted" if counted is None else f"it is accepted: {counted} instructions processed"
        return self.message or (self.notes[0] if self.notes else "no verdict in this log")

    @property
    def line(self) -> tuple[str | None, int | None]:
        """(path, line) of the cause, as log or object name it."""
        place = None if self.cause is None else self.cause.place
        return (None, None) if place is None else (place.path, place.line)

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """What would mend it; described where no edit is known that a kernel was asked about."""
        if self._fixes is None:
            from bpfsmith.verify.explained._fixes import fixes

            self._fixes = fixes(self)
        return self._fixes

    @fixes.setter
    def fixes(self, found: Iterable[Fix]) -> None:
        self._fixes = tuple(found)

    def finding(self) -> tuple[Finding, LogSources]:
        """As a finding, with the sources it points into: labels along the chain, the kernel's message as evidence."""
        from bpfsmith.verify.explained._finding import finding

        return finding(self)

    def concise(self) -> str:
        """`path:line: class: headline`; the program or instruction in place of a line nobody knows."""
        path, line = self.line
        place = f"{path}:{line}" if path and line else path or self._without_line()
        return f"{place}: {self.cls or self.verdict}: {self.headline}"

    def _without_line(self) -> str:
        slot = self.instruction if self.cause is None or self.cause.slot is None else self.cause.slot
        words = [self.program or "", f"instruction {slot}" if slot is not None else ""]
        return ", ".join(filter(None, words)) or "-"

    def to_json(self) -> dict[str, Any]:
        """`{"version":1,"program","kernel","verdict","symptom","cause","chain","fixes"}`, every key present
        (`api/explain.schema.json`)."""
        cause = self.cause
        place = None if cause is None else cause.place
        return {
            "version": 1,
            "program": self.program,
            "kernel": self.kernel,
            "verdict": self.verdict,
            "symptom": self._symptom_json(),
            "cause": {
                "class": None if cause is None else cause.cls,
                "path": None if place is None else place.path,
                "line": None if place is None else place.line,
                "column": (place.column or None) if place is not None else None,
                "text": None if place is None else place.text,
                "confidence": None if cause is None else cause.confidence,
                "variables": [] if cause is None else list(cause.variables),
            },
            "chain": [] if cause is None else [_fact(one) for one in cause.because],
            "fixes": [
                {
                    "applicability": fix.applicability,
                    "message": fix.message,
                    "edits": [{**edit.span.to_json(), "text": edit.text} for edit in fix.edits],
                }
                for fix in self.fixes
            ],
        }

    def _symptom_json(self) -> dict[str, Any]:
        symptom = None if self.cause is None else self.cause.symptom
        place = None if symptom is None else symptom.place
        return {
            "message": self.message or None,
            "family": self.family,
            "instruction": self.instruction,
            "path": None if place is None else place.path,
            "line": None if place is None else place.line,
            "text": None if place is None else place.text,
        }

    def __repr__(self) -> str:
        return f"<Explained {self.program or '?'}: {self.verdict}{f', {self.cls}' if self.cls else ''}>"

    def __str__(self) -> str:
        """As `bpfsmith explain` prints it."""
        from bpfsmith.render.explain_text import one

        return one(self)


def _fact(fact: Any) -> dict[str, Any]:
    place = fact.place
    return {
        "instruction": fact.slot,
        "path": None if place is None else place.path,
        "line": None if place is None else place.line,
        "text": None if place is None else place.text,
        "fact": fact.text,
    }

"""The result of `bpfsmith.migrate`: what was done, what a person has to decide, and what to run next."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from bpfsmith.model.errors import BpfsmithError

__all__ = ["Decision", "Done", "MigrateReport"]


class Done:
    """One change: `line` is where it was made, `code` the row of the table of moves, empty for manifests."""

    __slots__ = ("code", "line", "message", "path")

    def __init__(self, path: str, line: int, code: str, message: str) -> None:
        self.path = path
        self.line = line
        self.code = code
        self.message = message

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "line": self.line, "code": self.code, "message": self.message}


class Decision:
    """What is left to a person: where, why, and what to do. Lines are those of the file as it is afterwards."""

    __slots__ = ("advice", "code", "column", "line", "message", "path")

    def __init__(self, path: str, line: int, column: int, code: str, message: str, advice: str) -> None:
        self.path = path
        self.line = line
        self.column = column
        self.code = code
        self.message = message
        self.advice = advice

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("path", "line", "column", "code", "message", "advice")}


class MigrateReport:
    """`since` is the release the project had (`0.11` where nobody knows), `to` the one it has now, `rust` the oldest
    compiler for it. `files` were written, or would be if `written` is False.

    `exit_code`: 0 nothing is left to do, 1 there is something to decide (or, without writing, to do), 2 a file could
    not be written, 4 our bug.
    """

    __slots__ = ("commands", "decisions", "diff", "done", "errors", "files", "notes", "rust", "since", "to", "written")

    def __init__(
        self,
        since: str,
        to: str,
        rust: str,
        *,
        done: Iterable[Done] = (),
        decisions: Iterable[Decision] = (),
        files: Iterable[str] = (),
        diff: str = "",
        commands: Iterable[str] = (),
        notes: Iterable[str] = (),
        errors: Iterable[BpfsmithError] = (),
        written: bool = False,
    ) -> None:
        self.since = since
        self.to = to
        self.rust = rust
        self.done = tuple(done)
        self.decisions = tuple(decisions)
        self.files = tuple(files)
        self.diff = diff
        self.commands = tuple(commands)
        self.notes = tuple(notes)
        self.errors = tuple(errors)
        self.written = written

    @property
    def exit_code(self) -> int:
        codes = {error.exit_code for error in self.errors}
        for code in (4, 2, 3):
            if code in codes:
                return code
        return int(bool(self.decisions) or (bool(self.files) and not self.written))

    def to_json(self) -> dict[str, Any]:
        """What `migrate --format json` prints (`docs/json.md`)."""
        return {
            "version": 1,
            "from": self.since,
            "to": self.to,
            "rust": self.rust,
            "written": self.written,
            "files": list(self.files),
            "done": [one.to_json() for one in self.done],
            "decisions": [one.to_json() for one in self.decisions],
            "commands": list(self.commands),
            "notes": list(self.notes),
            "diff": self.diff,
            "errors": [error.to_json() for error in self.errors],
        }

    def __repr__(self) -> str:
        verb = "changed" if self.written else "to change"
        return (
            f"<MigrateReport {self.since} -> {self.to}: {len(self.files)} files {verb}, "
            f"{len(self.decisions)} decisions, exit code {self.exit_code}>"
        )

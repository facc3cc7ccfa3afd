"""What repair works with: a change that is tried, and what trying it showed."""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from bpfsmith.model.finding import Edit

__all__ = ["FAILING_BRANCH", "NO_NEW_PATH", "REWRITE", "SAME_WORK", "UNSURE_BRANCH", "Candidate", "Proof"]

FAILING_BRANCH = "failing-branch"
"""The edit adds a check (or makes an operation one that can fail); its only new path is the branch that fails."""
UNSURE_BRANCH = "unsure-branch"
"""The same where the function has no other failure branch: what the new one returns had to be chosen."""
NO_NEW_PATH = "no-new-path"
"""The edit adds no path: bytes are initialised, a reference is given back on a way out that was there."""
SAME_WORK = "same-work"
"""The edit says the same in other words (`why` tells why nothing else changes): a function is inlined, a declaration
is another, what was read at once is read in parts. `work.py` looks for it in both objects."""
REWRITE = "rewrite"
"""Anything else: a mask, a clamp. Only runs of both programs can show that they agree."""


class Candidate(Value):
    """A change that may mend a rejection. `kind`: one word for what it does (`null-check`, `bounds-check`, ..);
    `edits`: all of them or none; `shape`: one of the five above, as the generator means it (`shape.py` looks for
    itself); `message`: an imperative sentence for a person; `returns`: what the failing branch returns, as text, ""
    when there is none; `why`: how that was chosen."""

    FIELDS = ("kind", "edits", "message", "shape", "returns", "why")
    __slots__ = FIELDS
    kind: str
    edits: tuple[Edit, ...]
    message: str
    shape: str
    returns: str
    why: str

    def __init__(
        self, kind: str, edits: Iterable[Edit], message: str, shape: str = REWRITE, returns: str = "", why: str = ""
    ) -> None:
        self._set(kind, tuple(edits), message, shape, returns, why)

    @property
    def size(self) -> int:
        """Characters it writes and takes away, the measure of "smallest first"."""
        return sum(len(edit.text) + _removed(edit) for edit in self.edits)


def _removed(edit: Edit) -> int:
    span = edit.span
    if span.line == span.end_line:
        return span.end_column - span.column
    return 40 * (span.end_line - span.line)


class Proof:
    """What came of one program's repair.

    `fix`: the change with its applicability (`proved`, `unsafe`, or `display` where there is only a sentence);
    `shown`: `same-output` (a kernel that accepts the original ran both and they agreed), `only-failing-branch` (no
    kernel does, and the only new path is the failing branch of an added check), `same-work` (none does, and the edit
    says the same in other words: no path, call or write is new or gone), or None; `kernels`: those that accept
    the changed program; `ran`: those both were run on; `why`: what was shown, or what was not, in a sentence; `diff`:
    the change as `patch -p1` reads it; `cls`: the class of the cause; `tried`: how many changes were built; `refused`:
    the kernels that reject the original, `message` what the newest of them says, `headline` the cause in a sentence,
    `place` (path, line) of it where it is known; `still`: kernel -> what it says, of those that reject the changed
    program too."""

    __slots__ = (
        "cls", "diff", "fix", "headline", "kernels", "message", "object", "place", "program", "ran", "refused", "shown",
        "still", "tried", "why",
    )  # fmt: skip

    def __init__(
        self, obj: str, program: str, fix: Fix, *, cls: str = "unknown", shown: str | None = None,
        kernels: Sequence[str] = (), ran: Sequence[str] = (), why: str = "", diff: str = "", tried: int = 0,
    ) -> None:  # fmt: skip
        self.object = obj
        self.program = program
        self.fix = fix
        self.cls = cls
        self.shown = shown
        self.kernels = tuple(kernels)
        self.ran = tuple(ran)
        self.why = why
        self.diff = diff
        self.tried = tried
        self.refused: tuple[str, ...] = ()
        self.message = ""
        self.headline = ""
        self.place: tuple[str, int] | None = None
        self.still: dict[str, str] = {}

    @property
    def proved(self) -> bool:
        return self.fix.applicability == "proved"

    def to_json(self) -> dict[str, Any]:
        """Every key present; an entry of `fixes` in `explain --format json --prove`."""
        return {
            "program": self.program,
            "applicability": self.fix.applicability,
            "message": self.fix.message,
            "shown": self.shown,
            "kernels": list(self.kernels),
            "ran": list(self.ran),
            "why": self.why,
            "diff": self.diff,
            "edits": [{**edit.span.to_json(), "text": edit.text} for edit in self.fix.edits],
        }

    def __repr__(self) -> str:
        return f"<Proof {self.program}: {self.fix.applicability}, {self.shown or 'nothing shown'}: {self.fix.message}>"

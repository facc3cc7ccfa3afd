"""What `explain` makes of verifier logs: programs that were loaded, each with its symptom, cause and chain."""

from __future__ import annotations

from bpfsmith.explain._page import Explanation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.verify.explained import Explained

__all__ = ["ExplainReport"]


class ExplainReport(Explanation):
    """What `explain` says of a log, an object or a workspace. `programs`: loads, in the order of log or object;
    `notes`: what a person should know of the input; `errors`: inputs that could not be used.

    `exit_code`: 1 when a rejection is among them, 0 when all were accepted, 2 for what tells of neither, and for
    inputs that could not be read; 3 when no kernel could be asked."""

    def __init__(
        self,
        programs: Sequence[Explained],
        *,
        word: str = "",
        notes: Iterable[str] = (),
        errors: Iterable[BpfsmithError] = (),
    ) -> None:
        super().__init__(word, ())
        self.programs = tuple(programs)
        self.notes = tuple(notes)
        self.errors = tuple(errors)

    @property
    def exit_code(self) -> int:
        codes = {one.exit_code for one in self.errors}
        verdicts = {one.verdict for one in self.programs}
        for code in (4, 2):
            if code in codes:
                return code
        if "rejected" in verdicts:
            return 1
        if codes:
            return max(codes)
        return 0 if "accepted" in verdicts and "unknown" not in verdicts else 2

    @property
    def markdown(self) -> str:
        """The text as it is printed, as a block of Markdown."""
        from bpfsmith.render.explain_text import render

        return f"```text\n{render(self)}```\n"

    def to_json(self) -> dict[str, Any]:
        """The document of the one program; of several `{"version":1,"programs":[..]}` with one for each."""
        if len(self.programs) == 1:
            return self.programs[0].to_json()
        return {"version": 1, "programs": [one.to_json() for one in self.programs]}

    def __repr__(self) -> str:
        return f"<ExplainReport of {len(self.programs)} loads>"

    def __str__(self) -> str:
        from bpfsmith.render.explain_text import render

        return render(self)

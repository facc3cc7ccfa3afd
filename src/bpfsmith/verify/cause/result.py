"""What is said about a rejection: the cause, the steps that lead from it to the symptom, and what would mend it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["CLASSES", "Advice", "Cause", "Fact", "Place"]

CLASSES = (
    "missing-null-check", "missing-bounds-check", "check-on-copy", "check-lost", "check-wrong", "stale-pointer",
    "pointer-to-scalar", "pointer-arithmetic", "uninitialised", "unreleased-reference", "stack-limit", "context-access",
    "argument-type", "return-range", "panic-or-unreachable", "no-progress-loop", "complexity", "environment",
    "attach-target", "loader-or-metadata", "verifier-imprecision", "kernel-bug", "unknown",
)  # fmt: skip


class Place:
    """A place in the source: `path` as the log or the object has it (None when neither does), `line` and `column` from
    1 (None and 0 when not known), `text` the source line as it stands there, `function` as a person would call it.
    `own` is False for a line of a library (inlined from `core`, `aya-ebpf`, a header of the toolchain); `exact` is
    False for the nearest line of the user's own, where the log does not tell from which one a library's was called."""

    __slots__ = ("column", "exact", "function", "line", "own", "path", "text")

    def __init__(
        self,
        path: str | None = None,
        line: int | None = None,
        column: int = 0,
        text: str | None = None,
        function: str | None = None,
        own: bool = True,
        exact: bool = True,
    ) -> None:
        self.path = path
        self.line = line
        self.column = column
        self.text = text
        self.function = function
        self.own = own
        self.exact = exact

    def same_line(self, other: Place | None) -> bool:
        """Both name the same source line (by text where the numbers are not known)."""
        if other is None:
            return False
        if self.line is not None and other.line is not None:
            return (self.path, self.line) == (other.path, other.line)
        return self.text is not None and self.text == other.text

    def __repr__(self) -> str:
        return f"<Place {self.path}:{self.line} {self.text!r}>"


class Fact:
    """One step of the chain: at `slot` (None: no instruction), at `place`, `text` is what holds or happens there, a
    sentence without a capital or a full stop. `step` is the id of the step on the failing path, when it is on it."""

    __slots__ = ("place", "slot", "step", "text")

    def __init__(self, slot: int | None, place: Place | None, text: str, step: int | None = None) -> None:
        self.slot = slot
        self.place = place
        self.text = text
        self.step = step

    def __repr__(self) -> str:
        return f"<Fact {self.slot}: {self.text}>"


class Advice:
    """What would mend it, for `repair` and for a person: `kind` is a word (`check-null`, `check-bounds`, `mask`, ..),
    `text` a sentence, `operands` what the edit needs (names, sizes, slots)."""

    __slots__ = ("kind", "operands", "text")

    def __init__(self, kind: str, text: str = "", **operands: Any) -> None:
        self.kind = kind
        self.text = text
        self.operands = operands

    def __repr__(self) -> str:
        return f"<Advice {self.kind} {self.operands}>"


class Cause:
    """Why a program is rejected. `cls` is one of `CLASSES`; `confidence` is `high`, `medium` or `low`; `place`: the
    line where the fix belongs or the wrong statement stands (None when nothing is known); `slot`: the instruction
    there; `because`: the chain from the value's origin to the symptom, in the order of the path; `symptom`: where the
    verifier stopped, its `text` the kernel's message; `variables`: source names, the important one first; `headline`:
    one sentence; `see`: codes of rules that say more."""

    __slots__ = (
        "advice", "because", "cls", "confidence", "headline", "place", "see", "slot", "symptom", "variables",
    )  # fmt: skip

    def __init__(
        self,
        cls: str,
        confidence: str,
        headline: str,
        *,
        place: Place | None = None,
        slot: int | None = None,
        because: list[Fact] | None = None,
        symptom: Fact | None = None,
        variables: list[str] | None = None,
        advice: list[Advice] | None = None,
        see: tuple[str, ...] = (),
    ) -> None:
        self.cls = cls
        self.confidence = confidence
        self.headline = headline
        self.place = place
        self.slot = slot
        self.because = because or []
        self.symptom = symptom
        self.variables = variables or []
        self.advice = advice or []
        self.see = see

    def __repr__(self) -> str:
        return f"<Cause {self.cls} ({self.confidence}) at {self.place!r}>"

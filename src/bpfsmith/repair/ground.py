"""What the makers of changes stand on: why a program is refused, and the sources as they are in the copy now."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.program import Program
    from bpfsmith.repair.copies import Copy
    from bpfsmith.repair.judged import Why
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import SourceFile
    from bpfsmith.verify.cause import Cause, Place

__all__ = ["Ground"]


class Ground:
    """`language` is `rust` or `c`; `why` says what is wrong, `program` is the program as built; `copy` holds the files,
    `project` the source model of Rust. Paths are those of the copy."""

    __slots__ = ("_texts", "copy", "files", "language", "program", "project", "why")

    def __init__(
        self, language: str, copy: Copy, why: Why, program: Program, project: Project | None, files: list[str]
    ) -> None:
        self.language = language
        self.copy = copy
        self.why = why
        self.program = program
        self.project = project
        self.files = files  # the user's own sources
        self._texts: dict[str, str] = {}

    @property
    def cause(self) -> Cause:
        return self.why.cause

    def find(self, path: str | None) -> str | None:
        """The file of the copy that a path of the log or object means; None when it is none of the user's."""
        if not path:
            return None
        plain = os.path.normpath(path)
        if plain in self.files:
            return plain
        # A log prints the last part only, an object may have a relative path.
        tail = f"/{plain.lstrip('./')}"
        found = [one for one in self.files if one.endswith(tail)]
        if len(found) != 1 and not os.path.isabs(plain):
            found = [one for one in self.files if os.path.basename(one) == os.path.basename(plain)]
        return found[0] if len(found) == 1 else None

    def text(self, path: str) -> str:
        """The text of a file as it is in the copy."""
        if path not in self._texts:
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                self._texts[path] = file.read()
        return self._texts[path]

    def source(self, path: str) -> SourceFile | None:
        """The parsed Rust file."""
        if self.project is None:
            return None
        for crate in self.project.all_crates:
            for one in crate.files:
                if os.path.normpath(one.path) == path:
                    return one
        return None

    def places(self) -> Iterator[tuple[str, int]]:
        """(file, line) in the user's sources: the cause's, the symptom's, then the chain's from its end; each once."""
        cause = self.cause
        told: list[Place | None] = [cause.place, cause.symptom.place if cause.symptom is not None else None]
        told += [fact.place for fact in reversed(cause.because)]
        seen = set()
        for place in told:
            path = self.find(place.path) if place is not None else None
            if place is None or path is None or not place.line or (path, place.line) in seen:
                continue
            seen.add((path, place.line))
            yield path, place.line

    def callers(self) -> Iterator[tuple[str, int]]:
        """(file, line) of the calls that the symptom's instruction was inlined through, innermost first."""
        symptom = self.cause.symptom
        if symptom is None or symptom.slot is None:
            return
        for _, file, line, _ in self.program.inline_frames(symptom.slot):
            path = self.find(file)
            if path is not None and line:
                yield path, line

    def operand(self, *names: str) -> object:
        """The first of these that an advice of the cause knows."""
        for advice in self.cause.advice:
            for name in names:
                value = advice.operands.get(name)
                if value is not None:
                    return value
        return None

"""What a rule may ask while it checks: kernels, loaders, configuration, BTF, and where an instruction comes from."""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Span
from bpfsmith.model.kernels import ALL_KERNELS, KernelSet
from bpfsmith.rules._sources import Sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program

__all__ = ["CheckContext"]


class CheckContext:
    """One per checked input. `loaders` are those the user loads with (`aya` unless configured otherwise)."""

    __slots__ = ("_places", "btf", "config", "kernels", "loaders", "project", "sources")

    def __init__(
        self,
        kernels: KernelSet = ALL_KERNELS,
        config: Any = None,
        loaders: tuple[str, ...] = ("aya",),
        btf: tuple[Any, ...] = (),
        project: Any = None,
        sources: Sources | None = None,
    ) -> None:
        self.kernels = kernels
        self.config = config
        self.loaders = loaders
        self.btf = btf
        self.project = project
        self.sources = sources or Sources()
        # Keyed by identity: programs are alive as long as the check runs on their object.
        self._places: dict[int, tuple[Program, list[tuple[int, int, int, int]], list[str]]] = {}

    def forget_places(self) -> None:
        """Lets go of the objects asked about; the engine calls it after each."""
        self._places.clear()

    def shown(self, path: str) -> str:
        """The path as findings name it: relative to the current folder where possible."""
        return self.sources.shown(path)

    def span(self, program: Program, slot: int, obj: Object | None = None) -> Span | None:
        """The source place of an instruction, None when there is no line info or the file is not on this machine."""
        return self.place(program, slot, obj)[0]

    def place(self, program: Program, slot: int, obj: Object | None = None) -> tuple[Span | None, tuple[Evidence, ...]]:
        """The source place of an instruction, and what to show when it cannot be pointed at.

        Code inlined from a library (the Rust core, aya-ebpf, libbpf's headers) is shown at the user's own line that
        called it: the DWARF inline chain tells it, else the nearest line before it in the same function.
        """
        kept = self._places.get(id(program))
        if kept is None:
            kept = (program, sorted(program.lines()), list(program.files()))
            self._places[id(program)] = kept
        _, lines, files = kept
        at = _last_at(lines, slot)
        if at is None:
            return None, ()
        root = obj.path if obj is not None else None
        path, line, column = files[lines[at][1]], lines[at][2], lines[at][3]
        if not self.sources.foreign(path):
            found = self.sources.span(path, line, column, root, program.line_text(slot))
            if found is not None:
                return found, ()
        else:
            own = [frame for frame in program.inline_frames(slot) if not self.sources.foreign(frame[1])]
            for at_frame, (_, frame_path, frame_line, frame_column) in enumerate(own):
                found = self.sources.span(frame_path, frame_line, frame_column, root)
                if found is not None:
                    return found, self._caller(own[at_frame + 1 : at_frame + 2], root)
            before = self._before(program, lines, files, at, slot, root)
            if before is not None:
                return before, ()
        text = program.line_text(slot)
        said = f"{path}:{line}" + (f": `{text.strip()}`" if text and text.strip() else "")
        return None, (Evidence("source", said),)

    def _caller(self, frames: list[tuple[str, str, int, int]], root: str | None) -> tuple[Evidence, ...]:
        """Who called the shown line: a helper function of the user's is inlined into several programs."""
        for _, path, line, column in frames:
            found = self.sources.span(path, line, column, root)
            if found is not None:
                return (Evidence("called", f"from {found}"),)
        return ()

    def _before(
        self,
        program: Program,
        lines: list[tuple[int, int, int, int]],
        files: list[str],
        at: int,
        slot: int,
        root: str | None,
    ) -> Span | None:
        start = 0
        for _, first, count, _ in program.functions():
            if first <= slot < first + count:
                start = first
        for index in range(at, -1, -1):
            where, file, line, column = lines[index]
            if where < start:
                return None
            if not self.sources.foreign(files[file]):
                return self.sources.span(files[file], line, column, root, program.line_text(where))
        return None


def _last_at(lines: list[tuple[int, int, int, int]], slot: int) -> int | None:
    from bisect import bisect_right

    at = bisect_right(lines, slot, key=lambda one: one[0]) - 1
    return at if at >= 0 else None

"""What a rule may ask while it checks: kernels, loaders, configuration, BTF, and where an instruction comes from."""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Span
from bpfsmith.model.kernels import ALL_KERNELS, KernelSet
from bpfsmith.rules._sources import Sources, call_start, expression_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program

__all__ = ["CheckContext"]


class CheckContext:
    """One per checked input. `loaders` are those the user loads with (`aya` unless configured otherwise)."""

    __slots__ = ("_places", "btf", "config", "kernels", "loaders", "notes", "project", "sources", "types")

    def __init__(
        self,
        kernels: KernelSet = ALL_KERNELS,
        config: Any = None,
        loaders: tuple[str, ...] = ("aya",),
        btf: tuple[Any, ...] = (),
        project: Any = None,
        sources: Sources | None = None,
        notes: list[str] | None = None,
    ) -> None:
        self.kernels = kernels
        self.config = config
        self.loaders = loaders
        self.btf = btf
        self.project = project
        self.sources = sources or Sources()
        self.notes = notes if notes is not None else []  # what the report says beside its findings
        self.types: Any = None  # of `_kernel_types.asked`
        # Keyed by identity: programs are alive as long as the check runs on their object.
        self._places: dict[int, _Places] = {}

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
        called it: the DWARF inline chain tells it, else what the line records around it allow to say.
        """
        known = self._places.get(id(program))
        if known is None:
            known = self._places[id(program)] = _Places(program)
        at = known.at(slot)
        if at is None:
            return None, ()
        root = obj.path if obj is not None else None
        _, path, line, column = known.record(at)
        if not self.sources.foreign(path):
            found = self.sources.span(path, line, column, root, program.line_text(slot))
            if found is not None:
                return self._whole(found, known.helper(slot)), ()
        else:
            frames = program.inline_frames(slot)
            own = [frame for frame in frames if not self.sources.foreign(frame[1])]
            for at_frame, (_, frame_path, frame_line, frame_column) in enumerate(own):
                expected = known.text_of(frame_path, frame_line)
                found = self.sources.span(frame_path, frame_line, frame_column, root, expected)
                if found is not None:
                    caller = self._caller(known, own[at_frame + 1 : at_frame + 2], root)
                    return self._whole(found, known.helper(slot)), caller
            near = self._near(known, at, slot, root) if not frames else None
            if near is not None:
                return self._whole(near, known.helper(slot)), ()
        text = program.line_text(slot)
        said = f"{path}:{line}" + (f": `{text.strip()}`" if text and text.strip() else "")
        return None, (Evidence("source", said),)

    def _whole(self, span: Span, helper: str) -> Span:
        """The span over the whole call: of `helper` where the line names it, else what starts at the span."""
        text = self.sources.line(span.path, span.line)
        if text is None:
            return span
        start = call_start(text, helper, span.column - 1) if helper else None
        if start is None:
            start = span.column - 1
        return span.replace(column=start + 1, end_column=expression_end(text, start) + 1)

    def _caller(
        self, known: _Places, frames: list[tuple[str, str, int, int]], root: str | None
    ) -> tuple[Evidence, ...]:
        """Who called the shown line: a helper function of the user's is inlined into several programs."""
        for _, path, line, column in frames:
            found = self.sources.span(path, line, column, root, known.text_of(path, line))
            if found is not None:
                return (Evidence("called", f"from {found}"),)
        return ()

    def _near(self, known: _Places, at: int, slot: int, root: str | None) -> Span | None:
        """Without DWARF: the line that uses the result, if nothing else is called before it; else the function."""
        first, end = known.bounds(slot)
        own = [
            index
            for index, (where, file, _, _) in enumerate(known.lines)
            if first <= where < end and not self.sources.foreign(known.files[file])
        ]
        if not own:
            return None
        helper = known.helper(slot)
        named = [index for index in own if helper and call_start(known.text(index), helper, 0) is not None]
        before = [index for index in own if index < at]
        after = [index for index in own if index > at]
        chosen = own[0]  # the function's own line
        if named:
            chosen = min(named, key=lambda index: abs(known.lines[index][0] - slot))
        elif before and after and known.record(before[-1])[1:3] == known.record(after[0])[1:3]:
            chosen = after[0]
        elif after and not known.calls_between(slot + 1, known.lines[after[0]][0]):
            chosen = after[0] if known.text(after[0]).strip(" \t})];") else chosen
        where, path, line, column = known.record(chosen)
        return self.sources.span(path, line, column, root, known.program.line_text(where))


class _Places:
    """What placing findings in one program asks for again and again."""

    __slots__ = ("_helpers", "_texts", "files", "lines", "program")

    def __init__(self, program: Program) -> None:
        self.program = program
        self.lines = sorted(program.lines())
        self.files = list(program.files())
        self._helpers: dict[int, str] | None = None
        self._texts: dict[tuple[str, int], str] | None = None

    def at(self, slot: int) -> int | None:
        """The index of the line record that covers `slot`."""
        from bisect import bisect_right

        at = bisect_right(self.lines, slot, key=lambda one: one[0]) - 1
        return at if at >= 0 else None

    def record(self, index: int) -> tuple[int, str, int, int]:
        """(slot, file, line, column)."""
        where, file, line, column = self.lines[index]
        return where, self.files[file], line, column

    def text(self, index: int) -> str:
        """The source line as the object carries it."""
        return self.program.line_text(self.lines[index][0]) or ""

    def text_of(self, path: str, line: int) -> str | None:
        """A source line that DWARF names, as some record of BTF carries it; where the file has changed it tells where
        the line went. None when no record is of that line."""
        if self._texts is None:
            self._texts = {}
            for slot, file, number, _ in self.lines:
                key = (self.files[file], number)
                if key not in self._texts:
                    self._texts[key] = self.program.line_text(slot) or ""
        return self._texts.get((path, line)) or None

    def helper(self, slot: int) -> str:
        """The helper or kernel function called at `slot`, empty for none."""
        return self._calls().get(slot, "")

    def calls_between(self, start: int, end: int) -> bool:
        return any(start <= slot < end for slot in self._calls())

    def _calls(self) -> dict[int, str]:
        if self._helpers is None:
            # A program that cannot be linked has lines of nothing, and calls of nothing.
            calls = self.program.calls() if self.program.link_error is None else []
            self._helpers = {slot: name for slot, kind, _, name in calls if kind in ("helper", "kfunc")}
        return self._helpers

    def bounds(self, slot: int) -> tuple[int, int]:
        """First slot and end of the function `slot` lies in."""
        for _, first, count, _ in self.program.functions():
            if first <= slot < first + count:
                return first, first + count
        return 0, 0

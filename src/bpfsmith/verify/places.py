"""Source lines as a person looks for them: what was inlined from a library is shown at the line that called it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.program import Program

__all__ = ["own", "text"]


def own(program: Program, slot: int, path: str, line: int) -> tuple[str, int]:
    """The innermost place of the program's own sources that instruction `slot` comes from; as given where nothing but
    a library is known."""
    from bpfsmith.rules._sources import Sources

    known = Sources()
    if not known.foreign(path):
        return path, line
    for _, file, at, _ in program.inline_frames(slot):
        if at and not known.foreign(file):
            return file, at
    return path, line


def text(program: Program, slot: int, path: str, line: int) -> str:
    """The line itself: as the object carries it, or of the file where it is on this machine."""
    source = program.source_line(slot)
    if source is not None and (source.path, source.line) == (path, line) and source.text:
        return source.text.strip()
    from bpfsmith.rules._sources import Sources

    known = Sources()
    found = known.find(path, program.owner.path)
    return ((known.line(found, line) if found is not None else None) or "").strip()

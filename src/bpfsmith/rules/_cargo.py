"""What rules about Cargo files share: where a line stands, and sets of releases that belong together."""

from __future__ import annotations

from bpfsmith.model.finding import Span
from bpfsmith.read.overlay import text_of
from bpfsmith.source.manifest import Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate, Dependency
    from bpfsmith.source.project import Project
    from bpfsmith.source.scripts import Command

__all__ = ["command_span", "dependency_span", "family", "key_span", "linked", "other_copies", "root_text"]


def root_text(crate: Crate) -> tuple[str, str]:
    """Path and text of the manifest of a crate's workspace."""
    import os

    path = os.path.join(crate.workspace, "Cargo.toml")
    if path == crate.manifest:
        return path, crate.text
    try:
        return path, text_of(path, 1 << 22)
    except OSError:
        return path, ""


def _line_span(ctx: CheckContext, path: str, text: str, line: int) -> Span:
    lines = text.split("\n")
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    start = len(written) - len(written.lstrip()) + 1
    return Span(ctx.shown(path), line, start, line, max(len(written.rstrip()) + 1, start + 1))


def dependency_span(ctx: CheckContext, crate: Crate, one: Dependency) -> Span:
    """Where a dependency's version is written: in `[workspace.dependencies]` when it is inherited."""
    if one.inherited:
        path, text = root_text(crate)
        line = Lines(text).find(one.alias, "workspace.dependencies")
        if line:
            return _line_span(ctx, path, text, line)
    return _line_span(ctx, crate.manifest, crate.text, crate.line_of(one.alias))


def key_span(ctx: CheckContext, path: str, text: str, key: str, *tables: str) -> Span:
    """The line of a key in a TOML file; its first line when it cannot be found."""
    return _line_span(ctx, path, text, Lines(text).find(key, *tables) or 1)


def command_span(ctx: CheckContext, one: Command, word: str) -> Span:
    """The word of a command, on its first line or one it continues on."""
    try:
        lines = text_of(one.path, 1 << 18).split("\n")
    except OSError:
        lines = []
    for number in range(one.line, min(one.line + 20, len(lines) + 1)):
        at = lines[number - 1].find(word)
        if at >= 0:
            return Span(ctx.shown(one.path), number, at + 1, number, at + 1 + len(word))
    return Span(ctx.shown(one.path), one.line, 1, one.line, 2)


def family(project: Project) -> Iterator[tuple[Crate, Dependency]]:
    """Every direct dependency on a crate of the Aya family, of the chosen crates."""
    from bpfsmith.source.cargo import FAMILY

    for crate in project.crates:
        if crate.broken:
            continue
        for one in crate.dependencies:
            if one.package in FAMILY:
                yield crate, one


def linked(project: Project, crate: Crate) -> list[Crate]:
    """The crates of the project that a crate is linked with; optional ones where a feature is asked for."""
    by_folder = {one.folder: one for one in project.all_crates}
    out = [crate]
    for one in out:
        for dependency in one.dependencies:
            other = by_folder.get(dependency.path or "")
            if dependency.kind == "normal" and not dependency.optional and other is not None and other not in out:
                out.append(other)
    return out[1:]


def other_copies(project: Project, crate: Crate, package: str) -> Iterator[tuple[Crate, Dependency]]:
    """The crates linked into `crate` that certainly use a copy of `package` other than its own."""
    from bpfsmith.rules._sets import minor

    mine, own = crate.version(package), crate.locked(package)
    for other in linked(project, crate):
        theirs = other.dependency(package, "normal")
        if theirs is None or other.broken or (theirs.optional and not _asked_for(project, other)):
            continue
        known, locked = other.version(package), other.locked(package)
        if own is not None and locked is not None and other.lock is crate.lock:
            if (own.version, own.source) != (locked.version, locked.source):
                yield other, theirs
        elif minor(mine) is not None and minor(known) is not None and minor(mine) != minor(known):
            yield other, theirs


def _asked_for(project: Project, crate: Crate) -> bool:
    """Whether another crate of the project asks for a feature of this one."""
    return any(one.path == crate.folder and one.features for other in project.all_crates for one in other.dependencies)

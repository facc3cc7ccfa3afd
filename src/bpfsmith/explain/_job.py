"""What `bpfsmith.explain` does: is it a word, a log, an object, a workspace?"""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO

    from bpfsmith.explain._page import Explanation
    from bpfsmith.model.object import Object

__all__ = ["kind_of", "run"]

PASTE = "standard input"


def run(
    what: Any, of: Any, programs: Any, kernels: Any, attach_to: Any, values: Any, map_sizes: Any, sources: Any,
    progress: Any, prove: bool = False, say: Any = None,
) -> Explanation:  # fmt: skip
    """See `explain`."""
    if sources is not None and not os.path.isdir(os.fspath(sources)):
        raise InputError(f"there is no folder `{os.fspath(sources)}`", os.fspath(sources), "give the sources' folder")
    found = _run(
        what, of, programs, {"kernels": kernels, "attach_to": attach_to, "globals": values, "map_sizes": map_sizes},
        progress, (say or (lambda _: None)) if prove else None,
    )  # fmt: skip
    if found.programs:
        from bpfsmith.explain._nearby import QUICKLY, around, place

        if sources is not None:
            place(found.programs, os.fspath(sources))
        elif (folder := around()) is not None:
            place(found.programs, folder, QUICKLY)
        if prove:
            from bpfsmith.explain._repair import repaired

            repaired(found, what, of, sources, kernels, say)
    return found


def _run(what: Any, of: Any, programs: Any, judged: dict[str, Any], progress: Any, build: Any) -> Explanation:
    """`build`: what is told of a build in a copy, where one is allowed."""
    if isinstance(what, str) and "\n" not in what:
        word = what.strip()
        kind = kind_of(word)
        if kind != "word":
            return _path(word, kind, of, programs, judged, progress, build)
        for name, given in {"object": of, "programs": programs, **judged}.items():
            if given is not None:
                raise InputError(
                    f"`{name}=` (`--{_option(name)}`) says nothing about a word, and there is no file `{word}`",
                    hint="give a log, an object or a workspace",
                )
        from bpfsmith.explain._find import find

        return find(word)
    if hasattr(what, "__fspath__"):
        path = os.fspath(what)
        return _path(path, kind_of(path, path=True), of, programs, judged, progress, build)
    text, name = _text(what)
    if text is not None:
        return _log(text, name, of, programs, judged)
    return _objects([what], programs, judged, progress, [])


def _text(what: Any) -> tuple[bytes | str | None, str]:
    """(the log, what messages call it); None for what is none."""
    if isinstance(what, str):
        return what, "the text"
    if isinstance(what, bytes | bytearray | memoryview):
        return bytes(what), "the bytes"
    if isinstance(what, Exception) and hasattr(what, "log"):
        return what.log, f"the log of `{getattr(what, 'program', '')}`"
    return None, ""


def _option(name: str) -> str:
    return {"programs": "program", "globals": "global", "map_sizes": "map-size"}.get(name, name.replace("_", "-"))


def kind_of(what: str, *, path: bool = False) -> str:
    """`word`, `log`, `object`, `folder`, `source`; what is no word and not there is an `InputError`. A word that is
    known and the name of a file is a word: `./NAME` is the file."""
    if what in ("", "-"):
        return "log" if what else "word"
    named = path or _looks_like_path(what)
    if not os.path.exists(what):
        if named:
            raise InputError(f"there is no file `{what}`", what, _hint(what))
        return "word"
    if not named and _known(what):
        return "word"
    if os.path.isdir(what) or what.endswith("Cargo.toml"):
        return "folder"
    if _head(what) == b"\x7fELF":
        return "object"
    return "source" if what.endswith((".c", ".rs")) and os.path.isfile(what) else "log"


def _head(path: str) -> bytes:
    """The first bytes of a file; nothing of what can be read once only."""
    if not os.path.isfile(path):
        return b""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""  # the reader says what is wrong with it
    try:
        return os.read(fd, 4)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _looks_like_path(what: str) -> bool:
    """Not a word of ours: `kprobe/tcp_v4_connect` and `__sk_buff.mark` are."""
    if what.startswith((".", "/", "~")):
        return True
    end = what.rpartition(".")[2] if "." in what else ""
    return end in ("log", "txt", "o", "out", "toml", "elf", "bpf")


def _known(word: str) -> bool:
    from bpfsmith.explain._find import pages

    return bool(pages(word))


def _hint(what: str) -> str:
    from bpfsmith.model.near import did_you_mean

    folder = os.path.dirname(what)
    try:
        names = [os.path.join(folder, name) for name in os.listdir(folder or ".")[:2000]]
    except OSError:
        names = []
    return did_you_mean(
        what, names, "give a log, an object, a workspace, or `-` for a paste; `bpfsmith explain` lists words"
    )


def _path(
    what: str, kind: str, of: Any, programs: Any, judged: dict[str, Any], progress: Any, build: Any
) -> Explanation:
    if kind == "log":
        from bpfsmith.explain._logs import read

        name = PASTE if what == "-" else what
        data, more = read(what)
        if more is not None and what != "-":
            with more:
                return _log(data, name, of, programs, judged, more)
        if data[:4] == b"\x7fELF":  # a paste of an object
            from bpfsmith.read import read_bytes

            return _objects([read_bytes(data, name)], programs, judged, progress, [])
        return _log(data, name, of, programs, judged, more)
    if of is not None:
        raise InputError(f"`object=` (`--object`) belongs to a log, and `{what}` is none", what, "leave it out")
    if kind == "object":
        return _objects([what], programs, judged, progress, [])
    from bpfsmith.explain._objects import built, built_in_copy

    folder = what.removesuffix("Cargo.toml") or "."
    try:
        if kind == "source":
            raise InputError(  # noqa: TRY301 - as for a folder where nothing is built
                f"`{what}` is a source: what kernels reject is what is built from it",
                what,
                f"`bpfsmith explain {what} --prove` builds a copy and asks them; or give the object, or the log",
            )
        objects, notes = built(folder)
    except InputError:
        if build is None:
            raise
        found: Explanation = built_in_copy(folder, lambda made: _objects(made, programs, judged, progress, []), build)
        return found
    return _objects(objects, programs, judged, progress, notes)


def _log(
    data: bytes | str, name: str, of: Any, programs: Any, judged: dict[str, Any], more: BinaryIO | None = None
) -> Explanation:
    from bpfsmith.explain._logs import of_bytes
    from bpfsmith.explain.report import ExplainReport

    for option, given in judged.items():
        if given is not None:
            raise InputError(
                f"`{option}=` (`--{_option(option)}`) asks kernels, and `{name}` is a log",
                hint="give the object for that; of a log it is not needed",
            )
    made, notes = of_bytes(data, name, more=more, objects=_opened(of), programs=programs)
    return ExplainReport(made, word=name, notes=notes)


def _opened(of: Any) -> Sequence[Object]:
    if of is None:
        return []
    if isinstance(of, str) or hasattr(of, "__fspath__"):
        from bpfsmith.read import read

        path = os.fspath(of)
        if os.path.isdir(path):
            from bpfsmith.explain._objects import built

            return [read(one) for one in built(path)[0]]
        return [read(path)]
    return [of]


def _objects(objects: list[Any], programs: Any, judged: dict[str, Any], progress: Any, notes: list[str]) -> Explanation:
    from bpfsmith.explain._objects import of_objects
    from bpfsmith.explain.report import ExplainReport

    made, report = of_objects(
        objects, judged["kernels"], programs, judged["attach_to"], judged["globals"], judged["map_sizes"], progress
    )
    notes = [*notes, *report.notes]
    for row in report.programs:
        for one in row.results:
            if one.verdict == "cannot":
                notes.append(f"`{row.program}` could not be tried on {one.kernel} ({one.reason}): {one.message}")
    errors = list(report.errors)
    if not made and not errors:
        from bpfsmith.model.errors import EnvironmentMissing

        errors.append(EnvironmentMissing("no kernel could judge any program", "", hint=notes[-1] if notes else ""))
    return ExplainReport(made, word=str(objects[0]) if len(objects) == 1 else "", notes=notes, errors=errors)

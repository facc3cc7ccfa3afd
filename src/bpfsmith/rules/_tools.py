"""Commands that hand an object of the project to libbpf: bpftool, veristat."""

from __future__ import annotations

from bpfsmith.source.scripts import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.scripts import Command

__all__ = ["loads"]

_LOADING = {("prog", "load"), ("prog", "loadall"), ("gen", "skeleton"), ("gen", "object"), ("struct_ops", "register")}
_ENDS = frozenset({"&&", "||", ";", "|", "#"})


def loads(project: Project, crate: Crate) -> Iterator[tuple[Command, str]]:
    """(command, tool) for each that makes libbpf open the object of this kernel crate."""
    binaries = set(crate.binaries())
    for command in commands(project, "bpftool", "veristat"):
        words = command.text.replace("`", " ").replace('"', "").replace("'", "").split()
        for at, word in enumerate(words):
            tool = word.rpartition("/")[2]
            if tool not in ("bpftool", "veristat"):
                continue
            rest = words[at + 1 :]
            end = next((number for number, one in enumerate(rest) if one in _ENDS), len(rest))
            rest = rest[:end]
            plain = [one for one in rest if not one.startswith("-")]
            if tool == "bpftool" and tuple(plain[:2]) not in _LOADING:
                continue
            if any(_is_object(one, binaries) for one in plain):
                yield command, tool
                break


def _is_object(word: str, binaries: set[str]) -> bool:
    """A path to what Cargo builds for BPF, or to a file of that name."""
    folder, _, name = word.rpartition("/")
    return ("-unknown-none/" in word + "/" and (not name or name in binaries or "*" in name)) or (
        bool(folder) and "target" in folder.split("/") and name in binaries
    )

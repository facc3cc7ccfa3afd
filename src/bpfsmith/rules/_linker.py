"""How a project's scripts install bpf-linker."""

from __future__ import annotations

from bpfsmith.source.scripts import commands
from bpfsmith.source.versions import VersionRange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.project import Project
    from bpfsmith.source.scripts import Command

__all__ = ["Install", "installs"]

_OLDEST_LLVM = 21  # of bpf-linker 0.11 and newer
_ENDS = frozenset({"&&", "||", ";", "|", ")", "then", "fi", "#"})


class Install:
    """A `cargo install bpf-linker`: `llvm` of its feature `llvm-N` when that is the only one, `gone` a feature that its
    version does not have."""

    __slots__ = ("command", "gone", "llvm", "version")

    def __init__(
        self, command: Command, features: list[str], version: VersionRange | None, pinned: bool, alone: bool
    ) -> None:
        self.command = command
        self.version = version
        self.llvm: int | None = None
        self.gone = ""
        for feature in features:
            name, _, number = feature.rpartition("-")
            if name == "llvm" and number.isdigit() and alone:
                self.llvm = int(number)
            new = not pinned or (version is not None and version.at_least("0.11.0"))
            old = name == "rust-llvm" or (name == "llvm" and number.isdigit() and int(number) < _OLDEST_LLVM)
            if new and old and number.isdigit():
                self.gone = feature


def installs(project: Project) -> Iterator[Install]:
    """Every command that installs bpf-linker with Cargo."""
    for command in commands(project, "bpf-linker"):
        # `` `cargo install bpf-linker` `` in prose, `run: cargo install ..` in a workflow.
        for part in command.text.replace("`", " ; ").replace('"', " ").replace("'", " ").split("cargo ")[1:]:
            words = _until_end(part.split())
            rest = [word for word in words if not word.startswith("+")]
            if not rest or rest[0] != "install" or not any(word.partition("@")[0] == "bpf-linker" for word in rest):
                continue
            yield _install(command, rest[1:])


def _until_end(words: list[str]) -> list[str]:
    for at, word in enumerate(words):
        if word in _ENDS:
            return words[:at]
        if word.endswith(";"):
            return [*words[:at], word[:-1]]
    return words


def _install(command: Command, words: list[str]) -> Install:
    features: list[str] = []
    version: str | None = None
    pinned = False
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        following = value if equals else words[at + 1] if at + 1 < len(words) else ""
        if name in ("--features", "-F"):
            features += following.replace(",", " ").split()
        elif name in ("--version", "--vers"):
            version = following
        elif name in ("--rev", "--tag", "--branch", "--path"):
            pinned = True
        elif word.startswith("bpf-linker@"):
            version = word.partition("@")[2]
    plain = version is not None and version[:1].isdigit() and version.count(".") > 1
    found = None
    if version is not None:
        found = VersionRange.of(version) if plain else VersionRange.required(version)
    return Install(command, features, found, pinned or version is not None, "--no-default-features" in words)

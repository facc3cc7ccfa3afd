"""How a project is built, as its files tell: build scripts, xtask crates, and the commands in CI files and READMEs."""

from __future__ import annotations

import os

from bpfsmith.read.overlay import opened, text_of
from bpfsmith.source.manifest import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import SourceFile

__all__ = ["Builds", "Command", "builds", "commands"]

_MAX_TEXT = 1 << 18
_MAX_FILES = 200
_NAMES = ("Dockerfile", "Containerfile", "Makefile", "GNUmakefile", "makefile", "justfile", "Justfile", "Vagrantfile")
_SUFFIXES = (".sh", ".bash", ".yml", ".yaml", ".dockerfile", ".mk", ".just")
_HIDDEN = (".github/workflows", ".github/actions", ".circleci", ".woodpecker", ".gitlab", ".devcontainer")


class Command:
    """One line of a script, lines that it continues joined: `line` is the number of its first."""

    __slots__ = ("line", "path", "text")

    def __init__(self, path: str, line: int, text: str) -> None:
        self.path = path
        self.line = line
        self.text = text

    def __repr__(self) -> str:
        return f"Command({shown(self.path)}:{self.line} {self.text})"


class Builds:
    """`with_aya_build`: crates whose build script calls aya-build; `own`: crates that start Cargo for a BPF target
    themselves (an xtask, a build script)."""

    __slots__ = ("own", "scripts", "with_aya_build")

    def __init__(self, project: Project) -> None:
        self.scripts: dict[str, SourceFile] = {}
        self.with_aya_build: list[Crate] = []
        self.own: list[Crate] = []
        _parse(project, self.scripts)
        for crate in project.all_crates:
            script = self.scripts.get(crate.folder)
            files = [*crate.files, *([script] if script is not None else [])]
            if script is not None and crate.dependency("aya-build", "build") is not None and script.has("aya_build"):
                self.with_aya_build.append(crate)
            elif crate.role != "kernel" and any(
                file.has("Command") and file.has("cargo") and "unknown-none" in file.text for file in files
            ):
                self.own.append(crate)

    def mention(self, *words: str) -> bool:
        """Whether a build script or a crate that builds has one of the words."""
        files = [*self.scripts.values(), *(file for crate in self.own for file in crate.files)]
        return any(word in file.text for file in files for word in words)


def _parse(project: Project, scripts: dict[str, SourceFile]) -> None:
    from bpfsmith.source.rust import parse_files

    crates, datas = [], []
    for crate in project.all_crates:
        if crate.build_rs is None:
            continue
        try:
            with opened(crate.build_rs) as file:
                datas.append(file.read(_MAX_TEXT))
        except OSError:
            continue
        crates.append(crate)
    paths = [crate.build_rs or "" for crate in crates]
    for crate, parsed in zip(crates, parse_files(paths, datas) if paths else [], strict=True):
        parsed.crate = crate
        scripts[crate.folder] = parsed


def builds(project: Project) -> Builds:
    """How the kernel crates are built; read once."""
    found: Builds | None = project.cache.get("builds")
    if found is None:
        found = project.cache["builds"] = Builds(project)
    return found


def commands(project: Project, *words: str) -> list[Command]:
    """The lines with one of the words in scripts, CI files, Dockerfiles and READMEs; comments left out."""
    every: list[Command] | None = project.cache.get("commands")
    if every is None:
        every = project.cache["commands"] = [one for path in _texts(project) for one in _lines(path)]
    return [one for one in every if any(word in one.text for word in words)]


def _texts(project: Project) -> list[str]:
    out = [path for path in project.others if _is_script(os.path.basename(path))]
    for folder in dict.fromkeys([project.root, *(crate.workspace for crate in project.all_crates)]):
        for hidden in _HIDDEN:
            for at, folders, files in os.walk(os.path.join(folder, hidden)):
                folders.sort()
                out.extend(os.path.join(at, name) for name in sorted(files) if _is_script(name))
        out.extend(
            path for path in (os.path.join(folder, one) for one in (".gitlab-ci.yml", ".travis.yml", ".cirrus.yml"))
            if os.path.isfile(path)
        )  # fmt: skip
    return out[:_MAX_FILES]


def _is_script(name: str) -> bool:
    return (
        name.endswith(_SUFFIXES)
        or name.startswith(_NAMES)
        or (name.lower().startswith(("readme", "building", "install", "contributing", "development"))
            and name.lower().endswith((".md", ".rst", ".txt")))
    )  # fmt: skip


def _lines(path: str) -> Iterator[Command]:
    try:
        if not os.path.isfile(path):
            return
        text = text_of(path, _MAX_TEXT)
    except OSError:
        return
    prose = path.lower().endswith((".md", ".rst", ".txt"))
    first, joined = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        plain = line.strip()
        if not joined:
            first = number
        if not prose and plain.startswith("#"):
            continue
        if plain.endswith("\\"):
            joined += plain[:-1] + " "
            continue
        if joined or plain:
            yield Command(path, first, joined + plain)
        joined = ""
    if joined:
        yield Command(path, first, joined)

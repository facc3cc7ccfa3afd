"""A C program in a copy: built by compile_commands.json, by a Makefile, or by clang with plain flags."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil

from bpfsmith.model.errors import EnvironmentMissing, InputError
from bpfsmith.repair.copies import Copy
from bpfsmith.repair.tools import BuildFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfsmith.repair.tools import Runner

__all__ = ["CProject"]

_FLAGS = ("--target=bpf", "-mcpu=v3", "-O2", "-g")
_PLAIN = re.compile(r"clang(-\d+)?$")


class CProject:
    """One C source, or a folder of them, or with `command` whatever that builds. `command`: words, `{source}` and
    `{output}` are put in; `built_with`: the command that was used."""

    language = "c"

    def __init__(self, path: str, *, command: Sequence[str] | None = None, cache: str | None = None) -> None:
        self._cache = cache
        path = os.path.realpath(path)
        self._file = path if os.path.isfile(path) else None
        self.root = os.path.dirname(path) if self._file else path
        self._command = [str(one) for one in command] if command else None
        self._makefile = ""
        self._entries: list[tuple[str, str, list[str]]] = []  # (source, folder, words without output)
        self.built_with = ""
        if self._command is None:
            self._find()
        else:
            sources = [self._file] if self._file else _sources(self.root)
            self._entries = [(one, self.root, [*self._command]) for one in sources]

    def _find(self) -> None:
        for folder in _upwards(self.root):
            database = os.path.join(folder, "compile_commands.json")
            if os.path.isfile(database):
                self._entries = [one for one in _database(database) if self._wanted(one[0]) and _is_bpf(one[2])]
                if self._entries:
                    return
            for name in ("GNUmakefile", "makefile", "Makefile"):
                makefile = os.path.join(folder, name)
                if os.path.isfile(makefile) and _mentions_bpf(makefile) and shutil.which("make"):
                    self.root, self._makefile = folder, makefile
                    return
        clang = _clang()
        flags = [clang, *_FLAGS, *_includes(), "-c", "{source}", "-o", "{output}"]
        sources = [self._file] if self._file else _sources(self.root)
        if not sources:
            raise InputError("no C source with an eBPF program here", where=self.root, hint="name the source file")
        self._entries = [(one, self.root, flags) for one in sources]

    def _wanted(self, source: str) -> bool:
        real = os.path.realpath(source)
        return real == self._file if self._file else (real + os.sep).startswith(self.root + os.sep)

    def copy(self) -> Copy:
        """The folder of the Makefile, else just the sources and what they include."""
        if self._makefile:
            return Copy(self.root, cache=self._cache)
        files = []
        for source, folder, words in self._entries:
            files += [source, *_included(source, folder, words)]
        return Copy(self.root, files, whole=False, cache=self._cache)

    def files(self, copy: Copy) -> list[str]:
        """The C files, by the user's paths."""
        if self._entries:
            return [source for source, _, _ in self._entries]
        return [copy.outside(one) for one in _sources(copy.root)]

    def build(self, copy: Copy, run: Runner) -> list[str]:
        """Builds the copy; the objects. `BuildFailed` with what the compiler says."""
        if self._makefile:
            return self._make(copy, run)
        out = []
        for source, folder, words in self._entries:
            inside = copy.inside(source)
            output = os.path.join(copy.target, os.path.splitext(os.path.relpath(inside, copy.root))[0] + ".bpf.o")
            os.makedirs(os.path.dirname(output), exist_ok=True)
            told = {"{source}": inside, "{output}": output}
            where = copy.inside(folder)
            try:
                run(
                    [_put(copy, word, told) for word in words], where if os.path.isdir(where) else copy.root, os.environ
                )
            except BuildFailed as error:
                said = error.message.replace(inside, source).replace(copy.root, self.root)
                raise BuildFailed(said, self.root, error.hint, error.output) from None
            self.built_with = " ".join(_as_typed(words, source))
            out.append(output)
        return out

    def _make(self, copy: Copy, run: Runner) -> list[str]:
        from bpfsmith.read import find_objects

        # Objects of an earlier build came with the copy: `make` decides by time, and a change is always newer.
        run(["make", "-f", copy.inside(self._makefile)], copy.root, os.environ)
        self.built_with = f"make -f {os.path.relpath(self._makefile, self.root)}"
        found = find_objects(copy.root)
        if not found:
            raise InputError("`make` made no eBPF object", where=self.root, hint="name the source file of one program")
        return found


def _put(copy: Copy, word: str, told: dict[str, str]) -> str:
    """A word of the command with the copy's paths."""
    for name, value in told.items():
        word = word.replace(name, value)
    for prefix in ("-I", "-iquote", "-include", ""):
        rest = word.removeprefix(prefix)
        if word.startswith(prefix) and os.path.isabs(rest) and os.path.exists(inside := copy.inside(rest)):
            return prefix + inside
    return word


def _as_typed(words: Sequence[str], source: str) -> Iterator[str]:
    for word in words:
        if "{output}" in word:
            yield os.path.splitext(os.path.basename(source))[0] + ".o"
        else:
            yield shlex.quote(os.path.basename(source) if word == "{source}" else word)


def _upwards(folder: str) -> Iterator[str]:
    """The folder and at most three above it, up to the one under version control."""
    for _ in range(4):
        yield folder
        above = os.path.dirname(folder)
        if above == folder or os.path.exists(os.path.join(folder, ".git")):
            return
        folder = above


def _database(path: str) -> Iterator[tuple[str, str, list[str]]]:
    """(source, folder, command) of every entry, `{source}` and `{output}` in their places."""
    try:
        with open(path, encoding="utf-8") as file:
            rows = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=path, hint="write it anew, or name `--build`") from None
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or not isinstance(row.get("file"), str):
            continue
        told_folder = row.get("directory")
        folder = told_folder if isinstance(told_folder, str) else os.path.dirname(path)
        told = row.get("arguments")
        try:
            words = [str(one) for one in told] if isinstance(told, list) else shlex.split(str(row.get("command") or ""))
        except ValueError:
            continue
        source = os.path.normpath(os.path.join(folder, row["file"]))
        made: list[str] = []
        skip = False
        for word in words:
            if skip:
                skip = False
            elif word == "-o":
                skip = True
            elif os.path.normpath(os.path.join(folder, word)) == source:
                made.append("{source}")
            else:
                made.append(word)
        if made:
            yield source, folder, [*made, *([] if "-c" in made else ["-c"]), "-o", "{output}"]


def _is_bpf(words: Sequence[str]) -> bool:
    text = " ".join(words)
    return "-target bpf" in text or "--target=bpf" in text


def _mentions_bpf(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 18)
    except OSError:
        return False
    return re.search(r"target[= ]bpf\b", text) is not None


def _sources(folder: str) -> list[str]:
    """The C files of a folder that define programs."""
    out = []
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith(".c") and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                if "SEC(" in (text := file.read(1 << 20)) or "section(" in text:
                    out.append(os.path.realpath(path))
    return out


def _clang() -> str:
    """The newest clang in PATH."""
    found: list[tuple[int, str]] = []
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            match = _PLAIN.match(name)
            if match and os.access(os.path.join(folder, name), os.X_OK):
                # Plain `clang` is what the user set up: before all others.
                found.append((int(match[1][1:]) if match[1] else 1000, name))
    if not found:
        raise EnvironmentMissing("`clang` is not installed", "apt-get install clang")
    return max(found)[1]


def _includes() -> list[str]:
    """Debian keeps asm/types.h below the machine's own triplet, which a bpf target does not search."""
    try:
        names = sorted(os.listdir("/usr/include"))
    except OSError:
        return []
    return [
        f"-I/usr/include/{one}"
        for one in names
        if one.endswith("-linux-gnu") and os.path.isdir(f"/usr/include/{one}/asm")
    ]


def _included(source: str, folder: str, words: Sequence[str]) -> list[str]:
    """The files it includes that are no system headers, as the compiler says."""
    import subprocess

    plain = [source if word == "{source}" else word for word in words if word not in ("-c", "-o", "{output}")]
    try:
        done = subprocess.run(
            [*plain, "-MM", "-MG"], cwd=folder if os.path.isdir(folder) else None, check=False, capture_output=True,
            text=True, errors="replace", timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    listed = done.stdout.partition(":")[2].replace("\\\n", " ").split()
    found = [os.path.normpath(os.path.join(folder, one)) for one in listed]
    return [one for one in found if os.path.isfile(one) and not one.startswith(("/usr/include/", "/usr/lib/"))]

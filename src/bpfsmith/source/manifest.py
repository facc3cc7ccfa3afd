"""TOML files of a project: strictly, or what can be made out of a broken one; and on which line a key stands."""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Lines", "read_text", "read_toml", "salvage", "shown"]

MAX_TOML = 4 << 20  # bytes; manifests are small, and the reader is slow
_MAX_SALVAGE = 1 << 18
_ATTEMPTS = 12


def shown(path: str) -> str:
    """A path as messages name it: relative to the current folder when inside it."""
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        return path
    if path == cwd:
        return os.curdir
    return path[len(cwd) + 1 :] if path.startswith(cwd.rstrip("/") + "/") else path


def read_text(path: str, limit: int = MAX_TOML) -> str:
    """A text file of at most `limit` bytes; `InputError` says why not."""
    from bpfsmith.read._find import open_input

    name = shown(path)
    try:
        with open_input(path) as file:
            data = file.read(limit + 1)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise InputError(
            f"cannot read `{name}`: {said}", where=name, hint="check the path and its permissions"
        ) from error
    if len(data) > limit:
        size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit >> 10} KiB"
        raise InputError(f"`{name}` is larger than {size} and was not read", where=name, hint="is it the right file?")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError("not valid TOML: not UTF-8", where=f"{name}:{line}", hint="save the file as UTF-8") from error


def parse(text: str, path: str) -> dict[str, Any]:
    """TOML; `InputError` names the line."""
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        said = str(error).rstrip(".")
        where = shown(path)
        head, at, place = said.rpartition(" (at line ")
        if at:
            where = f"{where}:{place.split(',')[0]}"
            said = head
        raise InputError(
            f"not valid TOML: {said[:1].lower()}{said[1:]}", where=where, hint="correct the file"
        ) from error


def read_toml(path: str) -> dict[str, Any]:
    """A TOML file; `InputError` names file and line when it is none."""
    return parse(read_text(path), path)


def salvage(path: str) -> tuple[dict[str, Any], InputError | None]:
    """What a TOML file says, and what is wrong with it: lines that cannot be read are left out."""
    try:
        text = read_text(path)
    except InputError as error:
        return {}, error
    try:
        return parse(text, path), None
    except InputError as error:
        problem = error
    if len(text) > _MAX_SALVAGE:
        return {}, problem
    lines = text.split("\n")
    at: InputError = problem
    for _ in range(_ATTEMPTS):
        number = at.where.rpartition(":")[2]
        if not number.isdigit():  # something that does not end: it may well begin on the last line
            number = str(next((count for count in range(len(lines), 0, -1) if lines[count - 1].strip()), 0))
        if not number.isdigit() or not 0 < int(number) <= len(lines) or not lines[int(number) - 1]:
            break
        lines[int(number) - 1] = ""
        try:
            return parse("\n".join(lines), path), problem
        except InputError as error:
            at = error
    return {}, problem


class Lines:
    """On which line of a TOML text a key stands, by table; for places of findings, so near enough is enough."""

    __slots__ = ("_keys", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._keys: dict[tuple[str, str], int] | None = None

    def find(self, key: str, *tables: str) -> int:
        """The line (from 1) of `key` in the first of these tables that has it, 0 when none has.

        A table ends with its name's last words: `dependencies` is `[dependencies]` and `[target.x.dependencies]`.
        """
        keys = self._index()
        for table in tables:
            for (where, name), line in keys.items():
                if name == key and (where == table or where.endswith("." + table)):
                    return line
        return 0

    def _index(self) -> dict[tuple[str, str], int]:
        if self._keys is None:
            self._keys = {}
            table = ""
            for number, line in enumerate(self.text.split("\n"), 1):
                text = line.strip()
                if text.startswith("["):
                    table = ".".join(_words(text.lstrip("[").partition("]")[0] if "'" not in text else _inside(text)))
                    head, _, last = table.rpartition(".")
                    self._keys.setdefault((head, last), number)
                    continue
                name, equals, _ = text.partition("=")
                if equals and not text.startswith("#"):
                    words = _words(name)
                    if words:
                        self._keys.setdefault((table, words[0]), number)
        return self._keys


def _inside(header: str) -> str:
    """`[target.'cfg(a = "[b]")'.x]` without its outer brackets."""
    return header.rpartition("]")[0].strip("[] ") if header.endswith("]") else header.strip("[]")


def _words(name: str) -> list[str]:
    """`target.'cfg(unix)'.x` -> its parts, quotes removed."""
    out = []
    word = ""
    quote = ""
    for char in name.strip():
        if quote:
            if char == quote:
                quote = ""
            else:
                word += char
        elif char in "\"'":
            quote = char
        elif char == ".":
            out.append(word.strip())
            word = ""
        else:
            word += char
    return [*out, word.strip()] if word.strip() else out

"""Where things stand in a TOML text, so that it can be edited without losing a comment: keys, values, headers.

The text must be valid TOML (`tomllib` says so); what it means is not asked here. Offsets are characters.
"""

from __future__ import annotations

from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Entry", "Header", "Toml", "read"]

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


class Entry:
    """One `key = value`, in a table or in an inline one. `path` is the whole key with its table's.

    `keys` are the places of the parts of the key as written, `start`..`end` is the value, `items` the values of an
    array or the entries of an inline table; `inline` is the entry around one of the latter.
    """

    __slots__ = ("end", "inline", "items", "keys", "members", "path", "start", "text")

    def __init__(self, path: tuple[str, ...], keys: list[tuple[int, int]], inline: Entry | None) -> None:
        self.path = path
        self.keys = keys
        self.inline = inline
        self.start = self.end = 0
        self.text = ""
        self.items: list[tuple[int, int]] = []
        self.members: list[Entry] = []

    def __repr__(self) -> str:
        return f"Entry({'.'.join(self.path)} = {self.text})"

    @property
    def kind(self) -> str:
        """`string`, `array`, `table` or `other`."""
        return {'"': "string", "'": "string", "[": "array", "{": "table"}.get(self.text[:1], "other")

    @property
    def string(self) -> str | None:
        """The value of a plain string; None for anything else."""
        return unquoted(self.text) if self.kind == "string" else None

    def member(self, key: str) -> Entry | None:
        """Of an inline table: the entry with this key."""
        return next((one for one in self.members if one.path[-1] == key and one.inline is self), None)


class Header:
    """`[table]` or `[[table]]`: `keys` are the places of its parts, the whole line is `start`..`end`."""

    __slots__ = ("array", "end", "keys", "path", "start")

    def __init__(self, path: tuple[str, ...], keys: list[tuple[int, int]], start: int, end: int, array: bool) -> None:
        self.path = path
        self.keys = keys
        self.start = start
        self.end = end
        self.array = array


class Toml:
    """A read text: `entries` in order, those of inline tables too; `headers` in order."""

    __slots__ = ("entries", "headers", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.entries: list[Entry] = []
        self.headers: list[Header] = []

    def find(self, *path: str) -> Entry | None:
        """The entry with exactly this path, an inline one too."""
        return next((one for one in self.entries if one.path == path), None)

    def below(self, *path: str) -> Iterator[Entry]:
        """The entries whose path starts with this, in order."""
        for one in self.entries:
            if one.path[: len(path)] == path and len(one.path) > len(path):
                yield one


def unquoted(text: str) -> str | None:
    """The value of a one-line string without escapes."""
    if text.startswith(('"""', "'''")) or len(text) < 2:
        return None
    if text[0] == "'" or (text[0] == '"' and "\\" not in text):
        return text[1:-1]
    return None


def read(text: str) -> Toml:
    """The places of a valid TOML text; what is not valid ends the reading where it stands."""
    toml = Toml(text)
    reader = _Reader(toml)
    with suppress(IndexError):
        reader.run()
    return toml


class _Reader:
    def __init__(self, toml: Toml) -> None:
        self.toml = toml
        self.text = toml.text
        self.at = 1 if toml.text.startswith("\ufeff") else 0

    def run(self) -> None:
        table: tuple[str, ...] = ()
        while True:
            self._blank()
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                start = self.at
                array = self.text.startswith("[[", self.at)
                self.at += 1 + array
                table, keys = self._key()
                self._space()
                self.at += 1 + array
                self.toml.headers.append(Header(table, keys, start, self.at, array))
            else:
                self._entry(table, None)

    def _entry(self, table: tuple[str, ...], inline: Entry | None) -> Entry:
        parts, keys = self._key()
        entry = Entry((*table, *parts), keys, inline)
        self.toml.entries.append(entry)
        self._space()
        if self.text[self.at] != "=":
            raise IndexError
        self.at += 1
        self._space()
        entry.start = self.at
        self._value(entry)
        entry.end = self.at
        entry.text = self.text[entry.start : entry.end]
        return entry

    def _value(self, entry: Entry | None) -> None:
        char = self.text[self.at]
        if char in "\"'":
            self._string()
        elif char == "[":
            self._listed("]", entry)
        elif char == "{":
            self._listed("}", entry)
        else:
            start = self.at
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\r\n":
                self.at += 1
            self.at = start + len(self.text[start : self.at].rstrip())
            if self.at == start:
                raise IndexError

    def _listed(self, close: str, entry: Entry | None) -> None:
        """An array or an inline table, of `entry` if it is worth remembering."""
        self.at += 1
        while True:
            self._blank()
            if self.text[self.at] == close:
                break
            start = self.at
            if close == "]":
                self._value(None)
                if entry is not None:
                    entry.items.append((start, self.at))
            elif entry is not None:
                entry.members.append(self._entry(entry.path, entry))
            else:
                count = len(self.toml.entries)
                self._entry(("",), None)
                del self.toml.entries[count:]
            self._blank()
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        triple = quote * 3
        if self.text.startswith(triple, self.at):
            at = self.at + 3
            while not self.text.startswith(triple, at):
                at += 2 if quote == '"' and self.text[at] == "\\" else 1
                if at > len(self.text):
                    raise IndexError
            while self.text.startswith(quote, at + 3):  # up to two more belong to the text
                at += 1
            self.at = at + 3
            return
        at = self.at + 1
        while self.text[at] != quote:
            at += 2 if quote == '"' and self.text[at] == "\\" else 1
        self.at = at + 1

    def _key(self) -> tuple[tuple[str, ...], list[tuple[int, int]]]:
        parts: list[str] = []
        places: list[tuple[int, int]] = []
        while True:
            self._space()
            start = self.at
            if self.text[self.at] in "\"'":
                self._string()
                part = self.text[start + 1 : self.at - 1]
                escaped = self.text[start] == '"' and "\\" in part
                parts.append(part.replace('\\"', '"').replace("\\\\", "\\") if escaped else part)
            else:
                while self.at < len(self.text) and self.text[self.at] in _BARE:
                    self.at += 1
                if self.at == start:
                    raise IndexError
                parts.append(self.text[start : self.at])
            places.append((start, self.at))
            self._space()
            if self.at >= len(self.text) or self.text[self.at] != ".":
                return tuple(parts), places
            self.at += 1

    def _space(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def _blank(self) -> None:
        """Over spaces, ends of lines and comments."""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif char in " \t\r\n":
                self.at += 1
            else:
                return

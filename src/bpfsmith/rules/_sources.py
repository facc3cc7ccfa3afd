"""The source files findings point into: found on this machine, read once, shown relative to the current folder."""

from __future__ import annotations

import os

from bpfsmith.model.finding import Span
from bpfsmith.read.overlay import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Sources", "call_start", "expression_end", "token_end"]

# Library code that a user does not edit: a finding belongs to the line that called it.
_FOREIGN = (
    "/.cargo/registry/",
    "/.cargo/git/",
    "/registry/src/",
    "/rustlib/src/rust/",
    "/rustc/",
    "/usr/include/",
    "/usr/lib/",
    "/library/core/src/",
    "/library/alloc/src/",
    "/nix/store/",
)
# The same, wherever a project keeps its copy: libbpf's headers and the kernel's types.
_FOREIGN_NAMES = (
    "/vmlinux.h",
    "/bpf_helpers.h",
    "/bpf_helper_defs.h",
    "/bpf_tracing.h",
    "/bpf_core_read.h",
    "/bpf_endian.h",
    "/usdt.bpf.h",
)
_MOVED = 40  # lines; further away the same text may well be another place
_MAX_SOURCE = 16 << 20  # bytes; a bigger file is not something a person edits


class Sources:
    """Finds and reads source files. `roots` are folders tried for relative paths, after the current folder."""

    __slots__ = ("_cwd", "_found", "_texts", "roots", "silent")

    def __init__(self, roots: Iterable[str] = ()) -> None:
        try:
            self._cwd = os.getcwd()
        except FileNotFoundError:  # the current folder was deleted: absolute paths still work
            self._cwd = "/.deleted"
        self.roots = tuple(os.path.abspath(root) for root in roots)
        self._texts: dict[str, tuple[str, ...] | None] = {}
        self._found: dict[tuple[str, str | None], str | None] = {}
        self.silent: set[str] = set()  # files read already that do not speak of bpfsmith

    def add_root(self, root: str) -> None:
        """Relative paths are also tried from here."""
        root = os.path.abspath(root)
        if root not in self.roots:
            self.roots = (*self.roots, root)
            self._found.clear()

    def foreign(self, path: str) -> bool:
        """True for library code: the Rust core, registries, system headers."""
        if path.startswith(("/rustc/", "<")) or any(part in path for part in _FOREIGN):
            return True
        return f"/{path}".endswith(_FOREIGN_NAMES)

    def shown(self, path: str) -> str:
        """Relative to the current folder when inside it (or near it), with `/`; else absolute."""
        absolute = os.path.normpath(os.path.join(self._cwd, path))
        if absolute == self._cwd:
            return "."
        if absolute.startswith(self._cwd.rstrip("/") + "/"):
            return absolute[len(self._cwd.rstrip("/")) + 1 :]
        return absolute

    def find(self, path: str, near: str | None = None) -> str | None:
        """The shown path of an existing file. Relative ones are tried from the current folder, the roots, and the
        folders above the object `near`, these first where the object lies elsewhere. Of an object that was copied
        together with its sources the copies are meant, not the files it was built from."""
        # An absolute path means the same file for every object of a folder.
        key = (path, os.path.dirname(near) if near and os.path.isabs(path) else near)
        if key not in self._found:
            self._found[key] = self._find(path, near)
        return self._found[key]

    def _find(self, path: str, near: str | None) -> str | None:
        if not path:
            return None
        if os.path.isabs(path):
            if not os.path.isfile(path):
                return self._elsewhere(path, near)
            return self.shown((near and _copied(os.path.normpath(path), near)) or path)
        folders = [self._cwd, *self.roots]
        if near:
            above = _above(os.path.abspath(near))
            folders = [*folders, *above] if self._cwd in above else [*above, *folders]
        for folder in folders:
            candidate = os.path.join(folder, path)
            if os.path.isfile(candidate):
                return self.shown(candidate)
        return None

    def _elsewhere(self, path: str, near: str | None) -> str | None:
        """A file of another machine's build, found here by the longest end of its path (two parts at least)."""
        folders = [self._cwd, *self.roots]
        if near:
            folders.append(os.path.dirname(os.path.abspath(near)))
        parts = path.strip("/").split("/")
        for start in range(max(1, len(parts) - 6), len(parts) - 1):
            for folder in folders:
                candidate = os.path.join(folder, *parts[start:])
                if os.path.isfile(candidate):
                    return self.shown(candidate)
        return None

    def lines(self, path: str) -> tuple[str, ...] | None:
        """The lines of a file without their ends, None when it cannot be read; what is not UTF-8 is replaced."""
        if path not in self._texts:
            try:
                with opened(os.path.join(self._cwd, path)) as file:
                    data = file.read(_MAX_SOURCE)
            except OSError:
                self._texts[path] = None
            else:
                text = data.decode("utf-8", "replace").replace("\r\n", "\n")
                self._texts[path] = tuple(text.removeprefix("\ufeff").split("\n"))
        return self._texts[path]

    def line(self, path: str, number: int) -> str | None:
        """Line `number` (from 1), None when there is none."""
        lines = self.lines(path)
        if lines is None or not 0 < number <= len(lines):
            return None
        return lines[number - 1]

    def _same_line(self, path: str, line: int, expected: str) -> int | None:
        lines = self.lines(path) or ()
        wanted = _code(expected)
        for distance in range(_MOVED + 1):
            for candidate in dict.fromkeys((line - distance, line + distance)):
                if 0 < candidate <= len(lines) and _code(lines[candidate - 1]) == wanted:
                    return candidate
        return None

    def span(
        self, path: str, line: int, column: int, near: str | None = None, expected: str | None = None
    ) -> Span | None:
        """A span over the token at (line, byte column) of debug info; column 0 means the first word of the line.

        `expected` is the line's text as the object carries it. Where the file has changed since, the nearest line with
        that text is meant; with none near, nothing is pointed at.
        """
        shown = self.find(path, near)
        if shown is None or line < 1:
            return None
        if expected is not None and expected.strip():
            moved = self._same_line(shown, line, expected)
            if moved is None:
                return None
            line = moved
        text = self.line(shown, line)
        if text is None:
            return None
        if column < 1:
            start = len(text) - len(text.lstrip())
        else:
            # Compilers count bytes, we count characters.
            start = len(text.encode("utf-8", "replace")[: column - 1].decode("utf-8", "ignore"))
            if start >= len(text):
                start = len(text) - len(text.lstrip())
        return Span(shown, line, start + 1, line, token_end(text, start) + 1)


def _above(path: str) -> list[str]:
    """The folders a file lies in, the innermost first, without the root."""
    out = []
    folder = os.path.dirname(path)
    while len(folder) > 1:
        out.append(folder)
        folder = os.path.dirname(folder)
    return out


def _copied(path: str, near: str) -> str | None:
    """The copy of a source that came with the object `near`: of the same name and much the same text, in a folder that
    holds the object and not the source, by the longest end of the source's path."""
    parts = path.strip("/").split("/")
    for folder in _above(os.path.realpath(near)):
        if path.startswith(folder + "/"):
            return None  # the object and the source lie together
        for start in range(max(1, len(parts) - 6), len(parts)):
            candidate = os.path.join(folder, *parts[start:])
            if os.path.isfile(candidate):
                if os.path.samefile(candidate, path):
                    return None
                if _alike(candidate, path):
                    return candidate
    return None


def _alike(one: str, other: str) -> bool:
    """Whether two files have most of their lines in common: one may have been edited since."""
    try:
        with opened(one) as first, opened(other) as second:
            a, b = first.read(_MAX_SOURCE), second.read(_MAX_SOURCE)
    except OSError:
        return False
    if a == b:
        return True
    lines, others = ({line.strip() for line in data.splitlines()} for data in (a, b))
    return 2 * len(lines & others) > max(len(lines), len(others))


def _code(line: str) -> str:
    """A line's code without the comment at its end, which may have been added since: a suppression, for one."""
    before, _, comment = line.partition("// bpfsmith:")
    return (before if comment else line).strip()


def token_end(text: str, start: int) -> int:
    """The index just after the word (or the one character) at `start`."""
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "_" or (text[end] in ":!" and end > start)):
        end += 1
    while end > start + 1 and text[end - 1] == ":":
        end -= 1
    return max(end, start + 1)


def call_start(text: str, name: str, near: int) -> int | None:
    """Where `name(` stands in the line, of several the nearest to `near`; None when it does not."""
    found = []
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        whole = not (at and (text[at - 1].isalnum() or text[at - 1] == "_"))
        if whole and text[end:].lstrip().startswith("("):
            found.append(at)
        at = text.find(name, end)
    return min(found, key=lambda one: abs(one - near)) if found else None


_OPEN, _CLOSE = "([{", ")]}"


def expression_end(text: str, start: int) -> int:
    """Where what starts at `start` ends on its line: a call with its last parenthesis, else before `;`, `,`, a block or
    what closes around it."""
    least = token_end(text, start)
    call = text[start : start + 1].isalpha() and text[least : least + 1] == "("
    depth = 0
    quote = ""
    at = start
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char == '"' or (char == "'" and text[at + 2 : at + 3] == "'"):  # not a lifetime
            quote = char
        elif char == "/" and text.startswith("/*", at) and "*/" in text[at + 2 :]:
            at = text.index("*/", at + 2) + 1
        elif (char == "/" and text.startswith(("//", "/*"), at)) or (
            depth == 0 and (char in ";,)]}" or (char == "{" and at > start))
        ):
            break
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
            if call and depth == 0:
                return at + 1
        at += 1
    return max(least, len(text[:at].rstrip()))

"""Reads the small part of YAML the three committed files use: nested maps, lists, inline lists, comments.

The generator has to run with nothing installed; anything outside this part is an error, never a guess.
"""

from __future__ import annotations

Value = dict[str, "Value"] | list["Value"] | str | None


def _clean(line: str) -> str:
    """Without its comment and trailing space (no quoted strings occur)."""
    if line.lstrip().startswith("#"):
        return ""
    return line.split(" #", 1)[0].rstrip()


def _scalar(text: str) -> Value:
    if text.startswith("["):
        return [item.strip() for item in text.strip("[]").split(",") if item.strip()]
    if text[:1] in "\"'{&*|>":
        raise ValueError(f"unsupported YAML: `{text}`")
    return text or None


class _Reader:
    def __init__(self, text: str) -> None:
        lines = (_clean(line) for line in text.splitlines())
        self.lines = [(len(line) - len(line.lstrip()), line.strip()) for line in lines if line.strip()]
        self.at = 0

    def here(self, indent: int, listed: bool) -> bool:
        """Whether the next line belongs to the list or map at `indent`."""
        if self.at >= len(self.lines) or self.lines[self.at][0] != indent:
            return False
        return self.lines[self.at][1].startswith("- ") == listed

    def value(self, indent: int) -> Value:
        """The block whose lines start at `indent`."""
        if self.at >= len(self.lines):
            return None
        return self.list(indent) if self.lines[self.at][1].startswith("- ") else self.map(indent)

    def list(self, indent: int) -> list[Value]:
        out: list[Value] = []
        while self.here(indent, listed=True):
            rest = self.lines[self.at][1][2:].strip()
            if ":" in rest:  # a map whose first key stands behind the dash
                self.lines[self.at] = (indent + 2, rest)
                out.append(self.map(indent + 2))
            else:
                out.append(_scalar(rest))
                self.at += 1
        return out

    def map(self, indent: int) -> dict[str, Value]:
        out: dict[str, Value] = {}
        while self.here(indent, listed=False):
            key, _, rest = self.lines[self.at][1].partition(":")
            self.at += 1
            if rest.strip():
                out[key] = _scalar(rest.strip())
                continue
            out[key] = None
            if self.at < len(self.lines):
                inner, text = self.lines[self.at]
                # A list may stand at its key's own indent; a map must be deeper.
                if inner > indent or (inner == indent and text.startswith("- ")):
                    out[key] = self.value(inner)
        return out


def parse(text: str) -> Value:
    reader = _Reader(text)
    out = reader.value(reader.lines[0][0] if reader.lines else 0)
    if reader.at != len(reader.lines):
        raise ValueError(f"unsupported YAML near `{reader.lines[reader.at][1]}`")
    return out

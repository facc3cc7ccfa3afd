"""Text in terminal cells: tabs, wide and combining characters, and bytes that must not reach a terminal."""

from __future__ import annotations

__all__ = ["TAB", "cells", "clean", "show"]

TAB = 4  # cells; a tab in source is shown as spaces up to the next multiple


def clean(text: str) -> str:
    """Control characters made visible (`\\x1b`), so that a name in an object cannot drive the terminal."""
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char in "\n\t" or (ord(char) > 0x9F and not _directs(char))
        else f"\\x{ord(char):02x}"
        for char in text
    )


def show(text: str) -> str:
    """A source line as it is printed: tabs expanded, control characters replaced by one visible cell."""
    if text.isascii() and text.replace("\t", "").isprintable():  # nearly every line
        return text.expandtabs(TAB)
    out: list[str] = []
    at = 0
    for char in text:
        shown = _shown(char, at)
        out.append(shown)
        at += _width(shown)
    return "".join(out)


def cells(text: str) -> int:
    """The cells `show(text)` takes."""
    if text.isascii() and text.isprintable():
        return len(text)
    return _width(show(text))


def _shown(char: str, at: int) -> str:
    if char == "\t":
        return " " * (TAB - at % TAB)
    if ord(char) < 0x20 or 0x7F <= ord(char) <= 0x9F or _directs(char):
        return "\N{REPLACEMENT CHARACTER}"
    return char


def _directs(char: str) -> bool:
    # Bidirectional controls make code look like other code (CVE-2021-42574).
    return char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(char) in {"Mn", "Me", "Cf"} else 2 if east_asian_width(char) in {"W", "F"} else 1 for char in text
    )

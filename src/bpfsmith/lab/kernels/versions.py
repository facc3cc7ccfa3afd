"""Orders of versions: of Debian packages as dpkg compares them, of kernels by their numbers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["numbers", "version_key"]


def numbers(version: str) -> tuple[int, ...]:
    """`6.12.117+deb12` -> (6, 12, 117): the leading numbers, for ordering kernels."""
    found: list[int] = []
    for part in version.split("."):
        digits = ""
        for char in part:
            if char not in "0123456789":
                break
            digits += char
        if not digits:
            break
        found.append(int(digits))
        if digits != part:
            break
    return tuple(found)


def version_key(version: str) -> tuple[Any, ...]:
    """Orders `[epoch:]upstream[-revision]` as `dpkg --compare-versions` does (deb-version(7)).

    >>> version_key("6.12~rc7-1") < version_key("6.12-1") < version_key("6.12-1+b1") < version_key("1:5.0-1")
    True
    """
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return (int(epoch) if epoch.isdecimal() else 0, _parts(upstream), _parts(revision))


def _parts(text: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Alternately what is no digits and a number. `~` is before the end, letters are before everything else."""
    found: list[tuple[tuple[int, ...], int]] = []
    at = 0
    while at < len(text):
        words: list[int] = []
        while at < len(text) and not text[at].isdecimal():
            char = text[at]
            words.append(-1 if char == "~" else ord(char) if char.isalpha() else ord(char) + 256)
            at += 1
        start = at
        while at < len(text) and text[at].isdecimal():
            at += 1
        # The end of the words counts as 0: above `~`, below everything else.
        found.append(((*words, 0), int(text[start:at] or 0)))
    found.append(((0,), 0))
    return tuple(found)

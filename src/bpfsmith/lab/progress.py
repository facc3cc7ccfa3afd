"""How long steps tell what they do: the base says nothing; the command line shows a bar or quiet lines."""

from __future__ import annotations

__all__ = ["Progress"]


class Progress:
    """What `lab.get` and `lab.add` call. Override what should be seen; it is called in the caller's thread."""

    def say(self, text: str) -> None:
        """One sentence: a step begins or has ended."""

    def amount(self, what: str, done: int, total: int) -> None:
        """`done` of `total` bytes of a step; called a few times a second, and once with `done == total`."""

"""How a long command tells what it does: lines, and below them a bar while something comes in on a terminal."""

from __future__ import annotations

import sys

from bpfsmith.lab.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Lines"]

_WIDTH = 24


class Lines(Progress):
    """Sentences as lines of `out`; amounts as a bar on `screen` when that is a terminal, else one line when whole."""

    def __init__(self, out: TextIO, screen: TextIO) -> None:
        self._out = out
        self._screen = screen
        self._live = screen.isatty()
        self._shown = 0

    def say(self, text: str) -> None:
        """One line, flushed: somebody may wait."""
        self._clear()
        self._out.write(f"{text}\n")
        self._out.flush()

    def amount(self, what: str, done: int, total: int) -> None:
        """The bar, or one line at the end."""
        if self._live and done < total:
            from shutil import get_terminal_size

            filled = _WIDTH * done // max(total, 1)
            text = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {done / 1e6:.1f} of {total / 1e6:.1f} MB  {what}"
            text = text[: get_terminal_size().columns - 1]
            self._screen.write(f"\r{text}{' ' * (self._shown - len(text))}")
            self._screen.flush()
            self._shown = len(text)
        elif done >= total:
            self.say(f"  {what} ({total / 1e6:.1f} MB)")

    def _clear(self) -> None:
        if self._shown:
            self._screen.write(f"\r{' ' * self._shown}\r")
            self._screen.flush()
            self._shown = 0

    def __del__(self) -> None:
        # After Ctrl-C: what is printed next begins on a line of its own.
        if self._shown and not sys.is_finalizing():
            self._screen.write("\n")

"""What is printed, and how: colour and encoding. Apart from the parser, so that a plain command needs no argparse."""

from __future__ import annotations

import sys

__all__ = ["use_color", "utf8_output"]


def use_color(choice: str) -> bool:
    """True when the output should be coloured: the option, then NO_COLOR, FORCE_COLOR, then whether stdout is a tty."""
    from os import environ

    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    force = environ.get("FORCE_COLOR")
    if force:
        return force != "0"
    return sys.stdout.isatty() and environ.get("TERM") != "dumb"


def utf8_output() -> None:
    """For what programs read: UTF-8, whatever the terminal or the locale says."""
    from io import TextIOWrapper

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")

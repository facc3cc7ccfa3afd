"""The argument parser of one command, and the options several commands share."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from itertools import pairwise

from bpfsmith.cli._output import use_color, utf8_output
from bpfsmith.model.errors import InputError
from bpfsmith.model.near import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any, NoReturn

__all__ = ["Parser", "add_color", "add_kernels", "parser_for", "use_color", "utf8_output", "words"]


class Parser(argparse.ArgumentParser):
    """argparse whose mistakes are `InputError`s with near matches."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Remembers the words for what `error` says of them."""
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing a usage block and exiting."""
        hint = f"`{self.prog} --help` shows the options"
        kind, _, rest = message.partition(": ")
        if kind == "unrecognized arguments":
            word = rest.split()[0]
            if not word.startswith("-"):
                raise InputError(f"unexpected argument `{word}`", hint=hint)
            options = [option for action in self._actions for option in action.option_strings if option != "-h"]
            raise InputError(f"unknown option `{word}`", hint=did_you_mean(word.partition("=")[0], options, hint))
        if kind == "the following arguments are required":
            raise InputError(f"missing {rest}", hint=hint)
        if rest == "expected one argument":
            option = kind.removeprefix("argument ").split("/")[-1]
            for word, value in pairwise(self._given):
                if word == option and value.startswith("-"):
                    raise InputError(
                        f"`{word} {value}`: `{value}` begins like an option", hint=f"write `{word}={value}`"
                    )
        raise InputError(message.removeprefix("argument ").replace("'", "`"), hint=hint)


def parser_for(command: str) -> tuple[Parser, ModuleType]:
    """The parser of one command and the command's module."""
    module = import_module(f"bpfsmith.cli.{command}")
    parser = Parser(
        prog=f"bpfsmith {command}",
        description=module.SUMMARY,
        epilog=getattr(module, "EPILOG", None),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    return parser, module


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        # A fixed width: the help text is a snapshot under test and must not follow the terminal.
        super().__init__(prog, max_help_position=28, width=100)


def add_color(parser: argparse.ArgumentParser) -> None:
    """`--color auto|always|never`."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colour the text (auto: on a terminal; NO_COLOR and FORCE_COLOR are obeyed)",
    )


def add_kernels(parser: argparse.ArgumentParser) -> None:
    """`--kernels SET`, one grammar everywhere."""
    parser.add_argument(
        "--kernels",
        metavar="SET",
        help="kernels to hold for: series (6.12), ranges (5.10..6.12, 5.10..), `host`, or a comma list of these",
    )


def words(values: list[str] | None) -> list[str] | None:
    """Flattens repeated comma lists (`--select A,B --select C`); None stays None."""
    if values is None:
        return None
    return [word.strip() for value in values for word in value.split(",") if word.strip()]

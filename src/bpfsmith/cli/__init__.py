"""Floor 5: the command line. Parses arguments, calls one job, renders; no logic of its own.

A command is one module here without an underscore: `SUMMARY` (one line), `configure(parser)` and
`run(args) -> exit code`. Only the module of the command asked for is imported with its job; `--version` and `--help`
need neither argparse nor jobs.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["commands", "main", "main_cargo"]

EXIT_CODES = """\
Exit codes: 0 clean (notes never fail a run), 1 errors or warnings, 2 wrong usage or input,
            3 the environment lacks something, 4 a bug in bpfsmith"""


def commands() -> list[str]:
    """The names of all commands, sorted."""
    from os import listdir

    found = (file.partition(".") for folder in __path__ for file in listdir(folder))
    return sorted(stem for stem, _, suffix in found if suffix == "py" and not stem.startswith("_"))


alone = False  # whether the process is there for one command


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; never raises, never shows a traceback for a user's fault."""
    global alone  # noqa: PLW0603 - what kind of process this is
    alone = argv is None
    arguments = list(sys.argv[1:] if argv is None else argv)
    _replace_closed_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        # File names need not be UTF-8 and terminals need not be Unicode: `\xff` instead of an exception.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except OSError as error:
        return _not_written(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except SystemExit as stop:  # argparse's --help
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:  # noqa: BLE001, RUF100 - the last door: our own bugs end here
        from bpfsmith.cli._failure import report

        return report(error)
    return code


def main_cargo() -> int:
    """`cargo bpfsmith ...`: cargo passes the subcommand's own name first."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["bpfsmith"]:
        del arguments[0]
    return main(arguments)


def _dispatch(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in {"--version", "-V"}:
        from bpfsmith import __version__

        sys.stdout.write(f"bpfsmith {__version__}\n")
        return 0
    if first in {"--help", "-h", "help"}:
        if len(arguments) > 1 and not arguments[1].startswith("-"):
            return _dispatch([arguments[1], "--help"])
        sys.stdout.write(overview())
        return 0
    if first not in commands():
        from bpfsmith.model.errors import InputError
        from bpfsmith.model.near import did_you_mean

        kind = "option" if first.startswith("-") else "command"
        hint = did_you_mean(first, [*commands(), "--help", "--version"], "`bpfsmith --help` lists the commands")
        raise InputError(f"unknown {kind} `{first}`", hint=hint)
    from importlib import import_module

    module = import_module(f"{__name__}.{first}")
    # Plain arguments of a command that is over in milliseconds are read without argparse, which takes ten.
    plain = module.plain(arguments[1:]) if hasattr(module, "plain") else None
    if plain is None:
        from bpfsmith.cli._parser import parser_for

        plain = parser_for(first)[0].parse_args(arguments[1:])
    code: int = module.run(plain)
    return code


def overview() -> str:
    """The text of `bpfsmith --help`."""
    from importlib import import_module

    rows = [(name, import_module(f"{__name__}.{name}").SUMMARY) for name in commands()]
    width = max(len(name) for name, _ in rows)
    listed = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in rows)
    return f"""\
bpfsmith checks, explains and inspects eBPF programs written in Rust/Aya and C.

Usage: bpfsmith COMMAND [OPTIONS] [PATH...]      also: cargo bpfsmith ..., python -m bpfsmith ...

Commands:
{listed}

Options:
  --help     this text; `bpfsmith COMMAND --help` for one command
  --version  the version

{EXIT_CODES}
"""


def _replace_closed_streams() -> None:
    """`>&-`: nobody wants to see it, and the exit code still counts."""
    import os

    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _not_written(error: OSError) -> int:
    """Files are read by jobs, which say themselves what is wrong with one; what is left is a full disk behind `>`."""
    from errno import EDQUOT, EFBIG, EIO, ENOSPC

    from bpfsmith.cli._failure import report
    from bpfsmith.model.errors import InputError

    if error.errno not in {EDQUOT, EFBIG, EIO, ENOSPC} or error.filename is not None:
        return report(error)
    _silence_stdout()
    said = (error.strerror or str(error)).lower()
    return report(InputError(f"cannot write the output: {said}", hint="make room, or write it somewhere else"))


def _silence_stdout() -> None:
    # The reader went away: what is still buffered must not raise again while Python exits.
    import os

    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError):
        pass

"""`bpfsmith migrate [PATH] --to RELEASE`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "bring an Aya workspace to another release of Aya: manifests, sources, the logger"
EPILOG = """\
examples:
  bpfsmith migrate --to 0.14 --diff    what would change
  bpfsmith migrate --to 0.14           change it, and list what is left to decide
  bpfsmith migrate --to 0.16 --check   exit 1 if there is anything to do; for CI

Exit codes: 0 nothing is left to do, 1 something to decide (with --diff and --check: or to change),
            2 wrong usage or input, changes that are not committed, a file that cannot be written
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `migrate`."""
    from bpfsmith.cli._parser import add_color

    parser.add_argument("path", nargs="?", default=".", metavar="PATH", help="default: the current folder")
    parser.add_argument("--to", required=True, metavar="RELEASE", help="0.12, 0.13, 0.14, 0.15 or 0.16")
    parser.add_argument("--diff", action="store_true", help="print what would change and write nothing")
    parser.add_argument("--check", action="store_true", help="list what would be done and write nothing")
    parser.add_argument("--unsafe-fixes", action="store_true", help="edits too that may change what the program does")
    parser.add_argument(
        "--allow-dirty", action="store_true", help="also where Git holds changes that are not committed"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print it (default: text)")
    add_color(parser)


def run(args: argparse.Namespace) -> int:
    """Migrates and prints; the exit code of the report."""
    from bpfsmith.cli._failure import say
    from bpfsmith.cli._parser import use_color, utf8_output
    from bpfsmith.migrate import migrate

    report = migrate(
        args.path,
        to=args.to,
        write=not (args.diff or args.check),
        unsafe_fixes=args.unsafe_fixes,
        allow_dirty=args.allow_dirty,
    )
    if args.format == "json":
        from bpfsmith.render._base import json_text

        utf8_output()
        sys.stdout.write(json_text(report.to_json()))
    else:
        from bpfsmith.render.migrate_text import render

        text = render(report.to_json(), color=use_color(args.color))
        if args.diff:
            # The diff alone on stdout, so that `| git apply` takes it.
            sys.stdout.write(report.diff)
            sys.stdout.flush()
            sys.stderr.write(text)
        else:
            sys.stdout.write(text)
    sys.stdout.flush()
    for error in report.errors:
        say(error)
    return report.exit_code

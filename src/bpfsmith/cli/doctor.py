"""`bpfsmith doctor`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "what this machine allows: kernel, rights, mounts, every type by a probe; what is missing, and what gets it"
EPILOG = """\
examples:
  bpfsmith doctor                  what you may do (without root: what is missing for more)
  sudo bpfsmith doctor --verbose   with the names of everything that works
  sudo bpfsmith doctor --clean     remove what killed runs left: XDP and tc programs, pins
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `doctor`."""
    from bpfsmith.cli._parser import add_color

    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print it (default: text)")
    parser.add_argument("--verbose", action="store_true", help="name what works too, and each program type's helpers")
    parser.add_argument("--clean", action="store_true", help="remove what killed processes of bpfsmith left behind")
    add_color(parser)


def run(args: argparse.Namespace) -> int:
    """Asks and prints; the exit code of the report."""
    from bpfsmith.cli._parser import use_color, utf8_output
    from bpfsmith.cli.inspect import columns
    from bpfsmith.doctor import doctor

    report = doctor(helpers=not args.clean or args.format == "json", clean=args.clean)
    if args.format == "json":
        from bpfsmith.render._base import json_text

        utf8_output()
        sys.stdout.write(json_text(report.to_json()))
    elif args.clean:
        from bpfsmith.render.doctor_text import cleaned

        sys.stdout.write(cleaned(report.to_json(), color=use_color(args.color)))
    else:
        from bpfsmith.render.doctor_text import render

        text = render(report.to_json(), color=use_color(args.color), width=max(columns(), 60), verbose=args.verbose)
        sys.stdout.write(text)
    return report.exit_code

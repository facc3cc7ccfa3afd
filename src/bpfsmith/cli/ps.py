"""`bpfsmith ps`."""

from __future__ import annotations

import sys
from os import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "what is loaded: programs, maps, links and BTF, with owners, pins and run statistics"
EPILOG = """\
examples:
  sudo bpfsmith ps                          everything
  sudo bpfsmith ps programs --type xdp      XDP programs
  sudo bpfsmith ps --pid 1234               what that process holds
  sudo bpfsmith ps maps --format json       for other programs
"""
KINDS = ("programs", "maps", "links", "btf")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `ps`."""
    from bpfsmith.cli._parser import add_color

    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)} (default: all)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print it (default: text)")
    parser.add_argument("--name", default="", metavar="GLOB", help="only those of that name (`count_*`)")
    parser.add_argument("--type", default="", metavar="TYPE", help="only those of that type (`xdp`, `ringbuf`, `tcx`)")
    parser.add_argument("--pid", type=int, metavar="N", help="only those that process holds")
    parser.add_argument("--id", type=int, metavar="N", help="only those of that id")
    add_color(parser)


def run(args: argparse.Namespace) -> int:
    """Reads and prints; the exit code of the report."""
    from bpfsmith.cli._parser import use_color, utf8_output
    from bpfsmith.ps import ps

    report = ps(args.kinds or KINDS, name=args.name, type=args.type, pid=args.pid, id=args.id)
    if args.format == "json":
        from bpfsmith.render._base import json_text

        utf8_output()
        sys.stdout.write(json_text(report.to_json()))
    else:
        from bpfsmith.cli.inspect import columns
        from bpfsmith.render.ps_text import render

        # Nothing is cut for a pipe: `grep` and people's scripts look for whole words.
        width = max(columns(), 60) if sys.stdout.isatty() or "COLUMNS" in environ else 1 << 16
        sys.stdout.write(render(report.to_json(), color=use_color(args.color), width=width))
    return report.exit_code

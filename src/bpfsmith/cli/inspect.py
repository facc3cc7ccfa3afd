"""`bpfsmith inspect PATH...`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from bpfsmith.inspect.report import InspectReport
    from bpfsmith.model.program import Program

SUMMARY = "what is inside an object: programs, maps, variables, and on which kernels it loads"
EPILOG = """\
examples:
  bpfsmith inspect prog.o                      tables of what it holds, and the earliest kernel with the reason
  bpfsmith inspect prog.o --asm xdp_count      source lines with their instructions
  bpfsmith inspect prog.o --graph | dot -Tsvg  calls, callbacks and tail calls
  bpfsmith inspect prog.o --btf host --asm     as relocated for the running kernel
  sudo bpfsmith inspect prog:123 --asm         a loaded program, by id, tag or name; a map: map:45
"""
_ALL = "*"
_GRAPHS = ("dot", "mermaid")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `inspect`."""
    from bpfsmith.cli._parser import add_color

    parser.add_argument("paths", nargs="*", metavar="PATH", help="objects, folders with objects, or prog:ID, map:ID")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print it (default: text)")
    parser.add_argument(
        "--asm", nargs="?", const=_ALL, metavar="PROGRAM", help="instructions under their source lines, of one or all"
    )
    parser.add_argument("--inlined", action="store_true", help="with --asm: the chain of inlined functions, from DWARF")
    parser.add_argument(
        "--graph",
        nargs="?",
        const="dot",
        metavar="dot|mermaid",
        help="the graph of calls and tail calls (default: dot)",
    )
    parser.add_argument("--btf", metavar="FILE", help="relocate against that kernel: a file with BTF, or `host`")
    add_color(parser)


def run(args: argparse.Namespace) -> int:
    """Reads and prints; the exit code of the report."""
    from bpfsmith.cli._failure import say
    from bpfsmith.cli._parser import use_color
    from bpfsmith.inspect import inspect
    from bpfsmith.model.errors import InputError

    _take_path(args, "asm", _ALL)
    _take_path(args, "graph", "dot", _GRAPHS)
    if not args.paths:
        raise InputError("missing PATH", hint="name an object or a folder with objects: `bpfsmith inspect prog.o`")
    if args.graph is not None and args.graph not in _GRAPHS:
        raise InputError(f"unknown graph format `{args.graph}`", hint=f"known are {', '.join(_GRAPHS)}")
    report = inspect(args.paths, btf=args.btf)
    if report.objects:
        for text in _texts(args, report, use_color(args.color)):
            sys.stdout.write(text)
    elif args.format == "json":
        sys.stdout.write(_json(report))
    sys.stdout.flush()
    for error in report.errors:
        say(error)
    return report.exit_code


def _texts(args: argparse.Namespace, report: InspectReport, color: bool) -> Iterator[str]:
    if args.graph is not None:
        from bpfsmith.render.inspect_graph import render as render_graph

        yield render_graph(report.objects, args.graph)
    elif args.asm is not None:
        from bpfsmith.render.inspect_asm import render as render_asm

        for at, program in enumerate(_programs(report, args.asm)):
            yield "\n" if at else ""
            yield render_asm(program, kernel=report.kernel, color=color, inlined=args.inlined)
    elif args.format == "json":
        yield _json(report)
    else:
        from bpfsmith.render.inspect_text import render as render_text

        kernel = None if report.kernel is None else report.kernel.name
        yield render_text(report.to_json(), color=color, width=max(columns(), 60), kernel=kernel)


def columns() -> int:
    """The terminal's width, 100 where there is none; `shutil`, which knows it too, costs 8 ms to import."""
    import os

    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 100
    except (OSError, ValueError):
        return 100


def _json(report: InspectReport) -> str:
    from bpfsmith.cli._parser import utf8_output
    from bpfsmith.render._base import json_text

    utf8_output()
    return json_text(report.to_json())


def _programs(report: InspectReport, wanted: str) -> list[Program]:
    """The programs called `wanted`; `InputError` when there is none."""
    from bpfsmith.model.errors import InputError
    from bpfsmith.model.near import did_you_mean

    programs = [program for obj in report.objects for program in obj.programs]
    found = [program for program in programs if wanted in {_ALL, program.name}]
    if not found and wanted != _ALL:
        names = [program.name for program in programs]
        listed = "programs are " + ", ".join(f"`{name}`" for name in names[:10])
        raise InputError(f"no program `{wanted}`", hint=did_you_mean(wanted, names, listed))
    for program in found:
        if program.link_error is not None:
            raise InputError(
                f"program `{program.name}` cannot be linked: {program.link_error}", where=program.owner.path
            )
    return found


def _take_path(args: argparse.Namespace, option: str, default: str, known: tuple[str, ...] = ()) -> None:
    """`--asm prog.o`: a word that names a file, where a path is missing, was meant as the path."""
    from os.path import exists

    word = getattr(args, option)
    if word is not None and word != default and word not in known and not args.paths and exists(word):
        args.paths = [word]
        setattr(args, option, default)

"""`bpfsmith check PATH...`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "what is wrong: with an object, a folder of objects, or an Aya workspace"
EPILOG = """\
examples:
  bpfsmith check                            the Cargo workspace here
  bpfsmith check prog.o --kernels 5.10..    one object, for every kernel from 5.10 on
  bpfsmith check . --format sarif > out.sarif
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `check`."""
    from bpfsmith.check.report import FAIL_ON
    from bpfsmith.cli._parser import add_color, add_kernels
    from bpfsmith.render import formats

    parser.add_argument("paths", nargs="*", default=["."], metavar="PATH", help="default: the current folder")
    add_kernels(parser)
    parser.add_argument(
        "--select", action="append", metavar="RULES", help="only these: codes, names, `OBJ`, groups, phase:silent"
    )
    parser.add_argument("--ignore", action="append", metavar="RULES", help="all but these")
    parser.add_argument("--preview", action="store_true", help="rules in preview too: young, or too often wrong")
    parser.add_argument(
        "--loader", action="append", choices=("aya", "libbpf"), help="what loads the objects (default: aya)"
    )
    parser.add_argument(
        "--btf", action="append", metavar="FILE", help="BTF of a kernel to resolve CO-RE relocations against"
    )
    parser.add_argument(
        "--build", action="store_true", help="run the project's own build first; nothing is executed without it"
    )
    parser.add_argument("--fix", action="store_true", help="mend what has a safe fix, and report what is left")
    parser.add_argument(
        "--unsafe-fixes", action="store_true", help="with --fix or --diff: fixes too that may change what is done"
    )
    parser.add_argument(
        "--diff", action="store_true", help="print what --fix would change and write nothing; exit 1 if it would"
    )
    parser.add_argument("--format", choices=formats(), default="text", help="how to print the findings (default: text)")
    parser.add_argument("--fail-on", choices=FAIL_ON, help="exit 1 from this severity up (default: warning)")
    parser.add_argument("--config", metavar="FILE", help="instead of the nearest bpfsmith.toml")
    parser.add_argument(
        "--baseline", metavar="FILE", help="report only what this earlier `--format json` output does not hold"
    )
    parser.add_argument(
        "--prove",
        action="store_true",
        help="have real kernels judge the programs, and hold the report against them; with --fix or --diff also "
        "repair what they reject (builds a copy of the project)",
    )
    parser.add_argument("--no-cache", action="store_true", help="neither take nor keep what an earlier check found")
    add_color(parser)


def _told(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _ends_here() -> None:
    from bpfsmith import cli

    vars(sys.modules["bpfsmith.check"])["ends_here"] = cli.alone


def run(args: argparse.Namespace) -> int:
    """Checks and prints; the exit code of the report."""
    from bpfsmith.check import check
    from bpfsmith.cli._failure import say
    from bpfsmith.cli._parser import use_color, utf8_output, words
    from bpfsmith.model.errors import InputError
    from bpfsmith.render import renderer

    if args.build:
        sys.stderr.write("building ...\n")
        sys.stderr.flush()
    select = words(args.select)
    if select == []:
        # `--select "$RULES"` with nothing in RULES must not look like a clean object.
        raise InputError("`--select` names no rule", hint="`bpfsmith explain rules` lists them")
    _ends_here()
    report = check(
        args.paths,
        kernels=args.kernels,
        select=select,
        ignore=words(args.ignore) or (),
        loaders=args.loader,
        btf=args.btf,
        build=args.build,
        fail_on=args.fail_on,
        config=args.config,
        baseline=args.baseline,
        prove=args.prove,
        fix=args.fix,
        unsafe_fixes=args.unsafe_fixes,
        diff=args.diff,
        preview=args.preview,
        cache=not args.no_cache,
        say=_told if args.prove and (args.fix or args.diff) else lambda _: None,
    )
    chosen = renderer(args.format, color=args.format == "text" and use_color(args.color))
    if chosen.machine:
        utf8_output()
    if args.diff and report.mended is not None and args.format not in ("json", "sarif"):
        sys.stdout.write(report.mended.diff)
    elif chosen.machine or report.findings or report.summary["files"] or not report.errors:
        sys.stdout.write(chosen.render(report))  # "no findings" would be no answer to what could not be read
    sys.stdout.flush()
    if report.mended is not None and report.mending and (args.diff or args.format != "text"):
        sys.stderr.write(f"{report.mending}\n")  # not among what programs read
    for error in report.errors:
        say(error)
    return report.exit_code

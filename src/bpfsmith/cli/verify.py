"""`bpfsmith verify PATH...`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from bpfsmith.verify.report import VerifyReport

SUMMARY = "which kernels take it: the verdicts of real verifiers, program by program"
EPILOG = """\
examples:
  bpfsmith verify prog.o                       every prepared kernel, and the running one
  bpfsmith verify . --kernels 5.10..,host      a folder of objects
  bpfsmith verify new.o --against old.o        what got worse where
  bpfsmith verify prog.o --effort --kernels 6.12 --program packet_filter
exit codes: 0 all accepted, 1 any rejected, 3 nothing could be tried, or a kernel asked for could not be started;
2 wrong usage or a file that could not be read
"""
FORMATS = ("text", "json", "markdown", "sarif", "github")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `verify`."""
    from bpfsmith.cli._parser import add_color

    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="objects, or folders with objects")
    add(
        "--kernels",
        metavar="SET",
        help="series (6.12), ranges (5.10..: what is prepared of the default matrix), `host`, releases, added names; a "
        "comma list (default: every prepared kernel, and the running one where it may be used)",
    )
    add("--program", action="append", metavar="NAME", help="only these programs (names or patterns)")
    add("--against", metavar="OLD.o", help="an older version: what got worse where")
    add("--yes", action="store_true", help="fetch kernels that are missing without asking, also those of a range")
    add(
        "--strict",
        action="store_true",
        help="what cannot be tried counts as rejected, and a range must be prepared as a whole",
    )
    given = parser.add_argument_group("what is not in the object")
    given.add_argument(
        "--attach-to",
        action="append",
        default=[],
        metavar="PROGRAM=TARGET",
        help="what a program is bound to when it is loaded: a kernel function, hook or tracepoint; for freplace "
        "[FILE:]PROGRAM[/FUNCTION]",
    )
    given.add_argument(
        "--global", action="append", default=[], dest="values", metavar="NAME=VALUE", help="a global variable"
    )
    given.add_argument("--map-size", action="append", default=[], metavar="NAME=N", help="max_entries; 64k, 1M")
    given.add_argument("--loader", choices=("aya", "libbpf"), help="whose rules hold (default: by the object)")
    more = parser.add_argument_group("more about it")
    more.add_argument("--effort", action="store_true", help="where the verifier's effort goes, to the source line")
    more.add_argument(
        "--prove", action="store_true", help="hold what the facts say of each program against what the kernels did"
    )
    more.add_argument("--log", action="store_true", help="show the verifier's log of what was rejected")
    more.add_argument("--log-level", type=int, default=0, metavar="N", help="1, 2 (more), 4 (statistics), or a sum")
    more.add_argument("--log-dir", metavar="DIR", help="write every whole log to a file there")
    more.add_argument("--timeout", metavar="TIME", help="a guest may take this long for one program (default: 5m)")
    add("--format", choices=FORMATS, default="text", help="how to print it (default: text)")
    add_color(parser)


def run(args: argparse.Namespace) -> int:
    """Judges and prints; the exit code of the report."""
    from bpfsmith.verify._kernels import KernelsMissing, get_command, targets

    try:
        if args.yes and args.kernels is not None:
            targets(args.kernels, complete=True)
        report = _verify(args)
    except KernelsMissing as missing:
        answer = _fetched(missing.names, args.yes, missing.message)
        if answer is None:
            raise
        if not answer:  # the prompt said what is missing
            sys.stderr.write(f"  help: {missing.hint}\n")
            return missing.exit_code
        report = _verify(args)
    _print(args, report)
    if report.untried:
        count = len(report.untried)
        sys.stderr.write(f"{count} kernel{'s were' if count > 1 else ' was'} not asked: {', '.join(report.untried)}\n")
    if report.unprepared:
        names = ", ".join(report.unprepared)
        sys.stderr.write(f"not prepared: {names}; `{get_command(report.unprepared)}` gets them\n")
    series = _nothing_prepared() if args.kernels is None else ()
    if not series:
        return report.exit_code
    # The running kernel has answered; others can be asked too.
    if args.format != "text" or not _fetched(series, False, "only the running kernel was asked"):
        sys.stderr.write(f"other kernels ({', '.join(series)}) can be asked too: `bpfsmith lab get` fetches them\n")
        return report.exit_code
    args.kernels = ",".join(series)
    others = _verify(args)
    _print(args, others)
    codes = {report.exit_code, others.exit_code}
    order = (4, 2, 1, 3, 0) if report.untried or others.untried else (4, 2, 1, 0, 3)
    return next(code for code in order if code in codes)


def _verify(args: argparse.Namespace) -> VerifyReport:
    from bpfsmith.run.words import pairs, seconds_of, sizes, value_of
    from bpfsmith.verify import verify

    if args.yes and args.kernels is None and (names := _nothing_prepared()):
        _fetch_all(names)
    with _Progress(args) as progress:
        return verify(
            args.paths,
            kernels=args.kernels,
            programs=args.program,
            against=args.against,
            attach_to=pairs(args.attach_to, "--attach-to"),
            globals={name: value_of(text) for name, text in pairs(args.values, "--global").items()},
            map_sizes=sizes(args.map_size),
            loader=args.loader,
            effort=args.effort,
            prove=args.prove,
            log=args.log,
            log_level=args.log_level,
            log_dir=args.log_dir,
            timeout=None if args.timeout is None else seconds_of(args.timeout, "--timeout"),
            strict=args.strict,
            progress=progress,
        )


def _print(args: argparse.Namespace, report: VerifyReport) -> None:
    from bpfsmith.cli._failure import say
    from bpfsmith.cli._parser import use_color, utf8_output

    if args.format in ("sarif", "github"):
        from bpfsmith.check.report import Report
        from bpfsmith.render import renderer

        utf8_output()
        text = renderer(args.format).render(Report(report.findings(), errors=report.errors, notes=report.notes))
    elif args.format == "json":
        from bpfsmith.render._base import json_text

        utf8_output()
        text = json_text(report.to_json())
    elif args.format == "markdown":
        from bpfsmith.render.verify_markdown import render as markdown

        utf8_output()
        text = markdown(report)
    else:
        from bpfsmith.render.verify_text import render

        text = render(report, color=use_color(args.color), width=_width(), logs=args.log)
    sys.stdout.write(text)
    sys.stdout.flush()
    for error in report.errors:
        say(error)
    cells = [one for row in report.programs for one in row.results]
    if report.exit_code == 3 and not report.errors and cells and not report.untried:
        # Nothing was tried, and no error says so: the exit code is not left alone.
        from bpfsmith.model.errors import EnvironmentMissing

        first = cells[0]
        say(EnvironmentMissing(f"nothing could be tried: {first.message or first.reason}", "", hint=first.why))


def _width() -> int:
    from shutil import get_terminal_size

    return max(60, get_terminal_size((120, 24)).columns)


# ------------------------------------------------------------ kernels that are not there


def _nothing_prepared() -> Sequence[str]:
    """The default matrix when no kernel is prepared at all, else nothing."""
    from bpfsmith.lab import store

    if store.all():
        return ()
    from bpfsmith.lab.kernels.matrix import DEFAULT

    return DEFAULT


def _terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _fetched(names: Sequence[str], yes: bool, why: str) -> bool | None:
    """False: the person does not want it; None: there was nobody to ask."""
    if not yes:
        if not _terminal():
            return None
        size = f"about {_megabytes(names)} MB to download and 150 MB of disk each"
        sys.stderr.write(f"{why}\nfetch {', '.join(names)} now? {size}, a minute or two [y/N] ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):  # Ctrl-D leaves the cursor behind the question
            sys.stderr.write("\n")
        if answer.strip().lower() not in {"y", "yes"}:
            return False
    _fetch_all(names)
    return True


def _megabytes(names: Sequence[str]) -> int:
    """To download: as the archive's index says where it was read, else as it usually is."""
    from bpfsmith.lab import listing

    known = {one.series: one.download for one in listing().offered}
    return sum((known.get(one) or 38_000_000) for one in names) // 1_000_000


def _fetch_all(names: Sequence[str]) -> None:
    """`6.12`, and `6.12-full-arm64` as what it says."""
    from bpfsmith.verify._kernels import KernelsMissing

    for series, arch, flavour in KernelsMissing("", names).groups():
        _fetch(series, arch, flavour)


def _fetch(series: Sequence[str], arch: str, flavour: str) -> None:
    from bpfsmith.cli._progress import Lines
    from bpfsmith.lab.getting import get

    get(series, arch=arch, flavour=flavour or "cloud", progress=Lines(sys.stderr, sys.stderr))


class _Progress:
    """A line on a terminal that says how far it is; nothing where nobody watches, or it is done at once."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.on = sys.stderr.isatty() and args.format == "text"
        self.shown = False
        self.at = 0.0
        self.paths = args.paths

    def say(self, text: str) -> None:
        """What takes seconds, as a line: also where nobody watches."""
        clear = "\r\x1b[K" if self.shown else ""
        sys.stderr.write(f"{clear}{text}\n")
        sys.stderr.flush()

    def __call__(self, done: int, cells: int) -> None:
        if not self.on or done >= cells:
            return
        from time import monotonic

        now = monotonic()
        if now - self.at > 0.2:
            self.at, self.shown = now, True
            sys.stderr.write(f"\r\x1b[K{done} of {cells} verdicts")
            sys.stderr.flush()

    def __enter__(self) -> Any:
        from os.path import isdir
        from time import monotonic

        self.at = monotonic() + 0.8
        if self.on and any(isdir(path) for path in self.paths):
            self.shown = True
            sys.stderr.write("looking for objects")
            sys.stderr.flush()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

"""`bpfsmith run PATH`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from bpfsmith.model.errors import VerifierRejected

SUMMARY = "load an object, attach it, and print its events and maps until it is stopped"
EPILOG = """\
examples:
  bpfsmith run prog.o --iface eth0             until Ctrl-C
  bpfsmith run prog.o --for 10s --format json  ten seconds, as JSON lines
  bpfsmith run prog.o --iface eth0 --plan      what would be asked of the kernel; asks nothing
  bpfsmith run prog.o --set LIMIT=10 --put 'CONFIG[0]={"enforce": 1}' --watch FLOWS
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `run`."""
    from bpfsmith.cli._parser import add_color

    add = parser.add_argument
    add("path", metavar="PATH", help="an eBPF object")
    where = parser.add_argument_group("what and where")
    where.add_argument("--program", action="append", metavar="NAME", help="only these programs (names or patterns)")
    where.add_argument(
        "--iface", action="append", metavar="NAME", help="interface of XDP, tc and socket filter programs"
    )
    where.add_argument("--direction", choices=("ingress", "egress"), help="of tc programs whose section says none")
    where.add_argument("--pid", type=int, metavar="PID", help="process of uprobes, USDT and perf events (default: all)")
    where.add_argument("--cgroup", metavar="DIR", help="cgroup of cgroup programs")
    where.add_argument(
        "--func",
        metavar="NAME",
        help="function, tracepoint or event of programs whose section says none (FILE:NAME for uprobes)",
    )
    where.add_argument(
        "--attach",
        action="append",
        default=[],
        metavar="PROGRAM=TARGET",
        help="target of one program, before all of the above",
    )
    values = parser.add_argument_group("values")
    values.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a global variable (JSON or text)"
    )
    values.add_argument(
        "--put", action="append", default=[], metavar="MAP[KEY]=VALUE", help="an entry, before attaching"
    )
    values.add_argument(
        "--map-size", action="append", default=[], metavar="NAME=N", help="max_entries (bytes of a ring); 64k, 1M"
    )
    values.add_argument("--btf", metavar="FILE", help="types to relocate against (default: the running kernel's)")
    values.add_argument("--pin-path", metavar="DIR", help="where maps pinned by name are (default: /sys/fs/bpf)")
    meanwhile = parser.add_argument_group("meanwhile")
    meanwhile.add_argument(
        "--workload", metavar="COMMAND", help="run it in a shell once all is attached; the run ends with it"
    )
    meanwhile.add_argument(
        "--kernel",
        metavar="NAME",
        help="in a guest of the lab with this kernel (`bpfsmith lab list` shows them)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--for", dest="duration", metavar="TIME", help="stop after 500ms, 10s, 2m, 1h (default: Ctrl-C)"
    )
    output.add_argument("--record", action="append", default=[], metavar="MAP=TYPE", help="type of a ring's records")
    output.add_argument("--watch", action="append", default=[], metavar="MAP", help="print this map every --interval")
    output.add_argument("--interval", metavar="TIME", help="default: 1s")
    output.add_argument(
        "--maps", choices=("none", "few", "all"), default="few", help="entries in the summary (default: few)"
    )
    output.add_argument("--format", choices=("text", "json"), default="text", help="json: one object a line")
    output.add_argument("--quiet", action="store_true", help="no events, only the summary")
    output.add_argument("--plan", action="store_true", help="print what would be done, and do nothing")
    output.add_argument("--log", action="store_true", help="the verifier's whole log of a rejected program")
    add_color(parser)


def run(args: argparse.Namespace) -> int:
    """Runs it; 0 when it was stopped as asked, by time or signal."""
    if args.kernel is not None:
        return _elsewhere(args)
    from bpfsmith.run.words import entries, pairs, seconds_of, sizes, values

    options: dict[str, Any] = {
        "programs": args.program,
        "iface": args.iface,
        "direction": args.direction,
        "pid": args.pid,
        "cgroup": args.cgroup,
        "func": args.func,
        "attach": pairs(args.attach, "--attach"),
        **values(args.set),
        "map_sizes": sizes(args.map_size),
        "entries": entries(args.put),
        "btf": args.btf,
        "pin_path": args.pin_path,
    }
    if args.plan:
        return _plan(args, options)
    from bpfsmith.cli._parser import use_color, utf8_output
    from bpfsmith.model.errors import VerifierRejected
    from bpfsmith.run import run as run_object
    from bpfsmith.run.session import Sink

    sink: Any
    color = args.format == "text" and use_color(args.color)
    if args.format == "json":
        from bpfsmith.render.run_json import JsonOutput

        utf8_output()
        sink = JsonOutput(sys.stdout)
    else:
        from bpfsmith.render.run_text import TextOutput

        sink = TextOutput(sys.stdout, color=color)
    if args.quiet:
        sink.event = sink.log = Sink().event  # counted, not printed
    try:
        report = run_object(
            args.path,
            **options,
            duration=None if args.duration is None else seconds_of(args.duration, "--for"),
            records=pairs(args.record, "--record"),
            watch=args.watch,
            interval=_interval(args),
            maps=args.maps,
            workload=args.workload,
            sink=sink,
        )
    except VerifierRejected as error:
        return _rejected(error, args.log, color)
    if args.format == "json":
        sink.finished(report)
    else:
        from bpfsmith.render.run_text import render

        sys.stdout.write(render(report, color=color))
    sys.stdout.flush()
    return report.exit_code


# What is passed on to a run in a guest: the option's words as they were given.
_EACH = {"program": "--program", "iface": "--iface", "attach": "--attach", "set": "--set", "put": "--put",
         "map_size": "--map-size", "record": "--record", "watch": "--watch"}  # fmt: skip
_ONCE = {"direction": "--direction", "pid": "--pid", "cgroup": "--cgroup", "func": "--func", "btf": "--btf",
         "pin_path": "--pin-path", "duration": "--for", "interval": "--interval", "maps": "--maps",
         "format": "--format", "workload": "--workload"}  # fmt: skip
_FLAGS = {"quiet": "--quiet", "plan": "--plan", "log": "--log"}


def _elsewhere(args: argparse.Namespace) -> int:
    """The same run in a guest of the lab."""
    from bpfsmith.cli._parser import use_color
    from bpfsmith.lab.workload import run_in_guest

    words = [args.path]
    for name, option in _EACH.items():
        words += [f"{option}={value}" for value in getattr(args, name) or ()]
    for name, option in _ONCE.items():
        value = getattr(args, name)
        words += [] if value is None else [f"{option}={value}"]
    words += [option for name, option in _FLAGS.items() if getattr(args, name)]
    words.append(f"--color={'always' if args.format == 'text' and use_color(args.color) else 'never'}")
    # Executables whose functions are attached to are as much part of the run as the object is.
    named = [args.path, *([args.btf] if args.btf else [])]
    for text in (args.func or "", *(one.partition("=")[2] for one in args.attach)):
        path = text.removeprefix("uprobe:").partition(":")[0]
        named += [path] if "/" in path else []
    return run_in_guest(args.kernel, words, named, folder=args.workload is not None, report=_say)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _interval(args: argparse.Namespace) -> float:
    from bpfsmith.model.errors import InputError
    from bpfsmith.run.words import seconds_of

    if args.interval is None:
        return 1.0
    if not args.watch:
        raise InputError("`--interval` says nothing without `--watch`", hint="`--watch MAP` shows a map that often")
    found = seconds_of(args.interval, "--interval")
    if not found:
        raise InputError(f"`--interval {args.interval}` is no time between two", hint="write `100ms`, `1s`")
    return found


def _rejected(error: VerifierRejected, whole: bool, color: bool) -> int:
    """The log where asked for, the error, the explained reason (without one the source line the verifier stopped at),
    the next step."""
    from bpfsmith.cli._failure import say
    from bpfsmith.render.run_rejected import log, reason, source

    sys.stdout.flush()
    sys.stderr.write(log(error) if whole else "")
    line = reason(error, color=color) or source(error, color=color)
    hint = "" if line and error.hint.startswith("at `") else error.hint  # it has just been seen
    if error.log and not whole:
        more = "`--log` prints the verifier's whole log; `bpfsmith explain avoid-verifier-rejections` says what helps"
        hint = "; ".join(filter(None, (hint, more)))
    error.hint = ""
    say(error)
    sys.stderr.write(line + (f"  help: {hint}\n" if hint else ""))
    return error.exit_code


def _plan(args: argparse.Namespace, options: dict[str, Any]) -> int:
    from bpfsmith.cli._parser import utf8_output
    from bpfsmith.run.preview import preview

    told = preview(args.path, **options)
    if args.format == "json":
        from bpfsmith.render._base import json_text

        utf8_output()
        sys.stdout.write(json_text(told.to_json()))
    else:
        sys.stdout.write(told.text())
    return 0

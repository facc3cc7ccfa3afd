"""`bpfsmith lab exec` and `lab shell`: commands and a person inside guests."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def _shared(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--put", action="append", default=[], metavar="FILE[:PLACE]", help="a file or folder the guest gets too")
    add("--no-folder", action="store_true", help="without the current folder's files")
    add("--memory", type=int, metavar="MIB", help="of the guest (default: 512)")


def configure_exec(parser: argparse.ArgumentParser) -> None:
    from argparse import REMAINDER

    parser.usage = "bpfsmith lab exec [OPTIONS] KERNEL[,KERNEL...] [OPTIONS] -- COMMAND [ARGUMENTS...]"
    parser.epilog = """\
The command runs in a copy of the current folder at the same path; the folder itself is never written to.

examples:
  bpfsmith lab exec 6.1 -- uname -r
  bpfsmith lab exec 5.10,6.12 -- python3 probe.py
  bpfsmith lab exec 6.12 --get result.json -- sh -c 'bpftool -j prog > result.json'
"""
    parser.add_argument(
        "kernels", metavar="KERNEL", help="a prepared kernel, several with commas between them, or a range (5.10..)"
    )
    parser.add_argument("command", nargs=REMAINDER, metavar="COMMAND", help="the command and its arguments")
    parser.add_argument(
        "--get", action="append", default=[], metavar="PLACE[:FILE]", help="a file fetched from the guest afterwards"
    )
    parser.add_argument("--timeout", metavar="TIME", help="end it after 500ms, 10s, 2m: exit status 124")
    _shared(parser)
    # Everything after `--` is the command's; argparse would look for our options in it.
    whole = parser.parse_known_args

    def split(args: Any = None, namespace: Any = None) -> Any:
        words = list(args or [])
        if "--" not in words:
            return whole(words, namespace)
        at = words.index("--")
        own = words[:at]
        # A kernel alone would take what follows it for the command: options first.
        names = [word for number, word in enumerate(own) if not word.startswith("-") and not _value(own, number)]
        ordered = [word for word in own if word not in names] + names
        found, more = whole(ordered, namespace)
        found.command = found.command + words[at + 1 :]
        return found, more

    parser.parse_known_args = split  # type: ignore[method-assign]


def _value(words: list[str], at: int) -> bool:
    """Whether a word is the value of the option before it."""
    return at > 0 and words[at - 1] in ("--put", "--get", "--memory", "--timeout")


def run_exec(args: argparse.Namespace) -> int:
    from bpfsmith.lab.exec import execute
    from bpfsmith.model.errors import InputError
    from bpfsmith.run.words import seconds_of

    kernels = [name.strip() for name in args.kernels.split(",") if name.strip()]
    if not kernels or not args.command:
        raise InputError("no command", hint=f"`bpfsmith lab exec {args.kernels or 'KERNEL'} -- COMMAND`")
    limit = None if args.timeout is None else seconds_of(args.timeout, "--timeout")
    if limit == 0:
        raise InputError(f"no command ends within `{args.timeout}`", "--timeout", "write `500ms`, `10s`, `2m` or `1h`")
    return execute(
        [name for word in kernels for name in _named(word)],
        args.command,
        put=args.put,
        get=args.get,
        memory=args.memory,
        timeout=limit,
        folder=not args.no_folder,
        report=_say,
    )


def _named(word: str) -> list[str]:
    """The kernels a word of `lab exec` means: one, or those prepared of a range of the default matrix, as `verify`."""
    from bpfsmith.lab import store
    from bpfsmith.lab.kernels.matrix import DEFAULT
    from bpfsmith.model.errors import EnvironmentMissing, InputError

    if word == "host":
        raise InputError("`host` is the running kernel, not a guest", hint="run it here, without `lab exec`")
    if ".." not in word:
        return [word]
    from bpfsmith.model.kernels import parse_kernels

    inside = [one for one in DEFAULT if one in parse_kernels(word)]
    if not inside:
        raise InputError(f"no kernel of the default matrix is in `{word}`", hint=f"it has {', '.join(DEFAULT)}")
    here = {one.name for one in store.all()}
    if not here.intersection(inside):
        raise EnvironmentMissing(f"no kernel of `{word}` is prepared", f"bpfsmith lab get {' '.join(inside)}")
    return [one for one in inside if one in here]


def configure_shell(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
Inside: busybox, python3, bpfsmith (`bpfsmith ps`, `inspect`, `run`), and of this machine's tools bash, bpftool, ip,
tc, ping, strace where they are installed. The folder is a copy of the current one. `veth0` (10.42.0.1) leads to
`veth1` (10.42.0.2) in the network namespace `peer`: `peer ping -c1 10.42.0.1` sends from there. Ctrl-D ends it, Ctrl-]
does whatever happens.
"""
    parser.add_argument("kernel", metavar="KERNEL", help="a prepared kernel")
    _shared(parser)


def run_shell(args: argparse.Namespace) -> int:
    from bpfsmith.lab.shell import shell

    return shell(args.kernel, put=args.put, memory=args.memory, folder=not args.no_folder, report=_say)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()

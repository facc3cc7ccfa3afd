"""`bpfsmith lab list`, `get`, `add`, `remove`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from bpfsmith.lab.progress import Progress
    from bpfsmith.lab.store import Prepared


def _format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print it (default: text)")


def configure_list(parser: argparse.ArgumentParser) -> None:
    from bpfsmith.cli._parser import add_color

    parser.add_argument("--refresh", action="store_true", help="read the archive's indexes anew (needs the network)")
    _format(parser)
    add_color(parser)


def run_list(args: argparse.Namespace) -> int:
    from bpfsmith.cli._parser import use_color
    from bpfsmith.lab.catalogue import listing

    found = listing(refresh=args.refresh, progress=_progress(args.format))
    if args.format == "json":
        _json(found.to_json())
    else:
        from bpfsmith.render.lab_text import render

        sys.stdout.write(render(found.to_json(), color=use_color(args.color)))
    return found.exit_code


def configure_get(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("names", nargs="*", metavar="KERNEL", help="series (6.12), versions (6.12.117) or releases")
    add("--arch", default="", metavar="ARCH", help="x86_64 or aarch64, also amd64 or arm64 (default: this machine's)")
    add("--flavour", choices=("cloud", "full"), default="cloud", help="cloud has fewer drivers (default)")
    add("--update", action="store_true", help="look for newer builds of kernels that are here")
    add("--mirror", action="append", default=[], metavar="URL", help="a Debian mirror, instead of this machine's apt")
    add("--keyring", default="", metavar="FILE", help="the keys the mirror's index is signed with")
    add("--suite", action="append", default=[], metavar="NAME", help="look only into these suites of the archive")
    _format(parser)


def run_get(args: argparse.Namespace) -> int:
    from bpfsmith.lab.getting import get

    found = get(
        args.names, arch=args.arch, flavour=args.flavour, mirror=args.mirror, keyring=args.keyring, suites=args.suite,
        update=args.update, progress=_progress(args.format),
    )  # fmt: skip
    return _told(found, args.format)


def configure_add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="a bzImage, vmlinux or arm64 Image, or the .deb or .rpm of one kernel")
    add("--name", default="", metavar="NAME", help="how it is called in --kernels and reports (default: its release)")
    add("--btf", default="", metavar="FILE", help="its types, when the image has none")
    add("--modules", action="append", default=[], metavar="DIR", help="where its modules are")
    _format(parser)


def run_add(args: argparse.Namespace) -> int:
    from bpfsmith.lab.adding import add

    one = add(args.paths, btf=args.btf, modules=args.modules, name=args.name, progress=_progress(args.format))
    return _told([one], args.format)


def configure_remove(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="KERNEL", help="names or releases of prepared kernels")
    _format(parser)


def run_remove(args: argparse.Namespace) -> int:
    from bpfsmith.lab import store

    # All are looked for first: of a list with a typing mistake nothing is deleted.
    for one in [_here(name) for name in args.names]:
        size = store.size_of(one.folder)
        store.discard(one)
        if args.format == "text":
            sys.stdout.write(f"{one.name}: removed ({one.release}, {size // 1_000_000} MB)\n")
    if args.format == "json":
        from bpfsmith.lab.catalogue import listing

        _json(listing().to_json())
    return 0


def _here(name: str) -> Prepared:
    from bpfsmith.lab import store
    from bpfsmith.model.errors import EnvironmentMissing, InputError

    try:
        return store.find(name)
    except EnvironmentMissing as error:
        raise InputError(
            f"{error.message}: nothing to remove", hint="`bpfsmith lab list` shows which are here"
        ) from None


def _told(found: list[Prepared], format_: str) -> int:
    if format_ == "json":
        from bpfsmith.lab.catalogue import kernel_json

        _json({"version": 1, "kernels": [kernel_json(one) for one in found]})
    return 0


def _json(value: Any) -> None:
    from bpfsmith.cli._parser import utf8_output
    from bpfsmith.render._base import json_text

    utf8_output()
    sys.stdout.write(json_text(value))


def _progress(format_: str) -> Progress:
    """Text: what happens on stdout as lines, a bar on a terminal's stderr. JSON: stdout is the document's alone."""
    from bpfsmith.cli._progress import Lines

    return Lines(sys.stderr if format_ == "json" else sys.stdout, sys.stderr)

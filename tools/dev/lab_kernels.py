"""What the tests of the lab stand on: QEMU, busybox and the kernels of the default matrix in the user's cache."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import apt
from shell import BIN, Failed, Missing, capture, run, say

# A mirror may be busy for a moment, and what came of a download is kept.
TRIES = 3
# program -> the package that has it; `gpg` signs the made-up archive of `tests/unit/test_lab_get.py`.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "gpg": "gnupg",
    "gpgv": "gpgv",
    "zstd": "zstd",
    "lz4": "lz4",
    "bzip2": "bzip2",
    "rpmbuild": "rpm",
}


EXAMPLE = "examples/packet-counter/prebuilt/packet-counter.bpf.o"


def booted_once() -> None:
    """As far as the demo wants it: the kernels are there and were booted once, so that its scene answers in a second.
    Where that cannot be done, the scene says why."""
    try:
        prepare(("qemu-system-x86_64", "gpgv"), quiet=True)
        words: list[str | Path] = [BIN / "bpfsmith", "verify", EXAMPLE, "--kernels", "5.10.."]
        run(words, quiet=True, about="boots each kernel once, half a minute the first time")
    except (Failed, Missing):
        pass


def prepare(programs: Iterable[str] = tuple(PROGRAMS), *, quiet: bool = False) -> None:
    """Installs the programs and gets the kernels; `quiet`: says only what it does.

    `Missing` where that cannot be done, with the reason."""
    lacking = {name: PROGRAMS[name] for name in programs if not shutil.which(name)}
    if lacking:
        apt.install(sorted(set(lacking.values())), f"no {', '.join(lacking)}")
    command: list[str | Path] = [BIN / "bpfsmith", "lab", "get"]
    for left in reversed(range(TRIES)):
        try:
            run(command, quiet=quiet, about="gets the kernels of the default matrix: 190 MB, a minute the first time")
        except Failed:
            if not left:
                raise Missing("the kernels of the lab could not be had", "bpfsmith lab get") from None
            say("  trying again: what came so far is kept")
        else:
            break
    said = capture([BIN / "bpfsmith", "lab", "list"]).strip().splitlines()
    if said and not quiet:
        say(f"  {said[-1]}")

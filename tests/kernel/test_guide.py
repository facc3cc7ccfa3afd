"""The code of the guide does what the guide says: what is marked so is run, in a network and a cgroup of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import guide

# What a page calls by the names a reader knows, and what stands there instead.
CGROUP, PINS, INTERFACE = "/sys/fs/cgroup/web.slice", "/sys/fs/bpf/web", "eth0"
ENV = {
    **os.environ,
    "NO_COLOR": "1",
    "PATH": os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
    ),
}


@pytest.mark.parametrize("page", guide.PAGES, ids=lambda page: page.stem)
def test_every_block_says_what_happens_to_it(page: Path) -> None:
    for block in guide.blocks(page):
        if block.language in guide.MARKED:
            known = block.mark.startswith(("run", "not run: "))
            assert known, f"{page.name}:{block.line} is neither run nor says why not"


@pytest.mark.root
@pytest.mark.parametrize("page", guide.PAGES, ids=lambda page: page.stem)
def test_what_the_guide_shows_works(
    page: Path, netns: Any, cgroup: Any, bpffs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(guide.ROOT)
    names = {"__name__": "guide", "net": netns, "cgroup": cgroup}
    replaced = {CGROUP: str(cgroup.path), PINS: str(bpffs), INTERFACE: netns.device}
    ran = guide.run(page, names, replaced, ENV)
    assert ran > 0 or not any(block.language in guide.MARKED for block in guide.blocks(page))


# Loads `r0 = 1; exit` as each program type given, with only the capabilities given, and prints the errnos.
LOAD = """
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
mask = sum(1 << int(number) for number in sys.argv[2].split(","))
low, high = mask & 0xFFFFFFFF, mask >> 32
assert libc.capset(struct.pack("II", 0x20080522, 0), struct.pack("6I", low, low, low, high, high, high)) == 0
code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0))
name = ctypes.create_string_buffer(b"GPL")
for number, attach_type, flags in eval(sys.argv[3]):
    attr = struct.pack("<IIQQIIQII16sII", number, 2, ctypes.addressof(code), ctypes.addressof(name), 0, 0, 0, 0, flags,
                       b"", 0, attach_type).ljust(120, b"\\0")
    fd = libc.syscall(int(sys.argv[1]), 5, ctypes.create_string_buffer(attr, 120), 120)
    print(ctypes.get_errno() if fd < 0 else 0)
"""
CAPS = {"CAP_NET_ADMIN": 12, "CAP_PERFMON": 38, "CAP_BPF": 39}
# Types that do not load without saying where they belong: the first attach type of each, and BPF_F_SLEEPABLE.
ATTACH = {"cgroup_sock": 2, "cgroup_sock_addr": 8, "cgroup_sockopt": 21, "sk_lookup": 36, "netfilter": 45}
SLEEPABLE = {"syscall": 16}


@pytest.mark.root
def test_capabilities_are_as_the_page_says() -> None:
    """The kernel takes each type with the capabilities of its row and refuses it with CAP_BPF alone."""
    from bpfsmith.facts import program_types

    if os.uname().machine != "x86_64":
        pytest.skip("the number of bpf(2) is x86's")
    page = (guide.ROOT / "docs/guide/permissions.md").read_text()
    table = page.partition("<!-- table: capabilities -->")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.strip().splitlines()[2:]]
    assert len(rows) == 3
    told = set()
    for types, capability in rows:
        names = re.findall(r"`(\w+)`", types)
        told |= set(names)
        asked = [(program_types.get(name).number, ATTACH.get(name, 0), SLEEPABLE.get(name, 0)) for name in names]
        more = re.search(r"`(CAP_\w+)`", capability)
        assert set(_loaded(asked, "CAP_BPF", *([more[1]] if more else []))) == {0}, types
        if more:
            assert set(_loaded(asked, "CAP_BPF")) == {1}, types  # EPERM
    assert len(told) >= 25


def _loaded(asked: list[tuple[int, int, int]], *capabilities: str) -> list[int]:
    numbers = ",".join(str(CAPS[name]) for name in capabilities)
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOAD, "321", numbers, repr(asked)], capture_output=True, text=True, check=True
    )
    return [int(line) for line in done.stdout.split()]

"""A process that is killed in the middle leaves no program, map, link or BTF: the kernel closes what it held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith.kernel import info
from bpfsmith.model.errors import UnknownName

pytestmark = [pytest.mark.root, pytest.mark.toolchain]

SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } EVENTS SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, __u64); } SEEN
    SEC(".maps");
int count;
SEC("raw_tp/sched_switch") int MARK(void *ctx) {
    __u64 now = bpf_ktime_get_ns();
    __u32 key = 1;
    bpf_map_update_elem(&SEEN, &key, &now, 0);
    __sync_fetch_and_add(&count, 1);
    bpf_ringbuf_output(&EVENTS, &now, sizeof(now), 0);
    return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""
CHILD = """
import os, sys
import bpfsmith
def say(word):
    os.write(1, word.encode() + b"\\n")
if sys.argv[2] == "load":
    for at in range(100000):
        with bpfsmith.load(sys.argv[1]) as bpf:
            if at == 2:
                say("go")
elif sys.argv[2] == "attach":
    bpf = bpfsmith.load(sys.argv[1])
    at = 0
    while True:
        with next(iter(bpf.programs.values())).attach():
            at += 1
            if at == 3:
                say("go")
else:
    with bpfsmith.load(sys.argv[1]) as bpf:
        links = bpf.attach()
        seen = 0
        for events in bpf.maps["EVENTS"]:
            seen += 1
            if seen == 3:
                say("go")
"""


def _named(name: str) -> list[int]:
    found = []
    for number in info.ids("prog"):
        try:
            with info.open_id("prog", number) as fd:
                if info.program(fd)["name"] == name:
                    found.append(number)
        except UnknownName:
            continue
    return found


@pytest.mark.parametrize("where", ["load", "attach", "stream"])
def test_a_kill_leaves_nothing(bpf_object: Any, where: str) -> None:
    name = f"kl{os.getpid() % 10**6}{where[0]}"
    path = bpf_object(SOURCE, f"-DMARK={name}")
    env = {**os.environ, "PYTHONPATH": str(Path(bpfsmith.__file__).parents[1])}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), where], env=env, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"go\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
    until = time.monotonic() + 30
    while (left := _named(name)) and time.monotonic() < until:
        time.sleep(0.01)
    assert left == []


def test_many_loads_leak_nothing(bpf_object: Any) -> None:
    """200 times: no descriptor, no mapping and hardly any memory more than after the first ones."""
    path = bpf_object(SOURCE, f"-DMARK=ml{os.getpid() % 10**6}")

    def once() -> None:
        with bpfsmith.load(path) as bpf:
            bpf.attach()
            assert len(bpf.maps["SEEN"]) >= 0

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(20):
        once()
    files, ranges, memory = (
        len(os.listdir("/proc/self/fd")),
        len(Path("/proc/self/maps").read_text().splitlines()),
        resident(),
    )
    for _ in range(200):
        once()
    assert len(os.listdir("/proc/self/fd")) == files
    assert len(Path("/proc/self/maps").read_text().splitlines()) <= ranges + 8
    assert resident() - memory < 4 << 20

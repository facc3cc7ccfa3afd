"""The fixtures themselves: a network that carries packets, a cgroup, compiled programs, and a watch that sees leaks."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root


def test_the_network_carries_udp_and_tcp(netns: Any) -> None:
    def received() -> int:
        return int(Path("/proc/self/net/dev").read_text().split("veth0:")[1].split()[1])

    assert netns.udp_echo(b"hello") == b"hello"
    assert netns.tcp(b"x" * 100_000) == b"x" * 100_000
    assert netns.tcp(b"six", ipv6=True) == b"six"
    before = received()
    netns.udp(5)
    assert received() == before + 5
    assert {name for _, name in socket.if_nameindex()} >= {"lo", "veth0"}


def test_a_cgroup_takes_processes(cgroup: Any) -> None:
    assert cgroup.path.name in cgroup.run("cat", "/proc/self/cgroup").stdout
    with cgroup.enter():
        assert str(os.getpid()) in (cgroup.path / "cgroup.procs").read_text().split()
    assert (cgroup.path / "cgroup.procs").read_text() == ""


@pytest.mark.toolchain
def test_objects_are_compiled_once(bpf_object: Any) -> None:
    source = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
char LICENSE[] SEC("license") = "GPL";
"""
    built = bpf_object(source)
    stamp = built.stat().st_mtime_ns
    assert built.read_bytes()[:4] == b"\x7fELF"
    assert bpf_object(source).stat().st_mtime_ns == stamp


def test_what_is_made_is_seen(leaves_nothing: Any) -> None:
    from bpfsmith import kernel

    with kernel.call_fd("BPF_MAP_CREATE", map_type=2, key_size=4, value_size=4, max_entries=1):
        assert len(leaves_nothing.made) == 1
        assert leaves_nothing.remaining() == leaves_nothing.made

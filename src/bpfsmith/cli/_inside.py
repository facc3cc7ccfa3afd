"""Runs inside guests of the tools image, before they are copied: makes the guest's network, then waits as a Python that
has everything imported, so that `bpfsmith run --kernel` begins at once.

    lo       127.0.0.1, ::1
    veth0    10.42.0.1/24, fd42::1/64; its other end is `veth1` (10.42.0.2, fd42::2) in the network namespace `peer`

`veth` is a module most kernels have; without it there is `lo` alone. The first bytes that come on standard input are
the one command it becomes: u32 length (little-endian), then JSON `{"argv": [...], "cwd": ..., "env": {...}}`.
"""

from __future__ import annotations

import os
import sys
from struct import pack

__all__ = ["main", "network"]

NEAR, FAR, PEER = "veth0", "veth1", "/run/netns/peer"
RTM_NEWLINK = 16
_IFNAME, _LINKINFO, _NS_FD, _KIND, _DATA, _VETH_PEER = 3, 18, 28, 1, 2, 1
_CREATE_EXCL = 0x600
# What a run needs, and what it asks at the end.
WARM = (
    "argparse", "json", "subprocess", "signal", "contextlib", "bpfsmith.cli.run", "bpfsmith.cli._parser",
    "bpfsmith.run.session", "bpfsmith.run.load", "bpfsmith.run.loaded", "bpfsmith.run.planner", "bpfsmith.run.testrun",
    "bpfsmith.run.structs", "bpfsmith.run.guess", "bpfsmith.run.record", "bpfsmith.run.events.loop",
    "bpfsmith.run.events.ring", "bpfsmith.run.events.perf", "bpfsmith.run.events.aya_log", "bpfsmith.run.workload",
    "bpfsmith.run.attach.methods", "bpfsmith.run.attach.tracepoint", "bpfsmith.run.attach.xdp",
    "bpfsmith.run.attach.tc", "bpfsmith.run.attach.cgroup", "bpfsmith.run.maps.table", "bpfsmith.run.maps.arrays",
    "bpfsmith.run.maps.percpu",
    "bpfsmith.run.reject", "bpfsmith.kernel.info", "bpfsmith.kernel.streams", "bpfsmith.kernel.netlink",
    "bpfsmith.kernel.elfsym", "bpfsmith.kernel.probe", "bpfsmith.kernel.failures", "bpfsmith.render.run_text",
    "bpfsmith.render.run_json", "bpfsmith.read",
)  # fmt: skip


def network() -> str:
    """Makes the veth pair; a sentence where that cannot be."""
    from bpfsmith.kernel.netlink import exchange

    os.makedirs(os.path.dirname(PEER), exist_ok=True)
    open(PEER, "w").close()  # a place to mount on
    for name in ("default", "all"):
        _write(f"/proc/sys/net/ipv6/conf/{name}/accept_dad", "0")
        _write(f"/proc/sys/net/ipv6/conf/{name}/router_solicitations", "0")
    here = "for n in default all; do echo 0 > /proc/sys/net/ipv6/conf/$n/accept_dad; done"
    if _sh(f"unshare -n sh -c 'mount --bind /proc/self/ns/net {PEER}; {here}; ip link set lo up'"):
        return "no network namespaces"
    far = os.open(PEER, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = pack("=BxHiII", 0, 0, 0, 0, 0)
        peer = _attribute(
            _VETH_PEER, head + _attribute(_IFNAME, FAR.encode() + b"\0") + _attribute(_NS_FD, pack("=i", far))
        )
        info = _attribute(_KIND, b"veth\0") + _attribute(_DATA, peer)
        body = head + _attribute(_IFNAME, NEAR.encode() + b"\0") + _attribute(_LINKINFO, info)
        number, reason, _ = exchange(RTM_NEWLINK, _CREATE_EXCL, body)
    finally:
        os.close(far)
    if number:
        return f"no veth pair: {reason or os.strerror(number)}"
    up = "ip addr add 10.42.0.{0}/24 dev {1}; ip -6 addr add fd42::{0}/64 dev {1}; ip link set {1} up"
    _sh(up.format(1, NEAR))
    _sh(f"nsenter --net={PEER} sh -c '{up.format(2, FAR)}'")
    return ""


def _attribute(kind: int, data: bytes) -> bytes:
    return pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _sh(line: str) -> int:
    return os.spawnv(os.P_WAIT, "/bin/busybox", ["busybox", "sh", "-c", f"{{ {line}; }} 2>/dev/null"])


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError:
        pass


def warm() -> None:
    """Imports what a run needs, and reads the kernel's types."""
    from contextlib import suppress
    from importlib import import_module

    for name in WARM:
        with suppress(ImportError):
            import_module(name)
    from bpfsmith import kernel

    with suppress(Exception):  # a kernel without BTF: the run says what it lacks
        _ = kernel.live().btf


def wait() -> int:
    """Becomes the command that is asked for on standard input; 0 without one."""
    import json

    head = _exactly(4)
    if len(head) < 4:
        return 0
    told = json.loads(_exactly(int.from_bytes(head, "little")))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.environ.clear()
    os.environ.update(told["env"])
    os.chdir(told["cwd"])
    sys.argv = ["bpfsmith", *told["argv"]]
    from bpfsmith.cli import main as command

    return command()


def _exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            break
        data += more
    return data


def main() -> int:
    """The network, the imports, a line that says so, the one command."""
    said = network()
    warm()
    os.write(1, f"ready {said}\n".encode())
    return wait()


if __name__ == "__main__":
    sys.exit(main())

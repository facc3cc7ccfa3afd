"""Two network namespaces joined by a veth pair, for tests that send packets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def ip(*words: str) -> str:
    """`ip WORDS` in the namespace of the calling thread."""
    tool = shutil.which("ip") or "/usr/sbin/ip"
    done = subprocess.run([tool, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"`ip {' '.join(words)}`: {done.stderr}"
    return done.stdout


class Net:
    """Two network namespaces without names, joined by a veth pair; the kernel frees them with this process.

    The test runs in the near one: `device` (`veth0`), `ifindex`, `address`, `address6`; traffic comes from the far one
    (`peer_device`, `peer_address`, `peer_address6`) by the methods below. No ARP, no IPv6 chatter: nothing is on the
    wire but what a test sends."""

    device, peer_device = "veth0", "veth1"
    address, peer_address = "10.99.0.1", "10.99.0.2"
    address6, peer_address6 = "fd00:99::1", "fd00:99::2"
    mac, peer_mac = "02:00:00:00:00:01", "02:00:00:00:00:02"

    def __init__(self) -> None:
        self.home = _here()
        self.near = self.far = -1
        try:
            self.far = self._new(self.peer_device, self.peer_address, self.peer_address6)
            self.near = self._new(self.device, self.address, self.address6)
            self._configure()
        except BaseException:
            self.close()
            raise
        self.ifindex = socket.if_nametoindex(self.device)

    def _new(self, device: str, address: str, address6: str) -> int:
        if _libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        # Before the device exists, so that it never sends router solicitations.
        for name in ("default", "all"):
            with contextlib.suppress(OSError):
                Path(f"/proc/sys/net/ipv6/conf/{name}/router_solicitations").write_text("0")
                Path(f"/proc/sys/net/ipv6/conf/{name}/addr_gen_mode").write_text("1")
        ip("link", "set", "lo", "up")
        return _here()

    def _configure(self) -> None:
        ip("link", "add", self.device, "address", self.mac, "type", "veth", "peer", "name", self.peer_device,
           "address", self.peer_mac, "netns", f"/proc/{os.getpid()}/fd/{self.far}")  # fmt: skip
        self._up(self.device, self.address, self.address6, self.peer_address, self.peer_address6, self.peer_mac)
        with self.peer():
            self._up(self.peer_device, self.peer_address, self.peer_address6, self.address, self.address6, self.mac)

    @staticmethod
    def _up(device: str, address: str, address6: str, other: str, other6: str, mac: str) -> None:
        ip("addr", "add", f"{address}/24", "dev", device)
        ip("link", "set", device, "up")
        with contextlib.suppress(AssertionError):
            ip("-6", "addr", "add", f"{address6}/64", "dev", device, "nodad")
            ip("-6", "neigh", "replace", other6, "lladdr", mac, "dev", device, "nud", "permanent")
        ip("neigh", "replace", other, "lladdr", mac, "dev", device, "nud", "permanent")

    @contextlib.contextmanager
    def peer(self) -> Iterator[None]:
        """The calling thread is in the far namespace inside; sockets made there stay there."""
        before = _here()
        _enter(self.far)
        try:
            yield
        finally:
            _enter(before)
            os.close(before)

    def udp(self, count: int = 1, port: int = 9000, payload: bytes = b"bpfsmith", ipv6: bool = False) -> None:
        """`count` datagrams from the far side to ours; nobody needs to listen."""
        family, target = (socket.AF_INET6, self.address6) if ipv6 else (socket.AF_INET, self.address)
        with self.peer():
            out = socket.socket(family, socket.SOCK_DGRAM)
        with out:
            for _ in range(count):
                # Not connected: no "port unreachable" comes back as an error.
                out.sendto(payload, (target, port))

    def udp_out(self, count: int = 1, port: int = 9000, payload: bytes = b"bpfsmith") -> None:
        """The same from our side to the far one."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for _ in range(count):
                out.sendto(payload, (self.peer_address, port))

    def udp_echo(self, payload: bytes = b"bpfsmith", port: int = 9001, timeout: float = 1.0) -> bytes | None:
        """One datagram from the far side, received and answered on ours; None when it or its answer did not arrive."""
        with self.peer():
            out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with out, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.bind((self.address, port))
            out.settimeout(timeout)
            here.settimeout(timeout)
            out.sendto(payload, (self.address, port))
            try:
                data, sender = here.recvfrom(65536)
                here.sendto(data, sender)
                return out.recv(65536)
            except TimeoutError:
                return None

    def tcp(self, payload: bytes = b"bpfsmith", port: int = 9002, timeout: float = 2.0, ipv6: bool = False) -> bytes:
        """A connection from the far side to a server on ours that sends everything back. `OSError` when refused."""
        family, target = (socket.AF_INET6, self.address6) if ipv6 else (socket.AF_INET, self.address)
        with socket.socket(family, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((target, port))
            server.listen()
            server.settimeout(timeout)

            def serve() -> None:
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(timeout)
                        while data := connection.recv(65536):
                            connection.sendall(data)

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                with self.peer():
                    out = socket.socket(family, socket.SOCK_STREAM)
                with out:
                    out.settimeout(timeout)
                    out.connect((target, port))
                    out.sendall(payload)
                    got = b""
                    while len(got) < len(payload) and (data := out.recv(65536)):
                        got += data
                    return got
            finally:
                thread.join()

    def close(self) -> None:
        _enter(self.home)
        for fd in (self.near, self.far, self.home):
            if fd >= 0:
                os.close(fd)

"""Cgroup, sockmap and struct_ops families on the running kernel: each attach type is seen to run."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.model.errors import InputError, KernelError, TargetGone, TargetMissing
from bpfsmith.run.load import load
from lacking import LEFT_OUT
from waiting import comes_true

pytestmark = [pytest.mark.root, pytest.mark.toolchain]


def runs(bpf: Any, name: str, act: Callable[[], object]) -> int:
    before = bpf.globals[f"{name}_hits"]
    act()
    return int(bpf.globals[f"{name}_hits"] - before)


# ------------------------------------------------------------ cgroups

# Each kind of program has its cause in here; it runs as a process of the cgroup.
WORK = """
import socket
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.bind((host, 0))
        here = one.getsockname()
        one.sendto(b"x", here)
        one.recvfrom(8)
        one.connect(here)
        one.getpeername()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 1)
        one.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY)
with socket.socket() as server, socket.socket() as client:
    server.bind(("127.0.0.1", 0))
    server.listen()
    client.connect(server.getsockname())
with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
    server.bind("")
    server.listen()
    client.connect(server.getsockname())
    client.getpeername()
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
    one.bind("")
    one.sendto(b"x", one.getsockname())
    one.recvfrom(8)
open("/proc/sys/kernel/ostype").read()
open("/dev/null").close()
"""
KINDS = [
    "leaving", "arriving", "create", "release", "bind4", "bind6", "post_bind4", "post_bind6", "connect4", "connect6",
    "sendmsg4", "sendmsg6", "recvmsg4", "recvmsg6", "getpeername4", "getpeername6", "getsockname4", "getsockname6",
    "connect_unix", "sendmsg_unix", "recvmsg_unix", "getpeername_unix", "getsockname_unix", "getsockopt", "setsockopt",
    "sysctl", "device", "ops",
]  # fmt: skip


@pytest.fixture
def bpf(netns: Any, load_known: Callable[..., Any], bpf_object: Callable[..., Path]) -> Iterator[Any]:
    with load_known(bpf_object("attach_cgroup")) as loaded:
        yield loaded


def work(cgroup: Any) -> None:
    done = cgroup.run(sys.executable, "-c", WORK)
    assert done.returncode == 0, done.stderr


def test_every_attach_type_runs_for_members_only(bpf: Any, cgroup: Any) -> None:
    kinds = [name for name in KINDS if name not in LEFT_OUT]
    assert "leaving" in kinds
    links = {name: bpf.programs[name].attach(str(cgroup.path)) for name in kinds}
    work(cgroup)
    assert [name for name in kinds if not bpf.globals[f"{name}_hits"]] == []
    assert all(link.info()["kind"] == "cgroup" for link in links.values())
    for link in links.values():
        link.detach()
    before = {name: bpf.globals[f"{name}_hits"] for name in kinds}
    work(cgroup)
    assert {name: bpf.globals[f"{name}_hits"] for name in kinds} == before


@pytest.mark.parametrize("mode", ["link", "multi", "override", "exclusive"])
def test_modes(bpf: Any, cgroup: Any, mode: str) -> None:
    leaving, other = bpf.programs["leaving"], bpf.programs["other"]
    with leaving.attach_cgroup(str(cgroup.path), mode=mode) as link:
        assert runs(bpf, "leaving", lambda: work(cgroup)) > 0
        assert link.outlives == (mode != "link")
        link.update(other)
        assert runs(bpf, "other", lambda: work(cgroup)) > 0 and runs(bpf, "leaving", lambda: work(cgroup)) == 0
        if mode in {"link", "multi"}:
            link.update(leaving, expected=other)
            with other.attach(str(cgroup.path)):
                assert runs(bpf, "other", lambda: work(cgroup)) > 0
        else:
            with pytest.raises(InputError, match="allows no other"):
                other.attach_cgroup(str(cgroup.path))
    assert runs(bpf, "leaving", lambda: work(cgroup)) == runs(bpf, "other", lambda: work(cgroup)) == 0


def test_order_and_replace(bpf: Any, cgroup: Any) -> None:
    leaving, other = bpf.programs["leaving"], bpf.programs["other"]
    with leaving.attach(str(cgroup.path)) as link:
        for place in ({"before": link}, {"after": link}, {"first": True}, {"last": True}, {"before": leaving},
                      {"after": link.info()["prog_id"]}):  # fmt: skip
            with other.attach(str(cgroup.path), **place):
                pass
        assert other.attach(str(cgroup.path), replace=leaving) is link
        assert runs(bpf, "other", lambda: work(cgroup)) > 0
    assert bpf.links == []


def test_a_missing_cgroup_is_named_with_its_kin(bpf: Any, cgroup: Any) -> None:
    program = bpf.programs["leaving"]
    with pytest.raises(TargetMissing, match=rf"no cgroup `.*x` \(did you mean .*`{cgroup.path.name}`"):
        program.attach(f"{cgroup.path}x")
    with pytest.raises(TargetMissing, match="`/tmp` is no cgroup"):
        program.attach("/tmp")
    with pytest.raises(InputError, match="pass `cgroup=`"):
        program.attach()
    with pytest.raises(InputError, match="did you mean `multi`"):
        program.attach(str(cgroup.path), mode="mutli")
    with pytest.raises(InputError, match=r"says no attach type.*cgroup_inet_ingress"):
        bpf.programs["packets"].attach(str(cgroup.path))
    with pytest.raises(InputError, match=r"no attach type `cgroup_inet_egres`.*`cgroup_inet_egress`"):
        bpf.programs["packets"].attach(str(cgroup.path), attach_type="cgroup_inet_egres")
    with bpf.programs["packets"].attach(cgroup.path.name, attach_type="cgroup_inet_egress"):
        assert runs(bpf, "packets", lambda: work(cgroup)) > 0
    with pytest.raises(InputError, match="cannot be attached to"):
        bpf.programs["connect4"].attach(str(cgroup.path), attach_type="cgroup_inet4_bind")


def test_a_cgroup_gone_while_attached(bpf: Any, cgroup: Any) -> None:
    child = cgroup.path / "child"
    child.mkdir()
    link = bpf.programs["leaving"].attach(str(child))
    old = bpf.programs["other"].attach(str(child), mode="multi")
    child.rmdir()
    assert comes_true(lambda: not link.attached)
    with pytest.raises(TargetGone):
        link.update(bpf.programs["other"])
    link.detach()
    old.detach()


# ------------------------------------------------------------ sockmaps


def pair(netns: Any) -> tuple[socket.socket, socket.socket]:
    with socket.socket() as server:
        server.bind((netns.address, 0))
        server.listen()
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    client.settimeout(20)
    accepted.settimeout(20)
    return client, accepted


@pytest.mark.parametrize("via", ["link", "map"])
@pytest.mark.parametrize(("name", "beside"), [("sent", ""), ("stream", "parse"), ("parse", "stream"), ("any", "")])
def test_sockmap_programs(
    netns: Any, load_known: Callable[..., Any], bpf_object: Callable[..., Path], name: str, beside: str, via: str
) -> None:
    with load_known(bpf_object("attach_sockmap")) as bpf:
        links = [bpf.programs[one].attach_sockmap("SOCKETS", via=via) for one in (name, beside) if one]
        client, accepted = pair(netns)
        with client, accepted:
            bpf.maps["SOCKETS"][0] = accepted.fileno()
            if name == "sent":
                assert runs(bpf, name, lambda: accepted.send(b"hello")) == 1
                assert client.recv(8) == b"hello"
            else:
                assert runs(bpf, name, lambda: (client.send(b"hello"), accepted.recv(8))) >= 1
            if via == "link":
                with pytest.raises(KernelError, match="has a program as"):
                    bpf.programs[name].attach(via="link")
        for link in links:
            link.detach()
        with pytest.raises(InputError, match=r"is no sockmap|takes no program"):
            bpf.programs[name].attach_sockmap(".bss")


def test_sockmap_by_section_finds_the_only_one(
    netns: Any, load_known: Callable[..., Any], bpf_object: Callable[..., Path]
) -> None:
    with load_known(bpf_object("attach_sockmap")) as bpf:
        with bpf.programs["sent"].attach() as link:
            assert link.target == "map `SOCKETS`"
        assert bpf.links == []


# ------------------------------------------------------------ struct_ops


def connect(netns: Any, algorithm: str) -> None:
    """A connection by that congestion control; `OSError` when the kernel has no such."""
    with socket.socket() as server, socket.socket() as client:
        server.bind((netns.address, 0))
        server.listen()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, algorithm.encode())
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            client.sendall(bytes(20000))
            accepted.recv(20000, socket.MSG_WAITALL)


@pytest.mark.parametrize(("name", "algorithm"), [("linked", "bpfsmith_link"), ("kept", "bpfsmith_kept")])
def test_struct_ops(
    netns: Any, bpf_object: Callable[..., Path], name: str, algorithm: str, leaves_nothing: Any
) -> None:
    with load(bpf_object("attach_ops")) as bpf:
        with pytest.raises(OSError):
            connect(netns, algorithm)
        with bpf.programs["started"].attach_struct_ops(name) as link:
            assert runs(bpf, "started", lambda: connect(netns, algorithm)) >= 1
            assert bpf.globals["avoid_hits"] >= 1
            assert bpf.programs["avoid"].attach(name) is link
        with pytest.raises(OSError):
            connect(netns, algorithm)
        if name == "linked":
            with bpf.programs["started"].attach(name):
                connect(netns, algorithm)
        else:
            with pytest.raises(KernelError, match="registered once"):
                bpf.programs["started"].attach(name)
        with pytest.raises(InputError, match="is a member of 2 struct_ops maps"):
            bpf.programs["started"].attach()
    # The kernel frees the programs of a struct when every task was switched once, which takes up to minutes.
    leaves_nothing.made = {entry for entry in leaves_nothing.made if entry[0] == "link"}

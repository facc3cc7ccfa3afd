"""The kernel sees the same link whether libbpf 1.7 or we attach a program; left out are ids."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attaches
import loads
import pytest
from libbpf_ref import CannotBuild

from bpfsmith.kernel import elfsym, info
from bpfsmith.run import link as links
from bpfsmith.run.load import load

pytestmark = [pytest.mark.root, pytest.mark.toolchain]
IDS = {"id", "prog_id", "map_id"}


@pytest.fixture(scope="session", autouse=True)
def reference() -> None:
    try:
        loads.build(attaches.SOURCE)
    except CannotBuild as error:
        pytest.skip(str(error))


def told(link: Any) -> dict[str, Any]:
    one = link[0] if isinstance(link, links.LinkGroup) else link
    found = {key: value for key, value in info.link(one).items() if key not in IDS}
    # libbpf keeps the order of the symbol table.
    return {key: sorted(value) if isinstance(value, list) else value for key, value in found.items()}


def same(path: Path, program: str, how: tuple[object, ...], ours: Callable[[Any], Any]) -> None:
    """libbpf attaches and detaches, then we do; each is asked what the kernel says of it."""
    with attaches.by_libbpf(path, program, *how) as (number, spec):
        theirs = links.from_id(number)
        wanted = told(theirs)
        theirs.close()
    wanted_too = ["started", "threshold", "avoid", "undo"] if "ops" in path.name else [program]
    with load(path, select=wanted_too) as bpf, ours(bpf.programs[program]) as link:
        assert told(link) == wanted
        if spec:
            assert first_spec(bpf).hex() == spec


def first_spec(bpf: Any) -> bytes:
    from bpfsmith import kernel

    fd = bpf.maps["__bpf_usdt_specs"].fd
    value = bytearray(info.map_(fd)["value_size"])
    kernel.call("BPF_MAP_LOOKUP_ELEM", "specs", map_fd=fd, key=bytes(4), value=value, flags=0)
    return bytes(value)


@pytest.mark.parametrize(
    ("program", "how", "attach"),
    [
        ("tp", ("auto",), lambda one: one.attach()),
        ("anywhere", ("tracepoint", "sched", "sched_switch", 7),
         lambda one: one.attach_tracepoint("sched", "sched_switch", cookie=7)),
        ("raw", ("auto",), lambda one: one.attach()),
        ("raw", ("raw_tracepoint", "sched_switch", 5), lambda one: one.attach("sched_switch", cookie=5)),
        ("typed", ("auto",), lambda one: one.attach()),
        ("tasks", ("auto",), lambda one: one.attach()),
        ("sample", ("perf_event",), lambda one: one.attach(frequency=99, cpu=0)),
        ("entry", ("uprobe", "LIBC", "labs", 0, 9, -1), lambda one: one.attach("libc", "labs", cookie=9)),
        ("leave", ("uprobe", "LIBC", "labs", 1, 0, -1), lambda one: one.attach("libc", "labs")),
        ("many", ("uprobe_multi", "LIBC", "str*dup", 0, -1), lambda one: one.attach("libc", "str*dup")),
        ("many", ("uprobe_multi", "LIBC", "l*abs", 0, os.getpid()),
         lambda one: one.attach("libc", "l*abs", pid=os.getpid())),
        ("session", ("uprobe_multi", "LIBC", "labs", 1, -1), lambda one: one.attach("libc", "labs")),
    ],
)  # fmt: skip
def test_tracing(bpf_object: Callable[..., Path], program: str, how: tuple[object, ...], attach: Any) -> None:
    words = tuple(elfsym.find_binary("libc.so.6") if word == "LIBC" else word for word in how)
    same(bpf_object("attach_trace"), program, words, attach)


@pytest.mark.parametrize(
    ("program", "how", "attach"),
    [
        ("one", ("xdp", "INDEX"), lambda one: one.attach("veth0")),
        ("leaving", ("tcx", "INDEX"), lambda one: one.attach("veth0")),
        ("lookup", ("netns", "/proc/self/ns/net"), lambda one: one.attach()),
        ("flows", ("netns", "/proc/self/ns/net"), lambda one: one.attach()),
        ("hook", ("netfilter", 2, 3, -7), lambda one: one.attach("ipv4", "local_out", -7)),
    ],
)
def test_network(
    netns: Any, bpf_object: Callable[..., Path], program: str, how: tuple[object, ...], attach: Any
) -> None:
    words = tuple(netns.ifindex if word == "INDEX" else word for word in how)
    same(bpf_object("attach_net"), program, words, attach)


@pytest.mark.parametrize("program", ["leaving", "create", "connect4", "getsockopt", "sysctl", "device", "ops"])
def test_cgroups(netns: Any, cgroup: Any, bpf_object: Callable[..., Path], program: str) -> None:
    how = ("cgroup", cgroup.path)
    same(bpf_object("attach_cgroup"), program, how, lambda one: one.attach(str(cgroup.path)))


@pytest.mark.parametrize("program", ["sent", "any"])
def test_sockmaps(bpf_object: Callable[..., Path], program: str) -> None:
    same(bpf_object("attach_sockmap"), program, ("sockmap", "SOCKETS"), lambda one: one.attach())


def test_struct_ops(bpf_object: Callable[..., Path], leaves_nothing: Any) -> None:
    same(bpf_object("attach_ops"), "started", ("struct_ops", "linked"), lambda one: one.attach("linked"))
    leaves_nothing.made = {entry for entry in leaves_nothing.made if entry[0] == "link"}


def test_static_probes(bpf_object: Callable[..., Path], static_probe: Path) -> None:
    # With libbpf's own header: the layout of its map differs between versions.
    headers = loads.build(attaches.SOURCE).parent / "include"
    built = bpf_object("attach_usdt", "-I", str(headers))
    how = ("usdt", static_probe, "bpfsmith", "tick", 42, -1)
    same(built, "probe", how, lambda one: one.attach(str(static_probe), "bpfsmith", "tick", cookie=42))

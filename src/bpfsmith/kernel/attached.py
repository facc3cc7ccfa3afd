"""Where programs are attached without a link: XDP and tc by netlink, cgroups, perf events. Links tell it themselves."""

from __future__ import annotations

from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["by_cgroup", "by_network", "by_perf_event"]

# `BPF_FD_TYPE_*` of BPF_TASK_FD_QUERY; raw tracepoints are links today.
_EVENTS = ("raw_tracepoint", "tracepoint", "kprobe", "kretprobe", "uprobe", "uretprobe")
# Program type -> attach types of cgroups.
_CGROUP = {
    8: (0, 1), 9: (2, 12, 13, 34), 13: (3,), 15: (6,), 18: (8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51,
    52, 53), 23: (18,), 25: (21, 22),
}  # fmt: skip


def by_network() -> dict[int, list[str]]:
    """Program id -> places, over the interfaces of this network namespace."""
    from bpfsmith.model.errors import BpfsmithError

    from . import netlink

    found: dict[int, list[str]] = {}
    for index, name in netlink.interfaces():
        try:
            for mode, number in netlink.xdp_state(index)[1].items():
                found.setdefault(number, []).append(f"xdp {name} ({mode})")
            if not netlink.has_clsact(index):
                continue
            for parent, word in ((netlink.INGRESS, "ingress"), (netlink.EGRESS, "egress")):
                for priority, _, number, _ in netlink.filters(index, parent):
                    found.setdefault(number, []).append(f"tc {name} {word}, priority {priority}")
        except BpfsmithError:
            continue  # the interface went away
    return found


def by_cgroup(types: Iterable[int]) -> dict[int, list[str]]:
    """Program id -> places, over every cgroup, for programs of these types only (each type costs a query a cgroup)."""
    from bpfsmith.facts import attach_types

    from . import door
    from .attrs import encode, output
    from .info import mounts

    asked = [attach for kind in sorted(set(types)) for attach in _CGROUP.get(kind, ())]
    found: dict[int, list[str]] = {}
    if not asked:
        return found
    for folder in (path for root in mounts("cgroup2")[:1] for path in _folders(root)):
        fd = door().open_fd(folder)
        if isinstance(fd, int):
            continue
        with fd:
            for attach in asked:
                ids = bytearray(4 * 64)
                number, attr, buffers = encode(
                    "BPF_PROG_QUERY", target_fd=fd, attach_type=attach, prog_ids=ids, prog_cnt=64
                )
                if door().bpf(number, attr, buffers) < 0:
                    continue
                row = attach_types.get(attach)
                for at in range(output("BPF_PROG_QUERY", attr, "prog_cnt")):
                    program = int.from_bytes(ids[4 * at : 4 * at + 4], byteorder)
                    found.setdefault(program, []).append(f"cgroup {folder} ({row.name if row else attach})")
    return found


def by_perf_event() -> dict[int, list[str]]:
    """Program id -> events, over the perf events that processes hold (those this user may look into)."""
    from . import door
    from .attrs import encode, output

    found: dict[int, list[str]] = {}
    for pid, number in _perf_events():
        name = bytearray(256)
        command, attr, buffers = encode("BPF_TASK_FD_QUERY", pid=pid, fd=number, buf_len=len(name), buf=name)
        if door().bpf(command, attr, buffers) < 0:
            continue
        kind = output("BPF_TASK_FD_QUERY", attr, "fd_type")
        text = name.partition(b"\0")[0].decode("utf-8", "replace")
        offset = output("BPF_TASK_FD_QUERY", attr, "probe_offset")
        word = _EVENTS[kind] if kind < len(_EVENTS) else f"event {kind}"
        place = f"{word} {text}{f'+{offset:#x}' if offset else ''}"
        places = found.setdefault(output("BPF_TASK_FD_QUERY", attr, "prog_id"), [])
        if place not in places:  # one event per CPU
            places.append(place)
    return found


def _perf_events() -> Iterator[tuple[int, int]]:
    from . import door

    for name in door().listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            numbers = door().listdir(f"/proc/{name}/fd")
        except OSError:
            continue
        for number in numbers:
            try:
                if door().readlink(f"/proc/{name}/fd/{number}") == "anon_inode:[perf_event]":
                    yield int(name), int(number)
            except OSError:
                continue


def _folders(folder: str) -> Iterator[str]:
    from . import door

    yield folder
    try:
        names = door().listdir(folder)
    except OSError:
        return
    for name in names:
        path = f"{folder}/{name}"
        # Files of a cgroup have a dot in their name; folders rarely do.
        if door().isdir(path):
            yield from _folders(path)

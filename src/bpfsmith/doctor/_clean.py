"""What killed processes left behind, by their journals, and removing it."""

from __future__ import annotations

from bpfsmith.doctor.report import LeftBehind
from bpfsmith.kernel import call, door, journal, netlink, netns, try_call
from bpfsmith.kernel.info import mounts, open_id
from bpfsmith.model.errors import BpfsmithError, TargetGone, UnknownName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfsmith.kernel.journal import Left

__all__ = ["left_behind"]

ENOENT, EEXIST, EINVAL = 2, 17, 22
_IN_NETWORK = frozenset({"xdp", "filter", "clsact"})


def left_behind(clean: bool) -> list[LeftBehind]:
    """Everything journals of processes that are no more tell of; with `clean` it is removed."""
    found = []
    # Filters before the qdisc they are on: a qdisc with others' filters stays.
    for left in sorted(journal.left_behind(), key=lambda one: one.kind == "clsact"):
        if left.kind in _IN_NETWORK and _namespace_gone(left):
            left.done()  # with it went everything in it
            continue
        told = LeftBehind(left.kind, left.where, left.pid, _words(left))
        if clean:
            told.outcome = _remove(left)
            if told.outcome in ("removed", "gone"):
                left.done()
        found.append(told)
    return found


def _namespace_gone(left: Left) -> bool:
    """Whether nobody holds its network namespace any more; False where this user may not look into all processes."""
    return door().getuid() == 0 and not left.namespace_here and netns.find(left.netns) is None


def _words(left: Left) -> str:
    index = left.where.partition(":")[0]
    where = netns.interface(int(index), left.netns) if left.kind in _IN_NETWORK and index.isdigit() else ""
    program = f"program {left.program} " if left.program else ""
    return {
        "xdp": f"XDP {program}on {where}",
        "filter": f"tc filter {program}on {where}",
        "clsact": f"clsact qdisc on {where}",
        "kprobe": f"kprobe `{left.where}` of tracefs",
        "lirc": f"{program}on {left.where}",
        "cgroup": f"{program}on cgroup {left.where.rpartition(':')[0]}",
    }.get(left.kind, f"{left.kind} {left.where}")


def _remove(left: Left) -> str:
    """`removed`, `gone`, or why not."""
    remove = _REMOVERS.get(left.kind)
    if remove is None:
        return f"`{left.kind}` is nothing this version of bpfsmith knows how to remove"
    try:
        if left.kind not in _IN_NETWORK or left.namespace_here:
            return remove(left)
        path = netns.find(left.netns)
        elsewhere = f"it is in network namespace net:[{left.netns}], which this user cannot enter"
        outcome: str = elsewhere if path is None else netns.within(path, lambda: remove(left))
    except (TargetGone, UnknownName):
        outcome = "gone"
    except BpfsmithError as error:
        outcome = str(error)
    except OSError as error:
        outcome = (error.strerror or str(error)).lower()
    return outcome


def _pin(left: Left) -> str:
    path = left.where
    if not door().exists(path):
        return "gone"
    if not any(path.startswith(f"{root}/") for root in mounts("bpf")):
        return "it is not in a bpffs, so it was left alone"
    door().unlink(path)
    return "removed"


def _xdp(left: Left) -> str:
    index, _, flags = left.where.partition(":")
    _, there = netlink.xdp_state(int(index))
    if left.program and left.program not in there.values():
        return "gone"
    try:
        with open_id("prog", left.program) as ours:
            netlink.set_xdp(int(index), -1, int(flags), ours.fileno())
    except netlink.NetlinkRefused as refused:
        if refused.errno in (ENOENT, EEXIST):
            return "gone"
        raise
    return "removed"


def _filter(left: Left) -> str:
    index, parent, priority, handle = left.where.split(":")
    there = {(prio, number): program for prio, number, program, _ in netlink.filters(int(index), int(parent, 0))}
    if there.get((int(priority), int(handle))) != left.program:
        return "gone"
    return "removed" if netlink.delete_filter(int(index), int(parent, 0), int(handle), int(priority)) else "gone"


def _clsact(left: Left) -> str:
    index = int(left.where)
    if not netlink.has_clsact(index):
        return "gone"
    if netlink.filters(index, netlink.INGRESS) or netlink.filters(index, netlink.EGRESS):
        return "others have filters on it, so it was left alone"
    netlink.delete_clsact(index)
    return "removed"


def _cgroup(left: Left) -> str:
    path, _, attach = left.where.rpartition(":")
    fd = door().open_fd(path)
    if isinstance(fd, int):
        return "gone"
    with fd, open_id("prog", left.program) as ours:
        value = try_call("BPF_PROG_DETACH", target_fd=fd, attach_bpf_fd=ours, attach_type=int(attach))
        if value in (-ENOENT, -EINVAL):
            return "gone"
        if value < 0:
            call("BPF_PROG_DETACH", f"cgroup `{path}`", target_fd=fd, attach_bpf_fd=ours, attach_type=int(attach))
    return "removed"


def _kprobe(left: Left) -> str:
    from bpfsmith.kernel.targets import tracefs
    from bpfsmith.run.attach.kprobe import remove_event

    file, event = f"{tracefs()}/kprobe_events", left.where.rpartition("/")[2]
    if f"{left.where} " not in door().read_text(file):
        return "gone"
    return "removed" if remove_event(file, event) else "something still uses it"


def _lirc(left: Left) -> str:
    fd = door().open_fd(left.where)
    if isinstance(fd, int):
        return "gone"
    with fd, open_id("prog", left.program) as ours:
        value = try_call("BPF_PROG_DETACH", target_fd=fd, attach_bpf_fd=ours, attach_type=16)
    return "gone" if value < 0 else "removed"


_REMOVERS: dict[str, Callable[[Left], str]] = {
    "pin": _pin,
    "xdp": _xdp,
    "filter": _filter,
    "clsact": _clsact,
    "cgroup": _cgroup,
    "kprobe": _kprobe,
    "lirc": _lirc,
}

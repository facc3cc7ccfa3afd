"""Network namespaces: `sk_lookup` chooses the socket of a connection, `flow_dissector` reads headers for the kernel."""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.kernel import targets
from bpfsmith.model.errors import InputError, KernelError, Unsupported
from bpfsmith.run.link import Held, Link, LinkFd, duplicate

from ._base import E2BIG, EBUSY, EEXIST, EINVAL, UNKNOWN, link_create, refusal, require

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TYPES = {"sk_lookup": 36, "flow_dissector": 17}


def attach(program: Any, netns: str | int | None = None) -> Link:
    """See `AttachMethods.attach_netns`."""
    require(program, tuple(TYPES), "attach_netns")
    number = TYPES[program.type]
    path, target = targets.netns(netns)
    with open_netns(program, path, target) as namespace:
        fd = link_create(program, number, target_fd=namespace)
    if not isinstance(fd, int):
        return LinkFd(program, program.type, target, fd)
    if fd in UNKNOWN and not kernel.live().probe("netns_link"):
        if program.type == "sk_lookup":
            raise Unsupported("this kernel has no sk_lookup programs", "sk_lookup", "5.9")
        return _attached(program, number, target, netns)
    told: dict[int, Any] = {
        EEXIST: KernelError(
            f"{target} has a flow dissector already", "BPF_LINK_CREATE", EEXIST, target, "a namespace has one"
        ),
        E2BIG: KernelError(
            f"{target} has as many {program.type} programs as it takes",
            "BPF_LINK_CREATE", E2BIG, target,
            "a namespace has one flow dissector and up to 64 sk_lookup programs",
        ),
        EBUSY: KernelError(f"{target} is going away", "BPF_LINK_CREATE", EBUSY, target),
        EINVAL: InputError(f"{target} is no network namespace", path),
    }  # fmt: skip
    raise refusal("BPF_LINK_CREATE", fd, program, target, "CAP_NET_ADMIN", told)


def open_netns(program: Any, path: str, target: str) -> Any:
    """A descriptor of the namespace."""
    fd = kernel.door().open_fd(path)
    if isinstance(fd, int):
        raise refusal("open", fd, program, target)
    return fd


def _attached(program: Any, number: int, target: str, netns: Any) -> Link:
    """Before 5.7: for the caller's namespace only, until detached or the namespace is gone."""
    if netns is not None:
        raise Unsupported("this kernel attaches flow dissectors only to the caller's namespace", "netns_link", "5.7")
    answer = kernel.try_call("BPF_PROG_ATTACH", attach_bpf_fd=program.fd, attach_type=number)
    if answer < 0:
        raise refusal("BPF_PROG_ATTACH", answer, program, target, "CAP_NET_ADMIN")
    ours = duplicate(program.fd.fileno())

    def undo() -> None:
        kernel.try_call("BPF_PROG_DETACH", attach_bpf_fd=ours, attach_type=number)
        ours.close()

    return Held(program, program.type, target, undo, outlives=True)


def by_section(program: Any, netns: str | int | None = None) -> Link:
    """Attaches as the section says."""
    return attach(program, netns)


def plan(program: Any, netns: str | int | None = None) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    return [{"command": "BPF_LINK_CREATE", "attach_type": program.type, "target_fd": targets.netns(netns)[0]}]

"""Sockets: filters of what a socket receives, and the choice among sockets that share a port.

The program stays with the socket: detaching removes it, closing the socket ends it.
"""

from __future__ import annotations

from bpfsmith.kernel import sockets
from bpfsmith.model.errors import InputError, KernelError, TargetGone
from bpfsmith.run.link import Held

from ._base import EBUSY, EINVAL, needs, refusal, require

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def attach_filter(program: Any, socket: Any) -> Held:
    """See `AttachMethods.attach_socket`."""
    require(program, ("socket_filter",), "attach_socket")
    return _attach(program, socket, "socket_filter", sockets.ATTACH_BPF, sockets.DETACH_FILTER)


def attach_reuseport(program: Any, socket: Any) -> Held:
    """See `AttachMethods.attach_reuseport`."""
    require(program, ("sk_reuseport", "socket_filter"), "attach_reuseport")
    return _attach(program, socket, "sk_reuseport", sockets.ATTACH_REUSEPORT_EBPF, sockets.DETACH_REUSEPORT_BPF)


def _attach(program: Any, socket: Any, family: str, option: int, remove: int) -> Held:
    fd = socket if isinstance(socket, int) and not isinstance(socket, bool) else None
    if fd is None:
        if not hasattr(socket, "fileno"):
            raise InputError(f"a socket or its descriptor is wanted, not {type(socket).__name__}", program.name)
        fd = socket.fileno()
    if fd < 0:
        raise InputError("the socket is closed", program.name)
    target = f"socket {fd}"
    # A descriptor of our own: the number may belong to something else when it is detached.
    ours = sockets.hold(fd)
    if ours is None:
        raise InputError(f"descriptor {fd} is no socket", target)
    answer = sockets.set_option(ours, option, program.fd.fileno())
    if answer < 0:
        sockets.drop(ours)
        told: dict[int, Any] = {
            EINVAL: InputError(
                f"`{program.name}` cannot be attached to {target}", target,
                "the socket needs SO_REUSEPORT before it is bound" if family == "sk_reuseport" else "",
            ),
            EBUSY: KernelError(f"{target} is locked (SO_LOCK_FILTER)", "setsockopt", EBUSY, target),
            1: KernelError(f"the filter of {target} is locked (SO_LOCK_FILTER)", "setsockopt", 1, target),
        }  # fmt: skip
        raise refusal("setsockopt", answer, program, target, "", told)

    def undo() -> None:
        sockets.set_option(ours, remove, 0)
        sockets.drop(ours)

    def replace(new: int, old: int | None) -> None:
        if old is not None:
            raise InputError("the kernel does not tell which program a socket has: nothing can be expected", target)
        code = sockets.set_option(ours, option, new)
        if code < 0:
            raise TargetGone(f"{target} takes no program any more", "setsockopt", -code, target)

    return Held(program, family, target, undo, replace)


def by_section(program: Any, socket: Any = None) -> Held:
    """Attaches as the section says."""
    if socket is None:
        raise needs(program, "socket", "sock")
    return attach_filter(program, socket) if program.type == "socket_filter" else attach_reuseport(program, socket)


def plan(program: Any, socket: Any = None) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    option = "SO_ATTACH_BPF" if program.type == "socket_filter" else "SO_ATTACH_REUSEPORT_EBPF"
    return [{"command": "setsockopt", "option": option, "socket": socket if isinstance(socket, int) else None}]

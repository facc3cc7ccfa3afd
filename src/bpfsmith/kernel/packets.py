"""A socket that sees the packets of an interface: what socket filters are attached to when no process has its own."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

__all__ = ["packet_socket"]

_ALL = 0x0003  # ETH_P_ALL


def packet_socket(iface: str | int) -> socket.socket:
    """A packet socket bound to the interface; nobody reads it, so that its queue stays small. CAP_NET_RAW.

    `TargetMissing` with near matches for an interface that is not there."""
    import socket

    from bpfsmith.kernel.netlink import interface
    from bpfsmith.model.errors import KernelError, PermissionMissing

    _, name = interface(iface)
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    except PermissionError:
        raise PermissionMissing(
            f"seeing the packets of `{name}` needs CAP_NET_RAW", "sudo", name, capability="CAP_NET_RAW"
        ) from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.bind((name, _ALL))
    except OSError as error:
        made.close()
        raise KernelError(
            f"cannot see the packets of `{name}`: {error.strerror}", "bind", error.errno or 0, name
        ) from None
    return made

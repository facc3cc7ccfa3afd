"""Options of sockets that belong to others: the programs they carry.

Numbers are those of <asm-generic/socket.h>; the level is SOL_SOCKET.
"""

from __future__ import annotations

import os
from _socket import SOL_SOCKET  # `socket` makes an enum of every constant it knows, 4 ms
from _socket import socket as new_socket

__all__ = ["ATTACH_BPF", "ATTACH_REUSEPORT_EBPF", "DETACH_FILTER", "DETACH_REUSEPORT_BPF", "drop", "hold", "set_option"]

DETACH_FILTER, ATTACH_BPF, ATTACH_REUSEPORT_EBPF, DETACH_REUSEPORT_BPF = 27, 50, 52, 68


def hold(fd: int) -> new_socket | None:
    """Another descriptor of the same socket, None when it is no socket."""
    from bpfsmith import kernel

    if not kernel.door().local:
        return None  # a socket of this machine takes no program of another kernel
    copy = -1
    try:
        copy = os.dup(fd)
        return new_socket(fileno=copy)
    except OSError:
        if copy >= 0:
            os.close(copy)
        return None


def drop(held: new_socket) -> None:
    """Closes what `hold` answered; the socket itself stays."""
    held.close()


def set_option(held: new_socket, option: int, value: int) -> int:
    """0 or `-errno`."""
    try:
        held.setsockopt(SOL_SOCKET, option, value)
    except OSError as error:
        return -(error.errno or 22)
    return 0

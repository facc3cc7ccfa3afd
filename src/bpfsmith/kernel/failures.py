"""What the kernel's errno means for a command: typed errors that say what, where and the next step."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpfsmith.model.errors import BpfsmithError

__all__ = ["errno_name", "error", "raise_error"]

EPERM, ENOENT, ESRCH, EINTR, EIO, E2BIG, EBADF, EAGAIN = 1, 2, 3, 4, 5, 7, 9, 11
ENOMEM, EACCES, EFAULT, EBUSY, EEXIST, ENODEV, ENOTDIR, EINVAL = 12, 13, 14, 16, 17, 19, 20, 22
EMFILE, ENOSPC, EROFS, ERANGE, ENOSYS, EOPNOTSUPP, ENOTSUPP = 24, 28, 30, 34, 38, 95, 524

# What the kernel was asked to do, as the sentence goes on after "cannot".
_DOING = {
    "BPF_MAP_CREATE": "create",
    "BPF_MAP_LOOKUP_ELEM": "read from",
    "BPF_MAP_UPDATE_ELEM": "write to",
    "BPF_MAP_DELETE_ELEM": "delete from",
    "BPF_PROG_LOAD": "load",
    "BPF_BTF_LOAD": "load the types of",
    "BPF_OBJ_PIN": "pin",
    "BPF_OBJ_GET": "open the pin of",
    "BPF_LINK_CREATE": "attach",
    "BPF_PROG_ATTACH": "attach",
    "BPF_RAW_TRACEPOINT_OPEN": "attach",
}


def errno_name(errno: int) -> str:
    """`EPERM` of 1; the kernel's private ENOTSUPP (524) included."""
    if errno == ENOTSUPP:
        return "ENOTSUPP"
    from errno import errorcode

    return errorcode.get(errno, f"errno {errno}")


def error(
    command: str,
    errno: int,
    where: str = "",
    fields: Mapping[str, Any] | None = None,  # noqa: ARG001
) -> BpfsmithError:
    """The error to raise for `command` (`BPF_MAP_CREATE`, `perf_event_open`, `netlink` ...) answering `-errno`.

    `where` names what it was about (a sentence part: "map `STATE`"), `fields` are those of the command."""
    from os import strerror

    from bpfsmith.model.errors import KernelError, PermissionMissing

    doing = _DOING.get(command, f"do {command} on")
    about = where or "it"
    if errno in (EPERM, EACCES):
        return PermissionMissing(f"not permitted to {doing} {about}", "sudo", where)
    what = "not supported by this kernel" if errno == ENOTSUPP else strerror(errno).lower()
    return KernelError(f"cannot {doing} {about}: {what} ({errno_name(errno)} of {command})", command, errno, where)


def raise_error(command: str, errno: int, where: str = "", fields: Mapping[str, Any] | None = None) -> None:
    raise error(command, errno, where, fields)

"""Pinning: folders of bpffs that are missing are made for a pin, and go with the last one in them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["folder", "pin", "tidy", "unpin"]

# The folders this process made: no others are ever removed.
_made: set[str] = set()


def folder(path: str) -> None:
    """Makes the folders that a pin at `path` needs, but only below a mounted bpffs; elsewhere the kernel says what is
    wrong with it."""
    from bpfsmith import kernel

    from .info import mounts

    door = kernel.door()
    above = path.rpartition("/")[0] or "."
    if door.isdir(above):
        return
    if ".." in above.split("/") or not any(above.startswith(f"{mount}/") for mount in mounts("bpf")):
        return
    missing = []
    at = above
    while at and not door.isdir(at):
        missing.append(at)
        at = at.rpartition("/")[0]
    try:
        door.makedirs(above)
    except OSError as error:
        from bpfsmith.model.errors import InputError

        raise InputError(
            f"nothing can be pinned in `{above}`: {(error.strerror or 'it cannot be made').lower()}", where=above
        ) from None
    _made.update(missing)


def tidy(path: str) -> None:
    """Removes the folders above `path` that this process made, as far as they are empty."""
    from bpfsmith import kernel

    at = path.rpartition("/")[0]
    while at in _made:
        try:
            kernel.door().rmdir(at)
        except OSError:
            return  # another pin lies in it
        _made.discard(at)
        at = at.rpartition("/")[0]


def pin(what: str, path: str, fd: Any) -> None:
    """Pins a descriptor; the journal knows it until it is unpinned. `what`: as messages call it."""
    from bpfsmith import kernel

    from . import journal

    folder(path)
    try:
        kernel.call("BPF_OBJ_PIN", f"{what} at `{path}`", pathname=path, bpf_fd=fd)
    except BaseException:
        tidy(path)
        raise
    journal.record("pin", path)


def unpin(path: str) -> None:
    """Removes a pin, with the folders made for it; one that is gone already is no error."""
    from bpfsmith import kernel

    from . import journal

    if kernel.door().exists(path):
        kernel.door().unlink(path)
    tidy(path)
    journal.forget("pin", path)

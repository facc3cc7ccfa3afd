"""The only door to bpf(2), perf, netlink, bpffs, tracefs, cgroupfs and the other kernel files.

    from bpfsmith import kernel
    kernel.call("BPF_MAP_FREEZE", "map `STATE`", map_fd=fd)   # a typed error of `model.errors` when the kernel refuses
    kernel.live().has("ringbuf")                              # what the running kernel can do

`door()` is the process's `Door`; tests install a fake one (`kernel.fake.installed`). Importing this opens nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Fd

    from ._door import Door
    from ._live import LiveKernel

__all__ = ["call", "call_fd", "door", "live", "try_call"]


class _Process:
    """What exists once per process."""

    door: Door | None = None
    live: LiveKernel | None = None


def door() -> Door:
    """The process's door."""
    found = _Process.door
    if found is None:
        from ._door import Door

        found = _Process.door = Door()
    return found


def live() -> LiveKernel:
    """The running kernel, one value per process; nothing is read before it is asked for."""
    found = _Process.live
    if found is None:
        from ._live import LiveKernel

        found = _Process.live = LiveKernel()
    return found


def _install(new: Door | None) -> Door | None:
    """Replaces the door (and forgets what was learnt through the old one); answers the old one. For tests."""
    old, _Process.door, _Process.live = _Process.door, new, None
    return old


def try_call(command: str, /, **fields: Any) -> int:
    """One bpf(2) command by name and fields (see `attrs`): its value, or `-errno`."""
    from .attrs import encode

    return door().bpf(*encode(command, **fields))


def call(command: str, where: str = "", /, **fields: Any) -> int:
    """As `try_call`; a refusal is raised as the typed error `failures.error` makes of it.

    `where` says what it is about, for the message: "map `STATE`"."""
    from .attrs import encode

    number, attr, buffers = encode(command, **fields)
    value = door().bpf(number, attr, buffers)
    if value < 0:
        from .failures import error

        raise error(command, -value, where, fields)
    return value


def call_fd(command: str, where: str = "", /, **fields: Any) -> Fd:
    """As `call` for commands that answer a descriptor."""
    from .attrs import encode

    number, attr, buffers = encode(command, **fields)
    value = door().bpf_fd(number, attr, buffers)
    if isinstance(value, int):
        from .failures import error

        raise error(command, -value, where, fields)
    return value

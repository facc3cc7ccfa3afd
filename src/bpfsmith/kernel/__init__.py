"""The only door to bpf(2), perf, netlink, bpffs, tracefs, cgroupfs and the other kernel files.

    from bpfsmith import kernel
    kernel.call("BPF_MAP_FREEZE", "map `STATE`", map_fd=fd)   # a typed error of `model.errors` when the kernel refuses
    kernel.live().has("ringbuf")                              # what the running kernel can do

`door()` is the process's `Door`; tests install a fake one (`kernel.fake.installed`). Importing this opens nothing.
"""

from __future__ import annotations

from _contextvars import ContextVar  # contextvars itself only renames it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Fd
    from bpfsmith.model.kernel import Kernel

    from ._door import Door
    from ._live import LiveKernel

__all__ = ["call", "call_fd", "door", "live", "through", "try_call"]


class _Process:
    """What exists once per process."""

    door: Door | None = None
    live: LiveKernel | None = None


# The door and kernel of this thread or task where they are not the process's own: a guest's.
_elsewhere: ContextVar[tuple[Door, Kernel] | None] = ContextVar("bpfsmith_door", default=None)


class through:  # noqa: N801 - a context manager, used as a word
    """Inside the block, this thread (or task) talks to another kernel: `door()` and `live()` are those given.

        with kernel.through(guest.door, guest.kernel):
            bpfsmith.load(obj)

    Threads started inside do not inherit it. Blocks nest."""

    __slots__ = ("_given", "_token")

    def __init__(self, door: Door, kernel: Kernel) -> None:
        self._given = (door, kernel)

    def __enter__(self) -> None:
        self._token = _elsewhere.set(self._given)

    def __exit__(self, *exc: object) -> None:
        _elsewhere.reset(self._token)


def door() -> Door:
    """The door of this context: the process's own, or the one a `through` block gave."""
    other = _elsewhere.get()
    if other is not None:
        return other[0]
    found = _Process.door
    if found is None:
        from ._door import Door

        found = _Process.door = Door()
    return found


def live() -> LiveKernel:
    """The running kernel, one value per process; nothing is read before it is asked for. In a `through` block, the
    kernel it gave: a `model.Kernel` that also has what callers of `live()` ask (`probe`, `lacks`)."""
    other = _elsewhere.get()
    if other is not None:
        return other[1]  # type: ignore[return-value]
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

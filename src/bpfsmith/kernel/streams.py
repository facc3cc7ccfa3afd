"""Rings, perf events of BPF programs, and waiting: what `run.events` asks of the kernel, with typed errors.

Ring buffers need Linux 5.8, user ring buffers 6.1, perf buffers 4.4. Reading a map one holds needs no privilege;
opening perf events needs CAP_PERFMON (CAP_SYS_ADMIN before 5.8).
"""

from __future__ import annotations

from struct import pack_into, unpack_from

from bpfsmith import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import Fd, PerfRing, Poller, Ring, UserRing

__all__ = [
    "lost_samples",
    "online_cpus",
    "open_perf_output",
    "open_perf_ring",
    "open_poller",
    "open_ring",
    "open_user_ring",
    "watch",
]

_SOFTWARE, _BPF_OUTPUT, _SAMPLE_RAW = 1, 10, 1 << 10
_FORMAT_LOST = 1 << 4  # since 6.0
_WATERMARK = 1 << 14
_ENABLE = 0x2400
_EINVAL, _ENODEV = 22, 19


def _refused(command: str, errno: int, where: str) -> Exception:
    from .failures import error

    return error(command, errno, where)


def open_ring(fd: int, size: int, where: str) -> Ring:
    """The consumer of a ring buffer of `size` bytes."""
    made = kernel.door().ring(fd, size)
    if isinstance(made, int):
        raise _refused("mmap", -made, where)
    return made


def open_user_ring(fd: int, size: int, where: str) -> UserRing:
    """The producer of a user ring buffer of `size` bytes."""
    made = kernel.door().user_ring(fd, size)
    if isinstance(made, int):
        raise _refused("mmap", -made, where)
    return made


def open_poller(where: str) -> Poller:
    """Something to wait with."""
    made = kernel.door().poller()
    if isinstance(made, int):
        raise _refused("epoll_create1", -made, where)
    return made


def watch(poller: Poller, fd: int, key: int, where: str, room: bool = False) -> None:
    """Lets `poller` wait for `fd`: to be readable, or to have room."""
    done = poller.add(fd, key, room)
    if done < 0:
        raise _refused("epoll_ctl", -done, where)


def online_cpus() -> list[int]:
    """Numbers of the CPUs that run now."""
    found: list[int] = []
    for part in kernel.door().read_text("/sys/devices/system/cpu/online").strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def open_perf_output(cpu: int, where: str, wakeup: int = 1, watermark: int = 0) -> tuple[Fd, bool] | None:
    """(the event `bpf_perf_event_output` writes to on `cpu`, whether it counts its losses); None when the CPU has gone.

    Readers are woken every `wakeup` records, or with `watermark` when that many bytes wait."""
    lost = True
    while True:
        attr = bytearray(128)
        flags = _WATERMARK if watermark else 0
        pack_into("<IIQQQQQ", attr, 0, _SOFTWARE, 128, _BPF_OUTPUT, 1, _SAMPLE_RAW, _FORMAT_LOST * lost, flags)
        pack_into("<I", attr, 48, watermark or wakeup)
        made = kernel.door().perf_event_open(bytes(attr), -1, cpu)
        if not isinstance(made, int):
            return made, lost
        if made == -_EINVAL and lost:
            lost = False  # 119a784c8127 ("perf/core: Add a new read format to get a number of lost samples"), 6.0
            continue
        if made == -_ENODEV:
            return None
        raise _refused("perf_event_open", -made, where)


def open_perf_ring(fd: Fd, size: int, where: str) -> PerfRing:
    """The consumer of an event's buffer, `size` bytes of records; the event runs from now on."""
    made = kernel.door().perf_ring(fd.fileno(), size)
    if isinstance(made, int):
        raise _refused("mmap", -made, where)
    done = kernel.door().ioctl(fd.fileno(), _ENABLE)
    if done < 0:
        raise _refused("PERF_EVENT_IOC_ENABLE", -done, where)
    return made


def lost_samples(fd: int) -> int:
    """Records there was no room for, by the kernel's own count (PERF_FORMAT_LOST)."""
    data = kernel.door().read_fd(fd, 16)
    return int(unpack_from("=QQ", data)[1]) if len(data) == 16 else 0

"""perf_event_open(2): `struct perf_event_attr`, the events of this machine by name, and programs run by them.

Numbers are those of <linux/perf_event.h>. Opening needs CAP_PERFMON (CAP_SYS_ADMIN before 5.8) or a
`kernel.perf_event_paranoid` that allows it.
"""

from __future__ import annotations

from struct import pack_into

from bpfsmith import kernel
from bpfsmith.model.errors import EnvironmentMissing, InputError, PermissionMissing, TargetMissing, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import Fd
    from bpfsmith.model.errors import BpfsmithError

__all__ = [
    "EVENTS",
    "HARDWARE",
    "SOFTWARE",
    "TRACEPOINT",
    "enable",
    "event",
    "max_frequency",
    "number_of_pmu",
    "online_cpus",
    "open_event",
    "open_kprobe",
    "open_uprobe",
    "pmu",
    "refusal",
    "set_program",
]

HARDWARE, SOFTWARE, TRACEPOINT, CACHE = 0, 1, 2, 3
_ENABLE, _SET_BPF = 0x2400, 0x40042408
_CLOEXEC, _PID_CGROUP = 8, 4
_SIZE = 128
_CONFIG1 = 56  # offset in `struct perf_event_attr`
_INHERIT, _FREQ = 1 << 1, 1 << 10
_PMUS = "/sys/bus/event_source/devices"

# perf's own words -> (type, config).
EVENTS: dict[str, tuple[int, int]] = {
    "cpu-cycles": (HARDWARE, 0),
    "cycles": (HARDWARE, 0),
    "instructions": (HARDWARE, 1),
    "cache-references": (HARDWARE, 2),
    "cache-misses": (HARDWARE, 3),
    "branch-instructions": (HARDWARE, 4),
    "branches": (HARDWARE, 4),
    "branch-misses": (HARDWARE, 5),
    "bus-cycles": (HARDWARE, 6),
    "stalled-cycles-frontend": (HARDWARE, 7),
    "stalled-cycles-backend": (HARDWARE, 8),
    "ref-cycles": (HARDWARE, 9),
    "cpu-clock": (SOFTWARE, 0),
    "task-clock": (SOFTWARE, 1),
    "page-faults": (SOFTWARE, 2),
    "faults": (SOFTWARE, 2),
    "context-switches": (SOFTWARE, 3),
    "cs": (SOFTWARE, 3),
    "cpu-migrations": (SOFTWARE, 4),
    "migrations": (SOFTWARE, 4),
    "minor-faults": (SOFTWARE, 5),
    "major-faults": (SOFTWARE, 6),
    "alignment-faults": (SOFTWARE, 7),
    "emulation-faults": (SOFTWARE, 8),
    "dummy": (SOFTWARE, 9),
    "bpf-output": (SOFTWARE, 10),
    "cgroup-switches": (SOFTWARE, 11),
}


def event(name: str) -> tuple[int, int]:
    """(type, config) of an event by perf's word; `TargetMissing` with near matches."""
    found = EVENTS.get(name)
    if found is None:
        from bpfsmith.model.near import did_you_mean

        hint = did_you_mean(name, EVENTS, "`config=(type, config)` takes any other event by number")
        raise TargetMissing(f"there is no perf event `{name}`", name, hint)
    return found


def number_of_pmu(name: str) -> int | None:
    """The dynamic type of a PMU (`uprobe`, `kprobe`); None where the kernel was built without it."""
    try:
        return int(kernel.door().read_text(f"{_PMUS}/{name}/type"))
    except (OSError, ValueError):
        return None


def pmu(name: str, option: str, since: str) -> int:
    """As `number_of_pmu`; `Unsupported` names the kernel option that makes it."""
    found = number_of_pmu(name)
    if found is None:
        raise Unsupported(f"this kernel has no {name}s ({option})", name, since, where=f"{_PMUS}/{name}")
    return found


def return_bit(name: str) -> int:
    """The bit of `config` that asks a probe PMU for the function's return (`config:0`)."""
    try:
        text = kernel.door().read_text(f"{_PMUS}/{name}/format/retprobe")
    except OSError:
        return 0
    return int(text.strip().removeprefix("config:") or 0)


def online_cpus() -> list[int]:
    """Numbers of the CPUs that are online."""
    found: list[int] = []
    for part in kernel.door().read_text("/sys/devices/system/cpu/online").strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def max_frequency() -> int:
    """Samples a second the kernel allows (`kernel.perf_event_max_sample_rate`)."""
    try:
        return int(kernel.door().read_text("/proc/sys/kernel/perf_event_max_sample_rate"))
    except (OSError, ValueError):
        return 1 << 62


def open_event(
    kind: int,
    config: int,
    *,
    period: int = 0,
    frequency: int = 0,
    pid: int = -1,
    cpu: int = -1,
    cgroup: int = -1,
    inherit: bool = False,
) -> Fd | int:
    """The event's descriptor, or `-errno`. `cgroup`: descriptor of a cgroup folder, in the place of `pid`."""
    attr = bytearray(_SIZE)
    flags = (_INHERIT if inherit else 0) | (_FREQ if frequency else 0)
    # PERF_SAMPLE_RAW: what every user of programs asks for
    pack_into("=IIQQQQQI", attr, 0, kind, _SIZE, config, frequency or period, 1 << 10, 0, flags, 1)
    if cgroup >= 0:
        return kernel.door().perf_event_open(bytes(attr), cgroup, cpu, -1, _CLOEXEC | _PID_CGROUP)
    return kernel.door().perf_event_open(bytes(attr), pid, cpu, -1, _CLOEXEC)


def open_uprobe(path: str, offset: int, *, ret: bool, pid: int = -1, semaphore: int = 0) -> Fd | int:
    """A probe at a file's offset, or `-errno`. `semaphore`: file offset of the counter to raise meanwhile, 0: none."""
    kind = pmu("uprobe", "CONFIG_UPROBE_EVENTS", "4.17")
    config = (1 << return_bit("uprobe") if ret else 0) | semaphore << 32
    attr = bytearray(_SIZE)
    pack_into("=IIQQQQQIIQQ", attr, 0, kind, _SIZE, config, 0, 0, 0, 0, 0, 0, 0, offset)
    return _open_named(attr, path, pid)


def open_kprobe(name: str, offset: int = 0, *, address: int = 0, ret: bool = False) -> Fd | int:
    """A probe at a kernel function (or `module:function`), or at an address where `name` is ""; or `-errno`. 4.17+."""
    kind = pmu("kprobe", "CONFIG_KPROBES, CONFIG_KPROBE_EVENTS", "4.17")
    config = 1 << return_bit("kprobe") if ret else 0
    attr = bytearray(_SIZE)
    pack_into("=IIQQQQQIIQQ", attr, 0, kind, _SIZE, config, 0, 0, 0, 0, 0, 0, 0, offset if name else address)
    return _open_named(attr, name, -1)


def _open_named(attr: bytearray, name: str, pid: int) -> Fd | int:
    """Opens an event of a probe PMU whose `config1` points to a name ("": null)."""
    text = [(_CONFIG1, name.encode("utf-8", "surrogateescape") + b"\0")] if name else []
    return kernel.door().perf_event_open(bytes(attr), pid, -1 if pid >= 0 else 0, -1, _CLOEXEC, text)


def set_program(event_fd: int, program_fd: int) -> int:
    """The program runs at each event from now on; 0 or `-errno`. For kernels without perf links."""
    return kernel.door().ioctl(event_fd, _SET_BPF, program_fd)


def enable(event_fd: int) -> int:
    """The event counts from now on; 0 or `-errno`."""
    return kernel.door().ioctl(event_fd, _ENABLE, 0)


def refusal(errno: int, what: str, uprobe: bool = False) -> BpfsmithError:
    """The error of `perf_event_open` answering `-errno` for `what` (``perf event `cycles` ``)."""
    errno = abs(errno)
    if errno in {1, 13}:
        capability, words = "CAP_PERFMON", f"opening {what} needs CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8)"
        from .privilege import sysctl

        level = sysctl("kernel/perf_event_paranoid") or 0
        command = "sudo"
        if level > 2 and not uprobe:
            # Distributions added this level: Debian and Ubuntu start with it.
            capability, command = "CAP_SYS_ADMIN", "sysctl kernel.perf_event_paranoid=2"
            words = (
                f"opening {what} needs CAP_SYS_ADMIN while kernel.perf_event_paranoid is {level}, CAP_PERFMON below 3"
            )
        if uprobe:
            # perf_uprobe_event_init() asks for more than other events do.
            capability = "CAP_SYS_ADMIN"
            words = f"setting {what} needs CAP_SYS_ADMIN (by one link, section `uprobe.multi`, only CAP_PERFMON)"
        return PermissionMissing(words, command, what, capability=capability)
    if errno in {2, 19, 95}:
        return Unsupported(
            f"this machine does not count {what}",
            what,
            "",
            "virtual machines often have no hardware counters: `cpu-clock` works everywhere",
        )
    if errno == 3:
        return TargetMissing(f"there is no such process for {what}", what)
    if errno in {24, 23}:
        return EnvironmentMissing(
            f"no more files may be opened for {what}", "ulimit -n 65536", hint="allow more with `ulimit -n 65536`"
        )
    if errno == 22:
        return InputError(f"the kernel takes no {what} like this", what, "period, CPU or process do not go together")
    from .failures import error

    return error("perf_event_open", errno, what)

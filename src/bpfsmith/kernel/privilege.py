"""What this process may do and what keeps it from more: capabilities, sysctls, lockdown, security modules, seccomp."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = [
    "CAPABILITIES", "effective", "has", "in_user_namespace", "lockdown", "missing", "needed", "seccomp",
    "security_modules", "sysctl",
]  # fmt: skip

# The ones that bpf(2) and its neighbours ask for.
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14,
    "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_SYSLOG": 34, "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}  # fmt: skip

# Program types by what loading them takes beyond CAP_BPF (is_net_admin_prog_type() and is_perfmon_prog_type()).
_NET = frozenset({3, 4, 6, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 22, 23, 25, 28, 32})
_PERFMON = frozenset({2, 5, 7, 17, 24, 26, 27, 28, 29})
_UNPRIVILEGED_PROGRAMS = frozenset({1, 8})
# Maps that need CAP_NET_ADMIN: devmap, sockmap, xskmap, sockhash, devmap_hash; and those everyone may create where the
# sysctl lets them.
_NET_MAPS = frozenset({14, 15, 17, 18, 25})
_UNPRIVILEGED_MAPS = frozenset({1, 2, 3, 4, 5, 6, 8, 12, 13, 20, 27, 31})

_BY_COMMAND: dict[str, tuple[str, ...]] = {
    "BPF_BTF_LOAD": ("CAP_BPF",),
    "BPF_PROG_GET_NEXT_ID": ("CAP_SYS_ADMIN",),
    "BPF_MAP_GET_NEXT_ID": ("CAP_SYS_ADMIN",),
    "BPF_LINK_GET_NEXT_ID": ("CAP_SYS_ADMIN",),
    "BPF_BTF_GET_NEXT_ID": ("CAP_SYS_ADMIN",),
    "BPF_PROG_GET_FD_BY_ID": ("CAP_SYS_ADMIN",),
    "BPF_MAP_GET_FD_BY_ID": ("CAP_SYS_ADMIN",),
    "BPF_LINK_GET_FD_BY_ID": ("CAP_SYS_ADMIN",),
    "BPF_BTF_GET_FD_BY_ID": ("CAP_SYS_ADMIN",),
    "BPF_TASK_FD_QUERY": ("CAP_SYS_ADMIN",),
    "BPF_ENABLE_STATS": ("CAP_SYS_ADMIN",),
    "BPF_PROG_ATTACH": ("CAP_NET_ADMIN",),
    "BPF_PROG_DETACH": ("CAP_NET_ADMIN",),
    "BPF_PROG_QUERY": ("CAP_NET_ADMIN",),
    "BPF_RAW_TRACEPOINT_OPEN": ("CAP_PERFMON",),
    "BPF_TOKEN_CREATE": ("CAP_BPF",),
    "BPF_MAP_LOOKUP_BATCH": ("CAP_BPF",),
    "perf_event_open": ("CAP_PERFMON",),
    "netlink": ("CAP_NET_ADMIN",),
}
# Links by attach type: those of the network need CAP_NET_ADMIN, those that look at the kernel CAP_PERFMON.
_PERFMON_LINKS = frozenset({23, 24, 25, 26, 27, 28, 41, 42, 48, 56, 57, 58})


def effective() -> int:
    """The effective capabilities as a bit mask (CapEff)."""
    return int(_status("CapEff") or "0", 16)


def has(capability: str) -> bool:
    """CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, as in the kernel (and, of what bpf asks, for CAP_NET_ADMIN)."""
    mask = effective()
    if mask >> CAPABILITIES[capability] & 1:
        return True
    return capability in ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN") and bool(mask >> CAPABILITIES["CAP_SYS_ADMIN"] & 1)


def needed(command: str, fields: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The capabilities a command takes on a kernel since 5.8 (older ones: CAP_SYS_ADMIN for all), without a token."""
    given = fields or {}
    if command == "BPF_PROG_LOAD":
        kind = given.get("prog_type", 0)
        if kind in _UNPRIVILEGED_PROGRAMS and sysctl("kernel/unprivileged_bpf_disabled") == 0:
            return ()
        return ("CAP_BPF",) + ("CAP_NET_ADMIN",) * (kind in _NET) + ("CAP_PERFMON",) * (kind in _PERFMON)
    if command == "BPF_MAP_CREATE":
        kind = given.get("map_type", 0)
        free = kind in _UNPRIVILEGED_MAPS and sysctl("kernel/unprivileged_bpf_disabled") == 0
        return () if free else ("CAP_BPF",) + ("CAP_NET_ADMIN",) * (kind in _NET_MAPS)
    if command in ("BPF_LINK_CREATE", "BPF_LINK_UPDATE"):
        return ("CAP_PERFMON",) if given.get("attach_type") in _PERFMON_LINKS else ("CAP_NET_ADMIN",)
    if command == "perf_event_open" and (sysctl("kernel/perf_event_paranoid") or 0) < 0:
        return ()
    return _BY_COMMAND.get(command, ("CAP_BPF",) if command.startswith("BPF_") else ())


def missing(command: str, fields: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Those of `needed` that this process does not have."""
    return tuple(capability for capability in needed(command, fields) if not has(capability))


def in_user_namespace() -> bool:
    """Whether this process is root only inside a user namespace (a rootless container)."""
    try:
        rows = _read("/proc/self/uid_map").split()
    except OSError:
        return False
    return rows[:3] != ["0", "0", "4294967295"]


def lockdown() -> str:
    """`none`, `integrity`, `confidentiality`; "" where nothing tells.

    Where securityfs is not mounted: what the kernel's command line and configuration force."""
    try:
        return _read("/sys/kernel/security/lockdown").partition("[")[2].partition("]")[0]
    except OSError:
        pass
    from bpfsmith import kernel

    try:
        words = _read("/proc/cmdline").split()
    except OSError:
        words = []
    for level in ("confidentiality", "integrity"):
        forced = kernel.live().config(f"CONFIG_LOCK_DOWN_KERNEL_FORCE_{level.upper()}") == "y"
        if forced or f"lockdown={level}" in words:
            return level
    return ""


def security_modules() -> tuple[str, ...]:
    """The security modules in force, in their order; () where securityfs is not mounted."""
    try:
        return tuple(name for name in _read("/sys/kernel/security/lsm").strip().split(",") if name)
    except OSError:
        return ()


def seccomp() -> bool:
    """Whether a seccomp filter looks at this process's system calls (as container runtimes install)."""
    return _status("Seccomp") == "2"


def sysctl(name: str) -> int | None:
    """The number in `/proc/sys/NAME`; None when there is none."""
    try:
        return int(_read(f"/proc/sys/{name}").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _status(field: str) -> str:
    try:
        text = _read("/proc/self/status")
    except OSError:
        return ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    return ""


def _read(path: str) -> str:
    from bpfsmith import kernel

    return kernel.door().read_text(path)

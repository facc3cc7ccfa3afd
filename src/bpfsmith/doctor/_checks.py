"""The machine around the kernel's features: rights, settings, mounts, tracing."""

from __future__ import annotations

from bpfsmith.doctor.report import Check
from bpfsmith.kernel import door, live, perf, privilege, targets
from bpfsmith.kernel.info import mounted_with, mounts
from bpfsmith.model.errors import EnvironmentMissing, PermissionMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.doctor.report import DoctorReport

__all__ = ["checks"]


def checks(report: DoctorReport) -> list[Check]:
    """All of them, in reading order."""
    return [*_kernel(report), *_rights(), *_mounts(), *_tracing(report)]


def _kernel(report: DoctorReport) -> Iterator[Check]:
    kernel = live()
    release = door().uname()[0]
    yield Check("kernel", "release", "ok", f"Linux {release} on {kernel.arch}, {kernel.possible_cpus} possible CPUs")
    if all(one.why == "not there (ENOSYS)" for one in report.of("program_type")):
        yield Check(
            "kernel", "bpf(2)", "missing", "this kernel is built without CONFIG_BPF_SYSCALL, or a sandbox hides it"
        )
    if kernel.has_btf:
        modules = _count("/sys/kernel/btf") - 1
        yield Check("kernel", "BTF", "ok", f"types of vmlinux and {modules} module{'s' * (modules != 1)}")
    else:
        yield Check(
            "kernel", "BTF", "missing", "no types (CONFIG_DEBUG_INFO_BTF): CO-RE needs them, or those of a file"
        )
    level = privilege.sysctl("net/core/bpf_jit_enable")
    always = kernel.config("CONFIG_BPF_JIT_ALWAYS_ON") == "y"
    if level or (level is None and always):
        hard = privilege.sysctl("net/core/bpf_jit_harden")
        yield Check("kernel", "JIT", "ok", "programs are compiled" + (", constants blinded" if hard == 2 else ""))
    elif level is None:
        yield Check("kernel", "JIT", "note", "not told to this user (net.core.bpf_jit_enable)")
    else:
        yield Check("kernel", "JIT", "missing", "programs are interpreted", "sysctl net.core.bpf_jit_enable=1")
    if not kernel.has_config:
        yield Check("kernel", "configuration", "note", "not told (/proc/config.gz, /boot/config-*): reasons are fewer",
                    "modprobe configs")  # fmt: skip
    stats = privilege.sysctl("kernel/bpf_stats_enabled")
    if stats:
        yield Check("kernel", "run-time statistics", "note", "are being counted for every program, which costs time",
                    "sysctl kernel.bpf_stats_enabled=0")  # fmt: skip


_FOR = {
    "CAP_BPF": "maps, programs and types",
    "CAP_NET_ADMIN": "network programs and attaching to interfaces and cgroups",
    "CAP_PERFMON": "tracing programs and perf events",
    "CAP_SYS_ADMIN": "listing what is loaded, run-time statistics",
    "CAP_SYSLOG": "addresses of kernel symbols",
}


def _rights() -> Iterator[Check]:
    for capability, use in _FOR.items():
        held = privilege.has(capability)
        status = "ok" if held else "note" if capability == "CAP_SYSLOG" else "missing"
        yield Check("rights", capability, status, use if held else f"not held: {use}", "" if held else "sudo")
    if privilege.in_user_namespace():
        yield Check(
            "rights", "user namespace", "missing", "this is one: rights count inside it only; a BPF token lends them"
        )
    if privilege.seccomp():
        yield Check("rights", "seccomp", "note", "a filter of system calls is on, as in containers",
                    "docker run --security-opt seccomp=unconfined")  # fmt: skip
    if (free := privilege.sysctl("kernel/unprivileged_bpf_disabled")) is not None:
        detail = "everyone may load socket filters" if free == 0 else "only with CAP_BPF"
        yield Check("rights", "kernel.unprivileged_bpf_disabled", "ok", f"{free}: {detail}")
    if (level := privilege.sysctl("kernel/perf_event_paranoid")) is not None:
        held = level < 2 or privilege.has("CAP_PERFMON")
        yield Check("rights", "kernel.perf_event_paranoid", "ok" if held else "note", str(level),
                    "" if held else "sysctl kernel.perf_event_paranoid=1")  # fmt: skip
    if (hidden := privilege.sysctl("kernel/kptr_restrict")) is not None:
        seen = hidden == 0 or (hidden == 1 and privilege.has("CAP_SYSLOG"))
        yield Check("rights", "kernel.kptr_restrict", "ok" if seen else "note",
                    f"{hidden}: addresses are {'told' if seen else 'hidden'}",
                    "" if seen else "sysctl kernel.kptr_restrict=0")  # fmt: skip
    yield from _security()


def _security() -> Iterator[Check]:
    level = privilege.lockdown()
    if level in ("integrity", "confidentiality"):
        hurts = level == "confidentiality"
        detail = f"{level}: programs may {'not read kernel memory' if hurts else 'read, but not write, kernel memory'}"
        yield Check("rights", "lockdown", "missing" if hurts else "note", detail)
    elif level:
        yield Check("rights", "lockdown", "ok", level)
    modules = privilege.security_modules()
    if modules:
        bpf = "bpf" in modules
        yield Check("rights", "security modules", "ok" if bpf else "note",
                    ", ".join(modules) + ("" if bpf else "; `bpf` is not among them: LSM programs are never asked"),
                    "" if bpf else "add lsm=...,bpf to the kernel's command line")  # fmt: skip
    elif not mounts("securityfs"):
        yield Check("rights", "security modules", "note", "not told: securityfs is not mounted",
                    "mount -t securityfs securityfs /sys/kernel/security")  # fmt: skip


_MOUNTS = (
    ("bpf", "bpffs", "/sys/fs/bpf", "pins", "mount -t bpf bpf /sys/fs/bpf"),
    ("tracefs", "tracefs", "/sys/kernel/tracing", "tracepoints", "mount -t tracefs tracefs /sys/kernel/tracing"),
    ("cgroup2", "cgroup2", "/sys/fs/cgroup", "cgroup programs", "mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
)


def _mounts() -> Iterator[Check]:
    for kind, name, usual, use, command in _MOUNTS:
        found = mounts(kind)
        closed = _closed(kind) if found else None
        if closed is not None:
            yield Check("mounts", name, "missing", closed.message, closed.command)
        elif found:
            yield Check("mounts", name, "ok", ", ".join(dict.fromkeys(found)))
        else:
            why, instead = mounted_with(command)
            place = why.removeprefix(" ") or f"at {usual} or anywhere"
            yield Check("mounts", name, "missing", f"not mounted {place}: {use} need it", f"sudo {instead}")


def _closed(kind: str) -> PermissionMissing | None:
    """What attaching to a tracepoint would be told, when this user may not look into tracefs."""
    if kind != "tracefs":
        return None
    try:
        targets.tracefs()
    except PermissionMissing as error:
        return error
    except EnvironmentMissing:
        pass
    return None


def _tracing(report: DoctorReport) -> Iterator[Check]:
    kernel = live()
    for pmu, name, option in (("kprobe", "kprobes", "CONFIG_KPROBES"), ("uprobe", "uprobes", "CONFIG_UPROBE_EVENTS")):
        if perf.number_of_pmu(pmu) is not None:
            yield _probes(pmu, name)
        else:
            off = kernel.has_config and kernel.config(option) is None
            why = f"{option} is not set" if off else f"this kernel has no PMU `{pmu}`"
            yield Check("tracing", name, "missing", f"{pmu} programs load, but cannot be attached: {why}")
    trampolines = next((one for one in report.features if one.name == "trace_fentry"), None)
    if trampolines is not None:
        works = trampolines.status == "yes"
        detail = "fentry and fexit programs load" if works else f"no fentry, fexit or LSM programs: {trampolines.why}"
        yield Check("tracing", "trampolines", "ok" if works else "missing", detail)
    for name, type_, config in (("hardware counters", 0, 0), ("software events", 1, 0)):
        errno = _counts(type_, config)
        if errno == 0:
            yield Check("tracing", name, "ok", "perf events of this kind open")
        elif errno in (1, 13):
            yield Check("tracing", name, "missing", "this user may not open perf events", "sudo")
        else:
            yield Check("tracing", name, "note", "none: virtual machines often have no counters; software events work")


def _probes(pmu: str, name: str) -> Check:
    """As opening one would be answered: `kernel.perf` says the same when it is refused."""
    if privilege.has("CAP_SYS_ADMIN"):
        return Check("tracing", name, "ok", f"{pmu}s can be attached")
    if not privilege.has("CAP_PERFMON"):
        return Check("tracing", name, "missing", f"attaching {pmu}s needs CAP_SYS_ADMIN", "sudo")
    return Check(
        "tracing", name, "note", f"one {pmu} needs CAP_SYS_ADMIN; a `{pmu}.multi` link only CAP_PERFMON", "sudo"
    )


def _counts(type_: int, config: int) -> int:
    """0 when such an event opens for this process, else the errno."""
    from struct import pack

    # disabled, exclude_kernel, exclude_hv: what an unprivileged user may have.
    attr = pack("=IIQQQQQ", type_, 64, config, 0, 0, 0, 1 | 1 << 5 | 1 << 6).ljust(64, b"\0")
    event = door().perf_event_open(attr, 0, -1)
    if isinstance(event, int):
        return -event
    event.close()
    return 0


def _count(folder: str) -> int:
    try:
        return len(door().listdir(folder))
    except OSError:
        return 1

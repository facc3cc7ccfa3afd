"""Kernel functions: kprobes, system calls, fentry and its kin, LSM hooks, functions of other programs.

Targets are checked and attaches are planned; attaching itself is a typed `Unsupported`: nobody has seen these fire on
the kernel this version was made on, and code that was never seen to work is not offered.
"""

from __future__ import annotations

from bpfsmith.kernel import perf, targets
from bpfsmith.model.errors import InputError, TargetMissing, Unsupported

from ._base import needs, require

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

# attach type or first word of the section -> (family, what a user may use here instead)
_TRACE = {
    "trace_fentry": "fentry",
    "trace_fexit": "fexit",
    "modify_return": "fmod_ret",
    "trace_fsession": "fsession",
    "trace_fentry_multi": "fentry.multi",
    "trace_fexit_multi": "fentry.multi",
    "trace_fsession_multi": "fentry.multi",
    "lsm_mac": "lsm",
    "lsm_cgroup": "lsm_cgroup",
}
_INSTEAD = {
    "kprobe": "a tracepoint (`tracepoint/...`, `raw_tp/...`, `tp_btf/...`) of the same path works on this kernel",
    "ksyscall": "`tracepoint/syscalls/sys_enter_NAME` sees the same calls",
    "fentry": "a `tp_btf` program sees typed arguments of a tracepoint",
    "lsm": "a cgroup program decides about sockets, devices and sysctls",
    "lsm_cgroup": "other cgroup programs decide about sockets, devices and sysctls",
    "freplace": "load the program with the function changed",
}


def attach(
    program: Any, function: str | None = None, *, offset: int = 0, ret: bool | None = None, **_: Any
) -> NoReturn:
    """Checks what can be checked without attaching (`TargetMissing` with near matches), then `Unsupported`."""
    family = _family(program)
    require(program, ("kprobe", "tracing", "lsm", "ext"), f"attaching as {family}")
    if family in {"kprobe", "kprobe.multi", "kprobe.session", "ksyscall"}:
        name, extra = _where(program, function)
        offset += extra
        ret = ret if ret is not None else program.section.startswith(("kretprobe", "kretsyscall"))
        check(family, name, offset, bool(ret))
    raise unsupported(family, program.name)


def check(family: str, name: str, offset: int = 0, ret: bool = False) -> None:
    """Whether the target exists; needs no privilege but reading /proc/kallsyms."""
    if family == "ksyscall":
        _check_syscall(name)
    elif targets.is_pattern(name):
        if family == "kprobe":
            raise InputError(f"`{name}` stands for several functions: a kprobe is set on one", name,
                             "section `kprobe.multi` (5.18+) sets many")  # fmt: skip
        targets.functions_like(name)
    else:
        if ret and offset:
            raise InputError(f"a kretprobe is set at a function's start: offset {offset} has no meaning", name)
        same = targets.function(name)
        if same > 1:
            raise InputError(
                f"{same} kernel functions are called `{name}`; Linux 6.6+ refuses an ambiguous name", name,
                "attach by a function that calls it, or by `kprobe.multi`",
            )  # fmt: skip


def _check_syscall(name: str) -> None:
    from bpfsmith.kernel import door
    from bpfsmith.model.near import did_you_mean

    prefix = {"x86_64": "__x64_sys_", "aarch64": "__arm64_sys_", "riscv64": "__riscv_sys_", "s390x": "__s390x_sys_"}
    wrapped = prefix.get(door().uname()[2], "sys_") + name
    if door().kernel_symbols([wrapped]).get(wrapped) or door().kernel_symbols([f"sys_{name}"]).get(f"sys_{name}"):
        return
    start = wrapped.removesuffix(name)
    known = [one.removeprefix(start) for one in targets.symbols() if one.startswith(start)]
    raise TargetMissing(f"there is no system call `{name}` in this kernel", name, did_you_mean(name, known))


def _where(program: Any, function: str | None) -> tuple[str, int]:
    """(function, offset) of the argument or the section: `kprobe/do_unlinkat+0x8`, as libbpf and Aya write it."""
    told = str(function or program.attach_to or "")
    if not told:
        raise needs(program, "function", '"do_unlinkat"')
    name, _, number = told.partition("+")
    try:
        return name, int(number or "0", 0)
    except ValueError:
        raise InputError(f"`{told}` ends with no offset", program.name, "a number follows the `+`") from None


def _family(program: Any) -> str:
    if program.type == "ext":
        return "freplace"
    if program.attach_type in _TRACE:
        return _TRACE[program.attach_type]
    if program.attach_type in {"trace_kprobe_multi", "trace_kprobe_session"}:
        return str(program.attach_type).removeprefix("trace_").replace("_", ".")
    word = (program.section or "").removeprefix("?").partition("/")[0]
    return "ksyscall" if "syscall" in word else "kprobe"


def unsupported(family: str, name: str) -> Unsupported:
    """What is told: what the kernel lacks where that is known, else that this version does not attach it."""
    from . import family as row_of

    row = row_of(family)
    kind = family.partition(".")[0]
    instead = _INSTEAD.get(kind) or _INSTEAD["fentry" if kind.startswith("f") else "kprobe"]
    if kind in {"kprobe", "ksyscall"} and perf.number_of_pmu("kprobe") is None:
        return Unsupported(
            f"`{name}` cannot be attached: this kernel has no kprobes (CONFIG_KPROBES)", family, row.since, instead
        )
    return Unsupported(
        f"`{name}` cannot be attached: this version of bpfsmith checks and plans {family} programs, no more",
        family, row.since, instead,
    )  # fmt: skip


def by_section(program: Any, *where: Any, **options: Any) -> NoReturn:
    """Attaches as the section says."""
    attach(program, *where, **options)


def plan(
    program: Any, function: str | None = None, *, offset: int = 0, cookie: int = 0, **_: Any
) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    family = _family(program)
    end = {"cookie": cookie} if cookie else {}
    if family in {"kprobe.multi", "kprobe.session"}:
        name = _where(program, function)[0]
        return [{"command": "BPF_LINK_CREATE", "attach_type": program.attach_type, "functions": name, **end}]
    if family in {"kprobe", "ksyscall"}:
        name, extra = _where(program, function)
        told = {"symbol": name, "offset": offset + extra or None, "return": program.section.startswith("kret")}
        return [
            {"command": "perf_event_open", "type": "kprobe", **told},
            {"command": "BPF_LINK_CREATE", "attach_type": "perf_event", **end},
        ]
    if family == "freplace":
        return [{"command": "BPF_LINK_CREATE", "attach_type": "ext", "target": program.attach_to, **end}]
    return [{"command": "BPF_LINK_CREATE", "attach_type": program.attach_type, "target": program.attach_to, **end}]

"""Kprobes: a program when a kernel function is entered (or an instruction of it is reached) or returns.

By a perf event of the kprobe PMU (4.17+) with a link (5.15+), or without one; by an event of tracefs where the PMU is
missing. `ksyscall` finds the function behind a system call, which architectures name differently.
"""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.kernel import functions, perf, privilege, targets
from bpfsmith.model.errors import EnvironmentMissing, InputError, PermissionMissing, TargetMissing, Unsupported
from bpfsmith.run.link import Link

from ._base import EBUSY, EINVAL, ENOENT, choice, needs, require
from ._perf import attach_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith._native import Fd
    from bpfsmith.model.errors import BpfsmithError

VIA = {"": None, "perf": "perf", "tracefs": "tracefs"}
GROUP = "bpfsmith"
_EILSEQ, _EADDRNOTAVAIL = 84, 99
_MULTI = ("trace_kprobe_multi", "trace_kprobe_session")
# Where the kernel wraps system calls (CONFIG_ARCH_HAS_SYSCALL_WRAPPER); elsewhere they are `__se_sys_` or `sys_`.
_WRAPPERS = {"x86_64": "__x64_sys_", "aarch64": "__arm64_sys_", "riscv64": "__riscv_sys_", "s390x": "__s390x_sys_"}
_INSTEAD = "a tracepoint (`tracepoint/...`, `raw_tp/...`, `tp_btf/...`) of the same path works without"


def attach(
    program: Any, function: str | None = None, *, offset: int = 0, address: int = 0, ret: bool | None = None,
    cookie: int = 0, via: str | None = None,
) -> Link:  # fmt: skip
    """See `AttachMethods.attach_kprobe`."""
    require(program, ("kprobe",), "attach_kprobe")
    choice("way to set a kprobe", via or "", VIA)
    ret = returns(program) if ret is None else ret
    if program.attach_type in _MULTI:
        from .kprobe_multi import attach as many

        return many(program, symbols=[where(program, function)[0]], ret=ret, cookies=[cookie] if cookie else ())
    name = ""
    if address and function is None:
        if offset:
            raise InputError("`offset` counts from a function, and `address` says the place already", program.name)
    else:
        name, extra = where(program, function)
        offset += extra
        if targets.is_pattern(name):
            raise InputError(f"`{name}` stands for several functions: a kprobe is set on one", name,
                             "section `kprobe.multi` (5.18+) sets many")  # fmt: skip
        if not address:
            _check(name, offset, ret)
    what = "kretprobe" if ret else "kprobe"
    place = f"`{name}{f'+{offset:#x}' if offset else ''}`" if name else f"{address:#x}"
    return _set(program, "kprobe", f"{what} {place}", name, offset, address, ret, cookie, via)


def attach_syscall(
    program: Any, name: str | None = None, *, ret: bool | None = None, cookie: int = 0, via: str | None = None
) -> Link:
    """See `AttachMethods.attach_ksyscall`."""
    require(program, ("kprobe",), "attach_ksyscall")
    choice("way to set a kprobe", via or "", VIA)
    name = where(program, name)[0]
    ret = returns(program) if ret is None else ret
    function = syscall(name)
    target = f"{'kretsyscall' if ret else 'ksyscall'} `{name}`"
    return _set(program, "ksyscall", target, function, 0, 0, ret, cookie, via)


def returns(program: Any) -> bool:
    """Whether the section asks for the return."""
    return bool((program.section or "").removeprefix("?").startswith("kret"))


def where(program: Any, function: str | None) -> tuple[str, int]:
    """(function, offset) of the argument or the section: `kprobe/do_unlinkat+0x8`, as libbpf and Aya write it."""
    told = str(function or program.attach_to or "")
    if not told:
        raise needs(program, "function", '"do_unlinkat"')
    name, _, number = told.partition("+")
    try:
        return name, int(number or "0", 0)
    except ValueError:
        raise InputError(f"`{told}` ends with no offset", program.name, "a number follows the `+`") from None


def _check(name: str, offset: int, ret: bool) -> None:
    """Whether there is one such function; needs no privilege but reading /proc/kallsyms."""
    if ret and offset:
        raise InputError(f"a kretprobe is set at a function's start: offset {offset} has no meaning", name)
    module, bare = functions.split(name)
    same = targets.function(bare, module or None)
    if same > 1:
        raise _ambiguous(name, same)
    if offset < 0:
        raise InputError(f"offset {offset} lies before `{name}`", name)
    # The kernel takes what lies in the next function, too.
    if offset and 0 < (length := functions.size(functions.addresses(name)[0])) <= offset:
        raise InputError(f"offset {offset:#x} lies outside of `{name}`, which has {length} bytes", name)


def _ambiguous(name: str, count: int) -> InputError:
    known = [f"`address={one:#x}`" for one in functions.addresses(name) if one]
    rows = kernel.door().kernel_symbols([functions.split(name)[1]]).get(functions.split(name)[1], [])
    modules = sorted({f"`{module}:{functions.split(name)[1]}`" for _, module in rows if module})
    ways = [*modules, *known][:4]
    return InputError(
        f"{count} kernel functions are called `{name}`; Linux 6.6+ refuses an ambiguous name", name,
        f"say which: {' or '.join(ways)}" if ways else "attach by a function that calls it, or by `kprobe.multi`",
    )  # fmt: skip


def syscall(name: str) -> str:
    """The function behind a system call of this kernel; `TargetMissing` with near matches."""
    from bpfsmith.model.near import did_you_mean

    door = kernel.door()
    first = _WRAPPERS.get(door.uname()[2], "")
    ways = [f"{start}{name}" for start in dict.fromkeys((first, "__se_sys_", "sys_")) if start]
    found = door.kernel_symbols(ways)
    for one in ways:
        if found.get(one):
            return one
    start = first or "sys_"
    known = {one.removeprefix(start) for one in targets.symbols() if one.startswith(start)}
    raise TargetMissing(f"there is no system call `{name}` in this kernel", name, did_you_mean(name, sorted(known)))


# ------------------------------------------------------------ setting it


def _set(
    program: Any, family: str, target: str, name: str, offset: int, address: int, ret: bool, cookie: int,
    via: str | None,
) -> Link:  # fmt: skip
    if via == "tracefs" or (via is None and perf.number_of_pmu("kprobe") is None):
        return _by_tracefs(program, family, target, name, offset, address, ret, cookie)
    event = perf.open_kprobe("" if address else name, offset, address=address + offset if address else 0, ret=ret)
    if event == -ENOENT and ":" in name and not address:
        # 6.6 looks for the whole text among the names when it counts them.
        known = functions.addresses(name)
        if len(known) == 1 and known[0]:
            event = perf.open_kprobe("", address=known[0] + offset, ret=ret)
    if isinstance(event, int):
        raise refused(event, target, name, offset)
    return attach_event(program, family, target, event, cookie)


_made = 0


def _by_tracefs(
    program: Any, family: str, target: str, name: str, offset: int, address: int, ret: bool, cookie: int
) -> Link:
    """An event of tracefs, which stays until it is removed: it is recorded for `bpfsmith doctor --clean`."""
    from os import getpid

    from bpfsmith.kernel import journal

    global _made  # noqa: PLW0603 - names of events are the kernel's, one for each of this process
    root, door = targets.tracefs(), kernel.door()
    file = f"{root}/kprobe_events"
    if not door.exists(file):
        raise lacking(family, program.name) or Unsupported(f"this kernel sets no {target}", family)
    _made += 1
    event = f"probe_{getpid()}_{_made}"
    place = hex(address + offset) if address else f"{name}{f'+{offset:#x}' if offset else ''}"
    try:
        door.write_text(file, f"{'r' if ret else 'p'}:{GROUP}/{event} {place}\n", append=True)
    except OSError as error:
        raise refused(-(error.errno or EINVAL), target, name, offset) from None
    journal.record("kprobe", f"{GROUP}/{event}")

    def undo() -> None:
        remove_event(file, event)
        journal.forget("kprobe", f"{GROUP}/{event}")

    try:
        return attach_event(program, family, target, _open(root, event, target), cookie, [undo])
    except BaseException:
        undo()
        raise


def _open(root: str, event: str, target: str) -> Fd:
    number = int(kernel.door().read_text(f"{root}/events/{GROUP}/{event}/id"))
    fd = perf.open_event(perf.TRACEPOINT, number, period=1, cpu=0)
    if isinstance(fd, int):
        raise perf.refusal(fd, target)
    return fd


def remove_event(file: str, event: str) -> bool:
    """Takes an event of ours out of `kprobe_events`; whether it is gone. The kernel frees what used it a little
    later."""
    from time import sleep

    for _ in range(50):
        try:
            kernel.door().write_text(file, f"-:{GROUP}/{event}\n", append=True)
        except OSError as error:
            if error.errno == EBUSY:
                sleep(0.01)
                continue
            return error.errno == ENOENT
        return True
    return False


def refused(errno: int, target: str, name: str, offset: int = 0) -> BpfsmithError:
    """The error for a kprobe the kernel did not set."""
    errno = -errno
    if errno in {1, 13}:
        if privilege.lockdown() == "confidentiality":
            return PermissionMissing(f"setting {target} is refused: the kernel is locked down (confidentiality)", "",
                                     target, "lockdown")  # fmt: skip
        return perf.refusal(errno, target)
    if errno == _EADDRNOTAVAIL:
        return _ambiguous(name, max(2, len(functions.addresses(name))))
    if errno == _EILSEQ:
        return InputError(
            f"offset {offset:#x} of `{name}` is not the start of an instruction", name,
            "`objdump -d` of vmlinux lists the offsets",
        )  # fmt: skip
    if errno in {EINVAL, ENOENT, 95, 33}:
        why = functions.untraceable(name) if name else ""
        if offset and not why:
            why = f"offset {offset:#x} lies outside of it, or inside of an instruction"
        return InputError(
            f"the kernel sets no {target}{f': {why}' if why else ''}", name,
            "attach to a function that calls it, or that it calls",
        )  # fmt: skip
    return perf.refusal(errno, target)


# ------------------------------------------------------------ the row


def lacking(family: str, name: str) -> Unsupported | None:
    """What is told where this kernel has no kprobes; None where it has them."""
    if perf.number_of_pmu("kprobe") is not None:
        return None
    try:
        if kernel.door().exists(f"{targets.tracefs()}/kprobe_events"):
            return None
    except EnvironmentMissing:
        pass
    return Unsupported(
        f"`{name}` cannot be attached: this kernel has no kprobes (CONFIG_KPROBES, CONFIG_KPROBE_EVENTS)", family,
        "4.17", _INSTEAD,
    )  # fmt: skip


def by_section(program: Any, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    word = (program.section or "").removeprefix("?").partition("/")[0]
    attach_as: Callable[..., Link] = attach_syscall if "syscall" in word else attach
    return attach_as(program, *where, **options)


def plan(
    program: Any, function: str | None = None, *, offset: int = 0, ret: bool | None = None, cookie: int = 0,
    address: int = 0, **_: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """What attaching would ask of the kernel."""
    name, extra = ("", 0) if address and not function else where(program, function)
    told = {"symbol": name, "address": hex(address) if address else None, "offset": offset + extra or None,
            "return": returns(program) if ret is None else ret}  # fmt: skip
    return [
        {"command": "perf_event_open", "type": "kprobe", **told},
        {"command": "BPF_LINK_CREATE", "attach_type": "perf_event", **({"cookie": cookie} if cookie else {})},
    ]

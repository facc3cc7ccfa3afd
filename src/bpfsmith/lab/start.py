"""From a kernel's name to a guest that answers: its template on demand, a clone of it, and what to do when it fails."""

from __future__ import annotations

import os

from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, GuestFailed, InputError

from . import qemu, snapshot, store
from .described import LabKernel
from .machine import Machine, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .guest import Guest
    from .snapshot import Template
    from .store import Prepared

__all__ = ["LARGER", "Abandoned", "available", "cores", "describe", "larger", "spec_of", "start", "within"]

LARGER = 4
"""How many times the memory a guest gets that ran out of it, once."""
# Seconds: an emulated boot takes 3 on a quiet machine and 30 on a busy one; a clone 0.2 and 3.
BOOT, CLONE, KVM_BOOT = 180.0, 60.0, 30.0


class Abandoned(Exception):
    """Raised by a `began` of `start`: nobody waits for this guest any more."""


class _Process:
    """What one process keeps: descriptions of kernels by the key of their machine, and templates that live in memory
    only (a full disk). Both are small beside the guests themselves, and there are as many as kernels."""

    kernels: dict[str, LabKernel] = {}  # noqa: RUF012 - one per process on purpose
    held: dict[tuple[str, str], Template] = {}  # noqa: RUF012


def start(
    kernel: str | Prepared, *, image: str = "base", memory: int | None = None, timeout: float | None = None,
    fresh: bool = False, report: Callable[[str], None] = lambda _: None, keep: bool = True,
    began: Callable[[Machine], object] = lambda _: None,
) -> Guest:  # fmt: skip
    """See `lab.open`. `report` is told what takes seconds, in a few words; `began` each machine before its guest
    answers. `keep` False: a template made for it is not kept on disk."""
    prepared = store.find(kernel)
    spec = spec_of(prepared, image, memory)
    while True:
        try:
            return _started(spec, prepared, timeout, fresh, report, keep, began)
        except GuestFailed as error:
            if spec.accel == "tcg" or error.what == "memory":
                raise
            # KVM that runs a few instructions and no kernel: nested or restricted hosts have it.
            spec.qemu.doubt_kvm(store.folder())
            spec = spec_of(prepared, image, memory)
            if spec.accel != "tcg":
                raise


def _started(
    spec: Spec, prepared: Prepared, timeout: float | None, fresh: bool, report: Callable[[str], None], keep: bool,
    began: Callable[[Machine], object],
) -> Guest:  # fmt: skip
    if fresh:
        return _booted(spec, prepared, timeout, report, began)
    key = spec.key()
    base = os.path.join(prepared.folder, "templates")
    template = snapshot.Template.find(spec, base) or _Process.held.get((base, key))

    def warm(machine: Machine) -> tuple[dict[str, Any], dict[str, bytes]]:
        began(machine)
        return _warm(machine, prepared, timeout, report)

    for anew in (False, True):
        if template is None:
            try:
                template = _made(spec, base, warm, anew, report, keep)
            except snapshot.Untrusted:
                break
            if not template.folder:
                _Process.held[base, key] = template
                if template.unkept:
                    report(f"the copy of kernel {spec.name} is not kept: {template.unkept}")
        try:
            return _cloned(template, prepared, key, timeout, began)
        except GuestFailed as error:
            # Whatever it was, a boot is the cure: a damaged snapshot, a QEMU that restores wrongly, a busy host.
            report(f"a copy of kernel {spec.name} did not start ({error.what}): booting it anew")
        finally:
            if template.folder:
                template.close()
        _Process.held.pop((base, key), None)
        template = None
    return _booted(spec, prepared, timeout, report, began)


def _made(
    spec: Spec, base: str, warm: snapshot.Warm, anew: bool, report: Callable[[str], None], keep: bool
) -> Template:
    """A boot that fails is tried once more: on a busy machine an emulated kernel may find its timer too slow."""
    try:
        return snapshot.Template.make(spec, base, warm, anew=anew, keep=keep)
    except GuestFailed as error:
        if error.what == "boot" or spec.accel != "tcg":
            raise  # it had its time, or never began
        report(f"kernel {spec.name} did not come up ({error.what}): once more")
    return snapshot.Template.make(spec, base, warm, anew=anew, keep=keep)


def _cloned(
    template: Template, prepared: Prepared, key: str, timeout: float | None, began: Callable[[Machine], object]
) -> Guest:
    from .guest import Guest

    known = _Process.kernels.get(key)
    if known is None:
        known = _Process.kernels[key] = LabKernel(prepared, template.about, template.extra)
    machine = Machine.clone(template)
    try:
        began(machine)
        return Guest.of(machine, prepared.name, timeout=timeout or CLONE, kernel=known)
    except BaseException:
        machine.kill()
        raise


def _booted(
    spec: Spec, prepared: Prepared, timeout: float | None, report: Callable[[str], None],
    began: Callable[[Machine], object],
) -> Guest:  # fmt: skip
    """Without a template: what is learnt is learnt for this guest alone."""
    from .guest import Guest

    report(f"booting kernel {spec.name}")
    machine = Machine.boot(spec)
    try:
        began(machine)
        guest = Guest.of(machine, prepared.name, timeout=timeout or _boot_limit(spec), kernel=LabKernel(prepared, {}))
        about, large = _learnt(guest, prepared, spec)
        guest.kernel = LabKernel(prepared, about, large.get)
    except BaseException:
        machine.kill()
        raise
    return guest


def _warm(
    machine: Machine, prepared: Prepared, timeout: float | None, report: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    from .guest import Guest

    report(f"booting kernel {prepared.name} once")
    limit = timeout or _boot_limit(machine.spec)
    guest = Guest.of(machine, prepared.name, timeout=limit, kernel=LabKernel(prepared, {}))
    return _learnt(guest, prepared, machine.spec)


def _learnt(guest: Guest, prepared: Prepared, spec: Spec) -> tuple[dict[str, Any], dict[str, bytes]]:
    from .learn import learn

    about, large = learn(guest, prepared)
    if spec.label == "tools":
        from .workload import get_ready

        about["tools"] = get_ready(guest, prepared)
    return about, large


def _boot_limit(spec: Spec) -> float:
    return KVM_BOOT if spec.accel == "kvm" else BOOT


# ------------------------------------------------------------ what a machine is made of


def spec_of(prepared: Prepared, image: str = "base", memory: int | None = None) -> Spec:
    """The machine for a prepared kernel. `EnvironmentMissing` without a QEMU that can run it, or a file of its."""
    folder = store.folder()
    found = qemu.find(prepared.arch, folder)
    prepared.usable()
    prepared.check()
    make, key = _image(prepared, image)
    least = found.arch.memory * (2 if image != "base" else 1)
    if memory is not None and memory < 64:
        raise InputError(f"a guest of {memory} MiB", hint="memory is in MiB, 64 and more")
    if memory is not None and memory > total():
        raise EnvironmentMissing(
            f"no memory for a guest of {memory} MiB: this machine has {total()}", "", prepared.name
        )
    return Spec(
        prepared.name, found, found.accel(folder), prepared.vmlinux, make, key, label=image, memory=memory or least
    )


def _image(prepared: Prepared, image: str) -> tuple[Callable[[], bytes], str]:
    from .image import base, base_key

    if image == "base":
        return lambda: base(prepared.arch, prepared.modules), base_key(prepared.arch, prepared.modules)
    if image == "tools":
        from . import pyimage

        if prepared.arch != os.uname().machine:
            raise InputError(
                f"kernel `{prepared.name}` is {prepared.arch}: guests with Python and tools have those of this machine",
                prepared.name, "`bpfsmith verify --kernels` judges programs on it",
            )  # fmt: skip
        return (
            lambda: base(prepared.arch, prepared.modules) + pyimage.build(),
            f"{base_key(prepared.arch, prepared.modules)}\n{pyimage.key()}",
        )
    raise InputError(f"no image `{image}`", hint="there are `base` and `tools`")


def larger(spec: Spec) -> int:
    """The memory (MiB) to try once more with; `EnvironmentMissing` when this machine has not that much."""
    wanted = spec.memory * LARGER
    free = available()
    if free and wanted > free:
        told = f"a guest of {spec.memory} MiB ran out of memory, and this machine has no {wanted} MiB for a larger one"
        raise EnvironmentMissing(told, "", spec.name)
    return wanted


def available() -> int:
    """MiB of memory that is free for us: of this machine, and of the control groups we are in (a container's limit); 0
    when neither says."""
    free = [_meminfo(b"MemAvailable:"), *(most - used for most, used in _limits("memory.max", "memory.current"))]
    return max(1, min(known)) if (known := [one for one in free if one]) else 0


def cores() -> int:
    """How many processors we may use: those this process is bound to, less where a control group allows less time."""
    own = len(os.sched_getaffinity(0))
    for folder in _groups():
        try:
            with open(f"{folder}/cpu.max") as file:
                quota, period = file.read().split()
            if quota != "max":
                own = min(own, max(1, -(-int(quota) // int(period))))
        except (OSError, ValueError):
            continue
    return own


def _groups() -> list[str]:
    """Folders of our control group and those above it, as far as they can be seen (version 2)."""
    try:
        with open("/proc/self/cgroup") as file:
            path = next(line[3:].strip() for line in file if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return ["/".join(["/sys/fs/cgroup", *parts[:count]]) for count in range(len(parts), -1, -1)]


def _limits(most: str, used: str) -> Iterator[tuple[int, int]]:
    """(limit, use) in MiB of each control group that has a limit."""
    for folder in _groups():
        try:
            with open(f"{folder}/{most}") as file, open(f"{folder}/{used}") as other:
                limit = file.read().strip()
                if limit != "max":
                    yield int(limit) >> 20, int(other.read()) >> 20
        except (OSError, ValueError):
            continue


def total() -> int:
    """MiB of memory this machine has, swap too."""
    return _meminfo(b"MemTotal:") + _meminfo(b"SwapTotal:") or 1 << 30


def _meminfo(name: bytes) -> int:
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(name):
                    return int(line.split()[1]) >> 10
    except (OSError, ValueError, IndexError):
        pass
    return 0


def within(
    kernel: str | Prepared, job: Callable[[Guest], Any], *, image: str = "base", memory: int | None = None,
    timeout: float | None = None, report: Callable[[str], None] = lambda _: None,
    began: Callable[[Machine], object] = lambda _: None,
) -> Any:  # fmt: skip
    """`job(guest)` in a guest of its own, inside `kernel.through` it; a job that ran out of the guest's memory is done
    once more in a larger one, whose template is made on demand and not kept on disk. `began`: told
    each machine before its guest answers."""
    from bpfsmith import kernel as door_of

    prepared = store.find(kernel)
    for last in (False, True):
        with start(
            prepared, image=image, memory=memory, timeout=timeout, report=report, keep=not last, began=began
        ) as guest:
            try:
                with door_of.through(guest.door, guest.kernel or LabKernel(prepared, {})):
                    return job(guest)
            except GuestFailed as error:
                if last or error.what != "memory":
                    raise
        spec = spec_of(prepared, image, memory)
        memory = larger(spec)
        report(f"kernel {spec.name} ran out of {spec.memory} MiB: once more with {memory} MiB")
    raise AssertionError


def describe(kernel: str | Prepared, *, image: str = "base") -> LabKernel:
    """A prepared kernel as the planner sees it, without a guest: exact once it booted here, hopeful (as for a kernel
    that has everything) before."""
    prepared = store.find(kernel)
    try:
        spec = spec_of(prepared, image)
    except BpfsmithError:
        return LabKernel(prepared, {})
    key = spec.key()
    known = _Process.kernels.get(key)
    if known is None:
        template = snapshot.Template.find(spec, os.path.join(prepared.folder, "templates"))
        if template is None:
            return LabKernel(prepared, {})
        known = _Process.kernels[key] = LabKernel(prepared, template.about, template.extra)
        template.close()
    return known

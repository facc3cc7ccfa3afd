"""Whether the lab can work here: QEMU, KVM, memory, disk, kernels; one command for all that is missing."""

from __future__ import annotations

import os

from bpfsmith.doctor.report import Check
from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["lab_checks"]

# A file of the tools image that no other machine has.
IN_GUEST = "/etc/bpfsmith-guest"
# What a kernel takes: prepared and with a guest's memory on disk, and while it runs.
_DISK, _MEMORY = 200, 300  # MB


def lab_checks() -> Iterator[Check]:
    """The group `lab`, in reading order: what is there, then whether that is enough and the command if not."""
    if os.path.exists(IN_GUEST):
        return  # a lab inside the lab is nobody's wish
    commands: list[str] = []
    checks = [*_qemu(commands), *_memory(), *_kernels(commands)]
    yield from checks
    bad = [one.name for one in checks if one.status == "missing"]
    command = " && ".join(commands)
    if bad:
        detail = f"`verify`, `lab exec` and `run --kernel` do not work here: {', '.join(bad)}"
        yield Check("lab", "lab", "missing", detail, command)
    else:
        yield Check("lab", "lab", "ok", "kernels can be booted here, without root", command)


def _qemu(commands: list[str]) -> Iterator[Check]:
    from bpfsmith.lab import qemu, store

    kept = store.place() if os.path.isdir(store.place()) else ""  # asking leaves nothing behind
    try:
        found = qemu.find("", kept)
    except EnvironmentMissing as error:
        yield Check("lab", "QEMU", "missing", error.message)
        commands.append(f"sudo {error.command}" if os.geteuid() and error.command else error.command)
        return
    except BpfsmithError as error:  # an architecture without machines, a cache that cannot be made
        yield Check("lab", "QEMU", "missing", str(error))
        return
    yield Check("lab", "QEMU", "ok", f"{'.'.join(map(str, found.version))}, {found.path}")
    try:
        accel = found.accel(kept)
    except BpfsmithError as error:  # BPFSMITH_ACCEL wants what is not here
        yield Check("lab", "KVM", "missing", error.message)
        if isinstance(error, EnvironmentMissing):
            commands.append(error.command)
        return
    if accel == "kvm":
        yield Check("lab", "KVM", "ok", "guests run on the processor itself")
    else:
        yield Check("lab", "KVM", "note", f"{_no_kvm()}; guests are emulated: 2 to 4 s for the first boot of a kernel")


def _no_kvm() -> str:
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened by this user (group kvm)"
    return "/dev/kvm is there, but no guest runs by it"


def _memory() -> Iterator[Check]:
    from bpfsmith.lab.start import available

    free = available()  # MiB
    if not free:
        return  # this system does not say
    status = "ok" if free >= _MEMORY else "missing"
    guests = f"{max(free // _MEMORY, 0)} guests at once" if free >= 2 * _MEMORY else "one guest at a time"
    detail = guests if status == "ok" else f"a guest takes {_MEMORY} MB"
    yield Check("lab", "memory", status, f"{free} MiB free: {detail}")


def _kernels(commands: list[str]) -> Iterator[Check]:
    from bpfsmith.lab import store
    from bpfsmith.lab.kernels.matrix import DEFAULT

    folder = store.place()
    there = folder
    while not os.path.exists(there) and there != os.path.dirname(there):
        there = os.path.dirname(there)
    here = store.all()
    stat = os.statvfs(there)
    names = list(dict.fromkeys(one.name for one in here))
    absent = [one for one in DEFAULT if one not in names]
    free = stat.f_bavail * stat.f_frsize // 1_000_000
    enough = free >= _DISK * max(len(absent), 1)
    more = f"; {_DISK * len(absent)} MB are needed for {', '.join(absent)}" if not enough and absent else ""
    yield Check("lab", "disk", "ok" if enough else "note", f"{free} MB free in {folder}{more}")
    get = "bpfsmith lab get" + ("" if len(absent) == len(DEFAULT) else "".join(f" {one}" for one in absent))
    if not names:
        yield Check("lab", "kernels", "missing", "none is prepared (the default ones: 190 MB to download, a minute)")
        commands.append(get)
    else:
        without = f"; not prepared: {', '.join(absent)}" if absent else ""
        yield Check("lab", "kernels", "note" if absent else "ok", f"{', '.join(names)}{without}")
        if absent:
            commands.append(get)

"""Guests of the lab for `bench_lab.py`: a copy of a template, a boot, all kernels; and virtme-ng."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial

from _measure import CannotMeasure, Case, Sample, side_by_side

from bpfsmith import lab
from bpfsmith.lab import start, store
from bpfsmith.lab.described import LabKernel
from bpfsmith.lab.guest import Guest
from bpfsmith.lab.machine import Machine

KERNEL = os.environ.get("BPFSMITH_BENCH_KERNEL", "6.12")


def watched(work: Callable[[], float]) -> dict[str, Sample]:
    """`work` answers when its guest replied first; CPU is that of QEMU and of this process, until the guest is gone."""
    before = _used()
    began = time.perf_counter()
    replied = work()
    wall = time.perf_counter() - began
    cpu = (_used() - before) * 1e3
    return {"first reply": Sample((replied - began) * 1e3, cpu), "and gone": Sample(wall * 1e3, cpu)}


def _used() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def copied() -> float:
    """What `lab.open` does once a template is there."""
    with lab.open(KERNEL) as guest:
        guest.door.uname()
        return time.perf_counter()


def booted() -> float:
    """The same kernel and agent, booted for this run: what a plain QEMU per run costs at least."""
    prepared = store.find(KERNEL)
    machine = Machine.boot(start.spec_of(prepared))
    with Guest.of(machine, KERNEL, timeout=300, kernel=LabKernel(prepared, {})) as guest:
        guest.door.uname()
        return time.perf_counter()


def virtme() -> dict[str, Sample]:
    """`vng` with a kernel it can use: one with 9p or virtiofs, which Debian's cloud kernels are built without. The
    image of its `linux-image-amd64` lies where its package has it, beside `lib/modules` with what `depmod` makes."""
    command = shutil.which("vng")
    image = os.environ.get("BPFSMITH_BENCH_VNG", "")
    if not command or not image:
        raise CannotMeasure("no `vng`, or BPFSMITH_BENCH_VNG names no kernel image for it")
    slow = ["--disable-kvm"] if start.spec_of(store.find(KERNEL)).accel == "tcg" else []
    before, began = _used(), time.perf_counter()
    # With a pipe: it opens its standard output once more.
    # Verbose, its script falls back to the console where the guest has no udev.
    done = subprocess.run(
        [command, "--verbose", *slow, "--run", image, "--", "uname", "-r"], capture_output=True, check=False,
        cwd=os.path.dirname(image),
    )  # fmt: skip
    if done.returncode or b"script exited with code 0" not in done.stdout + done.stderr:
        raise CannotMeasure(f"`vng` ended with {done.returncode}")
    return {"and gone": Sample((time.perf_counter() - began) * 1e3, (_used() - before) * 1e3)}


def at_once(names: Sequence[str]) -> dict[str, Sample]:
    """A guest of each kernel, as many together as there are cores."""
    before, began = _used(), time.perf_counter()
    if len(list(lab.each(names, lambda guest: guest.door.uname()))) != len(names):
        raise CannotMeasure("not every kernel answered")
    return {"all": Sample((time.perf_counter() - began) * 1e3, (_used() - before) * 1e3)}


def cases(n: int) -> Sequence[Case]:
    """Tables of one guest and of all kernels."""
    names = [one.name for one in store.all() if one.arch == os.uname().machine]
    if KERNEL not in names:
        raise SystemExit(f"kernel {KERNEL} is not prepared: bpfsmith lab get {KERNEL}")
    at_once(names)  # the templates
    one = side_by_side(
        {"bpfsmith, a copy": partial(watched, copied), "a boot per run": partial(watched, booted), "virtme-ng": virtme},
        n,
    )
    many = side_by_side({f"{len(names)} kernels": partial(at_once, names)}, n)
    return [
        Case("One guest, from nothing to its first reply, and until it is gone", one,
             remarks=f"Kernel {KERNEL}, {start.spec_of(store.find(KERNEL)).accel}."),
        Case("A guest of every prepared kernel", many),
    ]  # fmt: skip

"""Perf events: a program at every Nth event, or N times a second, of a CPU, a process or a cgroup."""

from __future__ import annotations

import os
from functools import partial

from bpfsmith import kernel
from bpfsmith.kernel import perf, targets
from bpfsmith.model.errors import InputError, TargetMissing
from bpfsmith.run.link import Link, LinkGroup

from ._base import refusal, require
from ._perf import all_or_none, attach_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

CLOCKS = {(perf.SOFTWARE, 0), (perf.SOFTWARE, 1)}
FREQUENCY = 99


def attach(
    program: Any, event: str = "cpu-clock", *, period: int | None = None, frequency: int | None = None, pid: int = -1,
    cpu: int | Sequence[int] | None = None, cgroup: str | None = None, inherit: bool = False, cookie: int = 0,
    config: tuple[int, int] | None = None,
) -> LinkGroup:  # fmt: skip
    """See `AttachMethods.attach_perf_event`."""
    require(program, ("perf_event",), "attach_perf_event")
    kind, number = config if config is not None else perf.event(event)
    name = f"type {kind}, config {number:#x}" if config is not None else f"`{event}`"
    if period is not None and frequency is not None:
        raise InputError("`period` and `frequency` exclude each other", program.name)
    if period is None and frequency is None:
        frequency, period = (FREQUENCY, 0) if (kind, number) in CLOCKS else (0, 1)
    if (period is not None and period < 1 and not frequency) or (frequency is not None and frequency < 0):
        raise InputError("`period` and `frequency` are at least 1", program.name)
    if frequency and frequency > (most := perf.max_frequency()):
        raise InputError(
            f"this kernel samples at most {most} times a second, not {frequency}", program.name,
            f"`sysctl kernel.perf_event_max_sample_rate={frequency}` allows it",
        )  # fmt: skip
    if cgroup is not None and pid >= 0:
        raise InputError("`pid` and `cgroup` exclude each other", program.name)
    cpus = _cpus(cpu, pid, cgroup)
    target, folder = f"perf event {name}", None
    if cgroup is not None:
        path = targets.cgroup(cgroup)
        target += f" of cgroup `{path}`"
        opened = kernel.door().open_fd(path, os.O_RDONLY | os.O_DIRECTORY)
        if isinstance(opened, int):
            raise refusal("open", opened, program, target)
        folder = opened

    def one(number_of_cpu: int) -> Link:
        fd = perf.open_event(
            kind, number, period=period or 0, frequency=frequency or 0, pid=pid, cpu=number_of_cpu, inherit=inherit,
            cgroup=folder.fileno() if folder is not None else -1,
        )  # fmt: skip
        if isinstance(fd, int):
            raise perf.refusal(fd, target)
        return attach_event(program, "perf_event", target, fd, cookie)

    try:
        links = all_or_none([partial(one, number_of_cpu) for number_of_cpu in cpus])
    finally:
        if folder is not None:
            folder.close()
    return LinkGroup(program, "perf_event", target, links)


def _cpus(cpu: int | Sequence[int] | None, pid: int, cgroup: str | None) -> list[int]:
    if cpu is None:
        # Without a process an event belongs to a CPU; so does that of a cgroup.
        return [-1] if pid >= 0 and cgroup is None else perf.online_cpus()
    wanted = [cpu] if isinstance(cpu, int) else list(cpu)
    online = perf.online_cpus()
    for one in wanted:
        if one not in online:
            raise TargetMissing(f"CPU {one} is not online", str(one), f"online are {', '.join(map(str, online))}")
    return wanted


def by_section(program: Any, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    return attach(program, *where, **options)


def plan(
    _program: Any, event: str = "cpu-clock", *, config: tuple[int, int] | None = None, **options: Any
) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    kind, number = config if config is not None else perf.event(event)
    given = {key: value for key, value in options.items() if value is not None}
    return [
        {"command": "perf_event_open", "type": kind, "config": number, **given},
        {"command": "BPF_LINK_CREATE", "attach_type": "perf_event"},
    ]

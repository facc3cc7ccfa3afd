"""As much of loaded programs and of a kernel as attaching looks at: shared by the tests of attaching."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.kernel import fake, netlink
from bpfsmith.run.attach.methods import AttachMethods
from bpfsmith.run.link import Link

FILES = {
    "/proc/self/mounts": "tmpfs /tmp tmpfs rw 0 0\nnone /cg cgroup2 rw 0 0\n",
    "/cg/cgroup.procs": "",
    "/cg/cgroup.controllers": "",
    "/cg/web/cgroup.procs": "",
    "/cg/web/cgroup.controllers": "",
    "/sys/kernel/tracing/events/sched/sched_switch/id": "316\n",
    "/sys/kernel/tracing/available_events": "sched:sched_switch\nsched:sched_waking\nsyscalls:sys_enter_openat\n",
    "/sys/bus/event_source/devices/uprobe/type": "9\n",
    "/sys/bus/event_source/devices/uprobe/format/retprobe": "config:0\n",
    "/sys/devices/system/cpu/online": "0-1,3\n",
    "/proc/thread-self/ns/net": "",
    "/proc/kallsyms": "0 t do_unlinkat\n0 t do_unlink_one\n0 T tcp_v4_connect\n0 t __x64_sys_unlinkat\n",
}


class Owner:
    """Stands for the loaded object."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.maps: dict[str, Any] = {}


class Program(AttachMethods):
    """As much of a loaded program as attaching looks at."""

    def __init__(self, kind: str, attach_type: str | None = None, section: str = "", to: str | None = None) -> None:
        from bpfsmith._native import Fd

        self.name = "prog"
        self.type, self.attach_type, self.section, self.attach_to = kind, attach_type, section or kind, to
        self.fd = Fd(os.open(os.devnull, os.O_RDONLY))
        self.links: list[Link] = []
        self.owner = Owner()


@pytest.fixture(name="door")
def attach_door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[fake.FakeDoor]:
    """A kernel with these files and symbols, which answers as the test says."""
    from bpfsmith.kernel import journal

    monkeypatch.setattr(journal, "SYSTEM", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(netlink, "interface", lambda which: (7, str(which)))
    made = fake.FakeDoor(files=FILES)
    made.symbols = {"do_unlinkat": [(0, "")], "twice": [(0, ""), (0, "")], "__x64_sys_unlinkat": [(0, "")]}
    with fake.installed(made):
        yield made

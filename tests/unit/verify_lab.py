"""A lab of kernels made of answers, for the tests of `verify`."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bpfsmith
from bpfsmith.kernel import fake
from bpfsmith.lab import start, store
from bpfsmith.model.errors import GuestFailed
from bpfsmith.model.kernel import Kernel
from bpfsmith.verify import _kernels

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
VERDICTS = FIXTURES / "verdicts.bpf.o"
COUNTS = (
    "verification time 5 usec\nstack depth {stack}\nprocessed {processed} insns (limit 1000000) max_states_per_insn 0 "
    "total_states 1 peak_states 1 mark_read 0\n"
)
LOG = "7: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\nprocessed 8 insns\n"


class Made(Kernel):
    def lacks(self, feature: str) -> bool:
        return not self.has(feature)


class Guest:
    """A guest of a kernel made of answers; `lives`: how many programs it judges before it fails as `dies` says."""

    def __init__(self, lab: Lab, name: str, memory: int | None) -> None:
        self.lab = lab
        self.kernel = Made(name, lab.types, version=f"{name}.1")
        self.door = lab.door(name, memory)
        self.closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        self.lab.open.remove(self)


class Door(fake.FakeDoor):
    """A door that dies of some programs."""

    __slots__ = ("dies", "patience")

    def replay_once(self, *arguments: Any, **options: Any) -> Any:
        before = len(self.of("BPF_PROG_LOAD"))
        answer = super().replay_once(*arguments, **options)
        for fields in self.of("BPF_PROG_LOAD")[before:]:
            if (how := self.dies.get(fields["prog_name"])) is not None:
                raise how
        return answer


class Lab:
    """What `lab.start` gives: `prepared` names, `dies`: program -> error (by kernel), `rules`: what doors answer."""

    def __init__(self) -> None:
        self.prepared = ["5.10", "6.1", "6.12", "6.18", "7.3"]
        self.open: list[Guest] = []
        self.started: list[tuple[str, int | None]] = []
        self.dies: dict[str, dict[str, GuestFailed]] = {}
        self.boots: list[Exception] = []
        self.rules: list[Callable[[Door, str, int | None], None]] = []
        self.types = bpfsmith.read(FIXTURES / "inside.bpf.o").btf

    def all(self) -> list[Any]:
        return [
            SimpleNamespace(
                name=name, release=f"{name}.1-cloud", arch="x86_64", series=name, package="", key=name,
                version=f"{name}.1", series_named=True,
            )
            for name in self.prepared
        ]  # fmt: skip

    def start(self, prepared: Any, memory: int | None = None, **_: Any) -> Guest:
        self.started.append((prepared.name, memory))
        if self.boots:
            raise self.boots.pop()
        guest = Guest(self, prepared.name, memory)
        self.open.append(guest)
        return guest

    def door(self, name: str, memory: int | None) -> Door:
        door = Door(version=f"{name}.1")
        door.dies = dict(self.dies.get(name, {})) if memory is None else {}
        for program in ("accepted", "optional"):
            door.logs[program] = COUNTS.format(stack="16+0", processed=46)
        door.logs["unchecked"] = LOG
        kinds = {"unchecked": errno.EACCES}
        door.answer("BPF_PROG_LOAD", lambda fields: -kinds[n] if (n := fields["prog_name"]) in kinds else None)
        for rule in self.rules:
            rule(door, name, memory)
        return door


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    made = Lab()
    monkeypatch.setattr(store, "all", made.all)
    monkeypatch.setattr(start, "start", made.start)
    monkeypatch.setattr(start, "spec_of", lambda prepared: prepared)
    monkeypatch.setattr(start, "larger", lambda _: 1024)
    monkeypatch.setattr(_kernels, "can_load_here", lambda: False)
    monkeypatch.setattr(_kernels, "_machine", lambda: "x86_64")
    yield made
    assert not made.open, "guests are left"

"""Kernel functions programs may call."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ._load import frozen, index, rows
from ._row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator


# Program types that share one set of kernel functions (`bpf_prog_type_to_kfunc_hook` in kernel/bpf/btf.c): `lsm` with
# `tracing` since 6.0, `tracepoint` and `perf_event` since 6.12, `raw_tracepoint` after 6.18 (there in 7.3), the cgroup
# types with `cgroup_skb` since 6.10.
_SHARED = (
    frozenset(("tracing", "lsm", "tracepoint", "perf_event", "raw_tracepoint")),
    frozenset((*(f"cgroup_{one}" for one in ("skb", "sock", "device", "sock_addr", "sockopt", "sysctl")), "sock_ops")),
    frozenset(("lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local")),
)


class Kfunc(Row):
    """One kernel function. `flags`: the kernel's `KF_` words; `program_types`: type -> series ("" where only the
    function's own first kernel is known; `unspec` stands for all types); both empty where no source lists them.
    `gone`: first series known to have it no more ("" = the newest has it), renamed or moved to a test module.
    `known`: where `since` is only the earliest it can be, the first series read that has it, else "". Modules may add
    more functions."""

    __slots__ = ("_programs", "flags", "gone", "known", "sets")
    kind = "kfunc"

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.flags: tuple[str, ...]
        self.sets: tuple[str, ...]
        self._programs: tuple[tuple[str, str], ...]
        self.known: str
        self.gone: str
        (self.name, self.since, self.commit, self.known, self.flags, self._programs, self.sets,
         self.gone, self.source) = row  # fmt: skip

    @property
    def program_types(self) -> dict[str, str]:
        return dict(self._programs)

    def allowed(self, program_type: str) -> bool:
        """Whether any known kernel lets such a program call it; True where nothing is known. What else the verifier
        asks of the call (maps it can be used with, locks held) is not looked at."""
        types = self.program_types
        if not types or program_type in types or "unspec" in types or program_type == "ext":
            return True
        return any(program_type in shared and not shared.isdisjoint(types) for shared in _SHARED)

    @property
    def sleeps(self) -> bool:
        return "KF_SLEEPABLE" in self.flags

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield "kernel function", self.name
        yield "flags", ", ".join(self.flags)
        yield "program types", ", ".join(f"{word} ({since})" if since else word for word, since in self._programs)
        yield "sets", ", ".join(self.sets)
        yield "gone", f"from Linux {self.gone} on" if self.gone else ""


@cache
def _at(position: int) -> Kfunc:
    return Kfunc(frozen(rows("kfuncs")[position]))


def get(name: str) -> Kfunc | None:
    """The kernel function of that name; None: not in the tables (a module's own, or newer than they are)."""
    position = index("kfuncs", 0).get(name)
    return None if position is None else _at(position)


def all() -> tuple[Kfunc, ...]:  # noqa: A001 - read as `facts.kfuncs.all()`
    return tuple(_at(position) for position in range(len(rows("kfuncs"))))

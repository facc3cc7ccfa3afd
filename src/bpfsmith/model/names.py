"""What the model needs to be told: the meaning of numbers and section names, which only the facts know.

The object file stores map type 5 and section `xdp`; that these are `percpu_array` and an XDP program is knowledge about
kernels and loaders, kept one floor up. `bpfsmith.read` joins both by handing every `Object` a `Names`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class SectionMeaning(Protocol):
        """One matched row of the section table."""

        @property
        def program_type(self) -> str | None:
            """libbpf's word (`xdp`, `sched_cls`)."""

        @property
        def attach_type(self) -> str | None:
            """libbpf's word (`cgroup_inet_ingress`) when the row declares one."""

        @property
        def attach_to(self) -> str | None:
            """What the name says to attach to: `tcp_v4_connect` of `kprobe/tcp_v4_connect`."""

        @property
        def flags(self) -> tuple[str, ...]:
            """libbpf's words (`sleepable`, `xdp_frags`, `attachable`, `attachable_opt`)."""

        @property
        def sleepable(self) -> bool: ...

        @property
        def loaders(self) -> frozenset[str]:
            """Which of `libbpf` and `aya` know this name."""

    class Names(Protocol):
        """Numbers and section names -> words; `None` for what is not known."""

        def section(self, name: str, /) -> SectionMeaning | None: ...
        def map_type(self, number: int, /) -> str | None: ...
        def helper(self, number: int, /) -> str | None: ...


class NoNames:
    """Knows nothing: an `Object` built on it shows only what the file itself says."""

    __slots__ = ()

    def section(self, _name: str) -> SectionMeaning | None:
        return None

    def map_type(self, _number: int) -> str | None:
        return None

    def helper(self, _number: int) -> str | None:
        return None

"""What a plan makes of the maps and programs of an object: the values the loaded object is built from."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Btf
    from bpfsmith.model.map import Map
    from bpfsmith.model.program import Program

__all__ = ["MAP_TYPES", "Options", "PlannedMap", "PlannedProgram"]

# libbpf's words; the position is the kernel's number.
# fmt: off
MAP_TYPES = (
    "unspec", "hash", "array", "prog_array", "perf_event_array", "percpu_hash", "percpu_array", "stack_trace",
    "cgroup_array", "lru_hash", "lru_percpu_hash", "lpm_trie", "array_of_maps", "hash_of_maps", "devmap", "sockmap",
    "cpumap", "xskmap", "sockhash", "cgroup_storage", "reuseport_sockarray", "percpu_cgroup_storage", "queue", "stack",
    "sk_storage", "devmap_hash", "struct_ops", "ringbuf", "inode_storage", "task_storage", "bloom_filter",
    "user_ringbuf", "cgrp_storage", "arena", "insn_array", "rhash",
)
# fmt: on


ARENA_BASE = 1 << 44


class PlannedMap:
    """One map as the kernel will have it. `slot`: where its descriptor will be; `name` is the object's, `kernel_name`
    the kernel's; sizes and `flags` are the kernel's; `source` is the declaration; `data` the initial bytes of a data
    map; `reused`: it exists already; `funcs`: (byte offset in `data`, program) of a struct_ops value, `module`: whose
    type that is, "" the kernel's own."""

    __slots__ = (
        "btf_ids", "data", "flags", "funcs", "inner", "kernel_name", "key_size", "map_extra", "max_entries", "module",
        "name", "reused", "slot", "source", "type", "value_size",
    )  # fmt: skip

    def __init__(self, source: Map, name: str, slot: str) -> None:
        native = source.native
        self.source = source
        self.name = name
        self.slot = slot
        self.kernel_name = ""
        self.type = native.type
        self.key_size = native.key_size
        self.value_size = native.value_size
        self.max_entries = native.max_entries
        self.flags = native.flags
        self.map_extra = native.map_extra
        self.btf_ids = (native.key_type, native.value_type)
        self.inner: PlannedMap | None = None
        self.data: bytes | None = None
        self.funcs: list[tuple[int, str]] = []
        self.module = ""
        self.reused = False

    @property
    def type_name(self) -> str:
        """libbpf's word; `type 99` of a number this version does not know."""
        return MAP_TYPES[self.type] if self.type < len(MAP_TYPES) else f"type {self.type}"

    def __repr__(self) -> str:
        return f"<PlannedMap {self.name}: {self.type_name}>"


class PlannedProgram:
    """One program as the kernel will have it. `type`: the kernel's number; `attach_type`: the expected attach type that
    its section or the caller declares, -1 none; `attach_to`: what stands behind the section's pattern or what the
    caller said; `usdt`, `sleepable`: as the section says."""

    __slots__ = ("attach_to", "attach_type", "flags", "name", "sleepable", "slot", "source", "type", "usdt")

    def __init__(self, source: Program, slot: str) -> None:
        self.source = source
        self.name = source.native.name
        self.slot = slot
        self.type = 0
        self.attach_type = -1
        self.attach_to = ""
        self.flags = 0
        self.sleepable = False
        self.usdt = False

    def __repr__(self) -> str:
        return f"<PlannedProgram {self.name}>"


class Options:
    """What the caller of `load` decided, checked and resolved: plain values the planner reads.

    `data`: whole initial bytes by data map; `map_sizes`: max_entries by map; `given`: maps that exist already, by name
    (slots the executor is handed); `programs`: settings by program (`type`, `attach_type`, `attach_to`,
    `attach_btf_id`, `attach_prog`, `flags`, `ifindex`); `selected`: names to load, None: what the sections say;
    `autoload`: exceptions to that; `pins`: path by map to pin it at afterwards; `kconfig`: values by name; `targets`:
    types to relocate against instead of the kernel's; `arena`: where the next arena without an address is mapped;
    `token`: whether the slots `bpffs` and `token` are used; `license`, `value_sizes` (by map): instead of the
    object's, where another loader gives others; `alone`: the one program that is judged, "" when the object is loaded:
    what only others need is left out, unless `whole`: what the object asks for must be there whoever needs it, as for
    libbpf; `near`: whether errors offer names like one that is missing, for which every type of the kernel is read.

    What a refusal taught: `no_btf`: leave the object's types away; `no_bind`: do not bind `.rodata` maps to programs;
    `plain_maps`: maps to create without types."""

    __slots__ = (
        "alone", "arena", "autoload", "data", "given", "kconfig", "license", "map_sizes", "near", "no_bind", "no_btf",
        "pins", "plain_maps", "programs", "selected", "targets", "token", "value_sizes", "whole",
    )  # fmt: skip

    def __init__(self) -> None:
        # Where arenas that name no address are mapped: each within its own 4 GiB, as the kernel wants.
        self.arena = ARENA_BASE
        self.data: dict[str, bytes] = {}
        self.map_sizes: dict[str, int] = {}
        self.given: dict[str, Any] = {}
        self.programs: dict[str, dict[str, Any]] = {}
        self.selected: frozenset[str] | None = None
        self.autoload: dict[str, bool] = {}
        self.pins: dict[str, str] = {}
        self.kconfig: dict[str, Any] = {}
        self.targets: list[Btf] | None = None
        self.token = False
        self.license: str | None = None
        self.value_sizes: dict[str, int] = {}
        self.alone = ""
        self.near = True
        self.whole = False
        self.no_bind = False
        self.no_btf = False
        self.plain_maps: set[str] = set()

"""What is known of a map before it is opened: its declaration, or what the kernel tells of one found by id or pin."""

from __future__ import annotations

from bpfsmith import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Btf

__all__ = ["TYPES", "MapInfo", "MapSpec", "map_btf", "map_info", "type_number"]

# libbpf's words in the order of `enum bpf_map_type`: the position is the kernel's number.
TYPES = (
    "unspec", "hash", "array", "prog_array", "perf_event_array", "percpu_hash", "percpu_array", "stack_trace",
    "cgroup_array", "lru_hash", "lru_percpu_hash", "lpm_trie", "array_of_maps", "hash_of_maps", "devmap", "sockmap",
    "cpumap", "xskmap", "sockhash", "cgroup_storage", "reuseport_sockarray", "percpu_cgroup_storage", "queue", "stack",
    "sk_storage", "devmap_hash", "struct_ops", "ringbuf", "inode_storage", "task_storage", "bloom_filter",
    "user_ringbuf", "cgrp_storage", "arena", "insn_array", "rhash",
)  # fmt: skip

F_RDONLY, F_WRONLY, F_STACK_BUILD_ID, F_RDONLY_PROG, F_MMAPABLE = 1 << 3, 1 << 4, 1 << 5, 1 << 7, 1 << 10


def type_number(word: str) -> int:
    """The kernel's number of a word; 0 for an unknown one."""
    return TYPES.index(word) if word in TYPES else int(word) if word.isdigit() else 0


class MapSpec:
    """A map's declaration. `type`: libbpf's word; sizes in bytes (`value_size` of one CPU for per-CPU kinds); `btf`
    with `key_type` and `value_type` (ids, 0: none), or explicit types as `run.codec.parse_type` takes them in their
    place; `inner`: of maps in maps; `origin`: where it was declared (`btf`, `legacy`, `data`, `kernel` ...)."""

    __slots__ = (
        "btf", "flags", "inner", "key_size", "key_type", "map_extra", "max_entries", "name", "origin", "type",
        "value_size", "value_type",
    )  # fmt: skip

    def __init__(
        self, name: str, type: str, key_size: int, value_size: int, max_entries: int, flags: int = 0,  # noqa: A002
        map_extra: int = 0, btf: Btf | None = None, key_type: Any = 0, value_type: Any = 0,
        inner: MapSpec | None = None, origin: str = "btf",
    ) -> None:  # fmt: skip
        self.name = name
        self.type = type
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries
        self.flags = flags
        self.map_extra = map_extra
        self.btf = btf
        self.key_type = key_type
        self.value_type = value_type
        self.inner = inner
        self.origin = origin

    @classmethod
    def of(cls, info: MapInfo, btf: Btf | None = None) -> MapSpec:
        """The declaration that leads to a map of this description."""
        vmlinux = btf is not None and info.vmlinux_value_type_id
        return cls(
            info.name or f"id {info.id}", info.type, info.key_size, info.value_size, info.max_entries, info.flags,
            info.map_extra, btf, 0 if vmlinux else info.key_type_id,
            info.vmlinux_value_type_id if vmlinux else info.value_type_id, None, "kernel",
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<MapSpec {self.name}: {self.type}, {self.key_size} -> {self.value_size} bytes, {self.max_entries}>"


class MapInfo:
    """What the kernel tells of a map: `struct bpf_map_info`. `type` is libbpf's word; ids are 0 where there is none."""

    __slots__ = (
        "btf_id", "flags", "frozen", "id", "ifindex", "key_size", "key_type_id", "map_extra", "max_entries", "memlock",
        "name", "type", "value_size", "value_type_id", "vmlinux_btf_id", "vmlinux_value_type_id",
    )  # fmt: skip

    def __init__(self, told: dict[str, Any], extra: dict[str, int]) -> None:
        number = told["type"]
        self.type: str = TYPES[number] if number < len(TYPES) else str(number)
        self.id: int = told["id"]
        self.key_size: int = told["key_size"]
        self.value_size: int = told["value_size"]
        self.max_entries: int = told["max_entries"]
        self.flags: int = told["map_flags"]
        self.name: str = told.get("name", "")
        self.ifindex: int = told.get("ifindex", 0)
        self.btf_id: int = told.get("btf_id", 0)
        self.key_type_id: int = told.get("btf_key_type_id", 0)
        self.value_type_id: int = told.get("btf_value_type_id", 0)
        self.vmlinux_btf_id: int = told.get("btf_vmlinux_id", 0)
        self.vmlinux_value_type_id: int = told.get("btf_vmlinux_value_type_id", 0)
        self.map_extra: int = told.get("map_extra", 0)
        self.memlock: int = extra.get("memlock", 0)
        self.frozen = bool(extra.get("frozen", 0))

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"<MapInfo {self.name or self.id}: {self.type}, id {self.id}>"


def map_info(fd: Any) -> MapInfo:
    """The kernel's description (4.13+), with what only `/proc` tells: whether it is frozen, and its memory in bytes."""
    from bpfsmith.kernel import info

    told = info.map_(fd)
    try:
        rows = info.fdinfo(fd)
    except OSError:
        rows = {}
    return MapInfo(told, {name: int(text) for name, text in rows.items() if text.isdigit()})


def map_btf(info: MapInfo) -> Btf | None:
    """The types the map was made with; None when there are none or they may not be read."""
    if info.vmlinux_btf_id:
        return kernel.live().btf
    if not info.btf_id or not (info.key_type_id or info.value_type_id):
        return None
    from bpfsmith._native import Btf, ReadError
    from bpfsmith.kernel import info as door
    from bpfsmith.model.errors import BpfsmithError

    try:
        with door.open_id("btf", info.btf_id) as fd:
            told = door.btf(fd, data=True)
        if told.get("kernel_btf"):
            return kernel.live().btf
        return Btf.parse(told["data"])
    except (BpfsmithError, ReadError):
        return None  # not permitted (CAP_SYS_ADMIN): then sizes are all that is known

"""Maps of a running kernel as Python values: `open_map` answers the class of the map's kind.

counts = bpf.maps["COUNTS"]          # or Map.from_id(7), Map.from_pin("/sys/fs/bpf/counts")
counts[ip("10.0.0.1")] = 1
for key, value in counts.items(): ...
flows = counts.to_numpy()
"""

from __future__ import annotations

from bpfsmith.run.maps.base import Map
from bpfsmith.run.maps.spec import MapInfo, MapSpec, map_btf, map_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Map", "MapInfo", "MapSpec", "open_map", "opened", "pinned"]

# Kind -> (module, class); a module is imported when a map of its kind is opened.
_KINDS = {
    "hash": ("maps.table", "HashMap"),
    "lru_hash": ("maps.table", "HashMap"),
    "rhash": ("maps.table", "HashMap"),
    "array": ("maps.table", "ArrayMap"),
    "percpu_hash": ("maps.percpu", "PerCpuHash"),
    "lru_percpu_hash": ("maps.percpu", "PerCpuHash"),
    "percpu_array": ("maps.percpu", "PerCpuArray"),
    "lpm_trie": ("maps.lpm", "LpmTrie"),
    "queue": ("maps.queue", "Queue"),
    "stack": ("maps.queue", "Stack"),
    "bloom_filter": ("maps.queue", "BloomFilter"),
    "array_of_maps": ("maps.nested", "ArrayOfMaps"),
    "hash_of_maps": ("maps.nested", "HashOfMaps"),
    "prog_array": ("maps.programs", "ProgArray"),
    "cgroup_array": ("maps.slots", "CgroupArray"),
    "sockmap": ("maps.slots", "SockMap"),
    "sockhash": ("maps.slots", "SockHash"),
    "reuseport_sockarray": ("maps.slots", "ReuseportArray"),
    "devmap": ("maps.redirect", "DevMap"),
    "devmap_hash": ("maps.redirect", "DevMapHash"),
    "cpumap": ("maps.redirect", "CpuMap"),
    "xskmap": ("maps.slots", "XskMap"),
    "cgroup_storage": ("maps.storage", "CgroupLocal"),
    "percpu_cgroup_storage": ("maps.storage", "PerCpuCgroupLocal"),
    "sk_storage": ("maps.storage", "SkStorage"),
    "inode_storage": ("maps.storage", "InodeStorage"),
    "task_storage": ("maps.storage", "TaskStorage"),
    "cgrp_storage": ("maps.storage", "CgrpStorage"),
    "stack_trace": ("maps.stacks", "StackTraces"),
    "struct_ops": ("maps.others", "StructOps"),
    "arena": ("maps.memory", "Arena"),
    "insn_array": ("maps.others", "InsnArray"),
    "perf_event_array": ("events", "PerfBuffer"),
    "ringbuf": ("events", "RingBuffer"),
    "user_ringbuf": ("events", "UserRingBuffer"),
}


def open_map(fd: Any, spec: MapSpec, owner: Any = None) -> Any:
    """The map behind a descriptor, as `spec` declares it. With an `owner` (a loaded object) the owner closes it."""
    module, name = _KINDS.get(spec.type, ("maps.base", "Map"))
    package = __import__(f"bpfsmith.run.{module}", fromlist=(name,))
    found = getattr(package, name)(fd, spec, owner is None)
    # Types a user wrote are looked at now, not at the first use.
    if spec.key_type.__class__ is not int:
        found.key_type  # noqa: B018 - made once, kept
    if spec.value_type.__class__ is not int:
        found.value_type  # noqa: B018
    return found


def opened(fd: Any, key_type: Any = None, value_type: Any = None) -> Any:
    """The map behind a descriptor of our own, with what the kernel tells of it."""
    try:
        info = map_info(fd)
        spec = MapSpec.of(info, map_btf(info))
        if key_type is not None:
            spec.key_type = key_type
        if value_type is not None:
            spec.value_type = value_type
        return open_map(fd, spec)
    except BaseException:
        fd.close()
        raise

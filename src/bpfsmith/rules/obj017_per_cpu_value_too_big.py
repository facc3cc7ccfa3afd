"""The value of a per-CPU map is bigger than the kernel allocates per CPU.

## What it does
Compares the value size of each per-CPU map (array, hash, LRU hash, cgroup storage), rounded up to 8, with 32 KiB.

## Why is this bad
The per-CPU allocator has no bigger unit (`PCPU_MIN_UNIT_SIZE`): creating the map fails with `E2BIG` (before 6.12:
`ENOMEM`), and with it the whole object. For a hash without preallocation every insertion fails.

## Example
```c
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, char[65536]);
} scratch SEC(".maps");
```

## Use instead
```c
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 4); // four pieces of 16 KiB
    __type(key, __u32);
    __type(value, char[16384]);
} scratch SEC(".maps");
```

## Fix
Split the value over several entries, or use an array indexed by `bpf_get_smp_processor_id()`.

## Kernels
All.

## Source
`array_map_alloc_check` and `htab_map_alloc_check` ("bpf: Check percpu map value size first", 6.12),
`PCPU_MIN_UNIT_SIZE` in `include/linux/percpu.h`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext


class PerCpuValueTooBig(ObjectRule):
    severity = "error"
    group = "maps"
    phase = "load"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import map_types

        for one in obj.maps:
            for part, what in ((one, "map"), (one.inner, "the map inside")):
                row = None if part is None else map_types.get(part.type)
                if part is None or row is None or not row.per_cpu or not row.value_max:
                    continue
                if (part.value_size + 7) & ~7 > row.value_max:
                    yield self.finding(
                        ctx,
                        f"{what} `{one.name}` has values of {part.value_size} bytes, and a `{row.name}` takes at most "
                        f"{row.value_max}",
                        obj=obj,
                        evidence=[Evidence("fact", "the kernel's per-CPU allocator has no unit above 32 KiB")],
                        see=[row.name],
                    )


RULE = PerCpuValueTooBig()

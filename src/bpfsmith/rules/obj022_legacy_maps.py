"""The object declares its maps in the old way, in the section `maps`.

## What it does
Reports maps of `maps` sections (`struct bpf_map_def`, aya's `#[map]`): a note, and a warning when libbpf is among the
loaders asked for.

## Why is this bad
libbpf 1.0 and later refuses such an object: `legacy map definitions in 'maps' section are not supported by libbpf
v1.0+`. With aya they work, but carry no types: `bpftool map dump` shows bytes, `bpf_spin_lock`, `bpf_timer` and kptrs
in values, maps in maps and initial values are not possible.

## Example
```c
struct bpf_map_def SEC("maps") counters = {
    .type = BPF_MAP_TYPE_ARRAY,
    .key_size = 4,
    .value_size = 8,
    .max_entries = 1,
};
```

## Use instead
```c
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");
```

## Fix
Declare maps in `.maps`; in Rust with `#[btf_map]` and the types of `aya_ebpf::btf_maps` where the aya in use has them.

## Kernels
All; this is the loader's matter.

## Source
`bpf_object__init_maps` in libbpf 1.0; `aya_ebpf::macros::map`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext


class LegacyMaps(ObjectRule):
    severity = "note"
    group = "portability"
    phase = "load"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        names = [one.name for one in obj.maps if one.origin == "legacy"]
        if not names:
            return
        libbpf = "libbpf" in ctx.loaders
        some = f"map {listed(names)} is" if len(names) == 1 else f"maps {listed(names)} are"
        yield self.finding(
            ctx,
            f"{some} declared in section `maps`" + (", which libbpf 1.0 and later refuses" if libbpf else ""),
            obj=obj,
            severity="warning" if libbpf else None,
            evidence=[Evidence("fact", "such maps carry no types of key and value")],
        )


RULE = LegacyMaps()

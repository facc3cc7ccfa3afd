"""The object declares a map of a type that an asked kernel does not have.

## What it does
With `--kernels` given, compares the type of each map, and of its inner map, with the series that brought it.

## Why is this bad
The loader cannot create the map (`EINVAL`), and with it none of the programs loads.

## Example
```c
struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF); // since 5.8
        __uint(max_entries, 4096);
} events SEC(".maps");
```

## Use instead
`BPF_MAP_TYPE_PERF_EVENT_ARRAY` (4.3) where kernels before 5.8 count.

## Fix
Raise the oldest kernel, or keep the newer map in an object the loader opens only where the kernel knows the type.

## Kernels
Those asked for that are older than the map type.

## Source
Versions and commits of the eBPF docs project; the enumerations of Linux 5.10, 6.1, 6.12 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext


class MapTypeTooNew(ObjectRule):
    severity = "error"
    group = "portability"
    phase = "load"
    asks = "kernels"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import map_types

        for one in obj.maps:
            for part in (one, one.inner):
                row = None if part is None else map_types.get(part.type)
                missing = () if row is None else ctx.kernels.missing_before(row.since)
                if row is not None and missing:
                    yield self.finding(
                        ctx,
                        f"map `{one.name}` is of type `{row.name}`, which needs Linux {row.since}; "
                        f"missing on {on(missing)}",
                        obj=obj,
                        evidence=[Evidence("provenance", row.source)],
                        kernels=missing,
                        see=[row.name],
                    )


RULE = MapTypeTooNew()

"""Two maps have the same name as far as the kernel keeps it.

## What it does
Compares the names of all maps after 15 characters, which is what the kernel keeps of them. Data sections count with the
name the loader gives them: `.bss`, `.data` and `.rodata` never collide (libbpf puts the object's name before them),
sections such as `.data.counters_v4` and `.data.counters_v6` do.

## Why is this bad
`bpftool map`, metrics and everything else that looks a map up by name in the kernel cannot tell them apart, and takes
the first one it meets. Nothing warns of it. Pins and the loader's own lookup use the full name.

## Example
```c
struct { ... } connections_by_source SEC(".maps");      // connections_by
struct { ... } connections_by_destination SEC(".maps"); // connections_by
```

## Use instead
```c
struct { ... } conns_by_src SEC(".maps");
struct { ... } conns_by_dst SEC(".maps");
```

## Fix
Let the names differ within their first 15 characters.

## Kernels
All that keep names (4.15 and later).

## Source
`BPF_OBJ_NAME_LEN` (16 with the final zero) in `include/uapi/linux/bpf.h`; `internal_map_name` in libbpf;
`bpf_create_map` in aya.
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

_KEPT = 15


class MapNamesCollide(ObjectRule):
    severity = "warning"
    group = "maps"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        alike: dict[bytes, list[str]] = {}
        for one in obj.maps:
            # A data section without a second dot gets the object's name in front and is unique by its ending.
            if one.origin in ("data", "kconfig") and "." not in one.name[1:]:
                continue
            alike.setdefault(one.name.encode()[:_KEPT], []).append(one.name)
        for kept, names in alike.items():
            if len(names) > 1:
                yield self.finding(
                    ctx,
                    f"maps {listed(sorted(names))} have the same name in the kernel, `{kept.decode(errors='replace')}`",
                    obj=obj,
                    evidence=[Evidence("fact", f"the kernel keeps {_KEPT} characters of a map's name")],
                )


RULE = MapNamesCollide()

"""The object declares no licence.

## What it does
Reports an object that holds programs and no `license` section (or an empty one).

## Why is this bad
The loader passes an empty licence to the kernel. Every helper and kfunc that is reserved to GPL-compatible programs is
then refused by the verifier (`cannot call GPL-restricted function from non-GPL compatible program`), among them
`bpf_trace_printk`, `bpf_probe_read_kernel` and `bpf_perf_event_output`; tracing and LSM programs that need a
GPL-compatible licence do not load at all.

## Example
```c
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
```

## Use instead
```c
char LICENSE[] SEC("license") = "GPL";
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
```
```rust
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\\0";
```

## Fix
Add the section; `Dual MIT/GPL`, `Dual BSD/GPL`, `GPL` and `GPL v2` count as GPL-compatible.

## Kernels
All.

## Source
`kernel/bpf/syscall.c` (`bpf_prog_load` copies `attr->license`), `include/linux/license.h`
(`license_is_gpl_compatible`).
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext


class LicenseMissing(ObjectRule):
    severity = "warning"
    group = "programs"
    phase = "verify"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        if obj.programs and not obj.license:
            how = "missing" if obj.license is None else "empty"
            yield self.finding(
                ctx,
                "the object declares no licence, so GPL-only helpers are refused",
                obj=obj,
                evidence=[Evidence("object", f"its `license` section is {how}")],
                fixes=[Fix("display", 'add `char LICENSE[] SEC("license") = "GPL";` (or `Dual MIT/GPL`)')],
            )


RULE = LicenseMissing()

"""A program's section asks for an attach type that an asked kernel does not have.

## What it does
With `--kernels` given, compares the attach type each section name stands for with the series that brought it. Where old
kernels attach the program all the same nothing is said (`tc/ingress` through a clsact qdisc; others because the loader
leaves the attach type out), nor where the whole program type is newer.

## Why is this bad
Loading or attaching fails with `EINVAL` on the older kernels.

## Example
```c
SEC("tcx/ingress") // since 6.6
int in(struct __sk_buff *skb)
{
        return TC_ACT_OK;
}
```

## Use instead
```c
SEC("tc") // attached through a clsact qdisc, since 4.1
int in(struct __sk_buff *skb)
{
        return TC_ACT_OK;
}
```

## Fix
Use the older attach point, or load this program only where the kernel has the newer one.

## Kernels
Those asked for that are older than the attach type.

## Source
Versions and commits of the eBPF docs project; the enumerations of Linux 5.10, 6.1, 6.12 and 7.3; libbpf 1.7's table.
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


class AttachTypeTooNew(ObjectRule):
    severity = "error"
    group = "portability"
    phase = "attach"
    asks = "kernels"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import attach_types, program_types
        from bpfsmith.read.earliest import attaches_without

        for program in obj.programs:
            row = attach_types.get(program.attach_type) if program.attach_type is not None else None
            kind = program_types.get(program.type) if program.type is not None else None
            if row is None or kind is None or attaches_without(program):
                continue
            older = ctx.kernels.missing_before(kind.since)
            missing = [series for series in ctx.kernels.missing_before(row.since) if series not in older]
            if missing:
                yield self.finding(
                    ctx,
                    f"attach type `{row.name}` needs Linux {row.since}; missing on {on(missing)}",
                    obj=obj,
                    program=program,
                    slot=0,
                    evidence=[Evidence("provenance", row.source), Evidence("object", f"section `{program.section}`")],
                    kernels=missing,
                    see=[row.name],
                )


RULE = AttachTypeTooNew()

"""A program is of a type that an asked kernel does not have.

## What it does
With `--kernels` given, compares each program's type, as its section name says, with the series that brought it.

## Why is this bad
Loading fails with `EINVAL` on the older kernels.

## Example
```c
SEC("netfilter") // since 6.4
int drop(struct bpf_nf_ctx *ctx)
{
        return 1;
}
```

## Use instead
An older hook for the same work, such as `tc` for netfilter, or `kprobe` for `fentry` (5.5).

## Fix
Raise the oldest kernel, or load this program only where the kernel knows its type.

## Kernels
Those asked for that are older than the program type.

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


class ProgramTypeTooNew(ObjectRule):
    severity = "error"
    group = "portability"
    phase = "load"
    asks = "kernels"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import program_types

        for program in obj.programs:
            row = program_types.get(program.type) if program.type is not None else None
            missing = () if row is None else ctx.kernels.missing_before(row.since)
            if row is not None and missing:
                yield self.finding(
                    ctx,
                    f"`{row.name}` programs need Linux {row.since}; missing on {on(missing)}",
                    obj=obj,
                    program=program,
                    slot=0,
                    evidence=[Evidence("provenance", row.source)],
                    kernels=missing,
                    see=[row.name],
                )


RULE = ProgramTypeTooNew()

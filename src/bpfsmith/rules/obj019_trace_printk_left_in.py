"""A program prints with `bpf_trace_printk`.

## What it does
Reports reachable calls of `bpf_trace_printk` and `bpf_trace_vprintk` (`bpf_printk()`), once per program.

## Why is this bad
They are for debugging: all CPUs take one lock and share one buffer, each call costs a microsecond or more, output of
all programs mixes in `trace_pipe`, which only one reader gets, and nobody reads it in production. On a hot hook this is
measurable for the whole machine.

## Example
```c
SEC("xdp")
int count(struct xdp_md *ctx)
{
    bpf_printk("packet of %d", ctx->data_end - ctx->data); // for every packet
    return XDP_PASS;
}
```

## Use instead
A counter in a per-CPU map, an event in a ring buffer, or (Rust) `aya-log`, which sends through a ring buffer and is cut
out by its level.

## Fix
Remove the call, or guard it by a `const volatile` switch that is off, which the verifier then cuts out.

## Kernels
All.

## Source
`bpf_trace_printk` in `kernel/trace/bpf_trace.c` (`trace_printk_lock`).
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Label
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext

_PRINTS = (6, 177)
_SHOWN = 4


class TracePrintkLeftIn(ObjectRule):
    severity = "warning"
    group = "performance"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for program in linkable(obj):
            if not any(number in program.helper_numbers for number in _PRINTS):
                continue
            calls = [call for call in program.calls() if call[1] == "helper" and call[2] in _PRINTS]
            if not calls:
                continue
            slot, _, _, name = calls[0]
            spans = [ctx.span(program, other[0], obj) for other in calls[1 : _SHOWN + 1]]
            more = f", at {len(calls)} places" if len(calls) > 1 else ""
            yield self.finding(
                ctx,
                f"`{program.name}` calls `{name}`, which is for debugging only",
                obj=obj,
                program=program,
                slot=slot,
                labels=[Label(span, "here too") for span in dict.fromkeys(spans) if span is not None],
                evidence=[Evidence("fact", f"it takes one lock for all CPUs and prints to `trace_pipe`{more}")],
                see=[name],
            )


RULE = TracePrintkLeftIn()

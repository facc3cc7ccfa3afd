"""Events are sent to the perf buffer of one fixed CPU, and refused on all others.

## What it does
Reports `bpf_perf_event_output`, `bpf_skb_output` and `bpf_xdp_output` whose flags are a constant CPU number, most often
`0`, where `BPF_F_CURRENT_CPU` was meant.

## Why is this bad
The low 32 bits of the flags are an index into the perf event array, and an event may only be written on the CPU its
buffer belongs to: on the others the helper returns `-EOPNOTSUPP`, and the event is gone without a trace. On a machine
with 8 CPUs that is 7 of 8 events.

## Example
```c
bpf_perf_event_output(ctx, &events, 0, &event, sizeof(event));
```

## Use instead
```c
bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
```
```rust
EVENTS.output(&ctx, &event, 0); // aya adds BPF_F_CURRENT_CPU by itself; not `output_at_index`
```

## Fix
Use `BPF_F_CURRENT_CPU`, or from Linux 5.8 on a ring buffer, which all CPUs share.

## Kernels
All.

## Source
`__bpf_perf_event_output` in `kernel/trace/bpf_trace.c` (`if (unlikely(event->oncpu != cpu)) return -EOPNOTSUPP`).
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext

_OUTPUTS = {25: "bpf_perf_event_output", 111: "bpf_skb_output", 121: "bpf_xdp_output"}
_CURRENT_CPU = 0xFFFF_FFFF


class PerfOutputToOneCpu(ObjectRule):
    severity = "warning"
    group = "maps"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for program in linkable(obj):
            if not any(number in _OUTPUTS for number in program.helper_numbers):
                continue
            for slot, number, args in program.call_args():
                flags = args[2] if number in _OUTPUTS else None
                if not isinstance(flags, int) or flags & _CURRENT_CPU == _CURRENT_CPU:
                    continue
                index = flags & _CURRENT_CPU
                yield self.finding(
                    ctx,
                    f"`{_OUTPUTS[number]}` writes to the buffer of index {index} only: events of other CPUs are lost",
                    obj=obj,
                    program=program,
                    slot=slot,
                    evidence=[Evidence("fact", "on any other CPU than the buffer's it returns `-EOPNOTSUPP`")],
                    fixes=[Fix("display", "use `BPF_F_CURRENT_CPU`, or a ring buffer (since Linux 5.8)")],
                    see=[_OUTPUTS[number]],
                )


RULE = PerfOutputToOneCpu()

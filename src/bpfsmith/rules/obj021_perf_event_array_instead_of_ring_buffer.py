"""Events go through a perf event array although every asked kernel has the ring buffer.

## What it does
With `--kernels` given, and none older than 5.8, reports maps that programs pass to `bpf_perf_event_output`.

## Why is this bad
A perf event array has one buffer per CPU, which must each be sized for the worst burst, loses the order of events
between CPUs, copies each event twice and wakes the reader per CPU. The ring buffer is one buffer for all, ordered, and
can be written in place (`bpf_ringbuf_reserve`).

## Example
```c
struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} events SEC(".maps");
```

## Use instead
```c
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 256 * 1024);
} events SEC(".maps");
```

## Fix
Replace the map and `bpf_perf_event_output` by a ring buffer and `bpf_ringbuf_reserve`/`bpf_ringbuf_submit`; in user
space `PerfEventArray` by `RingBuf`. Keep it where the helper appends the packet itself (`BPF_F_CTXLEN_MASK`), which the
ring buffer cannot do: such calls are not reported.

## Kernels
5.8 and later.

## Source
`Documentation/bpf/ringbuf.rst`; "bpf: Implement BPF ring buffer and verifier support for it" (5.8).
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext

_OUTPUT = 25
_PERF_EVENT_ARRAY = 4
_RESERVE = "bpf_ringbuf_reserve"
_LOWER = (1 << 32) - 1


class PerfEventArrayInsteadOfRingBuffer(ObjectRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    asks = "kernels"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        if not ctx.kernels.all_have("5.8"):
            return
        names = {one.name for one in obj.maps if one.type == _PERF_EVENT_ARRAY}
        if not names:
            return
        # A map stays when one of its users needs it.
        first: dict[str, tuple[Program, int]] = {}
        needed: set[str] = set()
        for program in linkable(obj):
            if _OUTPUT not in program.helper_numbers:
                continue
            for slot, number, values in program.call_args():
                name = values[1][4:] if isinstance(values[1], str) and values[1].startswith("map:") else None
                if name not in names:
                    continue
                if number == _OUTPUT and not _appends(program, values[2]) and _has_ring_buffer(program, ctx):
                    first.setdefault(name, (program, slot))
                else:
                    needed.add(name)
        for name, (program, slot) in first.items():
            if name not in needed:
                yield self.finding(
                    ctx,
                    f"`{name}` is a perf event array, and every kernel asked for has the ring buffer",
                    obj=obj,
                    program=program,
                    slot=slot,
                    evidence=[Evidence("fact", "one ring buffer keeps the order of events and spares a copy")],
                    see=["ringbuf", "which-map"],
                )


def _appends(program: Program, flags: int | str | None) -> bool:
    """Whether the upper half of the flags may ask for bytes of the context (a packet) to be appended."""
    if isinstance(flags, int):
        return flags & ~_LOWER != 0
    return program.type in ("xdp", "sched_cls", "sched_act", "socket_filter", "cgroup_skb", "sk_skb")


def _has_ring_buffer(program: Program, ctx: CheckContext) -> bool:
    from bpfsmith.facts import helpers

    helper = helpers.by_name(_RESERVE)
    since = None if helper is None or program.type is None else helper.known_in(program.type)
    return since is not None and ctx.kernels.all_have(since)


RULE = PerfEventArrayInsteadOfRingBuffer()

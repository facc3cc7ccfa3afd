"""Every packet, or every event of a busy hook, writes a line to the kernel's trace pipe.

## What it does
Finds `bpf_printk!` on the main path of a program that runs for every packet or at every event of a busy tracepoint,
there or in a function it calls. Lines in a branch or a loop are left alone.

## Why is this bad
The line is formatted in the kernel, under a lock that all programs of the machine share, into the one trace buffer of
the machine, which others read too. It is a tool for a debugging session.

## Example
```rust
#[xdp]
pub fn firewall(ctx: XdpContext) -> u32 {
    unsafe { bpf_printk!(b"packet") };
    xdp_action::XDP_PASS
}
```

## Use instead
```rust
if let Some(packets) = PACKETS.get_ptr_mut(0) {
    unsafe { *packets += 1 };
}
```

## Fix
Display: count, or send a record through a ring buffer.

## Kernels
All.

## Source
Kernel, `bpf_trace_printk` and its `trace_printk_lock` in `kernel/trace/bpf_trace.c`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._hot import always
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._rust import place
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class TraceLinePerPacket(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = ("bpf_printk",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "bpf_printk"):
            for call in file.macros("bpf_printk"):
                path = resolve(file, call.path, call.item) or ""
                busy = always(call) if path.startswith(("aya_ebpf::", "aya_bpf::")) and counts(call) else None
                if busy is not None:
                    yield self.finding(
                        ctx,
                        f"`bpf_printk!` runs {busy.what} in `{busy.name}`, under a lock all programs share",
                        span=place(ctx, file, call.start, call.end),
                        fixes=[Fix("display", "count in a `PerCpuArray`, or send a record through a ring buffer")],
                    )


RULE = TraceLinePerPacket()

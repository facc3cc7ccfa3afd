"""Every packet, or every event of a busy hook, writes a log line.

## What it does
Finds `info!`, `debug!`, `warn!`, `error!`, `trace!` and `log!` of aya-log-ebpf on the main path of a program that
runs for every packet (XDP, classifiers, socket filters, ..) or at every event of a busy tracepoint (`sched_switch`,
`sys_enter`, ..), there or in a function it calls. Lines in a branch, a loop or an error arm are left alone.

## Why is this bad
Each line is a record in one buffer of 128 KiB for all CPUs. When user space falls behind, lines are lost without a
notice, others than the ones you look for too; and each costs the packet more than everything else in a small program:
35 ns for the copy into a ring buffer against 99 ns for a whole packet dropped by XDP, 5,200 ns with the perf buffer
of aya-log 0.2 and earlier, which wakes user space each time (measured on Linux 6.18).

## Example
```rust
#[xdp]
pub fn firewall(ctx: XdpContext) -> u32 {
    info!(&ctx, "received a packet");
    xdp_action::XDP_PASS
}
```

## Use instead
```rust
#[map]
static PACKETS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

if let Some(packets) = PACKETS.get_ptr_mut(0) {
    unsafe { *packets += 1 };
}
```

## Fix
Display: count, log one in many, or log where something unusual happens only.

## Kernels
All.

## Source
aya-log-ebpf, `AYA_LOGS`; measured on Linux 6.18, one machine: take the ratios.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._hot import always
from bpfsmith.rules._kernel_code import code_files, counts, spelled
from bpfsmith.rules._rust import place
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._hot import Hot
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_MACROS = ("info", "debug", "warn", "error", "trace", "log")


class LogLinePerPacket(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = _MACROS

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        lines: dict[tuple[str, int], list[tuple[Expr, Hot]]] = {}
        for file in code_files(project, *_MACROS):
            for call in file.macros(*spelled(file, *_MACROS)):
                path = resolve(file, call.path, call.item)
                if path is None or not path.startswith("aya_log_ebpf::") or not counts(call):
                    continue
                found = always(call)
                if found is not None:
                    item = found.program.item
                    lines.setdefault((item.file.path, item.id), []).append((call, found))
        for (call, found), *rest in lines.values():
            yield self.finding(
                ctx,
                f"`{call.path}!` runs {found.what} in `{found.name}`: lines get lost, and each costs time",
                span=place(ctx, call.file, call.start, call.end),
                labels=[Label(place(ctx, one.file, one.start, one.end), "and this line") for one, _ in rest],
                fixes=[Fix("display", "count in a `PerCpuArray`, or log only what is unusual")],
            )


RULE = LogLinePerPacket()

"""An argument of a raw tracepoint that is not what the kernel passes.

## What it does
Compares `ctx.arg::<T>(n)` in programs with `#[raw_tracepoint]` with what the tracepoint is called with, in the BTF of
each asked kernel: numbers beyond the last argument, a pointer to another struct, a pointer kept in fewer bytes, an
`int` taken as 64 bits with a sign.

## Why is this bad
A raw tracepoint gets what the kernel hands to the trace call (`TP_PROTO`), not the fields that `perf` and the format
file show: `sched_switch` passes two tasks, not `prev_pid` and `next_pid`. A raw tracepoint is not checked against
types, so that a wrong argument is simply a wrong number. Arguments are added from release to release: `sched_switch`
has its `prev_state` since 5.18. Where a program reads one too many, the kernel refuses to attach it.

## Example
```rust
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec(ctx: RawTracePointContext) -> i32 {
    let pid: u32 = ctx.arg(0); // half of the address of the task
```

## Use instead
```rust
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec(ctx: RawTracePointContext) -> i32 {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
```

## Fix
Display: the arguments of each kernel stand below the finding.

## Kernels
Those asked for: of `--kernels` what the lab has prepared, the files of `--btf`, or else the running one.

## Source
Linux, `__DECLARE_TRACE` and `__BPF_DECLARE_TRACE` (`include/trace/bpf_probe.h`); aya-ebpf,
`src/programs/raw_tracepoint.rs`.
"""

from __future__ import annotations

from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_arguments import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_FIXES = {
    "count": "read an argument that the tracepoint passes",
    "pointer": "ask for the type that the tracepoint passes",
    "truncated": "read the field behind the pointer with `bpf_probe_read_kernel`, or take the tracepoint's own fields "
    "with `#[tracepoint]`",
    "sign": "ask for `i32` and widen it: `i64::from(value)`",
    "integer": "ask for the type that the tracepoint passes",
}


class RawTracepointArgumentDiffers(SourceRule):
    severity = "error"
    group = "kernel-layout"
    phase = "silent"
    words = ("RawTracePointContext",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        yield from arguments(self, project, ctx, _FIXES, "raw_tracepoint")


RULE = RawTracepointArgumentDiffers()

"""An argument of a kernel function or hook that is read by a wrong number or as a wrong type.

## What it does
Compares `ctx.arg::<T>(n)` in programs on kernel functions (`#[kprobe]`, `#[fentry]`, `#[fexit]`), LSM hooks and BTF
tracepoints with the prototype in the BTF of each asked kernel: numbers beyond the last argument, a pointer to another
struct, a pointer kept in fewer bytes, an `int` taken as 64 bits with a sign.

Left out: what is not in the types of a kernel, functions that several static ones share a name with, structs by value,
pointers to structs of which one begins with the other (`sock` and `tcp_sock`).

## Why is this bad
A kprobe reads a register that holds something else, and nothing says so. Programs with BTF are refused by the verifier
when the number is beyond the end; a wrong type is read as such. Prototypes change from kernel to kernel, so that a
program may be right on one of them only. Since 4.17 system calls (`__x64_sys_openat`) get one argument: their
registers.

## Example
```rust
#[kprobe(function = "__x64_sys_openat")]
pub fn open(ctx: ProbeContext) -> u32 {
    let name: Option<*const u8> = ctx.arg(1);
```

## Use instead
```rust
#[tracepoint(category = "syscalls", name = "sys_enter_openat")]
pub fn open(ctx: TracePointContext) -> u32 {
    let name = unsafe { ctx.read_at::<*const u8>(24) };
```

## Fix
Display: the prototype of each kernel stands below the finding. Where they differ, write one program per prototype and
load the one that fits, or take a tracepoint.

## Kernels
Those asked for: of `--kernels` what the lab has prepared, the files of `--btf`, or else the running one.

## Source
Linux, `btf_ctx_access` (`kernel/bpf/btf.c`); aya-ebpf, `src/programs/probe.rs`, `fentry.rs`, `src/args.rs`.
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
    "count": "read an argument that the prototype has",
    "void": "leave the return value out",
    "pointer": "ask for the type of the prototype",
    "truncated": "ask for a pointer, or for `u64` where only the address counts",
    "sign": "ask for `i32` and widen it: `i64::from(value)`",
    "integer": "ask for the type of the prototype",
}


class ArgumentDiffers(SourceRule):
    severity = "error"
    group = "kernel-layout"
    phase = "silent"
    words = ("ProbeContext", "FEntryContext", "FExitContext", "LsmContext", "BtfTracePointContext")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        macros = ("kprobe", "fentry", "fexit", "lsm", "lsm_cgroup", "btf_tracepoint")
        yield from arguments(self, project, ctx, _FIXES, *macros)


RULE = ArgumentDiffers()

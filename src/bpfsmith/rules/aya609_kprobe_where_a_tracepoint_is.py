"""A kprobe on a function that a tracepoint stands for.

## What it does
Finds, in user-side crates, `attach` of a `KProbe` to an entry function of a system call (`__x64_sys_openat`,
`__arm64_sys_execve`, `sys_read`) and to kernel functions that are little more than the place of a tracepoint
(`tcp_retransmit_skb`, `tcp_set_state`, `kfree_skb`, `finish_task_switch`, ..), by a literal name.

## Why is this bad
A kprobe puts a breakpoint or a jump into the function and saves all registers: 137 ns for an empty one against 15 for
the tracepoint (24 with fentry; system calls, published by ebpf_exporter), 6.43 against 6.69 million calls a second in
the kernel's own bench. Function names, their arguments and their being inlined change with kernels and machines:
`__x64_sys_openat` is not there on arm64, and its only argument is a `pt_regs`, where the tracepoint has the call's
own.

## Example
```rust
program.attach("__x64_sys_openat", 0)?;
```

## Use instead
```rust
let program: &mut TracePoint = ebpf.program_mut("opened").unwrap().try_into()?;
program.load()?;
program.attach("syscalls", "sys_enter_openat")?;
```

## Fix
Display: the tracepoint, with `#[tracepoint]` and the fields of its format on the kernel side.

## Kernels
All; tracepoints of system calls need CONFIG_FTRACE_SYSCALLS, which distributions set.

## Source
Kernel, commit c5d420c32cb4; ebpf_exporter, `benchmark/`.
"""

from __future__ import annotations

import re

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered, user_files
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_SYSCALL = re.compile(r"^(?:__(?:x64|arm64|se|do|riscv|s390x)_)?sys_([a-z][a-z0-9_]*)$")
# Function -> the tracepoint it fires, where nothing but the function's own arguments is in the event.
_FIRES = {
    "tcp_retransmit_skb": "tcp:tcp_retransmit_skb",
    "tcp_set_state": "sock:inet_sock_set_state",
    "kfree_skb": "skb:kfree_skb",
    "consume_skb": "skb:consume_skb",
    "finish_task_switch": "sched:sched_switch",
    "try_to_wake_up": "sched:sched_wakeup",
    "wake_up_new_task": "sched:sched_wakeup_new",
    "do_exit": "sched:sched_process_exit",
    "__netif_receive_skb_core": "net:netif_receive_skb",
    "dev_queue_xmit": "net:net_dev_queue",
    "__dev_queue_xmit": "net:net_dev_queue",
    "blk_mq_start_request": "block:block_rq_issue",
    "oom_kill_process": "oom:mark_victim",
}


def _tracepoint(function: str) -> str | None:
    found = _SYSCALL.match(function)
    if found is not None:
        return f"syscalls:sys_enter_{found[1]}"
    return _FIRES.get(function)


class KprobeWhereATracepointIs(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = ("KProbe",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            if not file.has("KProbe"):
                continue
            for call in file.methods("attach"):
                if len(call.args) != 2:
                    continue
                name = call.args[0].string
                instead = _tracepoint(name) if name is not None else None
                if instead is None:
                    continue
                owner = type_of(call.receiver)
                if owner is None or owner.path != "aya::programs::KProbe" or file.in_test(call.item):
                    continue
                yield self.finding(
                    ctx,
                    f"the tracepoint `{instead}` stands where `{name}` is: cheaper, and alike on all machines",
                    span=covered(ctx, call.args[0]),
                    fixes=[Fix("display", f"attach a `TracePoint` program to `{instead}`")],
                )


RULE = KprobeWhereATracepointIs()

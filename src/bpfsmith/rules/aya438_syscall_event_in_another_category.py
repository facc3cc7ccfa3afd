"""A tracepoint of a system call in a category other than `syscalls`.

## What it does
Finds events whose name starts with `sys_enter_` or `sys_exit_` and whose category is not `syscalls`: in the two
arguments of `TracePoint::attach`, and in `#[tracepoint(category = "..", name = "..")]`. Categories for events that
users make (`kprobes`, `uprobes`, `synthetic`, ..) are left alone.

## Why is this bad
The kernel has all events of single system calls in the category `syscalls`. The loader looks for a folder that does
not exist, and `attach` fails: `/sys/kernel/tracing/events/syscall/sys_enter_execve/id: No such file or directory`.
The category `raw_syscalls` has `sys_enter` and `sys_exit` for all calls, and nothing for a single one.

## Example
```rust
program.attach("syscall", "sys_enter_execve")?;
```

## Use instead
```rust
program.attach("syscalls", "sys_enter_execve")?;
```

## Fix
Unsafe where the category is a literal, else display: write `syscalls`. What failed before is attached then.

## Kernels
All.

## Source
Kernel, `SYSCALL_TRACE_ENTER_EVENT` in `include/linux/syscalls.h` and `event_class_syscall_enter` in
`kernel/trace/trace_syscalls.c`; `ls /sys/kernel/tracing/events/syscalls`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._macro_args import arguments
from bpfsmith.rules._rust import covered, kernel_files, place, programs, replace, user_files
from bpfsmith.source.aya.values import strings
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import SourceFile

_EVENTS = ("sys_enter_", "sys_exit_")
_RIGHT = "syscalls"
_DYNAMIC = frozenset({"kprobes", "uprobes", "eprobes", "fprobes", "synthetic"})  # events that users make and name


class SyscallEventInAnotherCategory(SourceRule):
    severity = "error"
    group = "attach"
    phase = "attach"
    words = ("TracePoint", "tracepoint")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            if file.has("TracePoint") and file.has("attach"):
                yield from self._attached(ctx, file)
        for file in kernel_files(project):
            if file.has("tracepoint"):
                yield from self._marked(ctx, file)

    def _attached(self, ctx: CheckContext, file: SourceFile) -> Iterator[Finding]:
        for call in file.methods("attach"):
            if len(call.args) != 2:
                continue
            category, event = (strings(one) for one in call.args)
            if category is None or event is None or len(category) != 1 or len(event) != 1:
                continue
            said, name = next(iter(category)), next(iter(event))
            if said == _RIGHT or said in _DYNAMIC or not name.startswith(_EVENTS):
                continue
            owner = type_of(call.receiver)
            if owner is None or owner.name != "TracePoint" or not owner.within("aya::programs"):
                continue
            first = call.args[0]
            fix = Fix("display", f"write `{_RIGHT}`")
            if first.string is not None and first.text.startswith('"'):
                fix = Fix("unsafe", f"write `{_RIGHT}`", [replace(ctx, file, first.start, first.end, f'"{_RIGHT}"')])
            yield self.finding(
                ctx,
                f"`{name}` is an event of the category `syscalls`: there is no `{said}/{name}`, and `attach` fails",
                span=covered(ctx, first),
                fixes=[fix],
            )

    def _marked(self, ctx: CheckContext, file: SourceFile) -> Iterator[Finding]:
        for item, macro, attr in programs(file):
            given = {one.name: one for one in arguments(file, attr)} if macro == "tracepoint" else {}
            category, event = given.get("category"), given.get("name")
            if category is None or event is None or not category.value or not event.value:
                continue
            if category.value == _RIGHT or category.value in _DYNAMIC or not event.value.startswith(_EVENTS):
                continue
            yield self.finding(
                ctx,
                f"`{event.value}` is an event of the category `syscalls`, there is no `{category.value}/{event.value}`",
                span=place(ctx, file, category.value_start, category.end),
                program=item.name,
                severity="warning",  # the loader says what it is attached to
                fixes=[
                    Fix(
                        "unsafe",
                        f"write `{_RIGHT}`",
                        [replace(ctx, file, category.value_start, category.end, f'"{_RIGHT}"')],
                    )
                ],
            )


RULE = SyscallEventInAnotherCategory()

"""A program is attached to something else than its attribute says.

## What it does
Compares the target in a program's attribute (`#[kprobe(function = "..")]`, `#[tracepoint(category = "..", name =
"..")]`, `#[raw_tracepoint(tracepoint = "..")]`, `#[fentry(function = "..")]`, `#[lsm(hook = "..")]`) with the one that
the user side attaches to, or loads for, where both are written and it is attached in one place only.

## Why is this bad
Aya goes by the arguments of `attach` and `load`; what the attribute says only names a section. The program then runs on
another function or event than its code was written for, and reads the arguments and fields of that one: wrong numbers,
no error.

## Example
```rust
// kernel side: #[tracepoint(category = "syscalls", name = "sys_enter_openat")]
program.attach("syscalls", "sys_enter_open")?;
```

## Use instead
```rust
program.attach("syscalls", "sys_enter_openat")?;
```

## Fix
Unsafe: the target of the attribute.

## Kernels
All. `bpftool link` and `/sys/kernel/tracing` show what is attached to what.

## Source
aya, `aya/src/programs/trace_point.rs`, `kprobe.rs`; aya-obj, `ProgramSection::from_str` in `aya-obj/src/obj.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, pairs
from bpfsmith.rules._kernel_targets import SAID
from bpfsmith.rules._rust import covered, replace
from bpfsmith.source.aya.values import strings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import KernelProgram, Pair
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


class AttachTargetDiffers(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("attach",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for made in pair.programs:
                if made.macro in SAID and made.attach_hint and len(pair.program(made.name)) == 1:
                    yield from self._program(project, pair, made, ctx)

    def _program(self, project: Project, pair: Pair, made: KernelProgram, ctx: CheckContext) -> Iterator[Finding]:
        method, names = SAID[made.macro]
        uses = [one for one in pair.program_uses if one.names is None or made.name in one.names]
        if any(one.names is None or len(one.names) != 1 or one.escapes or one.several for one in uses):
            return
        calls = {call for one in uses for call in one.calls if call.name == method}
        if len(calls) != 1 or any(not made.attrs.get(name) for name in names):
            return
        call = calls.pop()
        if call.file.crate not in project.crates or len(call.args) < len(names):
            return
        for name, given in zip(names, call.args, strict=False):
            said = strings(given)
            if said is None or len(said) != 1 or made.attrs[name] in said:
                continue
            yield self._finding(made, name, given, next(iter(said)), ctx)

    def _finding(self, made: KernelProgram, name: str, given: Expr, said: str, ctx: CheckContext) -> Finding:
        right = made.attrs[name]
        fix = Fix("display", f"write `{right}`, or correct the attribute")
        if given.string is not None and given.text.startswith('"'):
            fix = Fix("unsafe", f"write `{right}`", [replace(ctx, given.file, given.start, given.end, f'"{right}"')])
        return self.finding(
            ctx,
            f"program `{made.name}` is for `{right}`, says its attribute, and is attached to `{said}`",
            span=covered(ctx, given),
            labels=[Label(item_place(ctx, made.item), f"`#[{made.macro}{made.attr.args}]` here")],
            fixes=[fix],
        )


RULE = AttachTargetDiffers()

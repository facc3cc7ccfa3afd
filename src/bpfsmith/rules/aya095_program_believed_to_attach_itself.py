"""A program whose macro names its target is loaded and never attached.

## What it does
Finds programs with a target in their attribute (`#[kprobe(function = "..")]`, `#[tracepoint(category = "..", name =
"..")]`, `#[fentry(function = "..")]`, `#[lsm(hook = "..")]`, `#[raw_tracepoint(tracepoint = "..")]`) on which the user
side calls `load` and nothing else, anywhere.

## Why is this bad
The argument only becomes part of the section's name. Aya does not attach by section: it does nothing until `attach` is
called, for kprobes, tracepoints and raw tracepoints with the target once more. Without it the program is loaded, and
never runs; nothing fails.

## Example
```rust
// kernel side: #[kprobe(function = "tcp_connect")] pub fn connect(..)
let connect: &mut KProbe = ebpf.program_mut("connect").unwrap().try_into()?;
connect.load()?;
```

## Use instead
```rust
connect.load()?;
connect.attach("tcp_connect", 0)?;
```

## Fix
Unsafe for kprobes, tracepoints, raw tracepoints and those whose target `load` already has: the call, with `?`. Else
display.

## Kernels
All. `bpftool link` lists what is attached.

## Source
aya, `aya/src/programs/kprobe.rs`, `trace_point.rs`; aya-obj, `ProgramSection::from_str` in `aya-obj/src/obj.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place
from bpfsmith.rules._rust import place, replace
from bpfsmith.rules._unattached import unattached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import KernelProgram
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _call(made: KernelProgram) -> str:
    """The arguments of `attach`; None-like empty text where they are not known."""
    attrs = made.attrs
    if made.macro in ("kprobe", "kretprobe") and attrs.get("function"):
        return f'attach("{attrs["function"]}", {attrs.get("offset") or 0})'
    if made.macro == "tracepoint" and attrs.get("category") and attrs.get("name"):
        return f'attach("{attrs["category"]}", "{attrs["name"]}")'
    if made.macro == "raw_tracepoint" and attrs.get("tracepoint"):
        return f'attach("{attrs["tracepoint"]}")'
    if made.macro in ("fentry", "fexit", "lsm", "btf_tracepoint"):
        return "attach()"
    return ""


def _fix(ctx: CheckContext, made: KernelProgram, load: Expr) -> Fix:
    call = _call(made)
    if not call:
        return Fix("display", "call `attach` with the target after this")
    statement = load.parent
    receiver = load.receiver
    if (
        statement is None
        or statement.kind != "try"
        or receiver is None
        or receiver.kind != "path"
        or statement.parent is None
        or statement.parent.kind != "block"
        or statement.parent.tail == statement
    ):
        return Fix("display", f"call `{call}` on it after this")
    file = load.file
    line = file.text.rfind("\n", 0, statement.start) + 1
    indent = file.text[line : statement.start]
    if indent.strip() or file.text[statement.end : statement.end + 1] != ";":
        return Fix("display", f"call `{call}` on it after this")
    at = statement.end + 1
    return Fix("unsafe", f"call `{call}`", [replace(ctx, file, at, at, f"\n{indent}{receiver.text}.{call}?;")])


class ProgramBelievedToAttachItself(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("program_mut",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for made, load in unattached(project):
            if not made.attach_hint:
                continue
            yield self.finding(
                ctx,
                f"program `{made.name}` is never attached: `{made.attach_hint}` in its attribute attaches nothing",
                span=place(ctx, load.file, load.fields[2], load.fields[3]),
                labels=[Label(item_place(ctx, made.item), f"`#[{made.macro}{made.attr.args}]` here")],
                fixes=[_fix(ctx, made, load)],
            )


RULE = ProgramBelievedToAttachItself()

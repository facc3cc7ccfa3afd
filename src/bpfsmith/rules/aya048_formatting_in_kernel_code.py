"""Kernel code formats text with `core::fmt`.

## What it does
Finds `write!`, `writeln!` and `format_args!` of `core`, and calls of `core::fmt::write`, in functions of kernel
crates. Implementations of `Display` and `Debug` are left alone: user space may use them.

## Why is this bad
`core::fmt` calls each argument's formatter through a table of function pointers, and BPF has no indirect calls: the
object links, and the verifier ends with "unknown opcode 8d" (5.10: "number of funcs in func_info doesn't match number
of subprogs").

## Example
```rust
write!(line, "{}:{}", address, port).ok();
```

## Use instead
```rust
info!(&ctx, "{:i}:{}", address, port); // aya-log sends the values, user space formats them
```

## Fix
Display: send the values, and format them in user space.

## Kernels
All.

## Source
Reproduced with rustc 1.96 and bpf-linker 0.13 on Linux 5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._rust import place
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_MACROS = ("write", "writeln", "format_args")


def _formatter(expr: Expr) -> bool:
    """Inside an implementation of a formatting trait, or of a function that is given a `Formatter`."""
    item = expr.item
    if item is not None and any("Formatter" in one.type for one in item.params):
        return True
    while item is not None and item.kind != "impl":
        item = item.parent
    return item is not None and item.extra.rpartition("::")[2] in ("Display", "Debug", "LowerHex", "UpperHex", "Binary")


def _own(expr: Expr) -> bool:
    """A macro of this crate, or one that may come from elsewhere."""
    name = expr.path.rpartition("::")[2]
    files = expr.file.crate.files if expr.file.crate is not None else [expr.file]
    if any(item.kind == "macro_rules" and item.name == name for file in files for item in file.items):
        return True
    path = resolve(expr.file, expr.path, expr.item)
    return path is not None and not path.startswith(("core::", "std::"))


class FormattingInKernelCode(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "verify"
    words = ("write", "writeln", "format_args")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *self.words):
            calls = [one for one in file.calls("write") if one.callee is not None]
            found = [(one, f"{one.path}!") for one in file.macros(*_MACROS) if not _own(one)]
            for call in calls:
                path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
                if path == "core::fmt::write":
                    found.append((call, "core::fmt::write"))
            for expr, what in found:
                if not counts(expr) or _formatter(expr):
                    continue
                if what == "format_args!" and any(one.kind == "macro" for one in expr.ancestors()):
                    continue
                yield self.finding(
                    ctx,
                    f"`{what}` formats through function pointers, which BPF cannot call",
                    span=place(ctx, file, expr.start, expr.end),
                    fixes=[Fix("display", "send the values and format them in user space, as aya-log does")],
                )


RULE = FormattingInKernelCode()

"""A function that is never inlined takes more than five arguments.

## What it does
Finds functions of kernel crates with `#[inline(never)]` whose parameters need more than five registers: each integer,
pointer or reference one, slices and `&str` two, 128-bit integers two.

## Why is this bad
A BPF function gets its arguments in `r1` to `r5`, and there is no other place for them. Where LLVM inlines the
function nobody notices, and a parameter that is the same everywhere is dropped; else bpf-linker stops with "too many
arguments" and "stack arguments are not supported".

## Example
```rust
#[inline(never)]
fn account(src: u32, dst: u32, sport: u16, dport: u16, proto: u8, bytes: u64) { .. }
```

## Use instead
```rust
#[inline(never)]
fn account(flow: &Flow, bytes: u64) { .. }
```

## Fix
Display: pass a reference to a struct, or let the function be inlined.

## Kernels
All. The newest know arguments on the stack; LLVM 22 does not.

## Source
Reproduced with rustc 1.96, LLVM 22.1 and bpf-linker 0.13; kernel, `Documentation/bpf/standardization/abi.rst`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files
from bpfsmith.rules._rust import place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_WIDE = ("&[", "&mut [", "&str", "&mut str", "u128", "i128", "&dyn ", "&mut dyn ")
_ONE = ("&", "*", "u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize", "bool", "char", "self")


def _registers(text: str) -> int:
    """How many registers a parameter certainly needs; 0 for what is not known."""
    text = " ".join(text.split())
    if text.startswith("&'"):
        text = "&" + text.partition(" ")[2]
    is_array = text.startswith(("&[", "&mut [")) and ";" in text
    if text.startswith(_WIDE) and not is_array:
        return 2
    return 1 if text.startswith(("&", "*")) or text in _ONE else 0


class TooManyArguments(SourceRule):
    severity = "warning"
    group = "no-std"
    phase = "link"
    words = ("inline",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "inline"):
            for attr in file.attrs:
                if attr.path != "inline" or "never" not in attr.args or not attr.on_item:
                    continue
                item = file.item_at(attr.owner)
                if item is None or item.kind != "fn" or item.expr is None or item.generic or file.in_test(item):
                    continue
                count = sum(_registers(one.type or "self") for one in item.params)
                if count <= 5:
                    continue
                yield self.finding(
                    ctx,
                    f"`{item.name}` is never inlined and needs {count} registers for its arguments, BPF has five",
                    span=place(ctx, file, item.name_start, item.name_end),
                    fixes=[Fix("display", "pass a reference to a struct, or let the function be inlined")],
                )


RULE = TooManyArguments()

"""`get_unchecked` at an index that nothing bounds.

## What it does
Finds `get_unchecked` and `get_unchecked_mut` in kernel crates with an index that is neither constant nor masked, nor
compared with anything in the function. Locals are followed to the expressions that give them their value.

## Why is this bad
Without a bound the verifier refuses the access ("unbounded memory access", "invalid access to map value", "math
between fp pointer and register with unbounded min value"), and where the compiler used the promise to drop a test, it
is undefined behaviour.

## Example
```rust
let weight = unsafe { *WEIGHTS.get_unchecked(kind as usize) };
```

## Use instead
```rust
let weight = unsafe { *WEIGHTS.get_unchecked(kind as usize & 7) }; // eight of them
```

## Fix
Display: mask the index, or use `get`.

## Kernels
All.

## Source
Kernel, `check_mem_region_access`; the documentation of `slice::get_unchecked`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import bounded, is_constant
from bpfsmith.rules._kernel_code import bare, code_files, counts, local
from bpfsmith.rules._rust import cited, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_NAMES = ("get_unchecked", "get_unchecked_mut")


class UncheckedIndex(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "verify"
    words = _NAMES

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *_NAMES):
            for call in file.methods(*_NAMES):
                if len(call.args) != 1 or not counts(call):
                    continue
                index = call.args[0]
                held = local(bare(index))
                if is_constant(index) or bounded(call, index) or (held is not None and held.kind == "param"):
                    continue
                if bare(index).kind in ("call", "method"):
                    continue
                yield self.finding(
                    ctx,
                    f"nothing bounds {cited(index.text)}: the verifier refuses the access",
                    span=place(ctx, file, call.fields[2], call.end),
                    fixes=[Fix("display", "mask the index to a power of two, or use `get`")],
                )


RULE = UncheckedIndex()

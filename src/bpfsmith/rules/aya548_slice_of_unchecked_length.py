"""A slice is made from a pointer and a length that nothing bounds.

## What it does
Finds `slice::from_raw_parts` and `from_raw_parts_mut` in kernel crates with a length that is neither constant nor
masked, nor compared with anything in the function.

## Why is this bad
`get` and the iterators of such a slice test against that length, and the verifier, which knows nothing about it,
refuses the access: "unbounded memory access", "invalid access to packet", "R1 min value is outside of the allowed
memory range". Where the length comes from a packet the slice is a lie besides: undefined behaviour.

## Example
```rust
let name = unsafe { core::slice::from_raw_parts(start as *const u8, header.length as usize) };
```

## Use instead
```rust
for at in 0..64 {
    let byte = start + at;
    if at >= length || byte + 1 > ctx.data_end() {
        break;
    }
    sum ^= u32::from(unsafe { *(byte as *const u8) });
}
```

## Fix
Display: bound the length, and compare each byte's place with the end of what it points into.

## Kernels
All.

## Source
Kernel, `check_mem_access`; the documentation of `core::slice::from_raw_parts`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import bounded, is_constant
from bpfsmith.rules._kernel_code import bare, code_files, counts, local, spelled
from bpfsmith.rules._rust import cited, covered
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_NAMES = ("from_raw_parts", "from_raw_parts_mut")


def _open(length: Expr) -> bool:
    """A field, or a local set to something: not a parameter (the caller may have looked), not what a call gave."""
    at = bare(length)
    if at.kind == "field":
        return True
    found = local(at)
    if found is None or found.kind != "let" or found.let is None or found.let.init is None:
        return False
    init = bare(found.let.init.stripped())
    if init.kind in ("path", "field", "cast"):
        return init.kind != "path" or _open(init)
    if init.kind == "call" and init.callee is not None:
        return init.callee.path.rpartition("::")[2] in ("from_be", "from_le", "from_be_bytes", "from_le_bytes", "from")
    return init.kind == "method" and init.name in ("to_be", "to_le", "swap_bytes", "into", "load", "arg", "read_at")


class SliceOfUncheckedLength(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "verify"
    words = _NAMES

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *_NAMES):
            for call in file.calls(*spelled(file, *_NAMES)):
                path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
                if path is None or not path.startswith("core::slice::") or len(call.args) != 2:
                    continue
                length = call.args[1]
                if is_constant(length) or bounded(call, length) or not _open(length) or not counts(call):
                    continue
                yield self.finding(
                    ctx,
                    f"the length {cited(length.text)} can be anything: the verifier refuses what is read of this slice",
                    span=covered(ctx, call),
                    fixes=[Fix("display", "mask or compare the length first, and compare the end with the data's end")],
                )


RULE = SliceOfUncheckedLength()

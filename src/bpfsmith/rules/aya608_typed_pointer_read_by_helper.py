"""A kernel pointer whose type the verifier knows is read through a helper.

## What it does
Finds `bpf_probe_read_kernel` of a field of an argument of `fentry`, `fexit`, `lsm` and `btf_tracepoint` programs: the
pointer is what `ctx.arg(n)` gave, in the program or in a local.

## Why is this bad
The verifier knows what these arguments point to and lets the program read their fields as they are: 0.6 ns against
21.7 for the helper, three pointers in a row 0.6 against 65 (Linux 6.18). A fault reads zero, as with the helper.

## Example
```rust
let task: *const task_struct = ctx.arg(0);
let pid = unsafe { bpf_probe_read_kernel(&(*task).pid)? };
```

## Use instead
```rust
let task: *const task_struct = ctx.arg(0);
let pid = unsafe { (*task).pid };
```

## Fix
Unsafe: reads the field as it is. The verifier checks offset and size against the running kernel's BTF, and refuses
bindings made for another one, where the helper reads something else.

## Kernels
5.5 and later.

## Source
Kernel, commit 9e15db66136a; measured on Linux 6.18: take the ratio.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts, local, origin, spelled
from bpfsmith.rules._rust import covered, replace
from bpfsmith.source.names import resolve
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_CONTEXTS = frozenset({"FEntryContext", "FExitContext", "LsmContext", "BtfTracePointContext"})


def _field(pointer: Expr) -> Expr | None:
    """`(*p).field` of `&(*p).field`, `&raw const (*p).field`, `addr_of!((*p).field)`."""
    at = pointer
    while at.kind in ("paren", "cast") and at.inner is not None:
        at = at.inner
    if at.kind == "ref" and at.inner is not None:
        at = at.inner
    elif at.kind == "macro" and at.path.rpartition("::")[2] == "addr_of" and len(at.args) == 1:
        at = at.args[0]
    else:
        return None
    base = at.receiver if at.kind == "field" else None
    if base is None or base.kind != "paren" or base.inner is None or base.inner.kind != "unary":
        return None
    return at if base.inner.op == "*" else None


def _argument(field: Expr) -> bool:
    """Whether the pointer is what a context with types gave."""
    base = field.receiver
    pointer = base.inner.inner if base is not None and base.inner is not None else None
    if pointer is None or local(pointer) is None:
        return False
    made = origin(pointer)
    if made.kind != "method" or made.name != "arg":
        return False
    owner = type_of(made.receiver)
    return owner is not None and owner.name in _CONTEXTS and owner.path.startswith(("aya_ebpf::", "aya_bpf::"))


class TypedPointerReadByHelper(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = ("bpf_probe_read_kernel", "bpf_probe_read")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *self.words):
            for call in file.calls(*spelled(file, *self.words)):
                path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
                if path is None or not path.startswith(("aya_ebpf::helpers::", "aya_bpf::helpers::")):
                    continue
                field = _field(call.args[0]) if len(call.args) == 1 else None
                if field is None or not _argument(field) or not counts(call):
                    continue
                outer = call.parent
                fixes = [Fix("display", f"read `{field.text}` as it is")]
                if outer is not None and outer.kind == "try":
                    edit = replace(ctx, file, outer.start, outer.end, field.text)
                    fixes = [Fix("unsafe", f"read `{field.text}` as it is", [edit])]
                yield self.finding(
                    ctx,
                    f"the verifier knows what `{field.text}` is: it can be read without a helper",
                    span=covered(ctx, call),
                    fixes=fixes,
                )


RULE = TypedPointerReadByHelper()

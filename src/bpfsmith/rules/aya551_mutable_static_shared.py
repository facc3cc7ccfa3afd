"""A `static mut` that a program changes.

## What it does
Finds, in kernel crates, statics declared `mut` that are no maps and that a function a program calls assigns to or
adds to.

## Why is this bad
The static is one word of memory in a map (`.bss`, `.data`) that all CPUs share, and the program runs on all of them
at once: `COUNT += 1` is a load, an addition and a store, and what another CPU counted between is lost. References to
it are an error in edition 2024 (`static_mut_refs`).

## Example
```rust
static mut PACKETS: u64 = 0;
unsafe { PACKETS += 1 };
```

## Use instead
```rust
#[map]
static PACKETS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
```

## Fix
Display: a per-CPU array for what is counted, an array map for what is set.

## Kernels
5.2 and later (global data); before, the object does not load.

## Source
The Rust reference, `static mut`; kernel, `BPF_MAP_TYPE_ARRAY` behind `.bss`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import counts, local
from bpfsmith.rules._rust import covered, place
from bpfsmith.source.calls import graph
from bpfsmith.source.names import resolve
from bpfsmith.source.types import item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, SourceFile


def _changes(file: SourceFile, names: set[str]) -> Iterator[tuple[Expr, Expr]]:
    """(assignment, the path assigned to) of the statics with these names."""
    for one in file.of_kind("binary"):
        if not one.op.endswith("=") or one.op in ("==", "!=", "<=", ">="):
            continue
        at = one.operands[0]
        while at is not None and at.kind in ("field", "index", "paren"):
            at = at.inner if at.kind == "paren" else at.receiver
        if at is not None and at.kind == "path" and at.path.rpartition("::")[2] in names and local(at) is None:
            yield one, at


class MutableStaticShared(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "silent"
    words = ("static",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            statics = {
                item.name
                for file in crate.files
                for item in file.items_of_kind("static")
                if item.mutable and not any(attr.path.rpartition("::")[2] in ("map", "btf_map") for attr in item.attrs)
            }
            if not statics:
                continue
            done: set[tuple[str, int]] = set()
            for file in crate.files:
                if not file.has(*statics):
                    continue
                for change, target in _changes(file, statics):
                    item = self._static(target)
                    if item is None or (item.file.path, item.id) in done or not counts(change):
                        continue
                    caller = change.item
                    if caller is None or not graph(crate, file).programs_of(caller):
                        continue
                    done.add((item.file.path, item.id))
                    yield self.finding(
                        ctx,
                        f"`{item.name}` is changed here, and all CPUs share it: what others write meanwhile is lost",
                        span=covered(ctx, change),
                        labels=[Label(place(ctx, item.file, item.start, item.name_end), "declared here")],
                        fixes=[Fix("display", "count in a `PerCpuArray`, keep what is set in an `Array`")],
                    )

    def _static(self, target: Expr) -> Item | None:
        path = resolve(target.file, target.path, target.item)
        item = item_of(target.file, path) if path is not None else None
        return item if item is not None and item.kind == "static" and item.mutable else None


RULE = MutableStaticShared()

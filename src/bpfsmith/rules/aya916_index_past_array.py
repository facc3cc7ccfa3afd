"""An array map is asked for an entry it does not have.

## What it does
Finds `get`, `get_ptr`, `get_ptr_mut` and `set` of `Array`, `PerCpuArray`, `ProgramArray` and their kin, on both
sides, whose index is certainly or in some round of a loop past `max_entries`: constants, masks, and `for i in 0..n`.

## Why is this bad
On the kernel side such a lookup finds nothing, always: the branch for `Some` is dead, and a counter stays at 0. On
the user side it is an error. Mostly the size and the number of indices were written at two places.

## Example
```rust
#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(4, 0);

let count = COUNTS.get_ptr_mut(4); // 0, 1, 2 and 3 are there
```

## Use instead
```rust
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(5, 0);
```

## Fix
Display: the largest index there is.

## Kernels
All.

## Source
Linux, `kernel/bpf/arraymap.c`, `array_map_lookup_elem`: NULL for an index past the end.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import cited, covered, place
from bpfsmith.source.aya import MapUse, model
from bpfsmith.source.types import binding, mentions
from bpfsmith.source.values import constant, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import KernelMap
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_KINDS = frozenset({"Array", "PerCpuArray", "ProgramArray", "ArrayOfMaps", "SockMap", "CpuMap", "DevMap", "XskMap"})
_SMALL = 1 << 16  # larger remainders may never be met
_CALLS = frozenset({"get", "get_ptr", "get_ptr_mut", "set"})


class IndexPastArray(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = ("Array", "PerCpuArray", "ProgramArray", "SockMap", "DevMap", "CpuMap", "XskMap", "ArrayOfMaps")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        made = model(project)
        for one in made.maps:
            size = one.max_entries
            if one.kind not in _KINDS or not size or len(made.map(one.name).kernel) != 1 or one.pinned:
                continue
            joined = made.map(one.name)
            uses = [use for use in joined.uses if isinstance(use, MapUse)]
            calls = [*(one.calls() or []), *(call for use in uses for call in use.calls)]
            if self._resized(project, one.name):
                continue
            for call in calls:
                if call.name in _CALLS and call.args:
                    yield from self._asked(ctx, one, size, call)

    @staticmethod
    def _resized(project: Project, name: str) -> bool:
        """The loader gives the map another size."""
        return any(
            file.has("set_max_entries", "map_max_entries", "max_entries") and f'"{name}"' in file.text
            for crate in project.crates
            if crate.role != "kernel"
            for file in crate.files
        )

    def _asked(self, ctx: CheckContext, one: KernelMap, size: int, call: Expr) -> Iterator[Finding]:
        index = call.args[0]
        item = call.item
        if item is None or item.kind != "fn" or call.file.in_test(item):
            return
        number = constant(index)
        if number is not None:
            if number < size:
                return
            said = f"index {number} is past the end"
        else:
            counted = self._counted(index) or self._reduced(index)
            known = values(item).range(index) if counted else None
            if known is None or known[1] < size:
                return
            said = f"{cited(index.text)} goes up to {known[1]}"
        yield self.finding(
            ctx,
            f"{said}: `{one.name}` has {size} {'entry' if size == 1 else 'entries'}, 0 to {size - 1}",
            span=covered(ctx, index),
            labels=[Label(place(ctx, one.file, one.item.name_start, one.item.name_end), "the map")],
            fixes=[Fix("display", "make the map larger, or the index smaller")],
        )

    @staticmethod
    def _reduced(index: Expr) -> bool:
        """`x % SIZE`, here or in a local that nothing else compares: every remainder is met."""
        at: Expr | None = index
        while at is not None and at.kind in ("paren", "cast", "ref"):
            at = at.inner
        if at is not None and at.kind == "path" and "::" not in at.path:
            found = binding(at)
            let = found.let if found is not None and found.kind == "let" else None
            if let is None or let.pattern.startswith("mut "):
                return False
            if any(use.parent is None or use.parent.kind in ("binary", "match", "tokens") for use in mentions(let)):
                return False
            at = let.init
            while at is not None and at.kind in ("paren", "cast"):
                at = at.inner
        if at is None or at.kind != "binary" or at.op != "%":
            return False
        divisor = constant(at.operands[1])
        return divisor is not None and divisor <= _SMALL

    @staticmethod
    def _counted(index: Expr) -> bool:
        """The variable of a `for` over numbers, which takes every value of its range."""
        at: Expr | None = index
        while at is not None and at.kind in ("paren", "cast", "ref"):
            at = at.inner
        if at is None or at.kind != "path" or "::" in at.path:
            return False
        for outer in at.ancestors():
            if outer.kind == "for" and outer.fields[2] == [at.path]:
                body = outer.body
                # A round may end before the index is reached, and a branch may guard it.
                return body is not None and not any(
                    one.kind in ("break", "return", "try", "continue", "if", "match", "binary")
                    and one.start < index.start
                    and not _asks(one, index)
                    for one in body.within()
                )
        return False


def _asks(expr: Expr, index: Expr) -> bool:
    """`if let Some(x) = M.get(index)`, `match M.get(index)`, `M.get(index)?`: what branches is asked with the index."""
    if expr.kind == "try":
        return index.end <= expr.end
    head = expr.expr_of_condition() if expr.kind == "if" else None
    if expr.kind == "match":
        head = expr.file.expr(expr.fields[0])
    return head is not None and head.op != "&&" and head.start <= index.start and index.end <= head.end


RULE = IndexPastArray()

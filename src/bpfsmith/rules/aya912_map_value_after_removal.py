"""A reference into a map is used after the key was removed or written anew.

## What it does
Finds, in one function, a reference or pointer from `get`, `get_ptr` or `get_ptr_mut` of a hash map that is used after
a `remove` or `insert` of the same key in the same map may have run. A value that was copied out is fine.

## Why is this bad
A map's element goes back to the free list when it is removed or replaced, and another processor may fill it at once:
what is read belongs to someone else then, and what is written corrupts their value. The verifier does not know.

## Example
```rust
let start = unsafe { STARTS.get(&tid) }?;
STARTS.remove(&tid).ok();
let took = now - *start;
```

## Use instead
```rust
let start = *unsafe { STARTS.get(&tid) }?;
STARTS.remove(&tid).ok();
let took = now - start;
```

## Fix
Display: copy the value before (`*`, `.copied()`), or remove after the last use.

## Kernels
All; preallocated maps reuse elements at once.

## Source
Linux, `kernel/bpf/hashtab.c`, `free_htab_elem` and `pcpu_freelist_push`; aya-ebpf, safety note of `HashMap::get`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._meaning import kernel_map, same_key
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source.flow import flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, Let

# An LPM trie frees its nodes after all programs that may see them; per-CPU values are overwritten in place.
_REUSED = {
    "remove": frozenset({"HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap"}),
    "insert": frozenset({"HashMap", "LruHashMap"}),
}
_UNWRAPS = frozenset({"ok_or", "ok_or_else", "unwrap", "expect", "unwrap_unchecked", "map_err", "ok"})


def _bound(call: Expr) -> tuple[str, Expr | Let] | None:
    """(name, where it is bound) of a reference that is kept in a local: `let`, `let .. else`, `if let`."""
    at = call
    while True:
        parent = at.parent
        if parent is None:
            return None
        if parent.kind in ("try", "paren") or (
            parent.kind == "method" and parent.receiver == at and parent.name in _UNWRAPS
        ):
            at = parent
            continue
        if parent.kind == "ref" and at.kind == "unary":
            at = parent
            continue
        if parent.kind == "unary" and parent.op == "*" and parent.parent is not None and parent.parent.kind == "ref":
            at = parent  # `&*pointer`
            continue
        if parent.kind == "block" and parent.tail == at and not parent.lets:
            at = parent
            continue
        break
    if parent.kind == "block":
        let = next((one for one in parent.lets if one.init == at), None)
        if let is None or len(let.names) != 1 or "&" in let.pattern:
            return None
        return let.names[0], let
    if parent.kind == "let" and len(parent.fields[2]) == 1 and parent.inner == at:
        pattern = call.file.text[parent.fields[0] : parent.fields[1]]
        return (parent.fields[2][0], parent) if "&" not in pattern else None
    if parent.kind == "match" and parent.fields[0] == at.id:
        for pattern, names, _ in parent.arms:
            if pattern.startswith(("Some(", "Ok(")) and len(names) == 1 and "&" not in pattern:
                return names[0], parent
    return None


class MapValueAfterRemoval(SourceRule):
    severity = "warning"
    group = "meaning"
    phase = "silent"
    words = ("remove", "insert")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has("remove", "insert"):
                continue
            changes: dict[tuple[int, str], list[Expr]] = {}
            for call in file.methods("remove", "insert"):
                found = kernel_map(call)
                item = call.item
                if found is not None and found[1] in _REUSED[call.name] and item is not None and call.args:
                    changes.setdefault((item.id, found[0]), []).append(call)
            if not changes:
                continue
            for call in file.methods("get", "get_ptr", "get_ptr_mut"):
                item = call.item
                found = kernel_map(call)
                if found is None or item is None or len(call.args) != 1:
                    continue
                after = [one for one in changes.get((item.id, found[0]), ()) if same_key(one.args[0], call.args[0])]
                if after:
                    yield from self._used(ctx, item, call, after)

    def _used(self, ctx: CheckContext, item: Item, call: Expr, changes: list[Expr]) -> Iterator[Finding]:
        held = _bound(call)
        if held is None or item.expr is None:
            return
        name, start = held
        ways = flow(item)
        for change in changes:
            if not ways.may_follow(call, change):
                continue
            for use in item.expr.within():
                if use.kind != "path" or use.path != name or not ways.may_follow(change, use):
                    continue
                # Bound again on every way: another value.
                if change not in list(ways.between(call, use)) or not self._ours(use, start):
                    continue
                yield self.finding(
                    ctx,
                    f"`{name}` points into the map, and the element is gone: its key was "
                    f"{'removed' if change.name == 'remove' else 'written anew'} before",
                    span=covered(ctx, use),
                    labels=[Label(covered(ctx, call), "from here"), Label(covered(ctx, change), "gone from here on")],
                    fixes=[Fix("display", f"copy the value before, or {change.name} after its last use")],
                )
                return

    @staticmethod
    def _ours(use: Expr, start: Expr | Let) -> bool:
        from bpfsmith.source.rust import Let
        from bpfsmith.source.types import binding

        found = binding(use)
        if found is None:
            return False
        if isinstance(start, Let):
            return found.let is not None and found.let.start == start.start
        if start.kind == "match":
            return found.scope is not None and found.scope == start
        outer = start.parent
        while outer is not None and outer.kind not in ("if", "while"):
            outer = outer.parent
        return found.scope is not None and found.scope == outer


RULE = MapValueAfterRemoval()

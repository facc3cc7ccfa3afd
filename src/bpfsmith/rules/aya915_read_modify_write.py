"""A value that all processors share is read, changed and written back, and not atomically.

## What it does
Finds `*pointer += 1` (and fields, and `*p = *p + 1`) through `get_ptr_mut` of a `HashMap`, an `LruHashMap` or a
computed index of an `Array`. Keys that belong to one thread, socket or
processor (`pid`, `bpf_get_current_pid_tgid`, `bpf_get_smp_processor_id`, a cookie) are left out. A constant index of
an `Array` is AYA600, a value that is inserted again AYA606.

## Why is this bad
Packets are handled on all processors at once. Two of them read 7, both write 8: an event is lost, the more the busier
the machine is. A limit that is counted so lets more through than it says.

## Example
```rust
if let Some(count) = PACKETS.get_ptr_mut(&source) {
    unsafe { *count += 1 };
}
```

## Use instead
```rust
#[map]
static PACKETS: PerCpuHashMap<u32, u64> = PerCpuHashMap::with_max_entries(1024, 0);
```

## Fix
Display: a per-CPU map, whose values user space adds up; an atomic addition where all must see one value.

## Kernels
All. Atomic additions since 3.18, with their result since 5.12.

## Source
Linux, `Documentation/bpf/map_array.rst` ("per-CPU"), `kernel/bpf/arraymap.c`; XDP runs in the softirq of each queue.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._hot import hot
from bpfsmith.rules._meaning import SHARED, crate_programs, kernel_map
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source.types import binding
from bpfsmith.source.values import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile

_PACKETS = frozenset({"xdp", "classifier", "tc", "cgroup_skb", "socket_filter", "sk_skb", "sk_msg", "stream_parser"})
_ADDS = frozenset({"+=", "-=", "|=", "&=", "^="})
_OWN = ("pid", "tid", "tgid", "cookie", "cpu", "processor", "task")


def _pointer(expr: Expr | None) -> Expr | None:
    """The local a place is reached through: `*p`, `(*p).f`, `p.f`."""
    while expr is not None and expr.kind in ("field", "paren", "unary", "index"):
        expr = expr.receiver if expr.kind in ("field", "index") else expr.inner
    return expr if expr is not None and expr.kind == "path" and "::" not in expr.path else None


def _lookup(path: Expr) -> Expr | None:
    """The `get_ptr_mut` that gave a local its pointer."""
    found = binding(path)
    if found is None:
        return None
    made: Expr | None = None
    if found.let is not None:
        made = found.let.init
    elif found.scope is not None and found.scope.kind in ("if", "while"):
        condition = found.scope.expr_of_condition()
        lets = [one for one in condition.within() if one.kind == "let"] if condition is not None else []
        made = next((one.inner for one in lets if one.fields[2] == [path.path]), None)
    elif found.scope is not None and found.scope.kind == "match":
        made = found.scope.file.expr(found.scope.fields[0])
    depth = 0
    while made is not None and depth < 12:
        if made.kind in ("try", "paren", "ref", "unary"):
            made = made.inner
        elif made.kind == "block":
            made = made.tail
        elif made.kind == "method" and made.name in ("ok_or", "ok_or_else", "unwrap", "as_mut", "unwrap_unchecked"):
            made = made.receiver
        else:
            break
        depth += 1
    return made if made is not None and made.kind == "method" and made.name == "get_ptr_mut" else None


def _own(key: Expr) -> bool:
    """A key that is one thread's, socket's or processor's."""
    for one in key.within():
        text = (one.path if one.kind == "path" else one.name).lower()
        if any(word in text for word in _OWN):
            return True
        if one.kind == "path" and "::" not in one.path:
            found = binding(one)
            init = found.let.init if found is not None and found.let is not None else None
            if init is not None and any(word in init.text.lower() for word in _OWN):
                return True
    return False


def _elsewhere(expr: Expr, path: Expr | None) -> bool:
    """Told as one counter of all packets (AYA600), or as a value that is borrowed although all share it (AYA541)."""
    found = binding(path) if path is not None else None
    init = found.let.init if found is not None and found.let is not None else None
    return hot(expr.item) is not None or (init is not None and any("mut" in one.text[:5] for one in init.within("ref")))


def _known(key: Expr) -> bool:
    """No parameter, so that what it is made of can be seen."""
    for one in key.within():
        if one.kind == "path" and "::" not in one.path:
            found = binding(one)
            if found is not None and (found.let is None or found.kind != "let"):
                return False
    return True


class ReadModifyWrite(SourceRule):
    severity = "warning"
    group = "meaning"
    phase = "silent"
    words = ("get_ptr_mut",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has("get_ptr_mut"):
                continue
            network = crate_programs(file.crate) if file.crate is not None else frozenset()
            if not network:
                continue
            yield from self._added(ctx, file, network <= _PACKETS)

    def _added(self, ctx: CheckContext, file: SourceFile, packets: bool) -> Iterator[Finding]:
        told: set[int] = set()
        holders = {call.item for call in file.methods("get_ptr_mut")}
        for expr in (one for item in holders if item is not None and item.expr for one in item.expr.within("binary")):
            if expr.op not in _ADDS and expr.op != "=":
                continue
            left, right = expr.operands
            if left is None or right is None or left.kind not in ("unary", "field", "paren", "index"):
                continue
            if expr.op not in _ADDS and not (expr.op == "=" and self._again(left, right)):
                continue
            path = _pointer(left)
            lookup = _lookup(path) if path is not None else None
            if lookup is None or lookup.id in told or not lookup.args or file.in_test(expr.item):
                continue
            found = kernel_map(lookup)
            if found is None or found[1] not in SHARED or _own(lookup.args[0]):
                continue
            if found[1] == "Array" and constant(lookup.args[0]) is not None and _elsewhere(expr, path):
                continue
            if not packets and not _known(lookup.args[0]):
                continue
            told.add(lookup.id)
            yield self._told(ctx, expr, lookup, found[0])

    @staticmethod
    def _again(left: Expr, right: Expr) -> bool:
        """`*p = *p + 1`, `*p = (*p).wrapping_add(1)`."""
        place = "".join(left.text.split())
        return any("".join(one.text.split()) == place for one in right.within() if one.kind == left.kind)

    def _told(self, ctx: CheckContext, expr: Expr, lookup: Expr, name: str) -> Finding:
        return self.finding(
            ctx,
            f"all processors share the values of `{name}`: read, changed and written back here, updates are lost",
            span=covered(ctx, expr),
            labels=[Label(covered(ctx, lookup), "looked up here")],
            fixes=[Fix("display", "use a per-CPU map and add up in user space, or an atomic addition")],
        )


RULE = ReadModifyWrite()

"""A packet is read without a comparison with its end before.

## What it does
Finds reads through a pointer that is computed from `ctx.data()` in the same function where no comparison with
`ctx.data_end()` comes before on every path. A function whose callers compare is left alone, and so are pointers that
a helper function such as `ptr_at` gives.

## Why is this bad
The verifier only lets a program read bytes of a packet that it has shown to be there: everything before a `pointer +
size <= data_end` it has seen on that path. Else it refuses with "invalid access to packet, off=0 size=2, R1 offset is
outside of the packet".

## Example
```rust
let ethernet = ctx.data() as *const EthHdr;
let kind = unsafe { (*ethernet).ether_type };
```

## Use instead
```rust
if ctx.data() + size_of::<EthHdr>() > ctx.data_end() {
    return Ok(XDP_PASS);
}
let ethernet = ctx.data() as *const EthHdr;
let kind = unsafe { (*ethernet).ether_type };
```

## Fix
Display: compare with `data_end` before, as the `ptr_at` of Aya's book does, or use `load`.

## Kernels
All.

## Source
Aya book, XDP; the message seen on Linux 6.18.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner
from bpfsmith.rules._loads import loads, origins
from bpfsmith.rules._rust import cited, covered, kernel_files
from bpfsmith.source.flow import flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item


_COMPARES = frozenset({"<", "<=", ">", ">="})


class PacketReadUnchecked(SourceRule):
    severity = "error"
    group = "programs"
    phase = "verify"
    words = ("data",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not any(True for _ in file.methods("data")):
                continue
            seen = set()
            for expr, pointer in loads(file):
                item = expr.item
                if item is None or any(one.kind == "closure" for one in expr.ancestors()):
                    continue
                made = next((one for one in origins(pointer) if _packet(one)), None)
                if made is None or made in seen or made.item != item or _checked(expr, item) or _by_caller(item):
                    continue
                seen.add(made)
                yield self.finding(
                    ctx,
                    f"{cited(expr.text)} reads the packet before anything was compared with its end",
                    span=covered(ctx, expr),
                    labels=[Label(covered(ctx, made), "comes from here")],
                    fixes=[Fix("display", "return early where `pointer + size > ctx.data_end()`")],
                )


def _packet(call: Expr) -> bool:
    if call.name != "data" or call.args:
        return False
    known = owner(call)
    return known is not None and known.within("aya_ebpf::programs", "aya_bpf::programs")


def _checked(load: Expr, item: Item) -> bool:
    """Whether a comparison comes before the read: one with the packet's end, or with what may be that."""
    order = flow(item)
    if not order.known:
        return True
    file = load.file
    for one in file.of_kind("binary"):
        inside = one.op in _COMPARES and item.start <= one.start < item.end and one.item == item
        if inside and _end(one) and order.before(one, load):
            return True
    # Checks made by others: a call that is given an end, or that compares by itself.
    for call in file.of_kind("call"):
        inside = item.start <= call.start < load.start and call.item == item
        if inside and any(_mentions_end(one) for one in call.args) and order.before(call, load):
            return True
    return False


def _end(compare: Expr) -> bool:
    return any(one is not None and _mentions_end(one) for one in compare.operands)


def _mentions_end(expr: Expr) -> bool:
    """Whether an expression is made of the packet's end, or of a parameter, which may be it."""
    for one in expr.within():
        if one.kind == "method" and one.name == "data_end":
            return True
        if one.kind == "path" and "::" not in one.path:
            made = next(iter(origins(one)), None)
            if made is not None and made.name == "data_end":
                return True
            item = one.item
            if item is not None and any(param.name == one.path and "usize" in param.type for param in item.params):
                return True
    return False


def _by_caller(item: Item) -> bool:
    """Whether a function that calls this one compares with the packet's end: the check may be there."""
    crate = item.file.crate
    for file in crate.files if crate is not None else [item.file]:
        for call in file.calls(item.name):
            outer = call.item
            if outer is not None and "data_end" in file.text[outer.start : outer.end]:
                return True
        if any(one.name == item.name for one in file.methods(item.name)):
            return True
    return False


RULE = PacketReadUnchecked()

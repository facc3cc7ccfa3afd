"""A packet is read behind the part that was compared with its end.

## What it does
Finds reads through `ctx.data()` plus an offset where every comparison with `ctx.data_end()` that holds there covers
less than what is read: the same offset without the size of the header behind it, or a smaller number. Comparisons it
does not understand, in other functions or of other offsets, make it silent.

## Why is this bad
The check of one header says nothing about the next one: "invalid access to packet", "R1 offset is outside of the
packet".

## Example
```rust
if start + EthHdr::LEN > ctx.data_end() {
    return Err(());
}
let ip = (start + EthHdr::LEN) as *const Ipv4Hdr;
let source = unsafe { (*ip).src_addr };
```

## Use instead
```rust
if start + EthHdr::LEN + Ipv4Hdr::LEN > ctx.data_end() {
    return Err(());
}
let ip = (start + EthHdr::LEN) as *const Ipv4Hdr;
```

## Fix
Display: compare the end of what is read: offset plus size.

## Kernels
All.

## Source
Kernel, `check_packet_access`; reproduced on Linux 5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts, local
from bpfsmith.rules._packet import accessor, checked_elsewhere, ends, handed_out, looks_at_end, pointer, reads
from bpfsmith.rules._rust import cited, covered
from bpfsmith.source.flow import flow
from bpfsmith.source.layout import constant, layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item

# (operator, holds) -> which side is the start, for comparisons that say "fits".
_FITS = {(">", False): 0, ("<=", True): 0, ("<", False): 1, (">=", True): 1}

_Offset = tuple[tuple[str, ...], int]


def _offset(added: list[Expr]) -> _Offset:
    """What is added: the parts that are not constant by their text, and the sum of the others."""
    names: list[str] = []
    total = 0
    todo = list(added)
    while todo:
        one = todo.pop()
        value = constant(one.file, one.text, one.item)
        if value is not None:
            total += value
        elif one.kind == "binary" and one.op == "+":
            todo.extend(part for part in one.operands if part is not None)
        elif one.kind == "paren" and one.inner is not None:
            todo.append(one.inner)
        else:
            names.append("".join(one.text.split()))
    return tuple(sorted(names)), total


def _covered_by(condition: Expr, holds: bool) -> _Offset | None:
    """Up to where a condition says the packet goes; None when it says something else."""
    while condition.kind == "paren" and condition.inner is not None:
        condition = condition.inner
    side = _FITS.get((condition.op, holds)) if condition.kind == "binary" else None
    if side is None:
        return None
    start, end = condition.operands[side], condition.operands[1 - side]
    first = pointer(start) if start is not None else None
    last = pointer(end) if end is not None else None
    if first is None or last is None or first[0] != "data" or last != ("data_end", []):
        return None
    return _offset(first[1])


def _pointee(target: Expr, depth: int = 0) -> str:
    """What a pointer points to, as written in its cast."""
    while target.kind == "paren" and target.inner is not None:
        target = target.inner
    if target.kind == "cast":
        return target.cast_type.strip().removeprefix("*const ").removeprefix("*mut ").strip()
    found = local(target)
    if depth < 4 and found is not None and found.let is not None and found.let.init is not None:
        return _pointee(found.let.init, depth + 1)
    return ""


def _length(read: Expr, target: Expr) -> int:
    """How far behind the pointer the read goes: a field's end, the whole, at least one byte."""
    text = _pointee(target)
    known = layout(read.file, text, read.item) if text else None
    if known is None:
        return 1
    if read.kind != "field":
        return max(known.size, 1)
    return next((one.offset + one.size for one in known.fields if one.name == read.name and one.offset >= 0), 1)


class PacketReadBeyondTheCheck(SourceRule):
    severity = "error"
    group = "unsafe"
    phase = "verify"
    words = ("data_end",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "data_end"):
            if not any(accessor(one) for one in file.methods("data")):
                continue
            for made, read in handed_out(file):
                check = (
                    self._short(made, made, made.item, _offset((pointer(made) or ("", []))[1])) if made.item else None
                )
                if check is not None and counts(made):
                    yield self.finding(
                        ctx,
                        f"{cited(check.text)} leaves out the size of what is read: the verifier knows of no byte "
                        f"behind {cited(made.text)}",
                        span=covered(ctx, check),
                        labels=[Label(covered(ctx, read), "read here")],
                        fixes=[Fix("display", "compare offset plus size of what is read with `data_end()`")],
                    )
            for read, target in reads(file):
                found = pointer(target)
                item = read.item
                if found is None or found[0] != "data" or item is None or not counts(read):
                    continue
                check = self._short(read, target, item, _offset(found[1]))
                if check is not None:
                    yield self.finding(
                        ctx,
                        f"{cited(read.text)} reads behind what {cited(check.text)} has checked",
                        span=covered(ctx, read),
                        labels=[Label(covered(ctx, check), "this much is known to be there")],
                        fixes=[Fix("display", "compare offset plus size of what is read with `data_end()`")],
                    )

    def _short(self, read: Expr, target: Expr, item: Item, wanted: _Offset) -> Expr | None:
        """The comparison that holds at the read and covers less; None when there may be another that covers it."""
        paths = flow(item)
        if not paths.known:
            return None
        names = ends(item)
        conditions = [(one, holds) for one, holds in paths.conditions(read) if looks_at_end(one, names)]
        known = [_covered_by(one, holds) for one, holds in conditions]
        if not known or checked_elsewhere(read, item, [one for one, _ in conditions], names):
            return None
        end = wanted[1] + _length(read, target)
        for one in known:
            if one is None or one[0] != wanted[0] or one[1] >= end:
                return None
        return conditions[-1][0]


RULE = PacketReadBeyondTheCheck()

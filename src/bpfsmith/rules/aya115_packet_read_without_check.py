"""A packet is read without a comparison with its end.

## What it does
Finds reads through a pointer made of `ctx.data()` (and an offset) in a function of a kernel crate where no path to
the read has compared anything with `ctx.data_end()`. A function that gives such a pointer to
callers that read through it counts. Where a function is called that looks at `data_end`, nothing is said.

## Why is this bad
The verifier lets a program read only what a comparison has shown to be inside the packet: "invalid access to packet",
"R1 offset is outside of the packet".

## Example
```rust
let ether = ctx.data() as *const EthHdr;
let kind = unsafe { (*ether).ether_type };
```

## Use instead
```rust
let start = ctx.data();
if start + size_of::<EthHdr>() > ctx.data_end() {
    return Err(());
}
let kind = unsafe { (*(start as *const EthHdr)).ether_type };
```

## Fix
Display: compare start plus offset plus size with `data_end` first, in one expression with the read.

## Kernels
All.

## Source
Kernel, `check_packet_access`; reproduced on Linux 5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._packet import (
    COMPARES,
    LOGS,
    accessor,
    called_elsewhere,
    ends,
    handed_out,
    looks_at_end,
    pointer,
    reads,
)
from bpfsmith.rules._rust import cited, covered
from bpfsmith.source.flow import flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item


def _checked(read: Expr, item: Item) -> bool:
    """Whether anything on the way to the read may have compared with the end, here or in a function that is called."""
    names = ends(item)
    body = item.expr
    if body is None:
        return True
    paths = flow(item)
    if not paths.known:
        return True
    if any(looks_at_end(condition, names) for condition, _ in paths.conditions(read)):
        return True
    # A comparison kept in a local, handed on, or used in a way this does not follow.
    for one in body.within("binary", "call", "method", "macro"):
        if one.start >= read.start:
            continue
        if one.kind == "macro" and one.path.rpartition("::")[2] not in LOGS:
            return True
        if one.kind == "binary" and one.op in COMPARES and looks_at_end(one, names):
            outer = one.parent
            while outer is not None and outer.kind in ("paren", "unary", "binary"):
                outer = outer.parent
            if outer is None or outer.kind not in ("if", "while") or paths.before(one, read):
                return True
    return called_elsewhere(read, item, body)


class PacketReadWithoutCheck(SourceRule):
    severity = "error"
    group = "unsafe"
    phase = "verify"
    words = ("data",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "data"):
            if not any(accessor(one) for one in file.methods("data")):
                continue
            for made, read in handed_out(file):
                if made.item is not None and counts(made) and not _checked(made, made.item):
                    yield self.finding(
                        ctx,
                        f"`{made.item.name}` gives a pointer into the packet that nothing compares with `data_end()`, "
                        "and its callers read through it",
                        span=covered(ctx, made),
                        labels=[Label(covered(ctx, read), "read here")],
                        fixes=[Fix("display", "compare start plus offset plus size with `ctx.data_end()` first")],
                    )
            done: set[tuple[int, str]] = set()
            for read, target in reads(file):
                found = pointer(target)
                item = read.item
                if found is None or found[0] != "data" or item is None or not counts(read):
                    continue
                if (item.id, target.text) in done or _checked(read, item):
                    continue
                done.add((item.id, target.text))
                yield self.finding(
                    ctx,
                    f"{cited(read.text)} reads the packet, and nothing before it compares with `data_end()`",
                    span=covered(ctx, read),
                    fixes=[Fix("display", "compare start plus offset plus size with `ctx.data_end()` first")],
                )


RULE = PacketReadWithoutCheck()

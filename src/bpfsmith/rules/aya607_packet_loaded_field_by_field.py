"""A classifier copies packet fields one by one through a helper.

## What it does
Finds functions that a `#[classifier]` runs and that call `load` of the context three times or more at offsets the
compiler knows, each for a number or an address. Headers loaded as a whole do not count.

## Why is this bad
Each `ctx.load` is a call of `bpf_skb_load_bytes` with a copy to the stack: 14.9 ns for 4 bytes against 0.3 read where
they are (Linux 6.18). Headers nearly always lie in the linear part of the packet, which classifiers may read
directly.

## Example
```rust
let proto: u8 = ctx.load(ETH_LEN + 9)?;
let source: u32 = ctx.load(ETH_LEN + 12)?;
let target: u32 = ctx.load(ETH_LEN + 16)?;
```

## Use instead
```rust
ctx.pull_data(ETH_LEN as u32 + 20)?; // once, for packets whose headers are not linear
if ctx.data() + ETH_LEN + 20 > ctx.data_end() {
    return Err(());
}
let header = (ctx.data() + ETH_LEN) as *const Ipv4Hdr;
```

## Fix
Display: one comparison with `data_end`, then direct reads; or one `load` of a struct with all fields.

## Kernels
All; direct access in classifiers since 4.7.

## Source
Measured on Linux 6.18: take the ratio.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import is_constant
from bpfsmith.rules._hot import hot
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._rust import covered
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_ENOUGH = 3
_CONTEXTS = frozenset({"aya_ebpf::programs::TcContext", "aya_bpf::programs::TcContext"})


_FIELDS = frozenset({"u8", "u16", "u32", "u64", "i32", "[u8;4]", "[u8;6]", "[u8;16]", "u128"})


def _loaded(call: Expr) -> str:
    """The type that is loaded, as written; headers as a whole are one copy for many fields."""
    start = call.fields[3]
    generics = "".join(call.file.text[start : call.args[0].start].split())
    if generics.startswith("::<"):
        return generics[3:].partition(">")[0]
    child = call
    for at in call.ancestors():
        if at.kind == "block":
            return next(("".join(let.type.split()) for let in at.lets if let.init == child), "")
        if at.kind not in ("try", "paren") and not (at.kind == "method" and at.receiver == child):
            return ""
        child = at
    return ""


class PacketLoadedFieldByField(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = ("load",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "load"):
            rows: dict[int, list[Expr]] = {}
            for call in file.methods("load"):
                item = call.item
                if item is None or len(call.args) != 1 or not is_constant(call.args[0]) or not counts(call):
                    continue
                found = type_of(call.receiver)
                if found is not None and found.path in _CONTEXTS and _loaded(call) in _FIELDS:
                    rows.setdefault(item.id, []).append(call)
            for at, calls in rows.items():
                busy = hot(file.item_at(at)) if len(calls) >= _ENOUGH else None
                if busy is None or busy.program.macro != "classifier":
                    continue
                calls.sort(key=lambda one: one.start)
                yield self.finding(
                    ctx,
                    f"{len(calls)} calls of `load` {busy.what}: each is a helper that copies, direct reads are not",
                    span=covered(ctx, calls[0]),
                    labels=[Label(covered(ctx, one), "and here") for one in calls[1:4]],
                    fixes=[Fix("display", "compare once with `data_end()` and read directly, or load one struct")],
                )


RULE = PacketLoadedFieldByField()

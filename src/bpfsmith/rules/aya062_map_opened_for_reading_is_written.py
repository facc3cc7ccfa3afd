"""A map is borrowed with `map` and then written to.

## What it does
Finds typed maps made from `ebpf.map(..)` on which a method that writes is called: `insert`, `set`, `remove`, `push`,
`pop`, `clear_index`, `open` of a perf event array.

## Why is this bad
`map` lends the map for reading only, and Aya's writing methods exist for maps that are borrowed with `map_mut` or taken
with `take_map`. The compiler says that the method exists "but its trait bounds were not satisfied", with a list of
types, and not what to do.

## Example
```rust
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map("BLOCKED").unwrap())?;
blocked.insert(1, 1, 0)?;
```

## Use instead
```rust
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("BLOCKED").unwrap())?;
blocked.insert(1, 1, 0)?;
```

## Fix
Unsafe: `map_mut`; the `Ebpf` must be mutable then, and not borrowed otherwise.

## Kernels
All.

## Source
aya, `impl<T: BorrowMut<MapData>, ..>` in `aya/src/maps/hash_map/hash_map.rs`, `array/array.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import place, replace
from bpfsmith.source.aya import model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_WRITES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("HashMap", "PerCpuHashMap", "LpmTrie", "SockHash"), frozenset({"insert", "remove"})),
    **dict.fromkeys(("Array", "PerCpuArray", "CpuMap"), frozenset({"set"})),
    **dict.fromkeys(("ProgramArray", "SockMap"), frozenset({"set", "clear_index"})),
    **dict.fromkeys(("Queue", "Stack"), frozenset({"push", "pop"})),
    "BloomFilter": frozenset({"insert"}),
    "DevMap": frozenset({"set"}),
    "DevMapHash": frozenset({"insert", "remove"}),
    "XskMap": frozenset({"set", "unset"}),
    "PerfEventArray": frozenset({"open"}),
}


class MapOpenedForReadingIsWritten(SourceRule):
    severity = "error"
    group = "maps"
    phase = "compile"
    words = ("map",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for user in model(project).users:
            if user.crate not in project.crates or not user.crate.at_least("aya", "0.12.0"):
                continue
            for use in user.maps:
                if use.how != "map":
                    continue
                writes = [one for one in use.calls if one.name in _WRITES.get(use.type, ())]
                if not writes:
                    continue
                start, end = use.expr.fields[2], use.expr.fields[3]
                first = writes[0]
                yield self.finding(
                    ctx,
                    f"`{first.name}` writes to a map that `map` only lends for reading",
                    span=place(ctx, use.file, start, end),
                    labels=[
                        Label(place(ctx, writes[0].file, writes[0].fields[2], writes[0].fields[3]), "written here")
                    ],
                    fixes=[Fix("unsafe", "borrow it with `map_mut`", [replace(ctx, use.file, start, end, "map_mut")])],
                )


RULE = MapOpenedForReadingIsWritten()

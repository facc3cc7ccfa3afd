"""The kernel side reads a map that nobody fills.

## What it does
Finds hash maps, arrays and LPM tries on which the kernel side only calls `get`, and that nothing of the user side
names, where all of the user side is known: it loads this object itself, computes no map names, and has no text that is
the map's name. Pinned maps are left out: another process may fill them.

## Why is this bad
A hash map or trie stays empty and every lookup misses; the elements of an array stay zero. A blocklist blocks nothing,
a configuration is the one with all zeros. Nothing fails.

## Example
```rust
// kernel side: if BLOCKLIST.get(&source).is_some() { return XDP_DROP; }
let mut ebpf = Ebpf::load(bytes)?; // and no `map_mut("BLOCKLIST")`
```

## Use instead
```rust
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("BLOCKLIST").unwrap())?;
blocked.insert(address, 1, 0)?;
```

## Fix
Display: fill it, or delete it.

## Kernels
All. `bpftool map dump name NAME` shows what is in it.

## Source
aya-ebpf, `ebpf/aya-ebpf/src/maps/hash_map.rs`, `array.rs`, `lpm_trie.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, owner_crate, pairs, unmentioned
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_EMPTY = frozenset({"HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap", "LpmTrie"})
_ZERO = frozenset({"Array", "PerCpuArray"})


class MapReadAndNeverFilled(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = tuple(sorted(_EMPTY | _ZERO))

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for made in pair.maps:
                if made.kind not in _EMPTY | _ZERO or made.pinned or not owner_crate(project, made):
                    continue
                calls = made.calls()
                if not calls or any(one.name != "get" for one in calls) or not unmentioned(pair, made):
                    continue
                result = "every lookup in it misses" if made.kind in _EMPTY else "its elements are always zero"
                yield self.finding(
                    ctx,
                    f"nobody fills `{made.name}`, so {result}",
                    span=item_place(ctx, made.item),
                    labels=[Label(covered(ctx, calls[0]), "read here")],
                    fixes=[Fix("display", f'take it with `map_mut("{made.name}")` and fill it, or delete it')],
                )


RULE = MapReadAndNeverFilled()

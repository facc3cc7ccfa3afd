"""A hash map takes a new key for every flow, thread or address, and nothing ever removes one.

## What it does
Finds hash maps (not LRU) that the kernel side inserts into with a key from the context, a packet or the current task,
and from which neither side ever removes anything. Nothing is said where a use cannot be seen, for keys of one byte,
and for maps that the user side goes through with `keys` or `iter` and writes to.

## Why is this bad
When `max_entries` keys are in, `insert` fails with E2BIG, and goes on failing: new flows are not seen any more, hours
after the start, and no test showed it. The result of that `insert` is mostly thrown away.

## Example
```rust
#[map]
static STARTS: HashMap<u32, u64> = HashMap::with_max_entries(1024, 0);

let _ = STARTS.insert(&ctx.pid(), &now, 0); // and no `remove` anywhere
```

## Use instead
```rust
#[map]
static STARTS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1024, 0);
```

## Fix
Display: remove what is done with (at exit, in the return probe), or use an LRU map, which gives up the oldest.

## Kernels
All; LRU maps since 4.10. `bpftool map dump name STARTS | wc -l` shows how full it is.

## Source
Linux, `kernel/bpf/hashtab.c`, `alloc_htab_elem`: `-E2BIG`; `Documentation/bpf/map_hash.rst`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered, place
from bpfsmith.source.aya import MapUse, model
from bpfsmith.source.calls import graph
from bpfsmith.source.types import binding
from bpfsmith.source.values import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_KINDS = frozenset({"HashMap", "PerCpuHashMap"})
_GROWING = frozenset(
    {
        *(
            "pid",
            "tgid",
            "bpf_get_current_pid_tgid",
            "src_addr",
            "dst_addr",
            "saddr",
            "daddr",
            "user_ip4",
            "remote_ip4",
        ),
        *("bpf_get_socket_cookie", "source", "dest", "user_port", "remote_port", "bpf_get_current_cgroup_id"),
    }
)
_SMALL = frozenset({"u8", "i8", "bool"})


def _grows(key: Expr, depth: int = 0) -> bool:
    """Whether a key is made of what differs from flow to flow or thread to thread."""
    if depth > 6:
        return False
    for one in key.within():
        if one.kind in ("method", "field") and one.name in _GROWING:
            return True
        if one.kind == "call" and one.callee is not None and one.callee.path.rpartition("::")[2] in _GROWING:
            return True
        if one.kind == "path" and "::" not in one.path:
            found = binding(one)
            if found is not None and found.kind == "param" and _handed(one, depth):
                return True
            init = found.let.init if found is not None and found.let is not None and found.kind == "let" else None
            if init is not None and _grows(init, depth + 1):
                return True
    return False


def _handed(path: Expr, depth: int) -> bool:
    """Whether a caller hands over such a value for a parameter."""
    item, crate = path.item, path.file.crate
    at = next((i for i, one in enumerate(item.params) if one.name == path.path), None) if item is not None else None
    if item is None or crate is None or at is None:
        return False
    calls = [one.expr for one in graph(crate, item.file).calls_to(item) if one.expr.kind == "call"]
    return any(len(one.args) > at and _grows(one.args[at], depth + 2) for one in calls)


class MapNeverCleaned(SourceRule):
    severity = "warning"
    group = "meaning"
    phase = "silent"
    words = ("HashMap", "PerCpuHashMap")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        made = model(project)
        for pair in made.pairs:
            if not pair.kernel_complete or not pair.user_complete:
                continue
            for one in pair.maps:
                if one.kind not in _KINDS or one.key in _SMALL or one.pinned or len(pair.map(one.name)) != 1:
                    continue
                calls = one.calls()
                if calls is None or any(call.name == "remove" for call in calls):
                    continue
                uses = [use for use in pair.map_uses if isinstance(use, MapUse) and use.name in (one.name, None)]
                if any(use.escapes or any(call.name in ("remove", "insert") for call in use.calls) for use in uses):
                    continue
                inserts = [call for call in calls if call.name == "insert" and len(call.args) == 3]
                grown = [call for call in inserts if constant(call.args[0]) is None and _grows(call.args[0])]
                if not grown or one.max_entries == 0:
                    continue
                size = f"{one.max_entries} keys" if one.max_entries is not None else "all keys it has room for"
                yield self.finding(
                    ctx,
                    f"nothing ever removes a key of `{one.name}`: after {size} every new `insert` fails",
                    span=covered(ctx, grown[0]),
                    labels=[
                        Label(place(ctx, one.file, one.item.name_start, one.item.name_end), "the map"),
                    ],
                    fixes=[Fix("display", "remove what is done with, or use an LRU map, which gives up the oldest")],
                )


RULE = MapNeverCleaned()

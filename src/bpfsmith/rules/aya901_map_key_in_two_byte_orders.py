"""One map's keys are written in one byte order and looked up in another.

## What it does
Follows what the keys of a map are made of, on both sides: on the user side `u32::from(address)`, `to_bits()`,
`.to_be()`, `octets()`; on the kernel side header and context fields, converted or not. Where one place certainly
hands over network order and another the machine's, for the same map and the same part of the key, both are shown.

## Why is this bad
A hash map compares bytes. `u32::from(Ipv4Addr)` is a number, 10.0.0.1 is 0x0a000001; the field of the packet, read as
it is, is 0x0100000a. Nothing is ever found, no error is told: a block list blocks nobody.

## Example
```rust
// user side
blocklist.insert(u32::from(address), 0, 0)?;
// kernel side
let blocked = unsafe { BLOCKLIST.get(&(*ip).src_addr) }.is_some();
```

## Use instead
```rust
let source = u32::from_be(unsafe { (*ip).src_addr });
let blocked = unsafe { BLOCKLIST.get(&source) }.is_some();
```

## Fix
Display: convert at one of the two places.

## Kernels
All. `bpftool map dump name BLOCKLIST` shows the bytes of the keys: those of an address in network order read in order.

## Source
Linux, `kernel/bpf/hashtab.c` (keys are compared with `memcmp`); Rust, `impl From<Ipv4Addr> for u32`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._meaning import crate_has
from bpfsmith.rules._orders import fact, parts, skipped
from bpfsmith.rules._rust import cited, covered
from bpfsmith.source.aya import MapUse, model
from bpfsmith.source.calls import graph
from bpfsmith.source.types import binding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr
    from bpfsmith.source.values import Order

_KEYED = frozenset(
    {
        *("HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap", "LpmTrie", "SockHash", "DevMapHash"),
        *("HashOfMaps",),
    }
)
# Without one of these no key of the kernel side has a known order.
_WORDS = (
    *(
        "network_types",
        "user_port",
        "user_ip4",
        "remote_ip4",
        "remote_port",
        "local_ip4",
        "remote_ipv4",
        "saddr",
        "daddr",
    ),
    *("to_be", "from_be", "__be16", "__be32", "offset_of", "Ipv4Addr"),
)
_CALLS = frozenset(
    {
        *("get", "get_ptr", "get_ptr_mut", "insert", "remove", "contains", "contains_key"),
        *("update", "redirect_msg", "redirect_skb", "redirect"),
    }
)
# Those whose key is not their first argument.
_SECOND = frozenset({"redirect_msg", "redirect_skb"})


def _seen(calls: list[Expr]) -> Iterator[tuple[str, Order, Expr]]:
    """(part of the key, its order, where) for the calls on one side."""
    for call in calls:
        if call.name not in _CALLS or not call.args or skipped(call):
            continue
        at = int(call.name in _SECOND and len(call.args) > 1)
        for name, value in parts(call.args[at]):
            known = fact(value) or _handed(value)
            if known is not None and (known.kind == "big" or (known.kind in ("host", "little") and not known.high)):
                yield name, known, value


def _handed(value: Expr) -> Order | None:
    """What all callers of a function hand over for a key that is its parameter, where they agree."""
    item = value.item
    crate = value.file.crate
    found = binding(value) if value.kind == "path" and "::" not in value.path else None
    if item is None or crate is None or found is None or found.kind != "param" or found.scope != item.expr:
        return None
    at = next((index for index, param in enumerate(item.params) if param.name == value.path), None)
    calls = [one for one in graph(crate, item.file).calls_to(item) if one.expr.kind == "call"]
    if at is None or not calls or any(len(one.expr.args) <= at for one in calls):
        return None
    known = [fact(one.expr.args[at]) for one in calls]
    first = known[0]
    if first is None or any(one is None or (one.kind, one.bits) != (first.kind, first.bits) for one in known):
        return None
    return first


def _as_stored(known: Order) -> str:
    """What the bytes are: an integer in network order and an array in it are the same."""
    return "big" if known.kind == "big" else "host"


class MapKeyInTwoByteOrders(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = ("HashMap", "LpmTrie", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap", "SockHash")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        made = model(project)
        for one in made.maps:
            if one.kind not in _KEYED or not crate_has(one.kernel.crate, _WORDS):
                continue
            joined = made.map(one.name)
            if len(joined.kernel) != 1:
                continue
            # The kernel side first: of two places, the later is told.
            places = list(_seen(one.calls() or []))
            for use in joined.uses:
                if isinstance(use, MapUse):
                    places.extend(_seen(use.calls))
            first: dict[str, tuple[Order, Expr]] = {}
            for part, known, expr in places:
                before = first.setdefault(part, (known, expr))
                if before[0].bits != known.bits or _as_stored(before[0]) == _as_stored(known):
                    continue
                yield self._told(ctx, one.name, part, before, (known, expr))
                break

    def _told(
        self, ctx: CheckContext, name: str, part: str, first: tuple[Order, Expr], second: tuple[Order, Expr]
    ) -> Finding:
        wire, number = (first, second) if _as_stored(first[0]) == "big" else (second, first)
        where = f"the field `{part}` of the keys of `{name}`" if part else f"the keys of `{name}`"
        return self.finding(
            ctx,
            f"{where}: network byte order at one place ({cited(wire[1].text)}), the machine's at another "
            f"({cited(number[1].text)}), so what is stored is not found",
            span=covered(ctx, second[1]),
            labels=[Label(covered(ctx, first[1]), "in the other byte order here")],
            fixes=[Fix("display", "convert at one of the two places, with `from_be` or `to_be`")],
        )


RULE = MapKeyInTwoByteOrders()

"""A map operation fails each time: an index the array does not have, or one that arrays do not offer.

## What it does
Reports lookups and updates of arrays (also per-CPU ones) with a constant index at or beyond `max_entries`, and deleting
from arrays or updating them with `BPF_NOEXIST`.

## Why is this bad
The lookup returns NULL, and the check that the verifier demands hides it: what follows never runs. The others return
`-E2BIG`, `-EINVAL` and `-EEXIST`, which programs rarely look at.

## Example
```c
struct {
        __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
        __uint(max_entries, 4); // 0..3
        ...
} counters SEC(".maps");
...
__u32 key = 4;
value = bpf_map_lookup_elem(&counters, &key); // always NULL
```

## Use instead
```c
        __uint(max_entries, COUNTERS); // the last member of the enumeration of keys
```

## Fix
Enlarge the array or correct the index; to empty an element of an array, write zeros to it. Where user space enlarges
the map before it loads, suppress this with the reason.

## Kernels
All.

## Source
`array_map_lookup_elem`, `array_map_update_elem` and `array_map_delete_elem` in `kernel/bpf/arraymap.c`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import constant_key, linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.map import Map
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext

_ARRAYS = frozenset(("array", "percpu_array"))
_UPDATE, _DELETE = 2, 3
_HELPERS = {1: "lookup", _UPDATE: "update", _DELETE: "deletion", 195: "lookup"}
_NOEXIST = 1


class MapAccessAlwaysFails(ObjectRule):
    severity = "warning"
    group = "maps"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        arrays = {f"map:{one.name}": one for one in obj.maps if one.type_name in _ARRAYS and one.max_entries}
        if not arrays:
            return
        for program in linkable(obj):
            for slot, number, args in program.call_args():
                one = arrays.get(args[0]) if isinstance(args[0], str) and number in _HELPERS else None
                why = None if one is None else _why(one, number, args, obj)
                if one is None or why is None:
                    continue
                yield self.finding(
                    ctx,
                    f"this {_HELPERS[number]} in `{one.name}` always fails: {why[0]}",
                    obj=obj,
                    program=program,
                    slot=slot,
                    evidence=[
                        Evidence("object", f"`{one.name}` is of type `{one.type_name}` with {one.max_entries} entries")
                    ],
                    fixes=[Fix("display", why[1])],
                )


def _why(one: Map, number: int, args: list[int | str | None], obj: Object) -> tuple[str, str] | None:
    if number == _DELETE:
        return "elements of an array cannot be deleted", "write zeros to it instead"
    if number == _UPDATE and args[3] == _NOEXIST:
        return "elements of an array always exist, so `BPF_NOEXIST` is refused", "use `BPF_ANY`"
    key = constant_key(args[1], one, obj)
    index = None if key is None else int.from_bytes(key, "big" if obj.endianness == "big" else "little")
    if index is None or index < one.max_entries:
        return None
    said = "returns NULL" if number != _UPDATE else "returns `-E2BIG`"
    return f"index {index} is not below {one.max_entries}, so it {said}", "enlarge the array or correct the index"


RULE = MapAccessAlwaysFails()

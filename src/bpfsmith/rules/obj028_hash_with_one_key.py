"""A hash map is only ever asked for one constant key, which an array answers without a call.

## What it does
Finds hash maps (plain, LRU, per-CPU) that every program of the object looks up and updates under the same constant key,
never deletes from and hands to nothing else. Silent where the map is pinned, is part of a map of maps, or where
presence is asked for (`BPF_NOEXIST`, `BPF_EXIST`).

## Why is this bad
A lookup in a hash is a call with hashing and comparing, about 25 ns; in an array it is inlined, about 0.8 ns. The
first update of a hash may fail as well, an array's element is always there.

## Example
```c
struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, struct config);
} config SEC(".maps");
```

## Use instead
```c
struct {
        __uint(type, BPF_MAP_TYPE_ARRAY); // key 0
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, struct config);
} config SEC(".maps");
```

## Fix
Make it an array of one element and use key 0 on both sides. An array's element cannot be missing: where user space
switches something by inserting the key, keep a flag in the value. For values that each CPU counts, `PERCPU_ARRAY`.

## Kernels
All.

## Source
`array_map_gen_lookup` in `kernel/bpf/arraymap.c`; times measured on Linux 6.18, in the topic `which-map`.
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
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext

# BPF_MAP_TYPE_ of the hashes -> what to use instead.
_ARRAYS = {1: "array", 5: "percpu_array", 9: "array", 10: "percpu_array"}
_LOOKUP, _UPDATE, _DELETE, _LOOKUP_PERCPU = 1, 2, 3, 195
_ANY = 0  # BPF_ANY


class HashWithOneKey(ObjectRule):
    severity = "warning"
    group = "perf"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        wanted = {one.name: one for one in obj.maps if one.type in _ARRAYS and one.pinning == "none"}
        for one in obj.maps:  # what another map holds may be reached without its name
            for _, held in one.values:
                wanted.pop(held, None)
        if not wanted:
            return
        keys: dict[str, set[bytes]] = {name: set() for name in wanted}
        first: dict[str, tuple[Program, int]] = {}
        for program in linkable(obj):
            _ask(program, obj, wanted, keys, first)
            if not wanted:
                return
        if len(list(linkable(obj))) != len(obj.native.programs):
            return  # who knows what the unreadable ones do
        for name, one in wanted.items():
            if len(keys[name]) == 1 and name in first:
                yield self._report(obj, ctx, one, *first[name], keys[name].pop())

    def _report(self, obj: Object, ctx: CheckContext, one: Map, program: Program, slot: int, key: bytes) -> Finding:
        return self.finding(
            ctx,
            f"map `{one.name}` is a `{one.type_name}` used with one constant key: an array is about 30 times faster",
            obj=obj,
            program=program,
            slot=slot,
            evidence=[
                Evidence("object", f"every lookup and update in the object uses the key {_number(key, obj)}"),
                Evidence(
                    "measured", "a lookup takes about 25 ns in a hash and 0.8 ns in an array, where it is inlined"
                ),
            ],
            fixes=[Fix("display", f"make it a `{_ARRAYS[one.type]}` of one element and use key 0 on both sides")],
            see=["which-map", _ARRAYS[one.type]],
        )


def _ask(
    program: Program,
    obj: Object,
    wanted: dict[str, Map],
    keys: dict[str, set[bytes]],
    first: dict[str, tuple[Program, int]],
) -> None:
    """Collects the keys one program uses, and drops from `wanted` what cannot be told."""
    referred = [obj.maps[index].name for _, index, kind, _ in program.map_uses() if kind == "ref"]
    references = {name: referred.count(name) for name in referred if name in wanted}
    if not references:
        return
    calls: dict[str, int] = {}
    for slot, number, args in program.call_args():
        whom = args[0] if isinstance(args[0], str) else None
        if whom is None and number in (_LOOKUP, _UPDATE, _DELETE, _LOOKUP_PERCPU):
            for name in references:  # any of them may be meant
                wanted.pop(name, None)
            return
        for position, arg in enumerate(args):
            if not isinstance(arg, str) or not arg.startswith("map:"):
                continue
            name = arg[4:]
            asked = position == 0 and number in (_LOOKUP, _UPDATE, _LOOKUP_PERCPU)
            key = constant_key(args[1], wanted[name], obj) if asked and name in wanted else None
            if key is None or (number == _UPDATE and args[3] != _ANY):
                wanted.pop(name, None)
            elif name in wanted:
                keys[name].add(key)
                calls[name] = calls.get(name, 0) + 1
                first.setdefault(name, (program, slot))
    for name, count in references.items():
        # A reference without a call of its own went somewhere else: to a function, into memory.
        if calls.get(name, 0) < count:
            wanted.pop(name, None)


def _number(key: bytes, obj: Object) -> str:
    if len(key) in (1, 2, 4, 8):
        return str(int.from_bytes(key, "big" if obj.endianness == "big" else "little"))
    return f"`{key.hex()}`"


RULE = HashWithOneKey()

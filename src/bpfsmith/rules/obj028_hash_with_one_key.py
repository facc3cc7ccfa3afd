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
_KEYED = frozenset((_LOOKUP, _UPDATE, _DELETE, _LOOKUP_PERCPU))
_ANY = 0  # BPF_ANY


class HashWithOneKey(ObjectRule):
    severity = "warning"
    group = "performance"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        wanted = {one.name: one for one in obj.maps if one.type in _ARRAYS and one.pinning == "none"}
        for one in obj.maps:  # what another map holds may be reached without its name
            for _, held in one.values:
                wanted.pop(held, None)
        if not wanted:
            return
        asked = _Keys(obj, wanted)
        programs = list(linkable(obj))
        if len(programs) != len(obj.native.programs):
            return  # who knows what the unreadable ones do
        for program in programs:
            asked.ask(program)
            if not wanted:
                return
        for name, one in wanted.items():
            if name in asked.keys:
                yield self._report(obj, ctx, one, *asked.first[name], asked.keys[name])

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
            fixes=[Fix("display", f"declare it as `{_ARRAYS[one.type]}` of one element and use key 0 on both sides")],
            see=["which-map", _ARRAYS[one.type]],
        )


class _Keys:
    """The keys under which the hashes of an object are used; `wanted` loses those where more than one may be."""

    def __init__(self, obj: Object, wanted: dict[str, Map]) -> None:
        self._obj = obj
        self._indices = {index: one.name for index, one in enumerate(obj.maps) if one.name in wanted}
        self.wanted = wanted
        self.keys: dict[str, bytes] = {}
        self.first: dict[str, tuple[Program, int]] = {}

    def ask(self, program: Program) -> None:
        """Looks at one program."""
        references = self._references(program)
        if not references:
            return
        for slot, number, args in program.call_args():
            whom = args[0]
            if number not in _KEYED:  # bpf_for_each_map_elem and its kind
                for arg in args:
                    if isinstance(arg, str) and arg.startswith("map:"):
                        self.wanted.pop(arg[4:], None)
            elif not isinstance(whom, str):
                for name in references:  # any of them may be meant
                    self.wanted.pop(name, None)
            elif whom[4:] in self.wanted:
                references[whom[4:]] = references.get(whom[4:], 0) - 1
                self._call(self.wanted[whom[4:]], program, slot, number, args)
            if not self.wanted:
                return
        for name, count in references.items():
            # A reference without a call of its own went somewhere else: to a function, into memory.
            if count > 0:
                self.wanted.pop(name, None)

    def _references(self, program: Program) -> dict[str, int]:
        found: dict[str, int] = {}
        if self._indices.keys() & set(program.native.map_refs()):
            for _, index, kind, _ in program.map_uses():
                if kind == "ref" and index in self._indices:
                    name = self._indices[index]
                    found[name] = found.get(name, 0) + 1
        return found

    def _call(self, one: Map, program: Program, slot: int, number: int, args: list[int | str | None]) -> None:
        self.first.setdefault(one.name, (program, slot))
        presence = number == _DELETE or (number == _UPDATE and args[3] != _ANY)
        key = None if presence else constant_key(args[1], one, self._obj)
        if key is None or self.keys.setdefault(one.name, key) != key:
            del self.wanted[one.name]


def _number(key: bytes, obj: Object) -> str:
    if len(key) in (1, 2, 4, 8):
        return str(int.from_bytes(key, "big" if obj.endianness == "big" else "little"))
    return f"`{key.hex()}`"


RULE = HashWithOneKey()

"""A map is declared, and no program of the object uses it.

## What it does
Reports maps that no instruction of any program and no other map refers to. Silent about pinned maps, data sections,
struct_ops, socket maps and objects with iterators (programs are attached to those from user space), objects with maps
of maps (user space may put it in there), aya-log's own maps, objects still to be linked with others, and objects with
functions that no program reaches.

## Why is this bad
The loader creates it all the same: memory of the kernel, for a hash of 1 million entries about 100 MB, for nothing.
Often it is the wrong map that is used elsewhere, or code that was meant to fill it and is missing.

## Example
```c
struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, 1 << 20);
} events SEC(".maps"); // and nothing ever reserves in it
```

## Use instead
Nothing: remove the declaration.

## Fix
Remove it, or use it. A map that only user space reads and writes belongs to user space, which can create it itself.

## Kernels
All.

## Source
`bpf_object__create_maps` in libbpf 1.7 creates every declared map; so does `EbpfLoader::load` of aya 0.13.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext

_DECLARED = ("btf", "legacy")
_OF_MAPS = frozenset(("array_of_maps", "hash_of_maps"))
# Programs are attached to socket maps; pages of an arena belong to user space as well; struct_ops are values.
_OUTSIDE = frozenset(("sockmap", "sockhash", "arena", "struct_ops"))
_LOADERS_OWN = ("AYA_LOG",)  # aya-log's AYA_LOGS, AYA_LOG_BUF and AYA_LOG_LEVEL
# The compiler's own, in every object of Rust whether anything calls them or not.
_RUNTIME = frozenset(("memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen"))


class MapUnused(ObjectRule):
    severity = "warning"
    group = "maps"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        suspects = {index for index, one in enumerate(obj.maps) if one.origin in _DECLARED and one.pinning == "none"}
        programs = obj.programs
        if not suspects or not programs or len(programs) != len(obj.native.programs):
            return
        used = {index for program in programs for index in program.native.map_refs()}
        unused = [one for index, one in enumerate(obj.maps) if index in suspects and index not in used]
        if not unused or any(one.type_name in _OF_MAPS for one in obj.maps):
            return
        if any(one.kind in ("func", "unknown") for one in obj.externs):
            return  # a part that is still to be linked with others
        if any(program.attach_type == "trace_iter" or program.link_error is not None for program in programs):
            return
        reached = {name for program in programs for name, *_ in program.functions()}
        if any(one["name"] not in reached and one["name"] not in _RUNTIME for one in obj.functions()):
            return
        held = {name for one in obj.maps for _, name in one.values}
        for one in unused:
            if one.name in held or one.type_name in _OUTSIDE or one.name.startswith(_LOADERS_OWN):
                continue
            yield self.finding(
                ctx,
                f"no program uses map `{one.name}`",
                obj=obj,
                evidence=[Evidence("object", "no instruction of its programs and no other map refers to it")],
                fixes=[Fix("display", "remove it, or use it")],
                see=[one.type_name] if one.type_name else [],
            )


RULE = MapUnused()

"""A program refers to a function or variable that the object does not define and no loader supplies.

## What it does
Reports undefined symbols that reachable code refers to and that are neither weak nor kernel functions (`__ksym`),
kernel variables or kernel configuration (`__kconfig`): misspelt helpers, functions of another file, and the `memcpy`,
`memset` and their kin that compilers call for copies they cannot unroll.

## Why is this bad
There is no dynamic linker in the kernel. libbpf refuses the whole object (`failed to find BTF for extern ...`), and aya
fails when it relocates the program.

## Example
```c
extern long bpf_map_lookup_elm(void *map, const void *key); // misspelt, so it is nobody's

SEC("xdp")
int count(struct xdp_md *ctx)
{
        return bpf_map_lookup_elm(&hits, &key) ? XDP_PASS : XDP_DROP;
}
```

## Use instead
```c
#include <bpf/bpf_helpers.h> // declares each helper by its number
```

## Fix
Correct the name; mark kernel functions `__ksym`; put what another file defines into one object first
(`bpftool gen object`); copy with a constant size, or use `__builtin_memcpy` on sizes known to the compiler.

## Kernels
All; this is the loader's matter.

## Source
`bpf_object__collect_externs` in libbpf 1.7; `relocate_maps` and `relocate_calls` in aya-obj 0.2.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext

_MEMORY = frozenset(("memcpy", "memset", "memmove", "memcmp", "bcmp", "strlen", "strcmp", "strncmp"))


class UnresolvedExtern(ObjectRule):
    severity = "error"
    group = "build"
    phase = "load"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        missing = {one.name for one in obj.externs if one.kind in ("func", "unknown") and not one.weak}
        if not missing:
            return
        for program in linkable(obj):
            for slot, kind, name, _ in program.native.refs():
                if kind != "extern" or name not in missing:
                    continue
                missing.discard(name)  # one finding for the name is enough
                # What another file of the project may define is likely to be linked in before loading.
                alone = name in _MEMORY or name.startswith("bpf_") or not obj.has_btf
                yield self.finding(
                    ctx,
                    f"`{name}` is defined nowhere, and no loader supplies it",
                    obj=obj,
                    program=program,
                    slot=slot,
                    severity=None if alone else "warning",
                    evidence=[
                        Evidence("object", "the symbol is undefined, not weak, and in neither `.ksyms` nor `.kconfig`")
                    ],
                    fixes=[Fix("display", _help(name))],
                )


def _help(name: str) -> str:
    if name in _MEMORY:
        return "the compiler calls it where a size is large or not constant: use a small constant size, or a loop"
    otherwise = "link the object that defines it first (`bpftool gen object`), or declare it weak"
    if not name.startswith(("bpf_", "_bpf")):
        return otherwise
    from bpfsmith.facts import helpers, kfuncs
    from bpfsmith.model.near import did_you_mean

    if helpers.by_name(name) is not None:
        return f"`{name}` is a helper: helpers are called by number, as `bpf/bpf_helpers.h` and aya-ebpf declare them"
    if kfuncs.get(name) is not None:
        return f"`{name}` is a kernel function: declare it with `__ksym`"
    return did_you_mean(name, [one.name for one in (*helpers.all(), *kfuncs.all())], otherwise)


RULE = UnresolvedExtern()

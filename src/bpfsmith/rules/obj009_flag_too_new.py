"""A map or program carries a flag that an asked kernel does not know.

## What it does
With `--kernels` given, compares the creation flags of each map and of the map inside it, and the load flags that a
section name stands for (`.s`: sleepable, `xdp.frags`), with the series that brought them.

## Why is this bad
The kernel refuses unknown flags with `EINVAL`: the map cannot be created, the program cannot be loaded.

## Example
```c
struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(map_flags, BPF_F_MMAPABLE); // since 5.5
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, __u64);
} config SEC(".maps");
```

## Use instead
Leave the flag out on older kernels (libbpf: `bpf_map__set_map_flags()` before load).

## Fix
Drop the flag, set it only where the kernel knows it, or raise the oldest kernel.

## Kernels
Those asked for that are older than the flag.

## Source
Versions and commits of the eBPF docs project; `include/uapi/linux/bpf.h`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.facts.flags import Flag
    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext

_DECLARED = ("btf", "legacy", "struct_ops")  # loaders choose the flags of data sections by the kernel


class FlagTooNew(ObjectRule):
    severity = "error"
    group = "portability"
    phase = "load"
    asks = "kernels"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import flags, map_types

        for one in obj.maps:
            for part, what in ((one, "map"), (one.inner, "the map inside")):
                if part is None or one.origin not in _DECLARED:
                    continue
                row = map_types.get(part.type)
                # Where the map type itself is as new, that is said already.
                older = ctx.kernels.missing_before(row.since) if row is not None else ()
                for flag in flags.of("map", part.flags)[0]:
                    yield from self._report(obj, ctx, None, flag, f"{what} `{one.name}` has flag", older)
        for program in obj.programs:
            meaning = program.meaning
            words = () if meaning is None else meaning.flags
            for word, name in (("sleepable", "BPF_F_SLEEPABLE"), ("xdp_frags", "BPF_F_XDP_HAS_FRAGS")):
                found = flags.get(name) if word in words and program.type != "syscall" else None
                if found is not None:
                    yield from self._report(obj, ctx, program, found, f"section `{program.section}` asks for", ())

    def _report(
        self, obj: Object, ctx: CheckContext, program: Program | None, flag: Flag, what: str, older: tuple[str, ...]
    ) -> Iterator[Finding]:
        missing = [series for series in ctx.kernels.missing_before(flag.since) if series not in older]
        if missing:
            yield self.finding(
                ctx,
                f"{what} `{flag.name}`, which needs Linux {flag.since}; missing on {on(missing)}",
                obj=obj,
                program=program,
                slot=None if program is None else 0,
                evidence=[Evidence("provenance", flag.source)],
                kernels=missing,
                see=[flag.name],
            )


RULE = FlagTooNew()

"""A script gives an object with a BTF ring buffer of aya-ebpf to a tool that is made of libbpf.

## What it does
Finds `bpftool prog load`, `bpftool gen skeleton` and `veristat` on the object of a kernel crate that declares a
`btf_maps::RingBuf`, in scripts, CI files and READMEs.

## Why is this bad
aya-ebpf describes the records' type as the map's value, which a ring buffer may not have. aya sets the size to zero
before it creates the map; libbpf does not: "conflicting value size 8 != 0" for aya-ebpf 0.2, "failed to create: Invalid
argument(-22)" for 0.3.

## Example
```sh
bpftool prog load target/bpfel-unknown-none/release/events /sys/fs/bpf/events
```

## Use instead
```sh
bpfsmith verify target/bpfel-unknown-none/release/events
```

## Fix
Display: load it with aya, and leave such objects out of checks made with libbpf.

## Kernels
All; this is the loader's matter.

## Source
aya-ebpf, `btf_maps/ring_buf.rs`; reproduced with libbpf 1.1 and aya-ebpf 0.2.1 and 0.3.0.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import command_span
from bpfsmith.rules._rust import maps, place
from bpfsmith.rules._tools import loads
from bpfsmith.source.names import resolve
from bpfsmith.source.types import parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item


def _ring(item: Item) -> bool:
    parsed = parse_type(item.type)
    return parsed is not None and resolve(item.file, parsed[0], item.parent) == "aya_ebpf::btf_maps::RingBuf"


class BtfRingBufferGivenToLibbpf(SourceRule):
    severity = "warning"
    group = "build"
    phase = "load"
    words = ("btf_map",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            found = next(
                (
                    item
                    for file in crate.files
                    if file.has("RingBuf")
                    for item, attr in maps(file)
                    if attr.path.rpartition("::")[2] == "btf_map" and _ring(item) and not file.gates(item)
                ),
                None,
            )
            if found is None:
                continue
            for command, tool in loads(project, crate):
                yield self.finding(
                    ctx,
                    f"`{tool}` refuses the ring buffer `{found.name}` of `{crate.name}`: aya alone makes it valid",
                    span=command_span(ctx, command, tool),
                    labels=[Label(place(ctx, found.file, found.name_start, found.name_end), "declared here")],
                    fixes=[Fix("display", "load it with aya, or let `bpfsmith verify` judge the object")],
                )


RULE = BtfRingBufferGivenToLibbpf()

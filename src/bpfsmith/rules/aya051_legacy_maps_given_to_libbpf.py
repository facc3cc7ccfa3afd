"""A script gives an object with legacy maps to a tool that is made of libbpf.

## What it does
Finds `bpftool prog load`, `bpftool gen skeleton` and `veristat` on the object of a kernel crate of the project, in
scripts, CI files and READMEs, where the crate has maps under `#[map]` (aya-log-ebpf's macros bring one).

## Why is this bad
libbpf 1.0 and later refuses maps in section `maps`: "legacy map definitions in 'maps' section are not supported by
libbpf v1.0+". The step fails on every machine of today.

## Example
```sh
veristat target/bpfel-unknown-none/release/counter
```

## Use instead
```sh
bpfsmith verify target/bpfel-unknown-none/release/counter
```

## Fix
Display: declare the maps with `#[btf_map]` and the types of `aya_ebpf::btf_maps`, or load with aya.

## Kernels
All; this is the loader's matter.

## Source
libbpf 1.0, `bpf_object__init_maps`; aya#913.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import command_span
from bpfsmith.rules._rust import maps, place
from bpfsmith.rules._tools import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class LegacyMapsGivenToLibbpf(SourceRule):
    severity = "warning"
    group = "build"
    phase = "load"
    words = ("map",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            legacy = next(
                (
                    (file, item)
                    for file in crate.files
                    for item, attr in maps(file)
                    if attr.path.rpartition("::")[2] == "map" and not file.gates(item)
                ),
                None,
            )
            if legacy is None:
                continue
            file, item = legacy
            for command, tool in loads(project, crate):
                yield self.finding(
                    ctx,
                    f"`{tool}` refuses the object of `{crate.name}`: its maps are in section `maps`",
                    span=command_span(ctx, command, tool),
                    labels=[Label(place(ctx, file, item.name_start, item.name_end), "such a map")],
                    fixes=[Fix("display", "declare the maps with `#[btf_map]`, or let `bpfsmith verify` judge it")],
                )


RULE = LegacyMapsGivenToLibbpf()

"""Two crates of Aya in one manifest come from different sets of releases.

## What it does
Compares the versions of crates that share types: aya with aya-obj, aya-ebpf with aya-ebpf-bindings and aya-ebpf-cty,
aya-log-ebpf with aya-log-common.

## Why is this bad
Cargo builds the odd one twice: your own version, and the one that belongs to the other crate. Their types have the same
names and are different types: "expected `aya_obj::Object`, found `Object`", "there are multiple different versions of
crate `aya_obj` in the dependency graph".

## Example
```toml
aya = "0.14"
aya-obj = "0.6"
```

## Use instead
```toml
aya = "0.14"
aya-obj = "0.3"
```

## Fix
Display: the version that belongs to the other; or none, since aya and aya-ebpf export most of it themselves.

## Kernels
All.

## Source
Requirements in the crates' manifests, 0.12 to 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import dependency_span
from bpfsmith.rules._sets import PAIRS, minor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class FamilyOfAnotherSet(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.crates:
            for (main, part), sets in PAIRS.items():
                other = crate.dependency(part)
                have, theirs = minor(crate.version(main)), minor(crate.version(part))
                wanted = sets.get(have) if have is not None else None
                if other is None or wanted is None or theirs is None or wanted == theirs:
                    continue
                if theirs > max(sets.values()):
                    continue  # newer than what is known
                yield self.finding(
                    ctx,
                    f"{part} {crate.version(part)} is not the one of {main} {crate.version(main)}:"
                    " types of the same name differ",
                    span=dependency_span(ctx, crate, other),
                    fixes=[Fix("display", f"use {part} {wanted[0]}.{wanted[1]} with {main} {have[0]}.{have[1]}")]
                    if have is not None
                    else [],
                )


RULE = FamilyOfAnotherSet()

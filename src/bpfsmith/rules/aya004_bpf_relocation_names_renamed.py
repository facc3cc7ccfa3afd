"""`BpfRelocationError` and `BpfSectionKind` were renamed without an alias.

## What it does
Finds `aya_obj::BpfSectionKind`, `aya_obj::relocation::BpfRelocationError` and aya's re-exports where aya is 0.13.0
(aya-obj 0.2.0) or newer.

## Why is this bad
The names are gone since 0.13.0: the code does not compile.

## Example
```rust
use aya_obj::BpfSectionKind;
```

## Use instead
```rust
use aya_obj::EbpfSectionKind;
```

## Fix
Safe: the new name is the same type.

## Kernels
All.

## Source
aya, `aya-obj/CHANGELOG.md` (0.2.0).
"""

from __future__ import annotations

from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._renamed import renamed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

NAMES = {
    "aya_obj::BpfSectionKind": "EbpfSectionKind",
    "aya_obj::obj::BpfSectionKind": "EbpfSectionKind",
    "aya_obj::relocation::BpfRelocationError": "EbpfRelocationError",
}


class BpfRelocationNamesRenamed(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        yield from renamed(self, project, ctx, NAMES, "aya-obj", "0.2.0", "renamed in aya-obj 0.2.0")


RULE = BpfRelocationNamesRenamed()

"""`Bpf`, `BpfLoader` and `BpfError` are old names of `Ebpf`, `EbpfLoader` and `EbpfError`.

## What it does
Finds the names `aya::Bpf`, `aya::BpfLoader` and `aya::BpfError` where aya is 0.13.0 or newer, through any `use`. One
finding at the import; its fix edits every use in the file.

## Why is this bad
They are deprecated aliases since aya 0.13.0: each use is a compiler warning today and an error once they are removed.

## Example
```rust
use aya::Bpf;
let mut bpf = Bpf::load(data)?;
```

## Use instead
```rust
use aya::Ebpf;
let mut ebpf = Ebpf::load(data)?;
```

## Fix
Safe: the new names are the same types.

## Kernels
All.

## Source
aya, `aya/src/bpf.rs` (`#[deprecated(since = "0.13.0")]`).
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

NAMES = {"aya::Bpf": "Ebpf", "aya::BpfLoader": "EbpfLoader", "aya::BpfError": "EbpfError"}


class BpfNamesRenamed(SourceRule):
    severity = "warning"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        yield from renamed(self, project, ctx, NAMES, "aya", "0.13.0", "deprecated since aya 0.13.0")


RULE = BpfNamesRenamed()

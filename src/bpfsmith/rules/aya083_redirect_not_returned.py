"""The result of `redirect` is thrown away, so nothing is redirected.

## What it does
Finds `redirect` of `DevMap`, `DevMapHash`, `CpuMap` and `XskMap` whose result nobody looks at, in functions that
never name `XDP_REDIRECT` themselves.

## Why is this bad
`redirect` only notes the target; the kernel sends the packet there when the program returns `XDP_REDIRECT`, which is
what `redirect` gives on success. With any other verdict the packet passes or is dropped, and no error shows. On
failure the lower two bits of the flags come back as `Err`, the verdict to use then.

## Example
```rust
PORTS.redirect(index, 0);
Ok(XDP_PASS)
```

## Use instead
```rust
Ok(PORTS.redirect(index, u64::from(XDP_PASS)).unwrap_or_else(|verdict| verdict))
```

## Fix
Display: return what `redirect` gives.

## Kernels
All that have these maps (4.14).

## Source
Kernel, `xdp_do_redirect`; `aya-ebpf/src/maps/xdp`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import kernel_map, thrown_away
from bpfsmith.rules._rust import covered, kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class RedirectNotReturned(SourceRule):
    severity = "warning"
    group = "maps"
    phase = "silent"
    words = ("redirect",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for call in file.methods("redirect"):
                if not kernel_map(call, "DevMap", "DevMapHash", "CpuMap", "XskMap") or not thrown_away(call):
                    continue
                if file.has("XDP_REDIRECT"):
                    continue
                yield self.finding(
                    ctx,
                    "the packet is redirected only if the program returns what `redirect` gives",
                    span=covered(ctx, call),
                    fixes=[Fix("display", "return it: `.unwrap_or_else(|verdict| verdict)` is the verdict either way")],
                )


RULE = RedirectNotReturned()

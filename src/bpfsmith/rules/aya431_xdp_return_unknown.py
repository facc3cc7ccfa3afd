"""An XDP program returns a number that is no XDP verdict.

## What it does
Follows the value of XDP programs through helper functions, `match`, `unwrap_or` and the errors that `?` hands on. Finds
constants outside of 0 to 4, and errors of maps, helpers and contexts that become the program's value.

## Why is this bad
The program loads, since the verifier does not look at it. When it runs, the kernel treats a value it does not know like
`XDP_ABORTED`: the packet is dropped, and the kernel logs "Illegal XDP return value" once.

## Example
```rust
match try_firewall(ctx) { Ok(ret) => ret, Err(ret) => ret as u32 }
```

## Use instead
```rust
match try_firewall(ctx) { Ok(ret) => ret, Err(_) => xdp_action::XDP_PASS }
```

## Fix
Display: return one of `xdp_action`.

## Kernels
All.

## Source
Kernel, `bpf_warn_invalid_xdp_action` in `net/core/filter.c`; seen on Linux 6.18, where such a program loads.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import cited, covered, kernel_files, programs
from bpfsmith.rules._verdicts import errno, outcomes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class XdpReturnUnknown(SourceRule):
    severity = "warning"
    group = "programs"
    phase = "silent"
    words = ("xdp",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for item, macro, _ in programs(file):
                if macro != "xdp" or item.expr is None:
                    continue
                seen = set()
                for one in outcomes(item):
                    if one.expr in seen or (one.value is not None and 0 <= one.value <= 4):
                        continue
                    if one.value is None and (one.kind != "err" or not errno(one.expr)):
                        continue
                    seen.add(one.expr)
                    what = (
                        f"the error of {cited(one.expr.text)} becomes the verdict of `{item.name}`"
                        if one.value is None
                        else f"`{item.name}` returns {one.value}"
                    )
                    yield self.finding(
                        ctx,
                        f"{what}, no XDP verdict: the kernel drops the packet as with `XDP_ABORTED`",
                        span=covered(ctx, one.expr),
                        program=item.name,
                        fixes=[Fix("display", "return one of `xdp_action`")],
                    )


RULE = XdpReturnUnknown()

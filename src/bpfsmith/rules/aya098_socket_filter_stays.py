"""A socket filter is expected to go with the program or its link, and stays.

## What it does
Finds socket filters that are let go of without `detach`: `unload` or `drop` of the `Ebpf` that holds them with aya
0.14 and later, and a link from `take_link` that is thrown away with aya up to 0.13.

## Why is this bad
A socket filter is attached to the socket, not through a link. The socket holds it until it is closed or the filter is
detached from it: unloading, dropping the `Ebpf` or the link changes nothing, and packets are filtered on.

## Example
```rust
filter.attach(&socket)?;
// ..
filter.unload()?;
```

## Use instead
```rust
filter.attach(&socket)?;
// ..
SocketFilter::detach(&socket)?;
```

## Fix
Display: call `detach`, or close the socket.

## Kernels
All.

## Source
`aya/src/programs/socket_filter.rs` of 0.13.1 and 0.14.0.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import on, says, thrown_away
from bpfsmith.rules._rust import EBPF, covered, user_files
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_FILTERS = frozenset({"aya::programs::SocketFilter", "aya::programs::ReusePortSocketFilter"})


class SocketFilterStays(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "silent"
    words = ("SocketFilter", "ReusePortSocketFilter")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            if not file.has("SocketFilter") or file.crate is None:
                continue
            old = file.crate.below("aya", "0.14.0")
            new = file.crate.at_least("aya", "0.14.0")
            ends: list[tuple[Expr, str]] = []
            if old:
                ends = [
                    (one, "dropping the link") for one in on(file, ("take_link",), _FILTERS) if thrown_away(_whole(one))
                ]
            elif new and not says(file.crate, "detach"):
                items = [one.item for one in on(file, ("attach",), _FILTERS)]
                ends = [(one, "unloading the program") for one in on(file, ("unload",), _FILTERS)]
                for call in file.calls("drop"):
                    known = type_of(call.args[0]) if len(call.args) == 1 else None
                    if known is not None and known.path in EBPF and not known.reference and call.item in items:
                        ends.append((call, "dropping the `Ebpf`"))
            for expr, what in ends:
                yield self.finding(
                    ctx,
                    f"{what} does not detach a socket filter: it stays until its socket is closed",
                    span=covered(ctx, expr),
                    fixes=[Fix("display", "call `SocketFilter::detach` with the socket" if new else "call `detach`")],
                )


def _whole(call: Expr) -> Expr:
    """The call with the `?` and `unwrap` after it."""
    at = call
    while at.parent is not None and at.parent.kind in ("try", "paren", "method") and at.parent.stripped() == call:
        at = at.parent
    return at


RULE = SocketFilterStays()

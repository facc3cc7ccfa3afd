"""Packets or sockets are redirected through a map that nobody fills.

## What it does
Finds `XskMap`, `DevMap`, `DevMapHash`, `CpuMap`, `SockMap`, `SockHash` and `ReusePortSockArray` maps through which the
kernel side redirects and that neither side fills: the kernel side has no `update`, and nothing of the user side names
the map, where all of the user side is known. Pinned maps are left out.

## Why is this bad
These maps hold sockets, interfaces and CPUs that only user space can put there. An empty slot is no error: a redirect
gives what its flags say (0 is `XDP_ABORTED`), and packets are dropped or passed on as if the program were not there.

## Example
```rust
// kernel side: SOCKS.redirect(queue, 0).unwrap_or(xdp_action::XDP_PASS)
let mut ebpf = Ebpf::load(bytes)?; // and no `take_map("SOCKS")`
```

## Use instead
```rust
let mut socks = XskMap::try_from(ebpf.take_map("SOCKS").unwrap())?;
socks.set(queue, socket_fd, 0)?;
```

## Fix
Display: fill it.

## Kernels
All.

## Source
aya-ebpf, `ebpf/aya-ebpf/src/maps/xdp`, `sock_map.rs`; kernel, `bpf_redirect_map` in `include/uapi/linux/bpf.h`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, owner_crate, pairs, unmentioned
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_KINDS = frozenset({"XskMap", "DevMap", "DevMapHash", "CpuMap", "SockMap", "SockHash", "ReusePortSockArray"})
_USES = ("redirect", "redirect_msg", "redirect_skb", "redirect_sk_lookup", "select_reuseport")


class RedirectMapNeverFilled(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = tuple(sorted(_KINDS))

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for made in pair.maps:
                if made.kind not in _KINDS or made.pinned or not owner_crate(project, made):
                    continue
                every = made.calls() or ()
                calls = [one for one in every if one.name in _USES]
                if not calls or any(one.name == "update" for one in every) or not unmentioned(pair, made):
                    continue
                yield self.finding(
                    ctx,
                    f"nobody fills `{made.name}`, so every redirect through it fails",
                    span=item_place(ctx, made.item),
                    labels=[Label(covered(ctx, calls[0]), "never finds an entry")],
                    fixes=[Fix("display", f'take it with `take_map("{made.name}")` and `set` its entries')],
                )


RULE = RedirectMapNeverFilled()

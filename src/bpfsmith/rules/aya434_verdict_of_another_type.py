"""A program returns the verdict of another program type.

## What it does
Follows the value of XDP, TC, `sk_msg`, `sk_skb`, `sk_lookup`, `sk_reuseport`, cgroup and socket filter programs through
helper functions and `match` to constants of `aya_ebpf::bindings`, and finds those that belong to another type:
`XDP_PASS` in a classifier, `TC_ACT_OK` in an XDP program.

## Why is this bad
The numbers overlap and mean something else: `XDP_PASS` is 2, which is `TC_ACT_SHOT` to TC, so every packet is dropped;
`TC_ACT_SHOT` is `XDP_PASS` to XDP, so what should be dropped passes. Neither compiler nor verifier can see it.

## Example
```rust
#[classifier]
pub fn egress(_ctx: TcContext) -> i32 {
    xdp_action::XDP_PASS as i32 // 2: TC_ACT_SHOT
}
```

## Use instead
```rust
#[classifier]
pub fn egress(_ctx: TcContext) -> i32 {
    TC_ACT_OK
}
```

## Fix
Display: the constant that was meant.

## Kernels
All.

## Source
Kernel, `include/uapi/linux/bpf.h` and `include/uapi/linux/pkt_cls.h`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered, kernel_files, programs
from bpfsmith.rules._verdicts import outcomes, verdict_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


# Macro -> (program type of the facts, families of constants that fit).
_FITS = {
    "xdp": ("xdp", ("XDP",)),
    "classifier": ("sched_cls", ("TC",)),
    "sk_msg": ("sk_msg", ("SK",)),
    "stream_verdict": ("sk_skb", ("SK",)),
    "sk_lookup": ("sk_lookup", ("SK",)),
    "sk_reuseport": ("sk_reuseport", ("SK",)),
    "cgroup_skb": ("cgroup_skb", ("SK",)),
    "cgroup_sock": ("cgroup_sock", ("SK",)),
    "cgroup_sock_addr": ("cgroup_sock_addr", ("SK",)),
    "cgroup_sockopt": ("cgroup_sockopt", ("SK",)),
    "cgroup_sysctl": ("cgroup_sysctl", ("SK",)),
    "cgroup_device": ("cgroup_device", ("SK",)),
    "socket_filter": ("socket_filter", ()),
}
_MEANT = {
    ("TC", "XDP_PASS"): "TC_ACT_OK",
    ("TC", "XDP_DROP"): "TC_ACT_SHOT",
    ("TC", "XDP_ABORTED"): "TC_ACT_SHOT",
    ("TC", "XDP_REDIRECT"): "TC_ACT_REDIRECT",
    ("TC", "SK_PASS"): "TC_ACT_OK",
    ("TC", "SK_DROP"): "TC_ACT_SHOT",
    ("XDP", "TC_ACT_OK"): "XDP_PASS",
    ("XDP", "TC_ACT_PIPE"): "XDP_PASS",
    ("XDP", "TC_ACT_SHOT"): "XDP_DROP",
    ("XDP", "TC_ACT_REDIRECT"): "XDP_REDIRECT",
    ("XDP", "SK_PASS"): "XDP_PASS",
    ("XDP", "SK_DROP"): "XDP_DROP",
    ("SK", "XDP_PASS"): "SK_PASS",
    ("SK", "XDP_DROP"): "SK_DROP",
    ("SK", "TC_ACT_OK"): "SK_PASS",
    ("SK", "TC_ACT_SHOT"): "SK_DROP",
}


class VerdictOfAnotherType(SourceRule):
    severity = "error"
    group = "programs"
    phase = "silent"
    words = (
        "xdp_action",
        "TC_ACT_OK",
        "TC_ACT_SHOT",
        "TC_ACT_PIPE",
        "TC_ACT_REDIRECT",
        "SK_PASS",
        "SK_DROP",
        "sk_action",
    )
    supersedes = ("AYA088",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import program_types

        for file in kernel_files(project):
            for item, macro, _ in programs(file):
                if macro not in _FITS or item.expr is None:
                    continue
                type_, families = _FITS[macro]
                row = program_types.get(type_)
                entry = row.return_range(None) if row is not None else None
                seen = set()
                for one in outcomes(item):
                    name = verdict_name(one.expr)
                    if not name or name.partition("_")[0] in families or one.expr in seen:
                        continue
                    seen.add(one.expr)
                    means = entry.meaning(one.value) if entry is not None and one.value is not None else ""
                    meant = next((_MEANT[family, name] for family in families if (family, name) in _MEANT), "")
                    yield self.finding(
                        ctx,
                        f"`{name}` is no verdict of a `{macro}` program: its number, {one.value}, "
                        + (f"means: {means}" if means else "means something else there"),
                        span=covered(ctx, one.expr),
                        program=item.name,
                        fixes=[Fix("display", f"return `{meant}`" if meant else "return a verdict of this type")],
                    )


RULE = VerdictOfAnotherType()

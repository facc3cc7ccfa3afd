"""A tracing program reads kernel memory as a structure that only exists in the verifier's head.

## What it does
Finds arguments and return values that probes and tracing programs take as pointers to `__sk_buff`, `xdp_md`,
`bpf_sock`, `bpf_tcp_sock`, `bpf_sock_ops`, `bpf_sock_addr`, `sk_msg_md` and their kin: the structures with which the
kernel describes contexts to programs of other types.

## Why is this bad
No kernel function is given one of these. When a classifier reads `(*skb).len` of a `__sk_buff`, the verifier rewrites
the instruction to read where `struct sk_buff` has it; a probe that reads memory at the same offset gets whatever stands
there in `struct sk_buff` or `struct sock`. It loads, and the values are wrong: families, ports and addresses from
somewhere in the middle of a socket.

## Example
```rust
#[kprobe]
pub fn connects(ctx: ProbeContext) -> u32 {
    let Some(sock) = ctx.arg::<*const bpf_sock>(0) else { return 0 };
    let family = unsafe { bpf_probe_read_kernel(&raw const (*sock).family) };
```

## Use instead
```rust
#[kprobe]
pub fn connects(ctx: ProbeContext) -> u32 {
    let Some(sock) = ctx.arg::<*const sock>(0) else { return 0 }; // from `aya-tool generate sock`
    let family = unsafe { bpf_probe_read_kernel(&raw const (*sock).__sk_common.skc_family) };
```

## Fix
Display: take the kernel's own structure, from bindings of the kernel's types.

## Kernels
All.

## Source
Linux, `net/core/filter.c`: `bpf_sock_convert_ctx_access`, `bpf_convert_ctx_access`; `include/uapi/linux/bpf.h`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner
from bpfsmith.rules._kernel_targets import type_asked
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

# Each with the structure of the kernel that it is a view of.
_VIEWS = {
    "__sk_buff": "sk_buff",
    "xdp_md": "xdp_buff",
    "bpf_sock": "sock",
    "bpf_tcp_sock": "tcp_sock",
    "bpf_sock_ops": "bpf_sock_ops_kern",
    "bpf_sock_addr": "bpf_sock_addr_kern",
    "bpf_sk_lookup": "bpf_sk_lookup_kern",
    "bpf_sockopt": "bpf_sockopt_kern",
    "bpf_sysctl": "bpf_sysctl_kern",
    "sk_msg_md": "sk_msg",
    "sk_reuseport_md": "sk_reuseport_kern",
}
_TRACING = frozenset(
    {
        *("ProbeContext", "RetProbeContext", "FEntryContext", "FExitContext", "BtfTracePointContext"),
        *("RawTracePointContext", "LsmContext"),
    }
)


class ContextTypeAsKernelStruct(SourceRule):
    severity = "warning"
    group = "programs"
    phase = "silent"
    words = tuple(_VIEWS)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has(*_VIEWS):
                continue
            for call in file.methods("arg", "ret"):
                name = _view(call)
                known = owner(call) if name is not None else None
                if name is None or known is None or known.name not in _TRACING or file.in_test(call.item):
                    continue
                if not known.within("aya_ebpf::programs", "aya_bpf::programs"):
                    continue
                yield self.finding(
                    ctx,
                    f"no kernel function is given a `{name}`: what is read at its offsets is part of something else",
                    span=covered(ctx, call),
                    fixes=[
                        Fix("display", f"take the kernel's `{_VIEWS[name]}`, as `aya-tool generate` writes it from BTF")
                    ],
                )


def _view(call: Expr) -> str | None:
    given = type_asked(call)
    if not given.startswith(("*", "&")):
        return None
    parsed = parse_type(given)
    name = parsed[0].rpartition("::")[2] if parsed is not None else ""
    if parsed is None or name not in _VIEWS:
        return None
    path = resolve(call.file, parsed[0], call.item)
    if path is None or not path.startswith(("aya_ebpf::", "aya_bpf::", "aya_ebpf_bindings::")):
        return None
    return name


RULE = ContextTypeAsKernelStruct()

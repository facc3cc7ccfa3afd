"""An import names a macro, a context or a map that no release of aya-ebpf has.

## What it does
Looks at what is imported from `aya_ebpf::macros`, `aya_ebpf::programs` and `aya_ebpf::maps` where the release is known
to be 0.1 to 0.3, and finds names that none of these releases has. Names that were renamed or came with a later release
have rules of their own.

## Why is this bad
The crate does not compile (E0432). Such names come from other libraries (`tc`, `SkBuff`), from posts about Aya before
its first release, or were guessed.

## Example
```rust
use aya_ebpf::{macros::tc_classifier, programs::SkBuff};

#[tc_classifier]
pub fn egress(ctx: SkBuff) -> i32 {
```

## Use instead
```rust
use aya_ebpf::{macros::classifier, programs::TcContext};

#[classifier]
pub fn egress(ctx: TcContext) -> i32 {
```

## Fix
Display: the name that comes closest.

## Kernels
All.

## Source
aya-ebpf 0.1.0, 0.1.1, 0.2.1, 0.3.0: `src/programs/mod.rs`, `src/maps/mod.rs`; aya-ebpf-macros 0.1.0 to 0.4.0.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import kernel_files, place
from bpfsmith.source.aya.tables import LOADED_AS, MAP_TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_MACROS = frozenset({*LOADED_AS, "map", "btf_map"})
_CONTEXTS = {
    "BtfTracePointContext": "tp_btf",
    "DeviceContext": "device",
    "FEntryContext": "fentry",
    "FExitContext": "fexit",
    "FlowDissectorContext": "flow_dissector",
    "LsmContext": "lsm",
    "PerfEventContext": "perf_event",
    "ProbeContext": "probe",
    "RawTracePointContext": "raw_tracepoint",
    "RetProbeContext": "retprobe",
    "SkBuffContext": "sk_buff",
    "SkLookupContext": "sk_lookup",
    "SkMsgContext": "sk_msg",
    "SkReuseportContext": "sk_reuseport",
    "SockAddrContext": "sock_addr",
    "SockContext": "sock",
    "SockOpsContext": "sock_ops",
    "SockoptContext": "sockopt",
    "SysctlContext": "sysctl",
    "TcContext": "tc",
    "TracePointContext": "tracepoint",
    "XdpContext": "xdp",
}
_PROGRAMS = frozenset({*_CONTEXTS, *_CONTEXTS.values(), "tracing"})
_MAPS = frozenset(
    {
        *MAP_TYPES,
        *("CgroupStorage", "PerCpuCgroupStorage", "PerfEventValue", "Map"),
        *("array", "bloom_filter", "cgroup_array", "cgroup_storage", "hash_map", "lpm_trie", "per_cpu_array", "perf"),
        *("program_array", "queue", "reuseport_sock_array", "ring_buf", "sock_hash", "sock_map", "stack"),
        *("stack_trace", "xdp", "array_of_maps", "hash_of_maps", "sk_storage"),
    }
)
_KNOWN = {"macros": _MACROS, "programs": _PROGRAMS, "maps": _MAPS}
_WHAT = {"macros": "macro", "programs": "context", "maps": "map"}
_RENAMED = frozenset({"PerfMap", "PerfByteMap"})  # AYA353 says what they are called
# What people mean by names of other libraries.
_MEANT = {
    "tc": "classifier",
    "tc_classifier": "classifier",
    "sched_cls": "classifier",
    "tp_btf": "btf_tracepoint",
    "raw_tp": "raw_tracepoint",
    "tp": "tracepoint",
    "socket": "socket_filter",
    "sk_skb": "stream_verdict",
    "sockops": "sock_ops",
    "SkBuff": "TcContext",
    "KProbeContext": "ProbeContext",
    "UProbeContext": "ProbeContext",
    "SchedClassifierContext": "TcContext",
    "CgroupSkbContext": "SkBuffContext",
    "PerfArray": "PerfEventArray",
    "RingBuffer": "RingBuf",
}


class NameUnknownToAya(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"
    words = ("macros", "programs", "maps")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            crate = file.crate
            if crate is None or not crate.at_least("aya-ebpf", "0.1.0") or not crate.below("aya-ebpf", "0.4.0"):
                continue
            if not file.has(*self.words):
                continue
            ours = crate.dependency("aya-ebpf")
            called = ours.alias.replace("-", "_") if ours is not None else ""
            for use in file.uses:
                parts = use.path.removeprefix("::").split("::")
                if len(parts) < 3 or parts[0] != called or parts[1] not in _KNOWN or parts[2] in ("self", "*"):
                    continue
                name, known = parts[2], _KNOWN[parts[1]]
                if name in known or name in _RENAMED or not name:
                    continue
                meant = _near(name, known)
                yield self.finding(
                    ctx,
                    f"`aya_ebpf::{parts[1]}` has no `{name}`: no release of aya-ebpf has a {_WHAT[parts[1]]} of that "
                    "name",
                    span=place(ctx, file, use.start, use.end),
                    fixes=[Fix("display", f"use `{meant}`")] if meant else [],
                )


def _near(name: str, known: frozenset[str]) -> str:
    meant = _MEANT.get(name)
    if meant in known:
        return meant or ""
    from bpfsmith.model.near import near_matches

    return next(iter(near_matches(name, sorted(known), 1)), "")


RULE = NameUnknownToAya()

"""A network program reads memory with `bpf_probe_read_*`.

## What it does
Reports reachable calls of `bpf_probe_read_kernel`, `bpf_probe_read_user` and their `_str` forms in programs that handle
packets or sockets, where the kernel allows them. (`bpf_probe_read` and `bpf_probe_read_str` are not allowed there at
all: OBJ001.) Where the program asks for the running task, whose fields may be what is read, it is a note.

## Why is this bad
The packet can be read directly, checked by the verifier and at a fraction of the cost; a probe read of a wrong address
fails at run time and hands out zeroes. The program needs `CAP_PERFMON` in addition to `CAP_NET_ADMIN`. User memory is
worse: the packet is processed in whatever task happens to run, so that the address belongs to somebody else.

## Example
```c
SEC("xdp")
int count(struct xdp_md *ctx)
{
    struct ethhdr eth;
    bpf_probe_read_kernel(&eth, sizeof(eth), (void *)(long)ctx->data);
    ...
}
```

## Use instead
```c
SEC("xdp")
int count(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    struct ethhdr *eth = data;
    if (data + sizeof(*eth) > end)
        return XDP_PASS;
    ...
}
```

## Fix
Read packets directly or with `bpf_skb_load_bytes` / `bpf_xdp_load_bytes`; read kernel structures through pointers with
a type (`bpf_skc_to_tcp_sock()`, `bpf_cast_to_kern_ctx()`), which need no helper. If it must be: suppress this with the
reason.

## Kernels
5.8 and later; before, the verifier refuses these helpers in network programs.

## Source
`bpf_base_func_proto` in `kernel/bpf/helpers.c` ("bpf: Allow bpf_probe_read* helpers in network programs", 5.8).
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import helper_calls, linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext

_USER = (112, 114)
_READS = frozenset((112, 113, 114, 115))
_SKB = "read the packet through `data` and `data_end`, or with `bpf_skb_load_bytes`"
_SOCKET = "use the fields of the context, or the typed pointers of `bpf_skc_to_*`"
# Hooks that run for a packet or a socket. Others of the network (cgroup sysctl, device, setsockopt) run for a system
# call, where user memory is the caller's.
_INSTEAD = {
    "xdp": "read the packet through `data` and `data_end`, or with `bpf_xdp_load_bytes` (5.18)",
    **dict.fromkeys(
        ("sched_cls", "sched_act", "socket_filter", "cgroup_skb", "sk_skb", "flow_dissector", "sk_reuseport"), _SKB
    ),
    **dict.fromkeys(("lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"), _SKB),
    "sk_msg": "read the message through `data` and `data_end`, pulled in by `bpf_msg_pull_data`",
    "netfilter": "read the packet through `bpf_dynptr_from_skb`",
    **dict.fromkeys(("sock_ops", "sk_lookup", "cgroup_sock", "cgroup_sock_addr"), _SOCKET),
}
_CURRENT_TASK = 35
_TASK = "`bpf_get_current_task_btf` (5.11) gives a task whose fields are read directly"
# In these the task is the one that made the system call.
_OF_A_TASK = frozenset(("cgroup_sock", "cgroup_sock_addr", "sk_msg"))


class ProbeReadInNetworkProgram(ObjectRule):
    severity = "warning"
    group = "programs"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for program in linkable(obj):
            instead = _INSTEAD.get(program.type or "")
            if instead is None or _READS.isdisjoint(program.helper_numbers):
                continue
            for slot, helper in helper_calls(program):
                if helper.number not in _READS or not helper.allowed(program.type or "", program.attach_type):
                    continue
                user = helper.number in _USER
                if user and program.type in _OF_A_TASK:
                    continue
                why = "the running task is any" if user else "it is unchecked, slower, and needs `CAP_PERFMON`"
                of_task = not user and _CURRENT_TASK in program.helper_numbers
                yield self.finding(
                    ctx,
                    f"`{helper.name}` in a `{program.type}` program: {why}",
                    obj=obj,
                    program=program,
                    slot=slot,
                    severity="note" if of_task else None,
                    evidence=[Evidence("fact", _TASK if of_task else instead)],
                    see=[helper.name],
                )


RULE = ProbeReadInNetworkProgram()

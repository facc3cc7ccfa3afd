"""What a program returns that takes no part: by convention, where a function has no failure branch to agree with."""

from __future__ import annotations

__all__ = ["TRACING", "neutral", "words"]

# Type of program -> the values that let things go on as if the program were not there.
_NEUTRAL = {
    "xdp": ("XDP_PASS", "2"),
    "sched_cls": ("TC_ACT_OK", "TC_ACT_UNSPEC", "TCX_NEXT", "TCX_PASS", "0", "-1"),
    "sched_act": ("TC_ACT_OK", "TC_ACT_UNSPEC", "0", "-1"),
    "cgroup_skb": ("1",),
    "cgroup_sock": ("1",),
    "cgroup_sock_addr": ("1",),
    "cgroup_device": ("1",),
    "cgroup_sysctl": ("1",),
    "cgroup_sockopt": ("1",),
    "sock_ops": ("1", "0"),
    "sk_lookup": ("SK_PASS", "1"),
    "sk_skb": ("SK_PASS", "1"),
    "sk_msg": ("SK_PASS", "1"),
    "sk_reuseport": ("SK_PASS", "1"),
    "netfilter": ("NF_ACCEPT", "1"),
    "flow_dissector": ("BPF_OK", "0"),
    "lwt_in": ("BPF_OK", "0"),
    "lwt_out": ("BPF_OK", "0"),
    "lwt_xmit": ("BPF_OK", "0"),
    "lsm": ("0",),
    "syscall": ("0",),
    "iter": ("0",),
}

TRACING = frozenset({"kprobe", "tracepoint", "raw_tracepoint", "perf_event", "tracing", "raw_tracepoint_writable"})
"""What these return says nothing to the kernel that a person would miss."""


def words(type_: str | None) -> tuple[str, ...]:
    """How the value may be written; nothing for types that have none."""
    if type_ in TRACING:
        return ("0",)
    return _NEUTRAL.get(type_ or "", ())


def neutral(type_: str | None, text: str) -> bool:
    """Whether an expression is such a value of a hook, with or without a path and a cast."""
    plain = text.partition(" as ")[0].strip().strip("()").rpartition("::")[2]
    return plain in words(type_)

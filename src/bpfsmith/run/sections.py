"""What a section name says about a program, as numbers of the kernel.

The tables of `bpfsmith.facts`, which hold more and say where it comes from, cost milliseconds to read; loading a
program has not that much time. A test holds the two together.
"""

from __future__ import annotations

__all__ = ["ATTACH_TYPES", "PROGRAM_TYPES", "attach_type", "known", "match", "program_type"]

SLEEPABLE, XDP_FRAGS, USDT, ATTACH_BTF, ATTACH_OPTIONAL = 1, 2, 4, 8, 16
"""Flags of a row. The last: kernels that know no expected attach type (before 4.17) take the program without one."""

# fmt: off
# The position is the kernel's number.
PROGRAM_TYPES = (
    "unspec", "socket_filter", "kprobe", "sched_cls", "sched_act", "tracepoint", "xdp", "perf_event", "cgroup_skb",
    "cgroup_sock", "lwt_in", "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device", "sk_msg",
    "raw_tracepoint", "cgroup_sock_addr", "lwt_seg6local", "lirc_mode2", "sk_reuseport", "flow_dissector",
    "cgroup_sysctl", "raw_tracepoint_writable", "cgroup_sockopt", "tracing", "struct_ops", "ext", "lsm",
    "sk_lookup", "syscall", "netfilter",
)
ATTACH_TYPES = (
    "cgroup_inet_ingress", "cgroup_inet_egress", "cgroup_inet_sock_create", "cgroup_sock_ops",
    "sk_skb_stream_parser", "sk_skb_stream_verdict", "cgroup_device", "sk_msg_verdict", "cgroup_inet4_bind",
    "cgroup_inet6_bind", "cgroup_inet4_connect", "cgroup_inet6_connect", "cgroup_inet4_post_bind",
    "cgroup_inet6_post_bind", "cgroup_udp4_sendmsg", "cgroup_udp6_sendmsg", "lirc_mode2", "flow_dissector",
    "cgroup_sysctl", "cgroup_udp4_recvmsg", "cgroup_udp6_recvmsg", "cgroup_getsockopt", "cgroup_setsockopt",
    "trace_raw_tp", "trace_fentry", "trace_fexit", "modify_return", "lsm_mac", "trace_iter",
    "cgroup_inet4_getpeername", "cgroup_inet6_getpeername", "cgroup_inet4_getsockname", "cgroup_inet6_getsockname",
    "xdp_devmap", "cgroup_inet_sock_release", "xdp_cpumap", "sk_lookup", "xdp", "sk_skb_verdict",
    "sk_reuseport_select", "sk_reuseport_select_or_migrate", "perf_event", "trace_kprobe_multi", "lsm_cgroup",
    "struct_ops", "netfilter", "tcx_ingress", "tcx_egress", "trace_uprobe_multi", "cgroup_unix_connect",
    "cgroup_unix_sendmsg", "cgroup_unix_recvmsg", "cgroup_unix_getpeername", "cgroup_unix_getsockname",
    "netkit_primary", "netkit_peer", "trace_kprobe_session", "trace_uprobe_session", "trace_fsession",
    "trace_fentry_multi", "trace_fexit_multi", "trace_fsession_multi",
)

# Section -> (program type, expected attach type or -1, flags). `_EXACT`: that name only; `_OPEN`: alone or followed by
# `/` and more; `_AYA`: so in Aya only, where libbpf has the name alone or not at all.
_EXACT: dict[str, tuple[int, int, int]] = {
    "socket": (1, -1, 0), "sk_reuseport/migrate": (21, 40, 0), "sk_reuseport": (21, 39, 0), "tc/ingress": (3, 46,
    0), "tc/egress": (3, 47, 0), "tcx/ingress": (3, 46, 0), "tcx/egress": (3, 47, 0), "tc": (3, -1, 0),
    "classifier": (3, -1, 0), "action": (4, -1, 0), "netkit/primary": (3, 54, 0), "netkit/peer": (3, 55, 0),
    "syscall": (31, -1, 1), "xdp.frags/devmap": (6, 33, 2), "xdp/devmap": (6, 33, 0), "xdp.frags/cpumap": (6, 35,
    2), "xdp/cpumap": (6, 35, 0), "xdp.frags": (6, 37, 2), "xdp": (6, 37, 16), "perf_event": (7, -1, 0), "lwt_in":
    (10, -1, 0), "lwt_out": (11, -1, 0), "lwt_xmit": (12, -1, 0), "lwt_seg6local": (19, -1, 0), "sockops": (13, 3,
    16), "sk_skb/stream_parser": (14, 4, 16), "sk_skb/stream_verdict": (14, 5, 16), "sk_skb/verdict": (14, 38, 16),
    "sk_skb": (14, -1, 0), "sk_msg": (16, 7, 16), "lirc_mode2": (20, 16, 16), "flow_dissector": (22, 17, 16),
    "cgroup_skb/ingress": (8, 0, 16), "cgroup_skb/egress": (8, 1, 16), "cgroup/skb": (8, -1, 0),
    "cgroup/sock_create": (9, 2, 0), "cgroup/sock_release": (9, 34, 0), "cgroup/sock": (9, 2, 16),
    "cgroup/post_bind4": (9, 12, 0), "cgroup/post_bind6": (9, 13, 0), "cgroup/bind4": (18, 8, 0), "cgroup/bind6":
    (18, 9, 0), "cgroup/connect4": (18, 10, 0), "cgroup/connect6": (18, 11, 0), "cgroup/connect_unix": (18, 49, 0),
    "cgroup/sendmsg4": (18, 14, 0), "cgroup/sendmsg6": (18, 15, 0), "cgroup/sendmsg_unix": (18, 50, 0),
    "cgroup/recvmsg4": (18, 19, 0), "cgroup/recvmsg6": (18, 20, 0), "cgroup/recvmsg_unix": (18, 51, 0),
    "cgroup/getpeername4": (18, 29, 0), "cgroup/getpeername6": (18, 30, 0), "cgroup/getpeername_unix": (18, 52, 0),
    "cgroup/getsockname4": (18, 31, 0), "cgroup/getsockname6": (18, 32, 0), "cgroup/getsockname_unix": (18, 53, 0),
    "cgroup/sysctl": (23, 18, 0), "cgroup/getsockopt": (25, 21, 0), "cgroup/setsockopt": (25, 22, 0), "cgroup/dev":
    (15, 6, 16), "sk_lookup": (30, 36, 0), "netfilter": (32, 45, 0),
}
_OPEN: dict[str, tuple[int, int, int]] = {
    "kprobe": (2, -1, 0), "uprobe": (2, -1, 0), "uprobe.s": (2, -1, 1), "kretprobe": (2, -1, 0), "uretprobe": (2,
    -1, 0), "uretprobe.s": (2, -1, 1), "kprobe.multi": (2, 42, 0), "kretprobe.multi": (2, 42, 0), "kprobe.session":
    (2, 56, 0), "uprobe.multi": (2, 48, 0), "uretprobe.multi": (2, 48, 0), "uprobe.session": (2, 57, 0),
    "uprobe.multi.s": (2, 48, 1), "uretprobe.multi.s": (2, 48, 1), "uprobe.session.s": (2, 57, 1), "ksyscall": (2,
    -1, 0), "kretsyscall": (2, -1, 0), "usdt": (2, -1, 4), "usdt.s": (2, -1, 5), "tracepoint": (5, -1, 0), "tp": (5,
    -1, 0), "raw_tracepoint": (17, -1, 0), "raw_tp": (17, -1, 0), "raw_tracepoint.w": (24, -1, 0), "raw_tp.w": (24,
    -1, 0), "tp_btf": (26, 23, 8), "fentry": (26, 24, 8), "fmod_ret": (26, 26, 8), "fexit": (26, 25, 8), "fentry.s":
    (26, 24, 9), "fmod_ret.s": (26, 26, 9), "fexit.s": (26, 25, 9), "fsession": (26, 58, 8), "fsession.s": (26, 58,
    9), "freplace": (28, -1, 8), "lsm": (29, 27, 8), "lsm.s": (29, 27, 9), "lsm_cgroup": (29, 43, 8), "iter": (26,
    28, 8), "iter.s": (26, 28, 9), "struct_ops": (27, -1, 0), "struct_ops.s": (27, -1, 1),
}
_AYA: dict[str, tuple[int, int, int]] = {
    "xdp/cpumap": (6, 35, 0), "xdp/devmap": (6, 33, 0), "xdp.frags/cpumap": (6, 35, 2), "xdp.frags/devmap": (6, 33,
    2), "socket": (1, -1, 0), "sk_msg": (16, 7, 16), "sk_skb/stream_parser": (14, 4, 16), "sk_skb/stream_verdict":
    (14, 5, 16), "sockops": (13, 3, 16), "classifier": (3, -1, 0), "cgroup_skb/ingress": (8, 0, 16),
    "cgroup_skb/egress": (8, 1, 16), "cgroup/skb": (8, -1, 0), "cgroup/sysctl": (23, 18, 0), "cgroup/dev": (15, 6,
    16), "cgroup/getsockopt": (25, 21, 0), "cgroup/setsockopt": (25, 22, 0), "cgroup/sock": (9, 2, 16),
    "cgroup/sock_create": (9, 2, 0), "cgroup/sock_release": (9, 34, 0), "cgroup/post_bind4": (9, 12, 0),
    "cgroup/post_bind6": (9, 13, 0), "cgroup/bind4": (18, 8, 0), "cgroup/bind6": (18, 9, 0), "cgroup/connect4": (18,
    10, 0), "cgroup/connect6": (18, 11, 0), "cgroup/getpeername4": (18, 29, 0), "cgroup/getpeername6": (18, 30, 0),
    "cgroup/getsockname4": (18, 31, 0), "cgroup/getsockname6": (18, 32, 0), "cgroup/sendmsg4": (18, 14, 0),
    "cgroup/sendmsg6": (18, 15, 0), "cgroup/recvmsg4": (18, 19, 0), "cgroup/recvmsg6": (18, 20, 0), "lirc_mode2":
    (20, 16, 16), "perf_event": (7, -1, 0), "flow_dissector": (22, 17, 16), "sk_lookup": (30, 36, 0),
    "sk_reuseport/migrate": (21, 40, 0),
}
# What libbpf 1.7 does not know yet.
_LATER: dict[str, tuple[int, int, int]] = {
    "fentry.multi": (26, 59, 0), "fexit.multi": (26, 60, 0), "fsession.multi": (26, 61, 0), "fentry.multi.s": (26, 59,
    1), "fexit.multi.s": (26, 60, 1), "fsession.multi.s": (26, 61, 1),
}
# fmt: on


def match(name: str) -> tuple[int, int, int, str] | None:
    """(program type, expected attach type or -1, flags, what stands behind the pattern); None: nobody knows it."""
    name = name.removeprefix("?")
    row = _EXACT.get(name) or _OPEN.get(name) or _AYA.get(name)
    if row is not None:
        return (*row, "")
    # libbpf's own rows come before Aya's, whatever their length.
    for table in (_OPEN, _AYA):
        at = name.find("/")
        while at >= 0:
            row = table.get(name[:at])
            longer = name.find("/", at + 1)
            if row is not None and (table is _OPEN or longer < 0 or table.get(name[:longer]) is None):
                return (*row, name[at + 1 :])
            at = longer
    word, _, rest = name.partition("/")
    row = _LATER.get(word)
    return (*row, rest) if row is not None else None


def known() -> list[str]:
    """Every pattern's bare name, for near matches."""
    return [*_EXACT, *_OPEN, *_AYA, *_LATER]


def program_type(word: str) -> int:
    """The kernel's number of libbpf's word (`xdp`) or of `BPF_PROG_TYPE_XDP`; `UnknownName` for others."""
    return _number(word, PROGRAM_TYPES, "program type", "bpf_prog_type_")


def attach_type(word: str) -> int:
    """The kernel's number of libbpf's word (`cgroup_inet_ingress`) or of `BPF_CGROUP_INET_INGRESS`."""
    return _number(word, ATTACH_TYPES, "attach type", "bpf_")


def _number(word: str, table: tuple[str, ...], kind: str, prefix: str) -> int:
    folded = word.lower().removeprefix(prefix)
    if folded in table and folded:
        return table.index(folded)
    from bpfsmith.model.errors import UnknownName
    from bpfsmith.model.near import did_you_mean

    raise UnknownName(f"there is no {kind} `{word}`", hint=did_you_mean(folded, [one for one in table if one]))

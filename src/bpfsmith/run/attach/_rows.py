"""The table of families: see `Family` in the package for what the columns mean."""

# ruff: noqa: E501 - a row is a line, so that the table reads as one
from __future__ import annotations

FIRES, UNTRIED, NONE = "fires", "untried", "none"
_NET, _PERF = "CAP_NET_ADMIN", "CAP_PERFMON"

# fmt: off
# The first row that fits a program is its family, so rows with sections stand before those without.
ROWS: tuple[tuple[str, ...], ...] = (
    # name, module, method, types, attach types, sections, target, since, link, capability, needs, state, note
    ("xdp", "xdp", "attach_xdp", "xdp", "", "", "interface", "4.8", "5.9", _NET, "", FIRES,
     "native, skb and hardware modes; rtnetlink where there are no links; programs of devmap and cpumap entries go into the map"),
    ("netkit", "tc", "attach_netkit", "sched_cls", "netkit_primary netkit_peer", "", "netkit interface", "6.7", "6.7", _NET,
     "CONFIG_NETKIT", FIRES, ""),
    ("tc", "tc", "attach_tc", "sched_cls", "", "", "interface, direction", "4.5", "6.6", _NET,
     "CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF", FIRES, "TCX where the kernel has it, clsact with a filter otherwise or when asked for"),
    ("tracepoint", "tracepoint", "attach_tracepoint", "tracepoint", "", "", "category, name", "4.7", "5.15", _PERF, "tracefs mounted", FIRES, ""),
    ("raw_tracepoint", "tracepoint", "attach_raw_tracepoint", "raw_tracepoint raw_tracepoint_writable", "", "", "tracepoint", "4.17", "4.17", _PERF, "", FIRES, ""),
    ("tp_btf", "tracepoint", "attach_tp_btf", "tracing", "trace_raw_tp", "", "chosen when loading", "5.5", "5.5", _PERF, "kernel BTF", FIRES, ""),
    ("kprobe.multi", "kprobe_multi", "attach_kprobe_multi", "kprobe", "trace_kprobe_multi", "", "kernel functions", "5.18", "5.18", _PERF, "CONFIG_FPROBE", FIRES, ""),
    ("kprobe.session", "kprobe_multi", "attach_kprobe_multi", "kprobe", "trace_kprobe_session", "", "kernel functions", "6.10", "6.10", _PERF, "CONFIG_FPROBE", FIRES, ""),
    ("usdt", "usdt", "attach_usdt", "kprobe", "", "usdt usdt.s", "file, provider, probe", "4.20", "5.15", _PERF, "CONFIG_UPROBES", FIRES, "programs built with libbpf's `usdt.bpf.h`"),
    ("uprobe.session", "uprobe", "attach_uprobe_multi", "kprobe", "trace_uprobe_session", "", "functions of a file", "6.13", "6.13", _PERF, "CONFIG_UPROBES", FIRES, ""),
    ("uprobe.multi", "uprobe", "attach_uprobe_multi", "kprobe", "trace_uprobe_multi", "", "functions of a file", "6.6", "6.6", _PERF, "CONFIG_UPROBES", FIRES, ""),
    ("uprobe", "uprobe", "attach_uprobe", "kprobe", "", "uprobe uretprobe uprobe.s uretprobe.s", "function of a file", "4.17", "5.15", "CAP_SYS_ADMIN", "CONFIG_UPROBE_EVENTS", FIRES, ""),
    ("ksyscall", "kprobe", "attach_ksyscall", "kprobe", "", "ksyscall kretsyscall", "system call", "4.17", "5.15", _PERF, "CONFIG_KPROBES", FIRES, ""),
    ("kprobe", "kprobe", "attach_kprobe", "kprobe", "", "", "kernel function", "4.17", "5.15", _PERF, "CONFIG_KPROBES", FIRES, ""),
    ("perf_event", "perf_event", "attach_perf_event", "perf_event", "", "", "event, process or CPU or cgroup", "4.9", "5.15", _PERF, "", FIRES, "software events; hardware events where the machine counts them"),
    ("fentry", "trace", "attach_trace", "tracing", "trace_fentry", "", "chosen when loading", "5.5", "5.5", _PERF, "kernel BTF, trampolines", FIRES, ""),
    ("fexit", "trace", "attach_trace", "tracing", "trace_fexit", "", "chosen when loading", "5.5", "5.5", _PERF, "kernel BTF, trampolines", FIRES, ""),
    ("fmod_ret", "trace", "attach_trace", "tracing", "modify_return", "", "chosen when loading", "5.7", "5.7", _PERF, "kernel BTF, trampolines", FIRES, ""),
    ("fsession", "trace", "attach_trace", "tracing", "trace_fsession", "", "chosen when loading", "7.0", "7.0", _PERF, "kernel BTF, trampolines", FIRES, ""),
    ("fentry.multi", "trace", "attach_trace_multi", "tracing", "trace_fentry_multi trace_fexit_multi trace_fsession_multi", "", "kernel functions", "7.2", "7.2", _PERF, "kernel BTF, trampolines", FIRES, ""),
    ("freplace", "trace", "attach_freplace", "ext", "", "", "function of a loaded program", "5.6", "5.7", "CAP_NET_ADMIN, CAP_PERFMON", "BTF of the program", FIRES, ""),
    ("lsm", "lsm", "attach_lsm", "lsm", "lsm_mac", "", "chosen when loading", "5.7", "5.7", _PERF, "CONFIG_BPF_LSM, `bpf` in lsm=", FIRES, ""),
    ("lsm_cgroup", "lsm", "attach_lsm", "lsm", "lsm_cgroup", "", "cgroup", "6.0", "6.0", _PERF, "CONFIG_BPF_LSM, CONFIG_CGROUP_BPF", FIRES, ""),
    ("iter", "iterator", "attach_iter", "tracing", "trace_iter", "", "nothing, a map, a task or a cgroup", "5.8", "5.8", _PERF, "kernel BTF", FIRES, "read as text or records"),
    ("cgroup", "cgroup", "attach_cgroup", "cgroup_skb cgroup_sock cgroup_sock_addr cgroup_sockopt cgroup_sysctl cgroup_device sock_ops", "", "", "cgroup", "4.10", "5.7", _NET, "CONFIG_CGROUP_BPF, cgroup2", FIRES, "every attach type; links run beside others, `mode=` for exclusive and overridable ones"),
    ("sk_msg", "sockmap", "attach_sockmap", "sk_msg", "", "", "sockmap or sockhash", "4.17", "6.13", _NET, "CONFIG_BPF_STREAM_PARSER", FIRES, ""),
    ("sk_skb", "sockmap", "attach_sockmap", "sk_skb", "", "", "sockmap or sockhash", "4.14", "6.13", _NET, "CONFIG_BPF_STREAM_PARSER", FIRES, ""),
    ("sk_lookup", "netns", "attach_netns", "sk_lookup", "", "", "network namespace", "5.9", "5.9", _NET, "", FIRES, ""),
    ("flow_dissector", "netns", "attach_netns", "flow_dissector", "", "", "network namespace", "4.20", "5.7", _NET, "", FIRES, ""),
    ("sk_reuseport", "socket", "attach_reuseport", "sk_reuseport", "", "", "socket", "4.19", "", "", "", FIRES, ""),
    ("socket_filter", "socket", "attach_socket", "socket_filter", "", "", "socket", "3.19", "", "", "", FIRES, ""),
    ("struct_ops", "struct_ops", "attach_struct_ops", "struct_ops", "", "", "struct_ops map", "5.6", "6.4", _NET, "kernel BTF", FIRES, "attached through its map"),
    ("netfilter", "netfilter", "attach_netfilter", "netfilter", "", "", "protocol family, hook, priority", "6.4", "6.4", _NET, "CONFIG_NETFILTER_BPF_LINK", FIRES, ""),
    ("lirc_mode2", "lirc", "attach_lirc", "lirc_mode2", "", "", "/dev/lircN", "4.18", "", _NET, "CONFIG_BPF_LIRC_MODE2", UNTRIED, ""),
    ("action", "nothing", "attach", "sched_act", "", "", "tc filter", "4.1", "", _NET, "CONFIG_NET_ACT_BPF", NONE, "`tc filter add ... action bpf object-pinned PATH` runs the pinned program; a `tc` program needs no action"),
    ("lwt", "nothing", "attach", "lwt_in lwt_out lwt_xmit lwt_seg6local", "", "", "route", "4.10", "", _NET, "CONFIG_LWTUNNEL_BPF", NONE, "`ip route add ... encap bpf` attaches the pinned program"),
    ("syscall", "nothing", "attach", "syscall", "", "", "nothing", "5.14", "", "", "", NONE, "run it with `test_run()`"),
)
# fmt: on

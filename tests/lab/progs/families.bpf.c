/* One program of each family, which counts how often it ran: read as global `NAME_hits`. No types of any kernel. */
/* (A section without a slash may not have the name of its function.) */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

/* The one atomic instruction that every kernel has. */
#define HIT(name) asm volatile("r2 = 1; lock *(u64 *)(%[at] + 0) += r2" ::[at] "r"(&name##_hits) : "r2", "memory")
#define COUNTS(section, name, verdict)                                                                                 \
	__u64 name##_hits;                                                                                             \
	SEC(section) int name(void *ctx)                                                                               \
	{                                                                                                              \
		HIT(name);                                                                                             \
		return verdict;                                                                                        \
	}

COUNTS("kprobe/__sys_bind", on_kprobe, 0)
COUNTS("kretprobe/__sys_bind", on_kretprobe, 0)
COUNTS("kprobe.multi/__sys_bin?", on_kprobe_multi, 0)
COUNTS("kretprobe.multi/__sys_bin?", on_kretprobe_multi, 0)
COUNTS("kprobe.session/__sys_bind", on_kprobe_session, 0)
COUNTS("ksyscall/bind", on_ksyscall, 0)
COUNTS("kretsyscall/bind", on_kretsyscall, 0)
COUNTS("fentry/__sys_bind", on_fentry, 0)
COUNTS("fexit/__sys_bind", on_fexit, 0)
COUNTS("fmod_ret/security_socket_bind", on_fmod_ret, 0)
COUNTS("fsession/__sys_bind", on_fsession, 0)
COUNTS("fentry.multi/__sys_bin?", on_fentry_multi, 0)
COUNTS("fexit.multi/__sys_bin?", on_fexit_multi, 0)
COUNTS("lsm/socket_bind", on_lsm, 0)
COUNTS("lsm.s/socket_bind", on_lsm_sleepable, 0)
COUNTS("lsm_cgroup/socket_bind", on_lsm_cgroup, 1)
COUNTS("tracepoint/syscalls/sys_enter_bind", on_tracepoint, 0)
COUNTS("raw_tp/sys_enter", on_raw_tracepoint, 0)
COUNTS("tp_btf/sys_enter", on_tp_btf, 0)
COUNTS("perf_event", on_perf_event, 0)

/* With their types: only such functions are replaced by others. */
#define PACKETS(section, name, verdict)                                                                                \
	__u64 name##_hits;                                                                                             \
	SEC(section) int name(struct xdp_md *ctx)                                                                      \
	{                                                                                                              \
		HIT(name);                                                                                             \
		return verdict;                                                                                        \
	}

PACKETS("xdp", on_xdp, XDP_PASS)
PACKETS("freplace/on_xdp", on_freplace, XDP_DROP)
COUNTS("tc", on_tc, -1)
COUNTS("netfilter", on_netfilter, 1)
COUNTS("cgroup_skb/egress", on_cgroup, 1)
COUNTS("sk_lookup", on_sk_lookup, SK_PASS)
COUNTS("iter/task", on_iter, 0)
COUNTS("fexit/on_xdp", on_watch, 0)

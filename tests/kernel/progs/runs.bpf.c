// SPDX-License-Identifier: MIT OR Apache-2.0
// One program of each type that can be run by hand, and some that cannot.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} RUNS SEC(".maps");

static __attribute__((noinline)) long count(long result)
{
	__u32 zero = 0;
	__u64 *runs = bpf_map_lookup_elem(&RUNS, &zero);

	if (runs)
		__sync_fetch_and_add(runs, 1);
	return result;
}

SEC("xdp") int packet(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 14 > end)
		return count(XDP_ABORTED);
	data[0] = ctx->rx_queue_index + 1;
	return count(data[13] == 1 ? XDP_DROP : XDP_PASS);
}

SEC("xdp") int grows(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, -16) ? XDP_ABORTED : XDP_TX;
}

SEC("tc") int shaped(struct __sk_buff *skb)
{
	__u32 seen = skb->mark;

	skb->mark = 7;
	skb->cb[1] += 1;
	return seen == 5 ? 2 : -1;
}

SEC("cgroup_skb/egress") int egress(struct __sk_buff *skb)
{
	return skb->len > 50;
}

SEC("socket") int filter(struct __sk_buff *skb)
{
	return skb->len;
}

SEC("lwt_xmit") int xmit(struct __sk_buff *skb)
{
	return BPF_DROP;
}

SEC("flow_dissector") int dissect(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;

	keys->nhoff = 14;
	keys->thoff = 34;
	keys->n_proto = 8;
	keys->ip_proto = 17;
	return BPF_OK;
}

SEC("raw_tp/sched_switch") int raw(struct bpf_raw_tracepoint_args *ctx)
{
	return (int)(ctx->args[0] + ctx->args[1]) + bpf_get_smp_processor_id() * 1000;
}

SEC("sk_lookup") int lookup(struct bpf_sk_lookup *ctx)
{
	return ctx->local_port == 80 ? SK_DROP : SK_PASS;
}

struct request {
	__u64 in, out;
};

SEC("syscall") int call(struct request *request)
{
	request->out = request->in * 2;
	return 3;
}

SEC("netfilter") int hook(void *ctx)
{
	return 1;
}

SEC("tracepoint/syscalls/sys_enter_getpgid") int tracepoint(void *ctx)
{
	return count(0);
}

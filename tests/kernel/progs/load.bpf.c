// Every way of declaring maps and globals, for the loader's tests.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct flow {
	__u32 source;
	__u32 target;
};

struct counts {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct flow);
	__type(value, struct counts);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} per_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 8);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, 8);
	__uint(value_size, 4);
} prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000); /* neither a power of two nor whole pages */
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 16);
	__uint(key_size, 4);
	__uint(value_size, 8 * 20);
} stacks SEC(".maps");

#ifndef NO_BLOOM_FILTER
struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 100);
	__uint(map_extra, 3);
	__type(value, __u32);
} seen SEC(".maps");
#endif

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 8);
} devices SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = &inner_a, [2] = &inner_b },
};

int leaf(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = { [1] = (void *)&leaf },
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} load_test_pinned SEC(".maps");

enum mode { OFF, ON, AUTO };

const volatile __u32 LIMIT = 5;
const volatile char NAME[8] = "none";
const volatile enum mode MODE = OFF;
const volatile struct flow FLOW = {};
const volatile __s16 SHORT = -1;
const volatile __u8 TABLE[4] SEC(".rodata.table") = { 1, 2, 3, 4 };
__u64 total = 7;
__u64 custom SEC(".data.mine") = 9;
volatile __u64 runs;
static volatile __u32 hidden = 3;

SEC("xdp")
int count(struct xdp_md *ctx)
{
	struct flow key = { .source = ctx->ingress_ifindex, .target = LIMIT };
	struct counts fresh = { 1, 1 }, *found = bpf_map_lookup_elem(&flows, &key);

	if (found)
		found->packets++;
	else
		bpf_map_update_elem(&flows, &key, &fresh, 0);
	runs += 1;
	total += LIMIT + NAME[0] + MODE + FLOW.source + SHORT + TABLE[0] + hidden;
	custom = total;
	bpf_map_lookup_elem(&load_test_pinned, &(__u32){ 0 });
	bpf_tail_call(ctx, &jumps, 1);
	return XDP_PASS;
}

SEC("xdp")
int leaf(void *ctx)
{
	runs += 100;
	return XDP_DROP;
}

SEC("?tc")
int optional(struct __sk_buff *skb)
{
	return skb->len;
}

SEC("xdp.frags")
int fragments(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";

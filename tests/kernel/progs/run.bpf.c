// What `bpfsmith run` is tested with: one program per way to be told where to.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct packet {
	__u64 length;
	__u32 number;
	__u32 limit;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} EVENTS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} OUTPUT SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} LENGTHS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} SETTINGS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} STAGES SEC(".maps");

const struct packet *shown __attribute__((unused));
const volatile __u32 LIMIT = 1000;
__u32 seen = 0;

SEC("xdp")
int watch(struct xdp_md *ctx)
{
	__u32 zero = 0, length = ctx->data_end - ctx->data;
	__u64 one = 1, *found, *extra = bpf_map_lookup_elem(&SETTINGS, &zero);
	unsigned char *data = (void *)(long)ctx->data;
	struct packet *packet;

	// Not what the kernel says to its neighbours by itself.
	if (data + 14 > (unsigned char *)(long)ctx->data_end || data[12] != 8 || data[13])
		return XDP_PASS;
	packet = bpf_ringbuf_reserve(&EVENTS, sizeof(*packet), 0);
	if (packet) {
		packet->length = length;
		packet->number = seen;
		packet->limit = LIMIT + (extra ? *extra : 0);
		bpf_ringbuf_submit(packet, 0);
	}
	seen++;
	found = bpf_map_lookup_elem(&LENGTHS, &length);
	if (found)
		(*found)++;
	else
		bpf_map_update_elem(&LENGTHS, &length, &one, BPF_ANY);
	bpf_tail_call(ctx, &STAGES, 0);
	return XDP_PASS;
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("tc")
int filter(struct __sk_buff *ctx)
{
	struct packet packet = { .length = ctx->len, .number = 7 };

	bpf_perf_event_output(ctx, &OUTPUT, BPF_F_CURRENT_CPU, &packet, sizeof(packet));
	return TC_ACT_OK;
}

SEC("cgroup_skb/egress")
int leaving(struct __sk_buff *ctx)
{
	seen++;
	return 1;
}

SEC("socket")
int tap(struct __sk_buff *ctx)
{
	seen++;
	return 0;
}

SEC("kprobe/do_unlinkat")
int unlinked(void *ctx)
{
	return 0;
}

SEC("uprobe")
int called(void *ctx)
{
	seen++;
	return 0;
}

#ifdef BROKEN
SEC("xdp")
int broken(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&LENGTHS, &key);

	return *value; // never asked whether it is there
}
#endif

char LICENSE[] SEC("license") = "GPL";

// What the ring buffer measurements produce: 64 records per program run, driven by BPF_PROG_TEST_RUN.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct record {
	__u64 seq, a, b, c;
};

struct small {
	__u32 kind, seq;
};

struct large {
	__u32 kind, seq;
	__u64 data[10];
};

struct middle {
	__u32 kind, seq;
	__u64 data[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_SIZE);
} ring SEC(".maps");

__u64 next;

struct record *keep_record;
struct small *keep_small;
struct middle *keep_middle;
struct large *keep_large;

static __always_inline int produce(__u64 flags)
{
	for (int i = 0; i < 64; i++) {
		struct record *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);

		if (!r)
			continue;
		r->seq = next;
		r->a = i;
		r->b = 1;
		r->c = 2;
		next++;
		bpf_ringbuf_submit(r, flags);
	}
	return XDP_PASS;
}

SEC("xdp") int live(struct xdp_md *ctx) { return produce(0); }
SEC("xdp") int fill(struct xdp_md *ctx) { return produce(BPF_RB_NO_WAKEUP); }

#define PUT(type, number)                                                                                              \
	do {                                                                                                           \
		struct type *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);                                            \
		if (!r)                                                                                                \
			break;                                                                                         \
		r->kind = number;                                                                                      \
		r->seq = next++;                                                                                       \
		bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);                                                               \
	} while (0)

SEC("xdp") int mixed(struct xdp_md *ctx)
{
	for (int i = 0; i < 64; i++) {
		switch (i % 5) {
		case 0:
			PUT(large, 3);
			break;
		case 1:
		case 3:
			PUT(middle, 2);
			break;
		default:
			PUT(small, 1);
		}
	}
	return XDP_PASS;
}

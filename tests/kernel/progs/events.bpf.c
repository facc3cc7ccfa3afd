/* Producers and consumers of events, driven by BPF_PROG_TEST_RUN. `next` counts on over all programs, so that every
 * sequence number appears once. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct event {
	__u64 seq;
	__u32 kind;
	__u16 port;
	__u8 flag;
	__u8 cpu;
	__u64 square;
	char name[8];
};

struct small {
	__u32 kind;
	__u32 seq;
};

struct large {
	__u32 kind;
	__u32 seq;
	__u64 data[5];
};

struct text {
	__u32 seq;
	__u32 len;
	char bytes[];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
	__type(value, struct event);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} plain SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

#ifndef NO_USER_RINGBUF
struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 1 << 16);
} commands SEC(".maps");
#endif

__u64 next, refused, drained, sum;

/* Types no map names are kept for the readers of `plain`. */
struct small *keep_small;
struct large *keep_large;
struct text *keep_text;

static __always_inline int produce(void *map, __u64 flags, int discard)
{
	for (__u32 i = 0; i < 64; i++) {
		struct event *e = bpf_ringbuf_reserve(map, sizeof(*e), 0);

		if (!e) {
			refused++;
			continue;
		}
		e->seq = next;
		e->kind = i;
		e->port = (__u16)next;
		e->flag = next & 1;
		e->cpu = bpf_get_smp_processor_id();
		e->square = next * next;
		__builtin_memcpy(e->name, "events\0", 8);
		if (discard && next % 7 == 3)
			bpf_ringbuf_discard(e, flags);
		else
			bpf_ringbuf_submit(e, flags);
		next++;
	}
	return XDP_PASS;
}

SEC("xdp") int live(struct xdp_md *ctx) { return produce(&events, 0, 0); }
SEC("xdp") int quiet(struct xdp_md *ctx) { return produce(&events, BPF_RB_NO_WAKEUP, 0); }
SEC("xdp") int some(struct xdp_md *ctx) { return produce(&events, 0, 1); }

SEC("xdp") int mixed(struct xdp_md *ctx)
{
	for (__u32 i = 0; i < 64; i++) {
		if (next % 3 == 0) {
			struct large e = {.kind = 2, .seq = next};

			e.data[4] = next;
			if (bpf_ringbuf_output(&plain, &e, sizeof(e), 0))
				refused++;
		} else {
			struct small e = {.kind = 1, .seq = next};

			if (bpf_ringbuf_output(&plain, &e, sizeof(e), 0))
				refused++;
		}
		next++;
	}
	return XDP_PASS;
}

SEC("xdp") int texts(struct xdp_md *ctx)
{
	char buf[72] = {};
	struct text *t = (void *)buf;

	for (__u32 i = 0; i < 64; i++) {
		__u32 len = next % 60;

		t->seq = next;
		t->len = len;
		for (__u32 k = 0; k < 60; k++)
			t->bytes[k] = 'a' + next % 26;
		__u64 size = sizeof(*t) + len;

		asm volatile("" : "+r"(size)); /* the verifier is to see the check, not what the compiler knows */
		if (size > sizeof(buf))
			break;
		if (bpf_ringbuf_output(&plain, buf, size, 0))
			refused++;
		next++;
	}
	return XDP_PASS;
}

/* One record of every length that is too short for `struct event`. */
SEC("xdp") int cut(struct xdp_md *ctx)
{
	struct event e = {.seq = next};

	for (__u32 len = 1; len < sizeof(e); len++)
		bpf_ringbuf_output(&events, &e, len & 31, 0);
	return XDP_PASS;
}

SEC("xdp") int samples(struct xdp_md *ctx)
{
	for (__u32 i = 0; i < 64; i++) {
		struct event e = {.seq = next, .kind = i, .square = next * next, .name = "perf"};

		if (bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &e, sizeof(e)))
			refused++;
		next++;
	}
	return XDP_PASS;
}

#ifndef NO_USER_RINGBUF
static long drain_one(struct bpf_dynptr *record, void *unused)
{
	__u64 value = 0;

	drained++;
	if (!bpf_dynptr_read(&value, sizeof(value), record, 0, 0))
		sum += value;
	return 0;
}

SEC("xdp") int drain(struct xdp_md *ctx)
{
	bpf_user_ringbuf_drain(&commands, drain_one, 0, 0);
	return XDP_PASS;
}
#endif

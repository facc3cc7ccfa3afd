#include "attach.h"

HITS(started);
SEC("struct_ops") void BPF_PROG(started, struct sock *sk)
{
	HIT(started);
}

SEC("struct_ops") __u32 BPF_PROG(threshold, struct sock *sk)
{
	return 10;
}

HITS(avoid);
SEC("struct_ops") void BPF_PROG(avoid, struct sock *sk, __u32 ack, __u32 acked)
{
	HIT(avoid);
}

SEC("struct_ops") __u32 BPF_PROG(undo, struct sock *sk)
{
	return 10;
}

#define OPS(variable, text)                                                                                            \
	struct tcp_congestion_ops variable = {                                                                         \
		.init = (void *)started,                                                                               \
		.ssthresh = (void *)threshold,                                                                         \
		.cong_avoid = (void *)avoid,                                                                           \
		.undo_cwnd = (void *)undo,                                                                             \
		.name = text,                                                                                          \
	}

SEC(".struct_ops.link") OPS(linked, "bpfsmith_link");
SEC(".struct_ops") OPS(kept, "bpfsmith_kept");

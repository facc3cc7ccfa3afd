/* A congestion control; OPS says in which section its struct lies. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";
__u64 begun_hits;

struct sock;
/* Members are found in the kernel's struct by their names. */
struct tcp_congestion_ops {
	void (*init)(struct sock *sk);
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

SEC("struct_ops") void begun(void *ctx)
{
	begun_hits++;
}

SEC("struct_ops") __u32 threshold(void *ctx)
{
	return 10;
}

SEC("struct_ops") void avoid(void *ctx)
{
}

SEC("struct_ops") __u32 undo(void *ctx)
{
	return 10;
}

SEC(OPS)
struct tcp_congestion_ops control = {
	.init = (void *)begun,
	.ssthresh = (void *)threshold,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.name = "lab_control",
};

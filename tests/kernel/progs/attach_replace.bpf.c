#include "attach.h"

/* A program with functions that others look into and replace. */
HITS(packet);

__attribute__((noinline)) int decide(struct xdp_md *ctx)
{
	return ctx->data_end > ctx->data ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int packet(struct xdp_md *ctx)
{
	HIT(packet);
	return decide(ctx);
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	return decide(ctx);
}

SEC("freplace/decide")
int instead(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("freplace/decide")
int wrong_types(long number)
{
	return number;
}

COUNTS("fentry/packet", watch, 0)
COUNTS("fexit/decide", watch_function, 0)

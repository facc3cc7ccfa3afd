#include "attach.h"
#include <bpf/bpf_endian.h>

/* Only IPv4 counts: IPv6 sends of its own accord. */
#define AT_XDP(section, name)                                                                                          \
	HITS(name);                                                                                                    \
	SEC(section) int name(struct xdp_md *ctx)                                                                      \
	{                                                                                                              \
		struct ethhdr *head = (void *)(long)ctx->data;                                                         \
                                                                                                                       \
		if ((void *)(head + 1) <= (void *)(long)ctx->data_end && head->h_proto == bpf_htons(0x0800))           \
			HIT(name);                                                                                     \
		return XDP_PASS;                                                                                       \
	}
#define AT_TC(section, name)                                                                                           \
	HITS(name);                                                                                                    \
	SEC(section) int name(struct __sk_buff *skb)                                                                   \
	{                                                                                                              \
		if (skb->protocol == bpf_htons(0x0800))                                                                \
			HIT(name);                                                                                     \
		return -1;                                                                                             \
	}

AT_XDP("xdp", one)
AT_XDP("xdp", two)
/* Stands for libxdp's program that calls the others: it is known by its name. */
AT_XDP("xdp", xdp_dispatcher)
AT_XDP("xdp/devmap", redirected)
AT_TC("tc", first)
AT_TC("tc", second)
AT_TC("tcx/egress", leaving)
COUNTS("netkit/primary", primary, -1)
COUNTS("sk_lookup", lookup, SK_PASS)
COUNTS("flow_dissector", flows, 129)
COUNTS("netfilter", hook, 1)
COUNTS("socket", filter, 0)
COUNTS("sk_reuseport", chooser, SK_PASS)
COUNTS("lwt_xmit", route, 0)

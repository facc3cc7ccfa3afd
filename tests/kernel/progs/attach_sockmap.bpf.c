#include "attach.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} SOCKETS SEC(".maps");

COUNTS("sk_msg", sent, SK_PASS)
COUNTS("sk_skb/stream_verdict", stream, SK_PASS)
COUNTS("sk_skb/verdict", any, SK_PASS)

HITS(parse);
SEC("sk_skb/stream_parser")
int parse(struct __sk_buff *skb)
{
	HIT(parse);
	return skb->len;
}

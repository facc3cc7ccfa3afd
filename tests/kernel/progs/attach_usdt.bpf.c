#include "attach.h"
#include <bpf/usdt.bpf.h>

__s64 arguments[4];
__s64 count;
__u64 cookie;

HITS(probe);
SEC("usdt")
int probe(struct pt_regs *ctx)
{
	long value;

	HIT(probe);
	count = bpf_usdt_arg_cnt(ctx);
	cookie = bpf_usdt_cookie(ctx);
	if (!bpf_usdt_arg(ctx, 0, &value))
		arguments[0] = value;
	if (!bpf_usdt_arg(ctx, 1, &value))
		arguments[1] = value;
	if (!bpf_usdt_arg(ctx, 2, &value))
		arguments[2] = value;
	return 0;
}

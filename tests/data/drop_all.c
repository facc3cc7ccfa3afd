#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int	drop_all(struct xdp_md *ctx)
{
	bpf_printk("dröp");
	/* größe */ bpf_ktime_get_ns();
	return XDP_DROP;
}

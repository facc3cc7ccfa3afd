/* Programs that count how often they ran: `HITS(name)` declares the counter a test reads as global `name_hits`. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define HITS(name) __u64 name##_hits
#define HIT(name) __sync_fetch_and_add(&name##_hits, 1)
#define COUNTS(section, name, verdict)                                                                                 \
	HITS(name);                                                                                                    \
	SEC(section) int name(void *ctx)                                                                               \
	{                                                                                                              \
		HIT(name);                                                                                             \
		return verdict;                                                                                        \
	}

char _license[] SEC("license") = "GPL";

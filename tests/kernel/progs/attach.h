/* Programs that count how often they ran: `HITS(name)` declares the counter a test reads as global `name_hits`. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define HITS(name) __u64 name##_hits
/* The one atomic instruction that kernels before 5.12 have too; compilers make newer ones of the builtin. */
#define HIT(name)                                                                                                      \
	({                                                                                                             \
		__u64 one_more = 1;                                                                                    \
		asm volatile("lock *(u64 *)(%[at] + 0) += %[more]" ::[at] "r"(&name##_hits), [more] "r"(one_more)      \
			     : "memory");                                                                              \
	})
#define COUNTS(section, name, verdict)                                                                                 \
	HITS(name);                                                                                                    \
	SEC(section) int name(void *ctx)                                                                               \
	{                                                                                                              \
		HIT(name);                                                                                             \
		return verdict;                                                                                        \
	}

char _license[] SEC("license") = "GPL";

/* One map of each kind, with types, and programs that use them. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define MAP(name, kind, keyed, valued, entries)                                                                        \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                     \
		__uint(max_entries, entries);                                                                          \
		__type(key, keyed);                                                                                    \
		__type(value, valued);                                                                                 \
	} name SEC(".maps")

enum color { RED = 1, GREEN = 2, BLUE = 4 };

struct flow {
	__u8 mac[6];
	__u16 port;
	__u32 addr;
};

struct inner {
	char comm[16];
	bool ok;
};

struct count {
	__u64 packets;
	__u32 first : 3;
	__s32 second : 5;
	enum color color;
	struct inner who;
	union {
		__u32 number;
		__u8 octets[4];
	};
	__s16 steps[3];
};

struct pair {
	__u64 packets;
	__u32 bytes;
};

struct locked {
	struct bpf_spin_lock lock;
	__u32 a, b;
};

struct prefix4 {
	__u32 prefixlen;
	__u8 addr[4];
};

MAP(flows, HASH, struct flow, struct count, 1000);
MAP(plain, HASH, __u32, __u64, 4096);
MAP(small, HASH, __u32, __u64, 8);
MAP(recent, LRU_HASH, __u32, __u64, 64);
MAP(numbers, ARRAY, __u32, __s32, 16);
MAP(locks, ARRAY, __u32, struct locked, 2);
MAP(percpu_counts, PERCPU_HASH, __u32, struct pair, 64);
MAP(percpu_recent, LRU_PERCPU_HASH, __u32, __u32, 64);
MAP(percpu_numbers, PERCPU_ARRAY, __u32, __u32, 8);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix4);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, struct pair);
} todo SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__type(value, __u32);
} pile SEC(".maps");

#ifndef NO_BLOOM_FILTER
struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 1000);
	__type(value, __u32);
} seen SEC(".maps");
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1000);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} shared SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 10);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u32);
} shared_small SEC(".maps");

struct inner_hash {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner_hash);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner_hash);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} chain SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} cgroups SEC(".maps");

MAP(socks, SOCKMAP, __u32, __u64, 4);
MAP(sock_table, SOCKHASH, __u32, __u64, 4);
MAP(listeners, REUSEPORT_SOCKARRAY, __u32, __u64, 4);
MAP(devices, DEVMAP, __u32, struct bpf_devmap_val, 4);
MAP(device_table, DEVMAP_HASH, __u32, struct bpf_devmap_val, 4);
MAP(cpus, CPUMAP, __u32, struct bpf_cpumap_val, 4);
MAP(xsks, XSKMAP, __u32, __u32, 4);

#define STORAGE(name, kind)                                                                                            \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                     \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                                  \
		__type(key, int);                                                                                      \
		__type(value, struct pair);                                                                            \
	} name SEC(".maps")

STORAGE(by_socket, SK_STORAGE);
#ifndef NO_TASK_STORAGE
STORAGE(by_task, TASK_STORAGE);
#endif
#ifndef NO_CGRP_STORAGE
STORAGE(by_cgroup, CGRP_STORAGE);
#endif

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 64);
	__type(key, __u32);
	__uint(value_size, 20 * sizeof(__u64));
} stacks SEC(".maps");

SEC("xdp")
int first(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&shared, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
	bpf_tail_call(ctx, &chain, 0);
	return XDP_DROP;
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	__u32 one = 1, *mine;
	__u64 *n = bpf_map_lookup_elem(&shared, &one);

	if (n)
		__sync_fetch_and_add(n, 1);
	mine = bpf_map_lookup_elem(&percpu_numbers, &one);
	if (mine)
		*mine += 1;
	return XDP_PASS;
}

SEC("xdp")
int third(struct xdp_md *ctx)
{
	return XDP_TX;
}

SEC("raw_tp/sys_enter")
int keep_stack(void *ctx)
{
	bpf_get_stackid(ctx, &stacks, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

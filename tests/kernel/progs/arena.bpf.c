// Memory shared with user space.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, 33); /* BPF_MAP_TYPE_ARENA, which older headers lack */
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4);
} memory SEC(".maps");

void __arena *bpf_arena_alloc_pages(void *map, void __arena *address, __u32 pages, int node, __u64 flags) __ksym;

long __arena *place;

SEC("syscall")
int fill(void *ctx)
{
	long __arena *page = bpf_arena_alloc_pages(&memory, 0, 1, -1, 0);

	if (!page)
		return 1;
	page[1] = 77;
	place = &page[1];
	return 0;
}

char _license[] SEC("license") = "GPL";

// A tracepoint program with ten kinds of fields to relocate: what bench_load.py loads for CO-RE.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 pid, tgid, parent, prio, flags, threads;
	__u64 start, level, stack, files;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event);
} last SEC(".maps");

SEC("tracepoint/sched/sched_switch") int on_switch(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 key = 0;
	struct event *event = bpf_map_lookup_elem(&last, &key);

	if (!event)
		return 0;
	event->pid = BPF_CORE_READ(task, pid);
	event->tgid = BPF_CORE_READ(task, tgid);
	event->parent = BPF_CORE_READ(task, real_parent, tgid);
	event->prio = BPF_CORE_READ(task, prio);
	event->flags = BPF_CORE_READ(task, flags);
	event->start = BPF_CORE_READ(task, start_time);
	event->threads = BPF_CORE_READ(task, signal, nr_threads);
	event->level = BPF_CORE_READ(task, nsproxy, pid_ns_for_children, level);
	event->stack = BPF_CORE_READ(task, mm, start_stack);
	event->files = BPF_CORE_READ(task, files, next_fd);
	BPF_CORE_READ_STR_INTO(&event->comm, task, comm);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

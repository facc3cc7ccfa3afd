#include "attach.h"

__u64 cookie;

COUNTS("tracepoint/syscalls/sys_enter_getpgid", tp, 0)
COUNTS("tracepoint", anywhere, 0)
COUNTS("raw_tp/sys_enter", raw, 0)
COUNTS("tp_btf/sys_enter", typed, 0)
/* Its tracepoint is one of the few whose arguments may be written; test runs pass it. */
COUNTS("raw_tp.w/bpf_test_finish", writable, 0)
COUNTS("socket", tried, 0)
COUNTS("perf_event", sample, 0)
COUNTS("uprobe", entry, 0)
COUNTS("uretprobe", leave, 0)
COUNTS("uprobe.multi", many, 0)
COUNTS("uprobe.session", session, 0)
COUNTS("syscall", called, 0)
COUNTS("kprobe/do_unlinkat", probe, 0)
COUNTS("kprobe/no_such_function_unlinkat", absent, 0)
COUNTS("kretprobe/do_unlinkat", returned, 0)
COUNTS("ksyscall/unlinkat", system_call, 0)
COUNTS("ksyscall/unlinkattt", wrong_call, 0)

HITS(cookied);
SEC("uprobe")
int cookied(void *ctx)
{
	HIT(cookied);
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

HITS(tp_cookied);
SEC("tracepoint/syscalls/sys_enter_getpgid")
int tp_cookied(void *ctx)
{
	HIT(tp_cookied);
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

struct task_row {
	__u32 pid;
	char name[16];
};
/* Kept in the types by a map that uses it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct task_row);
} ROWS SEC(".maps");

SEC("iter/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;

	if (task)
		BPF_SEQ_PRINTF(seq, "%d %s\n", task->pid, task->comm);
	return 0;
}

SEC("iter/task")
int rows(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_row row = {};

	if (!task)
		return 0;
	row.pid = task->pid;
	__builtin_memcpy(row.name, task->comm, sizeof(row.name));
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

SEC("iter/bpf_map_elem")
int elements(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;

	if (key)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%u\n", *key);
	return 0;
}

SEC("iter/cgroup")
int groups(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *group = ctx->cgroup;

	if (group)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%llu\n", group->kn->id);
	return 0;
}

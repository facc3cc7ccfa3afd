// What the kernel supplies: configuration, symbols with and without type, functions, weak ones.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

extern unsigned LINUX_KERNEL_VERSION __kconfig;
extern bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
extern bool LINUX_HAS_BPF_COOKIE __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_BPF __kconfig __weak;
extern unsigned long CONFIG_HZ __kconfig;
extern const char CONFIG_DEFAULT_HOSTNAME[16] __kconfig __weak;
extern unsigned CONFIG_THERE_IS_NO_SUCH_THING __kconfig __weak;

extern const void init_task __ksym __weak;
extern const void there_is_no_such_symbol __ksym __weak;
extern const struct rq runqueues __ksym;
extern const int there_is_no_such_variable __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void there_is_no_such_function(void) __ksym __weak;

__u32 version;
__u8 wrapper, cookie, syscalls, tristate;
__u64 hz, nothing, task, missing, queue, variable, function, parent_offset;
char hostname[16];

SEC("syscall")
int look(void *ctx)
{
	version = LINUX_KERNEL_VERSION;
	wrapper = LINUX_HAS_SYSCALL_WRAPPER;
	cookie = LINUX_HAS_BPF_COOKIE;
	syscalls = CONFIG_BPF_SYSCALL;
	tristate = CONFIG_BPF;
	hz = CONFIG_HZ;
	nothing = CONFIG_THERE_IS_NO_SUCH_THING;
	for (int i = 0; i < 16; i++)
		hostname[i] = CONFIG_DEFAULT_HOSTNAME[i];
	task = (__u64)&init_task;
	missing = (__u64)&there_is_no_such_symbol;
	variable = (__u64)&there_is_no_such_variable;
	parent_offset = bpf_core_field_offset(struct task_struct, real_parent);
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	function = (__u64)&there_is_no_such_function;
	if (function)
		there_is_no_such_function();
	return 0;
}

SEC("?syscall")
int typed(void *ctx)
{
	queue = bpf_per_cpu_ptr(&runqueues, 0) != 0;
	return 0;
}

SEC("?tp_btf/sched_switch")
int switches(void *ctx)
{
	return 0;
}

SEC("?tp_btf/sched_swich")
int misspelt(void *ctx)
{
	return 0;
}

SEC("?lsm/file_open")
int opens(void *ctx)
{
	return 0;
}

SEC("?syscall")
int rejected(void *ctx)
{
	int *nowhere = (int *)8;

	return *nowhere; /* the line of the error */
}

struct never___gone {
	int field;
} __attribute__((preserve_access_index));

SEC("?raw_tp/sched_switch")
int gone(struct never___gone *ctx)
{
	return BPF_CORE_READ(ctx, field);
}

char _license[] SEC("license") = "GPL";

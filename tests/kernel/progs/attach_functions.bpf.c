#include "attach.h"

/* bind(2) and listen(2) are called by nobody else meanwhile, and their functions are called so in every kernel. */
__u64 cookie;
__u32 denied; /* the process whose calls are refused */

static __always_inline int verdict(void)
{
	return denied && bpf_get_current_pid_tgid() >> 32 == denied ? -1 : 0;
}

COUNTS("kprobe/__sys_bind", probe, 0)
COUNTS("kprobe", anywhere, 0)
COUNTS("kretprobe/__sys_bind", returned, 0)
COUNTS("kprobe.multi/__sys_bin?", many, 0)
COUNTS("kretprobe.multi/__sys_bind", many_returned, 0)
COUNTS("kprobe.session/__sys_bind", session, 0)
COUNTS("ksyscall/bind", call, 0)
COUNTS("kretsyscall/bind", call_returned, 0)
COUNTS("fentry/__sys_bind", entry, 0)
COUNTS("fexit/__sys_bind", leave, 0)
COUNTS("fsession/__sys_bind", both, 0)
COUNTS("fentry/veth_open", module_entry, 0)

HITS(cookied);
SEC("kprobe/__sys_bind")
int cookied(void *ctx)
{
	HIT(cookied);
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

HITS(many_cookied);
SEC("kprobe.multi")
int many_cookied(void *ctx)
{
	HIT(many_cookied);
	cookie += bpf_get_attach_cookie(ctx);
	return 0;
}

HITS(entry_cookied);
SEC("fentry/__sys_bind")
int entry_cookied(void *ctx)
{
	HIT(entry_cookied);
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

COUNTS("fentry.multi/__sys_bin?", entries, 0)
COUNTS("fexit.multi", leaves, 0)

HITS(entries_cookied);
SEC("fentry.multi")
int entries_cookied(void *ctx)
{
	HIT(entries_cookied);
	cookie += bpf_get_attach_cookie(ctx);
	return 0;
}

/* Sleepable: without error injection the kernel's own test function is all it may be at. Test runs call that. */
COUNTS("fentry.s/bpf_fentry_test1", entry_sleeping, 0)

HITS(modify);
SEC("fmod_ret/security_socket_bind")
int modify(void *ctx)
{
	HIT(modify);
	return verdict();
}

HITS(hook);
SEC("lsm/socket_bind")
int BPF_PROG(hook, struct socket *sock, struct sockaddr *address, int length, int ret)
{
	HIT(hook);
	return ret ? ret : verdict();
}

HITS(hook_sleeping);
SEC("lsm.s/file_open")
int BPF_PROG(hook_sleeping, struct file *file, int ret)
{
	HIT(hook_sleeping);
	return ret;
}

HITS(group);
SEC("lsm_cgroup/socket_bind")
int BPF_PROG(group, struct socket *sock, struct sockaddr *address, int length)
{
	HIT(group);
	return 0; /* refused: EPERM */
}

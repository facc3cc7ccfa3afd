/* libbpf beside bpfsmith: one case per process, `metric<TAB>wall us<TAB>cpu us` per line.
 *
 *     peer btf                 parse the running kernel's types, first lookup by name, offset of a member
 *     peer parse OBJECT        open an object
 *     peer core OBJECT         open it, then prepare it: maps and CO-RE; bpf(2) is answered by a stand-in that accepts
 *                              everything, so that no kernel work is measured and no privilege needed
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

struct watch {
	double wall, cpu;
};

static struct watch start(void)
{
	return (struct watch){clock_us(CLOCK_MONOTONIC), clock_us(CLOCK_PROCESS_CPUTIME_ID)};
}

static void stop(struct watch from, const char *metric)
{
	double cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID), wall = clock_us(CLOCK_MONOTONIC);

	printf("%s\t%.3f\t%.3f\n", metric, wall - from.wall, cpu - from.cpu);
}

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

long __real_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	long a[6];
	va_list args;
	int fd;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number != __NR_bpf)
		return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	switch (a[0]) {
	case BPF_MAP_CREATE:
	case BPF_PROG_LOAD:
	case BPF_BTF_LOAD:
		fd = memfd_create("stand-in", MFD_CLOEXEC);
		return fd >= 0 && ftruncate(fd, 1 << 20) ? -1 : fd;
	case BPF_OBJ_GET:
	case BPF_BTF_GET_NEXT_ID:
		errno = ENOENT;
		return -1;
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_FREEZE:
	case BPF_PROG_BIND_MAP:
		return 0;
	default:
		errno = EINVAL;
		return -1;
	}
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* Bits from the start of the type; -1 when there is no such member. */
static long offset_of(const struct btf *btf, int id, const char *name)
{
	const struct btf_type *type = btf__type_by_id(btf, id);
	const struct btf_member *member = btf_members(type);

	for (int i = 0; i < btf_vlen(type); i++, member++) {
		const char *own = btf__name_by_offset(btf, member->name_off);

		if (!strcmp(own, name))
			return btf_member_bit_offset(type, i);
		if (!*own && btf_is_composite(btf__type_by_id(btf, member->type))) {
			long inner = offset_of(btf, member->type, name);

			if (inner >= 0)
				return btf_member_bit_offset(type, i) + inner;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct watch from;

	if (argc < 2)
		return 2;
	libbpf_set_print(quiet);
	from = start();
	if (!strcmp(argv[1], "btf")) {
		struct btf *btf = btf__load_vmlinux_btf();
		int id;

		if (!btf)
			die("vmlinux");
		stop(from, "parse");
		id = btf__find_by_name_kind(btf, "task_struct", BTF_KIND_STRUCT);
		stop(from, "first lookup");
		if (offset_of(btf, id, "pid") < 0)
			die("pid");
		stop(from, "offset");
		return 0;
	}
	if (argc < 3)
		return 2;
	struct bpf_object *object = bpf_object__open_file(argv[2], NULL);

	if (!object)
		die(argv[2]);
	stop(from, "parse");
	if (!strcmp(argv[1], "core")) {
		if (bpf_object__prepare(object))
			die("prepare");
		stop(from, "core and kernel types");
	}
	return 0;
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// What libbpf makes of each program of objects, loaded alone as veristat does: the reference for verdicts, a static
// program that runs inside a guest (or on any machine).
//
//     judge [-t SECONDS] < list        each line: PATH, or PATH <tab> NUMBER of one program
//
// One line per program, its fields separated by tabs, `\` before `n`, `t` and `\` in the last two:
//
//     PATH  NUMBER  PROGRAM  STAGE  ERRNO  RESULT  MICROSECONDS  WARNING  LOG
//
// STAGE is `before` (libbpf gave up before it asked for PROG_LOAD), `at` (PROG_LOAD was refused with ERRNO), `after`
// (PROG_LOAD succeeded), `late` (no answer in time), `crashed` (libbpf died by signal ERRNO) or `unreadable` (no object;
// NUMBER is the one asked for, or -1). RESULT is what bpf_object__load answered, as a positive errno. MICROSECONDS is the whole of opening,
// preparing and loading. WARNING is libbpf's first; LOG the end of the verifier's log of levels 4 (messages, counts).
//
// Others' autoload is off, `?` sections count, no map is pinned, maps without a size get 1 (storages have none), members
// of struct_ops maps that are other programs are masked. The kernel's types and features are read once, then every
// object gets a process of its own.
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG_SIZE (1 << 20)
#define LOG_TAIL 4000

static char log_text[LOG_SIZE];
static char warning[1024];
static int load_result; /* 1: not asked; 0: loaded; else -errno */

static int listen_to(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && !warning[0])
		vsnprintf(warning, sizeof(warning), format, args);
	return 0;
}

/* ---- the kernel's types are read once, whatever libbpf asks for ---- */

static struct btf *kernel_types;

struct btf *__real_btf__load_vmlinux_btf(void);
void __real_btf__free(struct btf *btf);

struct btf *__wrap_btf__load_vmlinux_btf(void)
{
	if (!kernel_types)
		kernel_types = __real_btf__load_vmlinux_btf();
	return kernel_types;
}

/* and those of its modules, by id */
static struct { unsigned id; struct btf *types; } modules[512];
static int module_count;

struct btf *__real_btf_get_from_fd(int fd, struct btf *base);

struct btf *__wrap_btf_get_from_fd(int fd, struct btf *base)
{
	struct bpf_btf_info info = {};
	unsigned size = sizeof(info);
	struct btf *types;

	if (base != kernel_types || bpf_btf_get_info_by_fd(fd, &info, &size))
		return __real_btf_get_from_fd(fd, base);
	for (int i = 0; i < module_count; i++)
		if (modules[i].id == info.id)
			return modules[i].types;
	types = __real_btf_get_from_fd(fd, base);
	if (!libbpf_get_error(types) && module_count < 512) {
		modules[module_count].id = info.id;
		modules[module_count++].types = types;
	}
	return types;
}

static void read_modules(void)
{
	unsigned id = 0;
	int fd;

	while (!bpf_btf_get_next_id(id, &id)) {
		struct bpf_btf_info info = {};
		unsigned size = sizeof(info);
		char name[64] = "";

		info.name = (unsigned long)name;
		info.name_len = sizeof(name);
		fd = bpf_btf_get_fd_by_id(id);
		if (fd >= 0 && !bpf_btf_get_info_by_fd(fd, &info, &size) && info.kernel_btf && strcmp(name, "vmlinux"))
			__wrap_btf_get_from_fd(fd, kernel_types);
		close(fd);
	}
}

void __wrap_btf__free(struct btf *btf)
{
	if (btf == kernel_types)
		return;
	for (int i = 0; i < module_count; i++)
		if (modules[i].types == btf)
			return;
	__real_btf__free(btf);
}

/* ---- what PROG_LOAD of the program itself answers ---- */

long __real_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	const union bpf_attr *attr;
	long args[6], result;
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		args[i] = va_arg(list, long);
	va_end(list);
	result = __real_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
	attr = (const union bpf_attr *)args[1];
	if (number == __NR_bpf && args[0] == BPF_PROG_LOAD && attr->log_buf == (unsigned long)log_text)
		load_result = result < 0 ? -errno : 0;
	return result;
}

/* ---- one program ---- */

static void escaped(const char *text)
{
	for (; *text; text++) {
		if (*text == '\n' || *text == '\t' || *text == '\\')
			putchar('\\');
		putchar(*text == '\n' ? 'n' : *text == '\t' ? 't' : *text);
	}
}

/* Members that are other programs would be loaded too. */
static void mask_others(struct bpf_object *object, struct bpf_map *map, struct bpf_program *chosen)
{
	struct bpf_program *program;
	size_t size;
	char *data = bpf_map__initial_value(map, &size);
	bool its = false;

	for (size_t at = 0; data && at + sizeof(void *) <= size; at += sizeof(void *)) {
		void **member = (void **)(data + at);

		if (*member == chosen) {
			its = true;
			continue;
		}
		bpf_object__for_each_program(program, object)
			if (*member == program)
				*member = NULL;
	}
	if (its)
		bpf_map__set_autocreate(map, true);
}

static void prepare_map(struct bpf_object *object, struct bpf_map *map, struct bpf_program *chosen)
{
	bpf_map__set_pin_path(map, NULL);
	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_STRUCT_OPS:
		mask_others(object, map, chosen);
		break;
	case BPF_MAP_TYPE_SK_STORAGE:
	case BPF_MAP_TYPE_TASK_STORAGE:
	case BPF_MAP_TYPE_INODE_STORAGE:
	case BPF_MAP_TYPE_CGROUP_STORAGE:
	case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
	case BPF_MAP_TYPE_CGRP_STORAGE:
		break;
	default:
		if (!bpf_map__max_entries(map))
			bpf_map__set_max_entries(map, 1);
	}
}

static long long now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

/* Answers false when there is no such program. */
static bool judge(const char *path, int wanted, bool alone)
{
	struct bpf_program *program, *chosen = NULL;
	struct bpf_object *object;
	struct bpf_map *map;
	int index = 0, result;
	long long start = now();
	size_t length;

	warning[0] = log_text[0] = 0;
	load_result = 1;
	object = bpf_object__open_file(path, NULL);
	if (!object) {
		int error = errno;

		if (alone || !wanted) {
			printf("%s\t%d\t\tunreadable\t%d\t%d\t0\t", path, alone ? wanted : -1, error, error);
			escaped(warning);
			puts("\t");
		}
		return false;
	}
	bpf_object__for_each_program(program, object) {
		bpf_program__set_autoload(program, index == wanted);
		if (index++ == wanted)
			chosen = program;
	}
	if (!chosen) {
		bpf_object__close(object);
		return false;
	}
	bpf_object__for_each_map(map, object)
		prepare_map(object, map, chosen);
	bpf_program__set_log_buf(chosen, log_text, sizeof(log_text));
	bpf_program__set_log_level(chosen, 4);
	result = bpf_object__load(object);
	start = now() - start;
	printf("%s\t%d\t%s\t%s\t%d\t%d\t%lld\t", path, wanted, bpf_program__name(chosen),
	       load_result > 0 ? "before" : load_result < 0 ? "at" : "after", load_result < 0 ? -load_result : 0, -result,
	       start);
	escaped(warning);
	putchar('\t');
	length = strlen(log_text);
	escaped(length > LOG_TAIL ? log_text + length - LOG_TAIL : log_text);
	putchar('\n');
	fflush(stdout);
	bpf_object__close(object);
	return true;
}

/* ---- an object in a process of its own ---- */

static void work(const char *path, int from, bool alone, int out)
{
	dup2(out, 1);
	close(out);
	while (judge(path, from++, alone) && !alone)
		;
	fflush(stdout);
	_exit(0);
}

/* Passes on what the child says. Answers how many programs it told of; `late` where it was too slow. */
static int pass_on(int in, int limit, bool *late)
{
	static char text[1 << 16];
	struct pollfd ready = {.fd = in, .events = POLLIN};
	ssize_t got;
	int lines = 0;

	*late = false;
	for (;;) {
		if (poll(&ready, 1, limit * 1000) == 0) {
			*late = true;
			return lines;
		}
		got = read(in, text, sizeof(text));
		if (got <= 0)
			return lines;
		for (ssize_t i = 0; i < got; i++)
			lines += text[i] == '\n';
		fwrite(text, 1, got, stdout);
		fflush(stdout);
	}
}

static void judge_object(const char *path, int from, bool alone, int limit)
{
	int ends[2], status, told;
	bool late;
	pid_t child;

	for (;;) {
		if (pipe(ends))
			exit(2);
		child = fork();
		if (!child) {
			close(ends[0]);
			work(path, from, alone, ends[1]);
		}
		close(ends[1]);
		told = pass_on(ends[0], limit, &late);
		if (late)
			kill(child, SIGKILL);
		waitpid(child, &status, 0);
		close(ends[0]);
		if (!late && !WIFSIGNALED(status))
			return;
		printf("%s\t%d\t\t%s\t%d\t0\t0\t\t\n", path, from + told, late ? "late" : "crashed",
		       late ? 0 : WTERMSIG(status));
		fflush(stdout);
		if (alone)
			return;
		from += told + 1;
	}
}

/* What libbpf asks of the kernel once is asked before the first fork. */
static void warm_up(void)
{
	static struct bpf_insn code[] = {{.code = 0xb7}, {.code = 0x95}};

	btf__load_vmlinux_btf();
	if (kernel_types)
		read_modules();
	bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "warm", "GPL", code, 2, NULL);
	warning[0] = 0;
}

int main(int count, char **words)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	static char line[4096];
	int limit = 300, option;

	while ((option = getopt(count, words, "t:")) != -1)
		if (option == 't')
			limit = atoi(optarg);
	setrlimit(RLIMIT_MEMLOCK, &all);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	libbpf_set_print(listen_to);
	warm_up();
	while (fgets(line, sizeof(line), stdin)) {
		char *number;

		line[strcspn(line, "\n")] = 0;
		number = strchr(line, '\t');
		if (number)
			*number++ = 0;
		if (line[0])
			judge_object(line, number ? atoi(number) : 0, number, limit);
	}
	return 0;
}

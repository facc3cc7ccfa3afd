// SPDX-License-Identifier: MIT OR Apache-2.0
// Attaches one program of an object with libbpf, says which link that made, and keeps it until standard input ends:
//
//     attach OBJECT PROGRAM HOW [WORDS...]
//     link <tab> ID      info <tab> its `struct bpf_link_info` in hexadecimal, with ATTACH_INFO=1      spec <tab> the first entry of map __bpf_usdt_specs in hexadecimal      failed <tab> ERRNO
//
// HOW and its words are those of `attach()` below.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static struct bpf_link *attach(struct bpf_object *object, struct bpf_program *program, const char *how, char **word)
{
	if (!strcmp(how, "auto"))
		return bpf_program__attach(program);
	if (!strcmp(how, "xdp"))
		return bpf_program__attach_xdp(program, atoi(word[0]));
	if (!strcmp(how, "tcx"))
		return bpf_program__attach_tcx(program, atoi(word[0]), NULL);
	if (!strcmp(how, "cgroup"))
		return bpf_program__attach_cgroup(program, open(word[0], O_RDONLY));
	if (!strcmp(how, "netns"))
		return bpf_program__attach_netns(program, open(word[0], O_RDONLY));
	if (!strcmp(how, "struct_ops"))
		return bpf_map__attach_struct_ops(bpf_object__find_map_by_name(object, word[0]));
	if (!strcmp(how, "sockmap"))
		return bpf_program__attach_sockmap(
			program, bpf_map__fd(bpf_object__find_map_by_name(object, word[0])));
	if (!strcmp(how, "tracepoint")) {
		LIBBPF_OPTS(bpf_tracepoint_opts, options, .bpf_cookie = atoi(word[2]));
		return bpf_program__attach_tracepoint_opts(program, word[0], word[1], &options);
	}
	if (!strcmp(how, "raw_tracepoint")) {
		LIBBPF_OPTS(bpf_raw_tracepoint_opts, options, .cookie = atoi(word[1]));
		return bpf_program__attach_raw_tracepoint_opts(program, word[0], &options);
	}
	if (!strcmp(how, "uprobe")) {
		LIBBPF_OPTS(bpf_uprobe_opts, options, .func_name = word[1], .retprobe = atoi(word[2]),
			    .bpf_cookie = atoi(word[3]));
		return bpf_program__attach_uprobe_opts(program, atoi(word[4]), word[0], 0, &options);
	}
	if (!strcmp(how, "uprobe_multi")) {
		LIBBPF_OPTS(bpf_uprobe_multi_opts, options, .session = atoi(word[2]));
		return bpf_program__attach_uprobe_multi(program, atoi(word[3]), word[0], word[1], &options);
	}
	if (!strcmp(how, "usdt")) {
		LIBBPF_OPTS(bpf_usdt_opts, options, .usdt_cookie = atoi(word[3]));
		return bpf_program__attach_usdt(program, atoi(word[4]), word[0], word[1], word[2], &options);
	}
	if (!strcmp(how, "netfilter")) {
		LIBBPF_OPTS(bpf_netfilter_opts, options, .pf = atoi(word[0]), .hooknum = atoi(word[1]),
			    .priority = atoi(word[2]));
		return bpf_program__attach_netfilter(program, &options);
	}
	if (!strcmp(how, "perf_event")) {
		struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .freq = 1,
					       .config = PERF_COUNT_SW_CPU_CLOCK, .sample_freq = 99};
		int event = syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0);

		return bpf_program__attach_perf_event(program, event);
	}
	errno = ENOSYS;
	return NULL;
}

/* A link that holds others has no descriptor of its own: the first of the program's is told. */
static int link_of(struct bpf_program *program, struct bpf_link *link, struct bpf_link_info *info)
{
	struct bpf_prog_info own = {};
	unsigned size = sizeof(*info), number = 0;

	if (bpf_link__fd(link) > 0)
		return !bpf_link_get_info_by_fd(bpf_link__fd(link), info, &size);
	size = sizeof(own);
	if (bpf_prog_get_info_by_fd(bpf_program__fd(program), &own, &size))
		return 0;
	while (!bpf_link_get_next_id(number, &number)) {
		int fd = bpf_link_get_fd_by_id(number);

		memset(info, 0, sizeof(*info));
		size = sizeof(*info);
		if (fd >= 0 && !bpf_link_get_info_by_fd(fd, info, &size) && info->prog_id == own.id) {
			close(fd);
			return 1;
		}
		if (fd >= 0)
			close(fd);
	}
	return 0;
}

int main(int count, char **word)
{
	struct bpf_link_info info = {};
	struct bpf_object *object;
	struct bpf_program *one, *program;
	struct bpf_link *link;
	struct bpf_map *map;

	if (!getenv("LIBBPF_LOUD"))
		libbpf_set_print(quiet);
	object = bpf_object__open_file(word[1], NULL);
	if (!object || !(program = bpf_object__find_program_by_name(object, word[2])))
		return printf("failed\t%d\n", errno), 1;
	/* The others are not needed, but those of structs are. */
	bpf_object__for_each_program(one, object)
		if (bpf_program__type(one) != BPF_PROG_TYPE_STRUCT_OPS)
			bpf_program__set_autoload(one, one == program);
	if (bpf_object__load(object))
		return printf("failed\t%d\n", errno), 1;
	link = attach(object, program, word[3], word + 4);
	if (!link || !link_of(program, link, &info))
		return printf("failed\t%d\n", errno), 1;
	map = bpf_object__find_map_by_name(object, "__bpf_usdt_specs");
	if (map) {
		unsigned char spec[512];
		unsigned first = 0;

		if (!bpf_map_lookup_elem(bpf_map__fd(map), &first, spec)) {
			printf("spec\t");
			for (unsigned at = 0; at < bpf_map__value_size(map); at++)
				printf("%02x", spec[at]);
			printf("\n");
		}
	}
	if (getenv("ATTACH_INFO")) {
		printf("info\t");
		for (unsigned at = 0; at < sizeof(info); at++)
			printf("%02x", ((unsigned char *)&info)[at]);
		printf("\n");
	}
	printf("link\t%u\n", info.id);
	fflush(stdout);
	getchar();
	bpf_link__destroy(link);
	bpf_object__close(object);
	return 0;
}

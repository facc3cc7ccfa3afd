// SPDX-License-Identifier: MIT OR Apache-2.0
// Loads the objects named on standard input with libbpf into the running kernel, one after another, keeps each until the
// next line comes, and prints what it made:
//
//     program <tab> ID <tab> NAME     map <tab> ID <tab> NAME     btf <tab> ID
//     done                            failed <tab> ERRNO <tab> first warning
//
// Nothing is attached or pinned.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char warning[512];

static int listen_to(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && !warning[0]) {
		vsnprintf(warning, sizeof(warning), format, args);
		warning[strcspn(warning, "\n\t")] = 0;
	}
	return 0;
}

static unsigned map_id(int fd)
{
	struct bpf_map_info info = {};
	unsigned size = sizeof(info);

	return bpf_map_get_info_by_fd(fd, &info, &size) ? 0 : info.id;
}

static unsigned program_id(int fd)
{
	struct bpf_prog_info info = {};
	unsigned size = sizeof(info);

	return bpf_prog_get_info_by_fd(fd, &info, &size) ? 0 : info.id;
}

static unsigned btf_id(int fd)
{
	struct bpf_btf_info info = {};
	unsigned size = sizeof(info);

	return bpf_btf_get_info_by_fd(fd, &info, &size) ? 0 : info.id;
}

static struct bpf_object *load(const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	struct bpf_map *map;
	int error;

	if (!object) {
		printf("failed\t0\t%s\n", warning);
		return NULL;
	}
	bpf_object__for_each_map(map, object) {
		bpf_map__set_pin_path(map, NULL);
		if (!bpf_map__max_entries(map) && (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF ||
						   bpf_map__type(map) == BPF_MAP_TYPE_USER_RINGBUF))
			bpf_map__set_max_entries(map, 1 << 16);
	}
	error = bpf_object__load(object);
	if (error) {
		printf("failed\t%d\t%s\n", -error, warning);
		bpf_object__close(object);
		return NULL;
	}
	bpf_object__for_each_program(program, object)
		if (bpf_program__fd(program) >= 0)
			printf("program\t%u\t%s\n", program_id(bpf_program__fd(program)), bpf_program__name(program));
	bpf_object__for_each_map(map, object)
		if (bpf_map__fd(map) >= 0)
			printf("map\t%u\t%s\n", map_id(bpf_map__fd(map)), bpf_map__name(map));
	if (bpf_object__btf_fd(object) >= 0)
		printf("btf\t%u\n", btf_id(bpf_object__btf_fd(object)));
	puts("done");
	return object;
}

int main(void)
{
	struct bpf_object *object = NULL;
	char path[4096];

	libbpf_set_print(listen_to);
	while (fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = 0;
		if (object)
			bpf_object__close(object);
		warning[0] = 0;
		object = load(path);
		fflush(stdout);
	}
	if (object)
		bpf_object__close(object);
	return 0;
}

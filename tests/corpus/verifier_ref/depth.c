// SPDX-License-Identifier: MIT OR Apache-2.0
// Loads every program of the objects named on standard input, each by itself, into the running kernel, and prints what
// the verifier found of its stack:
//
//     PATH <tab> PROGRAM <tab> 8+16+0        one number per function, in the order of their first instruction
//
// Programs the kernel refuses print nothing. Nothing is attached, pinned or left behind.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char log_text[16 << 20];

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* Loads program number `wanted`; 0 when there is no such program. */
static int load_one(const char *path, int wanted)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program, *chosen = NULL;
	struct bpf_map *map;
	int index = 0;

	if (!object)
		return 0;
	bpf_object__for_each_program(program, object) {
		bpf_program__set_autoload(program, index == wanted);
		if (index++ == wanted)
			chosen = program;
	}
	bpf_object__for_each_map(map, object)
		bpf_map__set_pin_path(map, NULL);
	log_text[0] = 0;
	if (chosen) {
		/* A log of its own: libbpf also loads the programs of struct_ops maps. */
		bpf_program__set_log_buf(chosen, log_text, sizeof(log_text));
		bpf_program__set_log_level(chosen, 4 /* statistics only */);
	}
	if (chosen && !bpf_object__load(object)) {
		char *depth = strstr(log_text, "stack depth ");
		if (depth) {
			depth += strlen("stack depth ");
			printf("%s\t%s\t%.*s\n", path, bpf_program__name(chosen), (int)strcspn(depth, "\n"), depth);
		}
	}
	bpf_object__close(object);
	return chosen != NULL;
}

int main(void)
{
	char path[4096];

	libbpf_set_print(quiet);
	while (fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = 0;
		for (int index = 0; load_one(path, index); index++)
			;
	}
	return 0;
}

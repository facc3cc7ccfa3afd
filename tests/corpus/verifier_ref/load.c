// SPDX-License-Identifier: MIT OR Apache-2.0
// Loads every program of the objects named on standard input, each by itself, into the running kernel, and prints what
// came of it:
//
//     PATH <tab> NUMBER <tab> PROGRAM <tab> WHAT <tab> ERRNO <tab> STACK <tab> MESSAGE
//
// WHAT is `accepted`; `rejected` (the verifier said why: MESSAGE is its last line); `refused` (the kernel refused before
// verifying, or without a word); `unloadable` (libbpf gave up before: a map, an extern, a target; MESSAGE is its first
// warning). STACK is what the verifier found, one number per function in the order of their first instruction
// (`8+16+0`), empty when it did not come so far. Nothing is attached, pinned or left behind.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static char log_text[16 << 20];
static char warning[512];
static bool tried; /* the program itself was given to the kernel */

static int listen_to(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	if (strstr(line, "BPF program load failed"))
		tried = true;
	if (!warning[0])
		strcpy(warning, line);
	return 0;
}

/* Cuts the text at its first line end. */
static char *one_line(char *text)
{
	text[strcspn(text, "\n\t")] = 0;
	return text;
}

/* Statistics, source lines and register states say nothing of the reason. */
static bool beside_the_point(const char *line)
{
	static const char *const starts[] = {
		"processed ", "verification time ", "stack depth ", "; ", "cur state:", "old state:", "mark_precise:",
	};

	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		if (!strncmp(line, starts[i], strlen(starts[i])))
			return true;
	return false;
}

/* The verifier's last line that says why; the log is cut to pieces. */
static char *last_message(char *log)
{
	static char none[1];
	char *last = none, *rest = log, *line;

	while ((line = strsep(&rest, "\n")))
		if (*line && !beside_the_point(line))
			last = line;
	return one_line(last);
}

/* Loads program number `wanted`; false when there is no such program. */
static bool load_one(const char *path, int wanted)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program, *chosen = NULL;
	char depth[512] = "", *found;
	const char *what, *said;
	struct bpf_map *map;
	int index = 0, error;

	if (!object)
		return false;
	bpf_object__for_each_program(program, object) {
		bpf_program__set_autoload(program, index == wanted);
		if (index++ == wanted)
			chosen = program;
	}
	if (!chosen) {
		bpf_object__close(object);
		return false;
	}
	bpf_object__for_each_map(map, object) {
		bpf_map__set_pin_path(map, NULL);
		/* sizes left to the loading code */
		if (!bpf_map__max_entries(map) && (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF ||
						   bpf_map__type(map) == BPF_MAP_TYPE_USER_RINGBUF))
			bpf_map__set_max_entries(map, 1 << 16);
		/* libbpf also loads the programs of struct_ops maps */
		if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS && bpf_program__type(chosen) != BPF_PROG_TYPE_STRUCT_OPS)
			bpf_map__set_autocreate(map, false);
	}
	log_text[0] = warning[0] = tried = 0;
	bpf_program__set_log_buf(chosen, log_text, sizeof(log_text));
	bpf_program__set_log_level(chosen, 4 /* messages and statistics */);
	error = bpf_object__load(object);
	found = strstr(log_text, "stack depth ");
	if (found) {
		found += strlen("stack depth ");
		snprintf(depth, sizeof(depth), "%.*s", (int)strcspn(found, " \n"), found);
	}
	said = last_message(log_text);
	what = !error ? "accepted" : !tried ? "unloadable" : *said ? "rejected" : "refused";
	if (error && !(tried && *said))
		said = one_line(warning);
	printf("%s\t%d\t%s\t%s\t%d\t%s\t%s\n", path, wanted, bpf_program__name(chosen), what, -error, depth,
	       error ? said : "");
	fflush(stdout);
	bpf_object__close(object);
	return true;
}

int main(void)
{
	char path[4096];

	libbpf_set_print(listen_to);
	while (fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = 0;
		for (int index = 0; load_one(path, index); index++)
			;
	}
	return 0;
}

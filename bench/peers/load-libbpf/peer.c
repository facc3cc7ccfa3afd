/* Loading by libbpf beside bpfsmith.
 *
 *     peer OBJECT [AGAIN]      open and load an object, and again that often; `metric<TAB>wall us<TAB>cpu us` per line
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

int main(int argc, char **argv)
{
	int again = argc > 2 ? atoi(argv[2]) : 0;

	libbpf_set_print(quiet);
	for (int i = 0; i <= again; i++) {
		double wall = clock_us(CLOCK_MONOTONIC), cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
		struct bpf_object *object = bpf_object__open_file(argv[1], NULL);

		if (!object || bpf_object__load(object))
			return 1;
		cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		wall = clock_us(CLOCK_MONOTONIC) - wall;
		if (i == 0 || i == again)
			printf("%s\t%.3f\t%.3f\n", i ? "again" : "first", wall, cpu);
		bpf_object__close(object);
	}
	return 0;
}

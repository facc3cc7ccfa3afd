/* Whole maps by libbpf beside bpfsmith: one case per process, `metric<TAB>wall us<TAB>cpu us` per line.
 *
 *     peer dump PIN            every element of a hash u32 -> u64, by batches, into two arrays
 *     peer update PIN          every element of it stored anew, by batches
 *     peer array PIN           the sum of an array of u64 that can be mapped: mapped and read, then read again
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define COUNT 1000000
#define BATCH 65536

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

static void dump(int fd)
{
	/* A batch is asked for beyond the end too: the rest of the last bucket may be there. */
	unsigned *keys = malloc(sizeof(*keys) * (COUNT + BATCH));
	unsigned long long *values = malloc(sizeof(*values) * (COUNT + BATCH));
	unsigned token, got = 0;
	void *from = NULL;
	int ended = 0;
	struct watch watch = start();

	while (!ended) {
		unsigned now = BATCH;

		if (bpf_map_lookup_batch(fd, from, &token, keys + got, values + got, &now, NULL)) {
			if (errno != ENOENT)
				die("lookup batch");
			ended = 1;
		}
		got += now;
		from = &token;
	}
	stop(watch, "dump");
	if (got != COUNT) {
		fprintf(stderr, "%u elements\n", got);
		exit(1);
	}
}

static void update(int fd)
{
	unsigned *keys = malloc(sizeof(*keys) * COUNT), count = COUNT;
	unsigned long long *values = malloc(sizeof(*values) * COUNT);
	struct watch watch;

	for (unsigned at = 0; at < COUNT; at++) {
		keys[at] = at;
		values[at] = at * 2ull;
	}
	watch = start();
	if (bpf_map_update_batch(fd, keys, values, &count, NULL) || count != COUNT)
		die("update batch");
	stop(watch, "update");
}

static void array(int fd)
{
	struct watch watch = start();
	unsigned long long sum = 0;
	const unsigned long long *values = mmap(NULL, sizeof(*values) * COUNT, PROT_READ, MAP_SHARED, fd, 0);

	if (values == MAP_FAILED)
		die("mmap");
	for (unsigned at = 0; at < COUNT; at++)
		sum += values[at];
	stop(watch, "mapped and read");
	watch = start();
	for (unsigned at = 0; at < COUNT; at++)
		sum += values[at];
	stop(watch, "read again");
	if (sum != (COUNT - 1ull) * COUNT)
		exit(1);
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 3)
		return 2;
	fd = bpf_obj_get(argv[2]);
	if (fd < 0)
		die(argv[2]);
	if (!strcmp(argv[1], "dump"))
		dump(fd);
	else if (!strcmp(argv[1], "update"))
		update(fd);
	else
		array(fd);
	return 0;
}

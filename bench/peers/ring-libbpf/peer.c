/* libbpf beside bpfsmith, ring buffers: `metric<TAB>events<TAB>ns` per line, one line per round.
 *
 *     peer drain OBJECT ROUNDS    the ring is filled by `fill`, then emptied by ring_buffer__consume()
 *     peer live OBJECT ROUNDS     `live` runs in another thread, this one polls
 *     peer mixed OBJECT ROUNDS    as drain, with `mixed`: records of three lengths
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned long long sum, count;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int event(void *context, void *data, size_t size)
{
	sum += *(unsigned long long *)data;
	count++;
	return 0;
}

struct producer {
	int fd;
	unsigned int repeat;
};

static void *produce(void *of)
{
	struct producer *producer = of;
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = 64, .repeat = producer->repeat);

	if (bpf_prog_test_run_opts(producer->fd, &options))
		perror("test_run");
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	const char *what = argv[1], *program = !strcmp(what, "drain") ? "fill" : what;
	struct bpf_object *object = bpf_object__open_file(argv[2], NULL);

	if (!object || bpf_object__load(object)) {
		fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
		return 1;
	}
	struct bpf_map *map = bpf_object__find_map_by_name(object, "ring");
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(map), event, NULL, NULL);

	if (!ring)
		return 1;
	int fd = bpf_program__fd(bpf_object__find_program_by_name(object, program));

	for (int round = 0; round < atoi(argv[3]); round++) {
		struct producer producer = {fd, bpf_map__max_entries(map) / (!strcmp(what, "mixed") ? 56 : 40) / 64};
		pthread_t thread;
		double from;

		count = 0;
		if (strcmp(what, "live")) {
			produce(&producer);
			from = now();
			ring_buffer__consume(ring);
		} else {
			producer.repeat = 10000000 / 64;
			from = now();
			pthread_create(&thread, NULL, produce, &producer);
			while (count < producer.repeat * 64ull)
				ring_buffer__poll(ring, 1000);
		}
		printf("%s\t%llu\t%.0f\n", what, count, now() - from);
		if (!strcmp(what, "live"))
			pthread_join(thread, NULL);
	}
	fprintf(stderr, "%llu\n", sum);
	return 0;
}

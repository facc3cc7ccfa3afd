/* A program with a static probe (what <sys/sdt.h> writes) that has a semaphore: a line of input, a probe, a line of output. */
#include <stdio.h>

unsigned short watched __attribute__((section(".probes"), used));

#define PROBE(a, b, c)                                                                                                 \
	__asm__ volatile("990: nop\n"                                                                                  \
			 ".pushsection .note.stapsdt, \"\", \"note\"\n"                                                \
			 ".balign 4\n"                                                                                 \
			 ".4byte 992f-991f, 994f-993f, 3\n"                                                            \
			 "991: .asciz \"stapsdt\"\n"                                                                   \
			 "992: .balign 4\n"                                                                            \
			 "993: .8byte 990b\n"                                                                          \
			 ".8byte 0\n"                                                                                  \
			 ".8byte watched\n"                                                                            \
			 ".asciz \"bpfsmith\"\n"                                                                       \
			 ".asciz \"tick\"\n"                                                                           \
			 ".asciz \"-4@%0 8@%1 -2@%2\"\n"                                                               \
			 "994: .balign 4\n"                                                                            \
			 ".popsection" ::"r"(a),                                                                       \
			 "m"(b), "i"(c))

__attribute__((noinline)) void tick(int n, long big)
{
	long memory = big;

	PROBE(-n, memory, -7);
}

int main(void)
{
	char line[16];

	for (int n = 1; fgets(line, sizeof(line), stdin); n++) {
		tick(n, 0x1122334455667700L + n);
		printf("%d %d\n", n, watched);
		fflush(stdout);
	}
}

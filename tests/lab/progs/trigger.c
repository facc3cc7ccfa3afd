/* Does what the programs of `families.bpf.c` look at, three times: bind(2), a connection to itself. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	for (int turn = 0; turn < 3; turn++) {
		struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		socklen_t size = sizeof(here);
		int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

		/* There while a test has it registered. */
		setsockopt(client, IPPROTO_TCP, TCP_CONGESTION, "lab_control", 11);
		if (bind(server, (struct sockaddr *)&here, sizeof(here)) || listen(server, 1))
			return 1;
		getsockname(server, (struct sockaddr *)&here, &size);
		if (connect(client, (struct sockaddr *)&here, sizeof(here)))
			return 2;
		close(client);
		close(server);
	}
	for (clock_t end = clock() + CLOCKS_PER_SEC / 20; clock() < end;)
		;
	return 0;
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// PID 1 of a plain QEMU boot per run, the peer of bench_lab.py: mounts what libbpf needs, runs `/judge` on `/object.o`
// and powers the machine off.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int ends[2], console;

	mount("d", "/dev", "devtmpfs", 0, 0);
	mount("p", "/proc", "proc", 0, 0);
	mount("s", "/sys", "sysfs", 0, 0);
	mount("b", "/sys/fs/bpf", "bpf", 0, 0);
	console = open("/dev/console", O_RDWR);
	if (!pipe(ends) && !fork()) {
		dup2(ends[0], 0);
		dup2(console, 1);
		close(ends[1]);
		execl("/judge", "/judge", (char *)0);
		_exit(1);
	}
	write(ends[1], "/object.o\n", 10);
	close(ends[1]);
	wait(0);
	reboot(RB_POWER_OFF);
	return 0;
}

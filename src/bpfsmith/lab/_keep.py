"""Keeps one QEMU where no static `agent` of this machine's architecture is at hand: `python -SE _keep.py -- COMMAND..`.

Starts the command and ends it when standard input ends (only the process that started us holds the other end), when
that process ends or when we do. Standard library only, started by path: it imports nothing of bpfsmith."""

from __future__ import annotations

import os
import select
import signal
import sys


def main(command: list[str]) -> int:
    ours = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            import ctypes

            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
            if os.getppid() != ours:
                os._exit(125)
            empty = os.open("/dev/null", os.O_RDONLY)
            os.dup2(empty, 0)
            os.close(empty)
            os.execv(command[0], command)
        except OSError:
            os._exit(127)
    os.closerange(3, 64)  # the channel must end when QEMU ends
    pid_fd, parent = os.pidfd_open(child), os.pidfd_open(os.getppid())
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(pid_fd, select.POLLIN)
    poll.register(parent, select.POLLIN)  # a fork of it may hold the other end of our input
    for fd, _ in poll.poll():
        if fd != pid_fd:
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))

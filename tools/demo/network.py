"""A network for a scene or a page: this process in a namespace of its own with device `eth0` (10.77.0.1), and behind
the wire a second process, in another one, that sends. Namespaces without names end with the processes in them.

    network.py COMMAND...      runs it there, with two seconds of traffic after its first line
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

SKIPPED = 77
HERE, FAR = "10.77.0.1", ("10.77.0.2", "10.77.0.3", "10.77.0.4")
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
CLONE_NEWNET = 0x40000000


def needed() -> str:
    """What is missing here for such a network, empty when nothing is."""
    if os.geteuid() != 0:
        return "needs root: run `sudo ./dev demo`"
    if shutil.which("ip", path=PATH) is None:
        return "no `ip`: `apt-get install iproute2` gets it"
    return ""


def enter() -> subprocess.Popen[str]:
    """Moves this process into a new network and answers the sender; `OSError` where the kernel allows no namespaces."""
    _unshare()
    words = [sys.executable, __file__, "--far"]
    sender = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert sender.stdout is not None
    if sender.stdout.readline() != "ready\n":
        raise OSError("the other end of the wire did not come up")
    ip("link add eth0 type veth peer name eth0 netns", str(sender.pid))
    ip(f"addr add {HERE}/24 dev eth0")
    ip("link set eth0 up")
    tell(sender, "up")
    return sender


def tell(sender: subprocess.Popen[str], command: str) -> None:
    """`up`, or `send SECONDS`: in waves, from one address after the other; answered when it is done with `up`."""
    assert sender.stdin is not None
    assert sender.stdout is not None
    print(command, file=sender.stdin, flush=True)
    if command == "up":
        sender.stdout.readline()


def ip(words: str, *more: str) -> None:
    subprocess.run(["ip", *words.split(), *more], env={**os.environ, "PATH": PATH}, check=True)


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace")
    # Nothing on the wire but what the scene sends.
    for name in ("all", "default"):
        with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as file:
            file.write("1")


def _far() -> None:
    """The sender's main program."""
    _unshare()
    print("ready", flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "up":
            for address in FAR:
                ip(f"addr add {address}/24 dev eth0")
            ip("link set eth0 up")
            print("done", flush=True)
        elif word == "send":
            _send(float(rest[0]))


def _send(seconds: float) -> None:
    end, sent = time.monotonic() + seconds, 0
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in FAR]
    for address, out in zip(FAR, sockets, strict=True):
        out.bind((address, 0))
    while (left := end - time.monotonic()) > 0:
        # One more address after each third of the time.
        speaking = sockets[: 1 + int((1 - left / seconds) * len(sockets))]
        for out in speaking:
            out.sendto(bytes(400), (HERE, 9000))
        sent += 1
        if sent % 20 == 0:
            time.sleep(0.01)


def watch(words: list[str], seconds: float, interrupt: bool, lines: int = 1000) -> int:
    """Runs a command in this network, passes its first lines on, and sends for `seconds` from the first one on; then
    interrupts it, or waits. Answers its exit code."""
    sender = enter()
    try:
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
            assert running.stdout is not None
            end = threading.Timer(seconds, running.send_signal, [signal.SIGINT])
            for number, line in enumerate(running.stdout):
                if number == 0:  # it is attached
                    tell(sender, f"send {seconds}")
                    if interrupt:
                        end.start()
                if number < lines:
                    print(line, end="", flush=True)
            end.cancel()
        return running.returncode
    finally:
        sender.kill()
        sender.communicate()


def main() -> int:
    if sys.argv[1:] == ["--far"]:
        _far()
        return 0
    if reason := needed():
        print(reason, file=sys.stderr)
        return SKIPPED
    try:
        return watch(sys.argv[1:], 2, interrupt=False)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no network of its own: {error}", file=sys.stderr)
        return SKIPPED


if __name__ == "__main__":
    sys.exit(main())

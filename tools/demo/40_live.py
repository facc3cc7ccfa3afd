"""Five seconds live: a firewall of one address, from 45 lines of Python (root; in a network of its own)"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import network

SECONDS = 5

if reason := network.needed():
    print(reason)
    sys.exit(network.SKIPPED)
try:
    sender = network.enter()
except (OSError, subprocess.CalledProcessError) as error:
    print(f"no network of its own: {error}")
    sys.exit(network.SKIPPED)
words = ["examples/packet-counter/packet_counter.py", "eth0", "--block", network.FAR[1]]
print("$", *words, flush=True)
with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as running:
    assert running.stdout is not None
    end = threading.Timer(SECONDS, running.send_signal, [signal.SIGINT])
    for number, line in enumerate(running.stdout):
        if number == 0:  # it is attached
            network.tell(sender, f"send {SECONDS}")
            end.start()
        print(line, end="", flush=True)
    end.cancel()
sender.kill()
sys.exit(running.returncode)

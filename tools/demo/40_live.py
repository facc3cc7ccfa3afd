"""Five seconds live: a firewall of one address, from 45 lines of Python (root; in a network of its own)"""

from __future__ import annotations

import subprocess
import sys

import network

SHOWN = 4  # the beginning
words = ["examples/packet-counter/packet_counter.py", "eth0", "--block", network.FAR[1]]
if reason := network.needed():
    print(reason)
    sys.exit(network.SKIPPED)
print("$ sudo", *words, flush=True)
try:
    sys.exit(network.watch([sys.executable, *words], 5, interrupt=True, lines=SHOWN))
except (OSError, subprocess.CalledProcessError) as error:
    print(f"no network of its own: {error}")
    sys.exit(network.SKIPPED)

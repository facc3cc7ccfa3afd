"""One of them in full"""

from __future__ import annotations

import subprocess
import sys

words = ["bpfsmith", "check", "examples/packet-counter-broken/prebuilt/packet-counter.bpf.o", "--select", "OBJ001"]
done = subprocess.run(words, capture_output=True, text=True, check=False)
print(f"$ {' '.join(words)}")
# The finding up to its first fact; below it stands from which kernel on each program loads.
lines = done.stdout.split("   = fact:")[0].splitlines()
print(*(line for line in lines if line.strip() != "|"), done.stderr, sep="\n", end="")
sys.exit(0 if done.returncode == 1 else 1)

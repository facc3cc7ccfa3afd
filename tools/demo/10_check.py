"""What is wrong with this Aya workspace? (its sources, and its kernel side as a committed object)"""

from __future__ import annotations

import subprocess
import sys

SHOWN = 1

words = ["bpfsmith", "check", ".", "prebuilt/packet-counter.bpf.o", "--format", "concise"]
done = subprocess.run(words, cwd="examples/packet-counter-broken", capture_output=True, text=True, check=False)
print(f"$ cd examples/packet-counter-broken && {' '.join(words)}")
lines = done.stdout.splitlines()
print(*lines[:SHOWN], sep="\n")
print(f"... and {len(lines) - SHOWN} more", done.stderr, end="")
sys.exit(0 if done.returncode == 1 else 1)  # 1: findings, as there should be

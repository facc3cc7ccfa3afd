"""Rejected: 126 lines of registers, and the line of Rust that they are about"""

from __future__ import annotations

import subprocess
import sys

LOG = "examples/rejected/aya.log"
words = ["bpfsmith", "explain", LOG, "--object", "examples/rejected/prebuilt/dns-guard.bpf.o"]
with open(LOG, encoding="utf-8") as file:
    print(*file.read().splitlines()[-10:-7], sep="\n")
done = subprocess.run(words, capture_output=True, text=True, check=False)
print(f"$ {' '.join(words)}")
print(done.stdout, done.stderr, sep="", end="")
sys.exit(0 if done.returncode == 1 else 1)

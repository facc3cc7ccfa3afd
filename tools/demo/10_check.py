"""What is wrong with this program? (a committed object, no compiler needed)"""

from __future__ import annotations

import subprocess
import sys

done = subprocess.run(
    ["bpfsmith", "check", "tests/fixtures/count_packets.bpf.o"], capture_output=True, text=True, check=False
)
print("$ bpfsmith check tests/fixtures/count_packets.bpf.o")
print(done.stdout, done.stderr, sep="", end="")
sys.exit(0 if done.returncode == 1 else 1)  # 1: findings, as there should be

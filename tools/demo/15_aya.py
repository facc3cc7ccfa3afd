"""Two crates pasted together, nothing built: what would fail late, or silently"""

from __future__ import annotations

import subprocess
import sys

SHOWN = 2

words = ["bpfsmith", "check", "examples/pasted", "--select", "cross,meaning,attach", "--format", "concise"]
done = subprocess.run(words, capture_output=True, text=True, check=False)
print(f"$ {' '.join(words)}")
lines = done.stdout.splitlines()
print(*lines[:SHOWN], sep="\n")
print(f"... and {len(lines) - SHOWN} more", done.stderr, end="")
sys.exit(0 if done.returncode == 1 else 1)

"""What is in an object, and from which kernel on does it load?"""

from __future__ import annotations

import subprocess
import sys

words = ["bpfsmith", "inspect", "examples/packet-counter/prebuilt/packet-counter.bpf.o"]
done = subprocess.run(words, capture_output=True, text=True, check=False)
lines = done.stdout.splitlines()
first = next((number for number, line in enumerate(lines) if "packet_filter " in line), 0)
print(f"$ {' '.join(words)}")
print(*lines[2:3], lines[first], done.stderr, sep="\n", end="")
sys.exit(done.returncode)

"""Mended: a fix as a patch, and an old project on its way to another Aya"""

from __future__ import annotations

import subprocess
import sys


def shown(words: list[str], begin: tuple[str, ...]) -> bool:
    """Of what a command prints the lines that begin so; whether it found something to do."""
    done = subprocess.run(["bpfsmith", *words], capture_output=True, text=True, check=False)
    print(f"$ bpfsmith {' '.join(words)}")
    print(*(line for line in (done.stdout + done.stderr).splitlines() if line.startswith(begin)), sep="\n")
    return done.returncode == 1


fixed = shown(["check", "--diff", "--select", "AYA049", "examples/packet-counter-broken"], ("+ ", "- "))
migrated = shown(["migrate", "tests/fixtures/migrate/port-guard", "--to", "0.14", "--check"], ("aya",))
sys.exit(0 if fixed and migrated else 1)

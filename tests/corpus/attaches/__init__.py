"""The same programs attached by libbpf 1.7 and by us: helpers of `test_attach_libbpf.py`. Needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import loads

SOURCE = Path(__file__).with_name("attach.c")


@contextmanager
def by_libbpf(path: Path, program: str, how: str, *words: object) -> Iterator[tuple[int, str]]:
    """(id of the link libbpf made, first USDT spec in hexadecimal or ""); attached inside the block."""
    command = [loads.build(SOURCE), path, program, how, *map(str, words)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    number, spec = 0, ""
    try:
        while not number:
            word, _, value = process.stdout.readline().strip().partition("\t")
            assert word in {"link", "spec"}, f"libbpf attaches nothing: {word} {value}"
            if word == "spec":
                spec = value
            else:
                number = int(value)
        yield number, spec
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()

"""What tests without a kernel share: compiled programs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

import bpfsmith
from bpfsmith.model.object import Object
from unit.sample_programs import HEAD, PROGS


@pytest.fixture(scope="module")
def build(clang: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Object]:
    """Compiles C (after `HEAD`) or a file of the kernel tests, once."""
    folder = tmp_path_factory.mktemp("progs")
    made: dict[str, Object] = {}

    def build(source: str) -> Object:
        if source not in made:
            text = (PROGS / f"{source}.bpf.c").read_text() if "\n" not in source else HEAD + source
            out = folder / f"test_{len(made)}.bpf.o"
            words = [clang.path, "-g", "-O2", "-mcpu=v3", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu"]
            done = subprocess.run(
                [*words, "-x", "c", "-c", "-", "-o", out], input=text, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            made[source] = bpfsmith.read(out)
        return made[source]

    return build

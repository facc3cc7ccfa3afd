"""Changed objects through the Python API: findings and tables, or one of our own errors; never a bug, in bounded time.

A fixed number of examples, the same on every machine. More of them, and from other objects:
`BPFSMITH_FUZZ_EXAMPLES=100000 BPFSMITH_FUZZ_SEEDS=folder ./dev test tests/fuzz/test_changed_objects.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bpfsmith
from bpfsmith.inspect import inspect
from bpfsmith.render import formats, renderer
from bpfsmith.render.inspect_asm import render as render_asm
from bpfsmith.render.inspect_graph import render as render_graph
from bpfsmith.render.inspect_text import render as render_text

TESTS = Path(__file__).resolve().parents[1]
EXAMPLES = int(os.environ.get("BPFSMITH_FUZZ_EXAMPLES", "150"))
SEEDS = os.environ.get("BPFSMITH_FUZZ_SEEDS")
# Processor seconds of check and inspect together, on a machine that does other things too.
SECONDS = 3.0
HOSTILE = (
    0,
    1,
    2,
    7,
    8,
    15,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 32,
    1 << 40,
    (1 << 64) - 1,
)
# What objects hold, and what hurts readers of it most.
NAMES = (b"\x1b[2J", b"\xff\xfe", b"\n\n", b"`;$(", b"xdp", b"tc/", b".maps", b".BTF", b"?", b"\xe2\x80\xae")


def _seeds() -> list[bytes]:
    folders = [TESTS / "fixtures", TESTS / "data", *([Path(SEEDS)] if SEEDS else [])]
    return [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.o"))]


def _word(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big" if data[5] == 2 else "little")


def _sections(data: bytes) -> list[tuple[int, int, int]]:
    """(offset of the header, offset, size) of each section of an undamaged object."""
    table, count = _word(data, 0x28, 8), _word(data, 0x3C, 2)
    headers = [table + 64 * index for index in range(count)]
    return [(at, _word(data, at + 24, 8), _word(data, at + 32, 8)) for at in headers]


@st.composite
def objects(draw: Callable[..., int]) -> bytes:
    """A real object with a few changes, most of them inside what a section holds."""
    seeds = _seeds()
    original = seeds[draw(st.integers(0, len(seeds) - 1))]
    sections = _sections(original)
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        header, start, size = sections[draw(st.integers(0, len(sections) - 1))]
        what = draw(st.integers(0, 11))
        if what == 0:  # a field of the section's header
            at, width = ((0, 4), (4, 4), (8, 8), (24, 8), (32, 8), (40, 4), (44, 4))[draw(st.integers(0, 6))]
            start, size = header + at, width
        elif what == 1:
            del data[draw(st.integers(64, len(data))) :]
            continue
        if not size or start + size > len(original):
            continue
        at = start + draw(st.integers(0, size - 1))
        if what < 8:
            width = (1, 2, 4, 8)[draw(st.integers(0, 3))]
            value = HOSTILE[draw(st.integers(0, len(HOSTILE) - 1))] if what < 5 else draw(st.integers(0, 64))
            new = (value % (1 << 8 * width)).to_bytes(width, "big" if original[5] == 2 else "little")
            at -= at % width if what < 7 else 0
        elif what < 10:
            new = NAMES[draw(st.integers(0, len(NAMES) - 1))]
        else:
            other = start + draw(st.integers(0, size - 1))
            new = original[other : other + draw(st.integers(1, 32))]
        if at + len(new) <= len(data):
            data[at : at + len(new)] = new
    return bytes(data)


def _texts(path: Path) -> Iterator[str]:
    """All that the two commands print about one file."""
    report = bpfsmith.check(path, kernels="5.10..")
    for error in report.errors:
        assert error.exit_code == 2, error  # 4 would be our bug
        assert error.message and error.hint, error
    for name in formats():
        yield renderer(name).render(report)
    inside = inspect(path)
    for error in inside.errors:
        assert error.exit_code == 2, error
        assert error.message and error.hint, error
    if not inside.objects:
        return
    yield render_text(inside.to_json())
    for form in ("dot", "mermaid"):
        yield render_graph(inside.objects, form)
    for program in inside.objects[0].programs:
        if program.link_error is None:
            yield render_asm(program, inlined=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed")


@settings(
    max_examples=EXAMPLES, derandomize=SEEDS is None, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(data=objects())
def test_changed_objects(folder: Path, data: bytes) -> None:
    path = folder / "changed.o"
    path.write_bytes(data)
    start = time.process_time()
    for text in _texts(path):
        assert "\x1b" not in text  # no name in a file drives a terminal
    assert time.process_time() - start < SECONDS

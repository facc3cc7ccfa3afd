"""Perf buffers on the real kernel: order per CPU, exact losses, wake-ups."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.model.errors import BadRecord, Closed, InputError
from streams import Background, run

pytestmark = [pytest.mark.root, pytest.mark.toolchain]
np = pytest.importorskip("numpy")


@pytest.fixture
def bpf(bpf_object: Callable[..., Path]) -> Iterator[Any]:
    from bpfsmith.run.load import load

    with load(bpf_object("events")) as loaded:
        loaded.maps["perf"].record = "struct event"
        yield loaded


def test_samples(bpf: Any) -> None:
    perf = bpf.maps["perf"].open()
    assert perf.cpus
    run(bpf.programs["samples"], 3)
    events = list(perf.events(timeout=0))
    assert sorted(event.seq for event in events) == list(range(192)) and events[0].name == "perf"
    run(bpf.programs["samples"], 3)
    batches = list(perf.batches(timeout=0, max_records=100))
    assert sorted(np.concatenate(batches)["seq"].tolist()) == list(range(192, 384))
    assert perf.lost == 0 and bpf.globals["refused"] == 0
    with pytest.raises(InputError, match="copy=False"):
        perf.read_batch(0, copy=False)


def test_what_is_written_before_it_is_open_is_refused(bpf: Any) -> None:
    run(bpf.programs["samples"])
    assert bpf.globals["refused"] == 64
    perf = bpf.maps["perf"]
    assert perf.read(timeout=0) is None
    run(bpf.programs["samples"])
    assert perf.read(timeout=0).seq == 64
    with pytest.raises(InputError, match="is open"):
        perf.open()


def test_losses_are_counted_exactly(bpf: Any) -> None:
    perf = bpf.maps["perf"].open(size=4096)
    run(bpf.programs["samples"], 100)
    read = sum(len(batch) for batch in perf.batches(timeout=0))
    assert read and perf.lost == 6400 - read == bpf.globals["refused"]
    # Room again: the record of the losses comes before the next event, and is not counted twice.
    run(bpf.programs["samples"])
    assert len(perf.read_batch(0)) + perf.lost == 6464 - read
    assert sum(ring.lost for _, _, ring in perf._events.values()) <= perf.lost
    lost = perf.lost
    perf.close_buffers()
    assert perf.lost == lost


def test_every_number_under_load(bpf: Any) -> None:
    """Runs change CPUs: of one CPU's events the order is kept, of all nothing is missing but what was counted."""
    perf, seen = bpf.maps["perf"].open(size=1 << 16), []
    with Background(bpf.programs["samples"], 1000):
        for batch in perf.batches(timeout=2):
            assert (batch["square"] == batch["seq"] ** 2).all()
            seen.append(batch["seq"].copy())
    numbers = np.concatenate(seen)
    assert len(np.unique(numbers)) == len(numbers)
    assert len(numbers) + perf.lost == 64_000 and perf.lost == bpf.globals["refused"]


def test_watermark(bpf: Any) -> None:
    perf = bpf.maps["perf"].open(size=1 << 16, watermark=1 << 13)
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(len(perf.read_batch(60))))
    waiting.start()
    run(bpf.programs["samples"], 4)
    waiting.join(60)
    assert found and found[0] > 64
    # Below the mark nobody is woken, but a read that times out takes what is there.
    taken = sum(len(batch) for batch in perf.batches(timeout=0))
    run(bpf.programs["samples"])
    assert len(perf.read_batch(0.05)) == 64 and found[0] + taken == 256


def test_bytes_and_kinds(bpf: Any) -> None:
    perf = bpf.maps["perf"].open()
    run(bpf.programs["samples"])
    data = perf.read(0, record=bytes)
    assert len(data) == 36 and data[:8] == bytes(8)  # 4 bytes of padding
    with pytest.raises(BadRecord, match=r"36 bytes is too short"):
        perf.read(0, record=[("all", "u8[40]")])
    kinds = dict.fromkeys(range(64), "struct event")
    assert perf.bad == 1
    perf.read_batch(0, bad="count", record=[("all", "u8[40]")])
    assert perf.bad == 63
    run(bpf.programs["samples"])
    batch = perf.read_batch(0, record=kinds, select="kind")
    assert batch["struct event"]["seq"].tolist() == list(range(64, 128))


def test_closing(bpf: Any) -> None:
    perf, seen = bpf.maps["perf"].open(), []
    before = len(os.listdir("/proc/self/fd"))
    waiting = threading.Thread(target=lambda: seen.append(list(perf)))
    waiting.start()
    while len(os.listdir("/proc/self/fd")) == before:  # until it waits
        pass
    perf.close()
    waiting.join(60)
    assert seen == [[]]
    run(bpf.programs["samples"])
    assert bpf.globals["refused"] == 64  # nobody listens any more
    with pytest.raises(Closed):
        perf.open()


def test_opening_and_closing_leaks_nothing(bpf: Any) -> None:
    perf = bpf.maps["perf"]
    counts = set()
    for _ in range(50):
        perf.open(size=1)
        run(bpf.programs["samples"])
        assert perf.read(0) is not None
        perf.close_buffers()
        counts.add(len(os.listdir("/proc/self/fd")))
    assert len(counts) == 1

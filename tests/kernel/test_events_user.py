"""User ring buffers on the real kernel: what this process adds a program drains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.model.errors import Closed, KernelError, ValueMismatch
from streams import run

pytestmark = [pytest.mark.root, pytest.mark.toolchain]


@pytest.fixture
def bpf(bpf_object: Callable[..., Path]) -> Iterator[Any]:
    from bpfsmith.run.load import load

    with load(bpf_object("events")) as loaded:
        yield loaded


def drained(bpf: Any) -> tuple[int, int]:
    run(bpf.programs["drain"])
    return bpf.globals["drained"], bpf.globals["sum"]


def test_values_and_bytes(bpf: Any) -> None:
    ring = bpf.maps["commands"]
    ring.submit((5).to_bytes(8, "little"))
    ring.record = "u64"
    ring.submit(7)
    ring.submit({"a": 11, "b": 0}, record=[("a", "u64"), ("b", "u32")])
    assert ring.waiting == 16 + 16 + 24
    assert drained(bpf) == (3, 23) and ring.waiting == 0
    with pytest.raises(ValueMismatch):
        ring.submit("text")


def test_reserving(bpf: Any) -> None:
    ring = bpf.maps["commands"]
    with ring.reserve(24) as data:
        assert len(data) == 24
        data[:8] = (100).to_bytes(8, "little")
        run(bpf.programs["drain"])
        assert bpf.globals["drained"] == 0  # not submitted yet
    assert drained(bpf) == (1, 100)
    with pytest.raises(ZeroDivisionError), ring.reserve(8) as data:
        data[:8] = bytes(8)
        raise ZeroDivisionError
    reservation = ring.reserve(8)
    reservation.discard()
    ring.reserve(8)  # dropped at once: given up
    assert drained(bpf) == (1, 100)


def test_many_at_once(bpf: Any) -> None:
    np = pytest.importorskip("numpy")
    ring = bpf.maps["commands"]
    numbers = np.arange(2000, dtype=np.uint64)
    assert ring.submit_all(numbers) == 2000
    assert drained(bpf) == (2000, 1999 * 1000)
    records = np.zeros(10, np.dtype([("value", "<u8"), ("rest", "V5")]))
    records["value"] = 3
    assert ring.submit_all(records) == 10
    assert ring.submit_all(bytes(32), size=16) == 2
    assert drained(bpf) == (2012, 1999 * 1000 + 30)
    with pytest.raises(ValueMismatch, match="33 bytes are no records of 16"):
        ring.submit_all(bytes(33), size=16)


def test_full(bpf: Any) -> None:
    ring = bpf.maps["commands"]
    with pytest.raises(ValueMismatch, match="can never hold a record of 70000"):
        ring.reserve(70000)
    with pytest.raises(KernelError, match=r"is full: 65536 of 65536 bytes wait") as caught:
        ring.submit_all(bytes(8 * 5000), size=8)
    assert caught.value.stored == 4096
    began = time.monotonic()
    with pytest.raises(KernelError):
        ring.submit(bytes(8), timeout=0.05)
    assert time.monotonic() - began >= 0.05
    timer = threading.Timer(0.05, run, (bpf.programs["drain"],))
    timer.start()
    ring.submit(bytes(8), timeout=60)
    timer.join()
    assert bpf.globals["drained"] == 4096


def test_threads_and_closing(bpf: Any) -> None:
    ring = bpf.maps["commands"]
    threads = [
        threading.Thread(target=lambda: [ring.submit((1).to_bytes(8, "little"), timeout=60) for _ in range(3000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        run(bpf.programs["drain"])
    assert drained(bpf) == (12000, 12000)
    ring.close()
    with pytest.raises(Closed):
        ring.submit(b"12345678")

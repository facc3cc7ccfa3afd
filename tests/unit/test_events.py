"""Event streams without a kernel: what a source gives becomes events, arrays and errors."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from bpfsmith.model.errors import BadRecord, Closed, InputError, KernelError, UnknownName
from bpfsmith.run.codec import parse_type
from bpfsmith.run.events import EventLoop, RingBuffer
from bpfsmith.run.events._choice import types_of
from bpfsmith.run.events._types import Chunk, Mixed, OneType, Types
from bpfsmith.run.maps.spec import MapSpec

PAIR = [("seq", "u32"), ("value", "u32")]


def pair(seq: int, value: int = 0) -> bytes:
    return seq.to_bytes(4, sys.byteorder) + value.to_bytes(4, sys.byteorder)


class FakeRing:
    """A ring of records in a list, with the calls of `_native.Ring`."""

    size = 4096

    def __init__(self, records: list[bytes]) -> None:
        self.records = records

    def waiting(self) -> int:
        return sum(8 + len(record) for record in self.records)

    def pause(self, latency: float) -> float:
        return 0.0

    def take(self) -> bytes | int:
        return self.records.pop(0) if self.records else 0

    def take_into(self, out: Any, size: int, most: int) -> tuple[int, int]:
        view, count = memoryview(out).cast("B"), 0
        while self.records and count < most:
            if len(self.records[0]) < size:
                return count, 3
            view[count * size : (count + 1) * size] = self.records.pop(0)[:size]
            count += 1
        return count, 1 if self.records else 0

    def take_mixed(self, most: int) -> tuple[bytes, bytes, bytes, int]:
        taken, self.records[:] = self.records[:most], self.records[most:]
        data, offsets, lengths = b"", b"", b""
        for record in taken:
            offsets += len(data).to_bytes(4, sys.byteorder)
            lengths += len(record).to_bytes(4, sys.byteorder)
            data += record + bytes(-len(record) % 8)
        return data, offsets, lengths, 0

    def close(self) -> None: ...


class FakePoller:
    def wait(self, timeout: float | None = None) -> list[int]:
        return []

    def sleep(self, time: float) -> bool:
        return False

    def wake(self) -> None: ...


class FakeFd:
    closed = False

    def fileno(self) -> int:
        return 77

    def close(self) -> None:
        self.closed = True


def ring(*records: bytes, value_type: Any = None) -> RingBuffer:
    made = RingBuffer(FakeFd(), MapSpec("EVENTS", "ringbuf", 0, 0, 4096, value_type=value_type or 0), True)
    made._ring = FakeRing(list(records))  # type: ignore[assignment]
    made._poller = FakePoller()  # type: ignore[assignment]
    return made


def test_the_maps_type_is_the_default() -> None:
    made = ring(pair(1, 2), pair(3, 4), value_type=PAIR)
    assert [(event.seq, event.value) for event in made.events(timeout=0)] == [(1, 2), (3, 4)]
    assert ring(b"abc").read(timeout=0) == b"abc"
    assert ring(pair(7)).read(timeout=0, record="u32") == 7


def test_what_is_left_over_comes_first_whatever_its_type() -> None:
    made = ring(*map(pair, range(5)))
    assert made.read(0, record=PAIR).seq == 0
    made.__dict__["_ring"].records.append(pair(5))
    assert made.read(0) == pair(1)
    assert made.read(0, record="u64") == 2
    assert [event.seq for event in made.events(0, record=PAIR)] == [3, 4, 5]


def test_a_short_record_is_raised_in_its_turn_and_counted() -> None:
    made = ring(pair(1), b"abc", pair(2), value_type=PAIR)
    events = iter(made.events(timeout=0))
    assert next(events).seq == 1
    with pytest.raises(BadRecord, match="an event of 3 bytes is too short") as caught:
        next(events)
    assert caught.value.data == b"abc" and made.bad == 1
    assert next(events).seq == 2 and next(events, None) is None
    assert [event.seq for event in ring(b"", pair(2), b"a", value_type=PAIR).events(0, bad="count")] == [2]


def test_closed() -> None:
    made = ring(pair(1))
    made.close()
    assert made.closed
    for use in (made.read, made.poll, made.events, made.batches, lambda: made.fill):
        with pytest.raises(Closed, match="map `EVENTS` is closed"):
            use()


def test_memory_that_is_no_ring() -> None:
    made = ring(value_type=PAIR)
    made._ring.take_into = lambda *_: (0, 5)  # type: ignore[method-assign, union-attr, assignment]
    with pytest.raises(KernelError, match="its memory was overwritten"):
        made.read(0)


@pytest.mark.parametrize(("errno", "error"), [(10, InputError), (22, KernelError)])
def test_refusals(errno: int, error: type[Exception]) -> None:
    made = ring(value_type=PAIR)

    def refuse(*_: object) -> tuple[int, int]:
        raise OSError(errno, "no")

    made._ring.take_into = refuse  # type: ignore[method-assign, union-attr, assignment]
    with pytest.raises(error):
        made.read(0)


def test_a_loop_takes_only_streams_and_each_once() -> None:
    one = ring(pair(1), value_type=PAIR)
    loop = EventLoop(one, timeout=0)
    with pytest.raises(InputError, match="given twice"):
        loop.add(one)
    with pytest.raises(InputError, match="is no ring buffer"):
        EventLoop("EVENTS")


def test_types_a_user_gets_wrong() -> None:
    with pytest.raises(InputError, match="names no type"):
        types_of({}, None, None, "map `M`")
    with pytest.raises(InputError, match="needs the types to select from"):
        types_of(None, "kind", None, "map `M`")
    with pytest.raises(InputError, match="needs the object's types"):
        types_of(5, None, None, "map `M`")
    with pytest.raises(UnknownName, match="no type `struct nope`"):
        types_of("struct nope", None, None, "map `M`")
    with pytest.raises(InputError, match="1, 2, 4 or 8 bytes, not 3"):
        types_of({1: PAIR}, (0, 3), None, "map `M`")
    with pytest.raises(InputError, match="at the same place"):
        types_of({1: PAIR, 2: [("value", "u32"), ("seq", "u32")]}, "seq", None, "map `M`")


def test_a_chunk_knows_what_is_left() -> None:
    records = [pair(n) for n in range(4)]
    chunk = Chunk(Types(), list(records), lambda n: records[len(records) - n :])
    next(chunk.events)
    assert chunk.left() == 3
    again = chunk.retyped(OneType(parse_type(PAIR)))
    assert [event.seq for event in again.events] == [1, 2, 3] and chunk.retyped(chunk.types) is chunk


def test_arrays() -> None:
    np = pytest.importorskip("numpy")
    made = ring(*map(pair, range(5)), b"xy", pair(5), value_type=PAIR)
    batches = made.batches(timeout=0, max_records=3)
    assert next(batches)["seq"].tolist() == [0, 1, 2] and next(batches)["seq"].tolist() == [3, 4]
    with pytest.raises(BadRecord):
        next(batches)
    assert next(batches)["seq"].tolist() == [5] and next(batches, None) is None
    mixed = Mixed(b"abcdefgh" + pair(9), np.array([0, 8]), np.array([3, 8]))
    assert list(mixed) == [b"abc", pair(9)]
    with pytest.raises(BadRecord, match="record 0 has 3 bytes, its type 8"):
        mixed.as_records("<u8")


def test_events_gather_between_batches_unless_one_was_full() -> None:
    pytest.importorskip("numpy")
    made = ring(value_type=PAIR)
    source: Any = made._ring
    pauses: list[float] = []
    source.pause = lambda latency: pauses.append(latency) or 0.0
    for room, wanted in ((10, 3), (2, 2)):
        pauses.clear()
        source.records = [pair(n) for n in range(4)]
        loop = made.batches(timeout=0, max_records=room, latency=0.25)
        while next(loop, None) is not None:
            # A producer adds one while the batch is looked at.
            if len(pauses) < wanted:
                source.records.append(pair(9))
        assert len(pauses) >= wanted and set(pauses) == {0.25}
    pauses.clear()
    assert made.read_batch(0, latency=0.0) is None and not pauses


def test_arrays_a_user_keeps_are_never_written_again() -> None:
    np = pytest.importorskip("numpy")
    many = 20_000  # enough for memory to be used again
    made = ring(value_type=PAIR)
    kept = []
    source: Any = made._ring
    for start in range(0, 6 * many, many):
        source.records = [pair(start + n) for n in range(many)]
        kept.append(made.batches(timeout=0))
        kept[-1] = next(kept[-1])
    loop = made.batches(timeout=0)
    for start in range(6 * many, 12 * many, many):
        source.records = [pair(start + n) for n in range(many)]
        kept.append(next(loop)["seq"])  # a column keeps its memory as well
    for at, array in enumerate(kept):
        numbers = array["seq"] if array.dtype.names else array
        assert (numbers == np.arange(at * many, (at + 1) * many)).all()

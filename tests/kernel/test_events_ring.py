"""Ring buffers on the real kernel: every sequence number, under load, in every way of reading."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.model.errors import BadRecord, Closed, InputError, UnknownName, ValueMismatch
from streams import Background, run

pytestmark = [pytest.mark.root, pytest.mark.toolchain]
np = pytest.importorskip("numpy")

EVENT = 32  # bytes; 40 with its header


@pytest.fixture
def bpf(bpf_object: Callable[..., Path]) -> Iterator[Any]:
    from bpfsmith.run.load import load

    with load(bpf_object("events")) as loaded:
        yield loaded


def test_typed_events(bpf: Any) -> None:
    ring = bpf.maps["events"]
    run(bpf.programs["live"])
    events = list(ring.events(timeout=0))
    assert [event.seq for event in events] == list(range(64))
    assert [event.square for event in events] == [n * n for n in range(64)]
    assert events[5].kind == 5 and events[5].flag == 1 and events[5]["port"] == 5 and events[5].name == "events"
    assert repr(events[5]).startswith("event(seq=5, ")
    assert ring.read(timeout=0) is None


def test_arrays(bpf: Any) -> None:
    ring = bpf.maps["events"]
    run(bpf.programs["live"], 10)
    batches = list(ring.batches(timeout=0, max_records=100))
    assert [len(batch) for batch in batches] == [100] * 6 + [40]
    whole = np.concatenate(batches)
    assert whole.dtype.names == ("seq", "kind", "port", "flag", "cpu", "square", "name")
    assert (whole["seq"] == np.arange(640)).all() and (whole["square"] == whole["seq"] ** 2).all()
    assert (whole["kind"] == np.arange(640) % 64).all()


def test_arrays_over_the_rings_memory(bpf: Any) -> None:
    ring = bpf.maps["events"]
    run(bpf.programs["live"], 10)
    batches = ring.batches(timeout=0, max_records=256, copy=False)
    first, second = next(batches), next(batches)
    assert first["seq"].tolist() == list(range(256)) and second["seq"][0] == 256
    assert not first.flags.writeable and first.strides == (40,)
    assert ring.positions == (0, 640 * 40)  # nothing went back yet
    del second
    assert ring.positions[0] == 0
    del first
    assert ring.positions[0] == 512 * 40
    assert next(batches)["seq"].tolist() == list(range(512, 640))
    gc.collect()
    assert ring.positions[0] == 640 * 40 and next(batches, None) is None


def test_kept_memory_blocks_the_ring_and_nobody_is_told_otherwise(bpf: Any) -> None:
    ring = bpf.maps["events"]
    room = ring.size // 40
    run(bpf.programs["quiet"], room // 64 + 1)
    held = ring.read_batch(0, copy=False, max_records=10)
    assert ring.fill > 0.99
    read = sum(len(batch) for batch in ring.batches(timeout=0))
    assert read + len(held) == bpf.globals["next"] and ring.waiting == 0
    before = bpf.globals["refused"]
    run(bpf.programs["quiet"])
    assert bpf.globals["refused"] == before + 64  # still full: the oldest records are lent
    del held
    run(bpf.programs["quiet"])
    assert bpf.globals["refused"] == before + 64
    assert sum(len(batch) for batch in ring.batches(timeout=0)) == 64


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("latency", [0.0, 1e-4])
def test_every_number_under_load(bpf: Any, copy: bool, latency: float) -> None:
    """The producer never waits; what it could not store it counts, and everything else arrives, in order."""
    ring, last, read = bpf.maps["events"], -1, 0
    with Background(bpf.programs["live"], 4000):
        for batch in ring.batches(timeout=2, copy=copy, latency=latency):
            numbers = batch["seq"]
            assert numbers[0] == last + 1 and (np.diff(numbers.astype(np.int64)) == 1).all()
            assert (batch["square"] == numbers * numbers).all()
            last = int(numbers[-1])
            read += len(batch)
            del batch, numbers
    assert read == bpf.globals["next"] and read + bpf.globals["refused"] == 256_000


def test_discarded_records_are_not_seen(bpf: Any) -> None:
    ring = bpf.maps["events"]
    wanted = [n for n in range(640) if n % 7 != 3]
    run(bpf.programs["some"], 10)
    assert ring.read_batch(0)["seq"].tolist() == wanted
    assert ring.discarded == 640 - len(wanted)
    run(bpf.programs["some"], 10)
    assert [event.seq for event in ring.events(timeout=0)] == [n for n in range(640, 1280) if n % 7 != 3]
    run(bpf.programs["some"], 10)
    seen = [n for batch in ring.batches(timeout=0, copy=False) for n in batch["seq"].tolist()]
    assert seen == [n for n in range(1280, 1920) if n % 7 != 3]


def test_a_loop_that_is_left_loses_nothing(bpf: Any) -> None:
    ring = bpf.maps["events"]
    run(bpf.programs["live"], 2)
    for event in ring:
        if event.seq == 4:
            break
    assert ring.read().seq == 5
    assert [event.seq for _, event in zip(range(3), ring.events(timeout=0), strict=False)] == [6, 7, 8]
    assert ring.poll()
    batch = ring.read_batch(0)
    assert batch["seq"].tolist() == list(range(9, 128))


def test_mixed_records_by_a_field(bpf: Any) -> None:
    ring = bpf.maps["plain"]
    types = {1: "struct small", 2: "struct large"}
    run(bpf.programs["mixed"], 10)
    batch = ring.read_batch(0, record=types, select="kind")
    assert len(batch) == 640 and set(batch) == {"struct small", "struct large"}
    assert batch["struct large"]["seq"].tolist() == list(range(0, 640, 3))
    assert batch["struct large"]["data"][:, 4].tolist() == list(range(0, 640, 3))
    assert batch["struct small"]["seq"].tolist() == [n for n in range(640) if n % 3]
    assert batch.order.tolist() == [int(n % 3 == 0) for n in range(640)]
    run(bpf.programs["mixed"], 10)
    events = list(ring.events(timeout=0, record=types, select="kind"))
    assert [event.seq for event in events] == list(range(640, 1280))
    assert {type(event).__name__ for event in events} == {"small", "large"}


def test_mixed_records_by_a_function(bpf: Any) -> None:
    ring = bpf.maps["plain"]

    def choose(record: bytes) -> str:
        return "struct small" if len(record) == 8 else "struct large"

    run(bpf.programs["mixed"], 2)
    assert [event.seq for event in ring.events(timeout=0, select=choose)] == list(range(128))
    run(bpf.programs["mixed"], 2)
    batch = ring.read_batch(0, select=choose)
    assert len(batch) == 128 and len(batch["struct large"]) == 43


def test_an_unknown_kind_is_a_bad_record_and_the_rest_arrives(bpf: Any) -> None:
    ring = bpf.maps["plain"]
    run(bpf.programs["mixed"])
    events, seen, bad = ring.events(timeout=0, record={1: "struct small"}, select="kind"), [], []
    while True:
        try:
            seen.append(next(events).seq)
        except BadRecord as error:
            bad.append(error)
        except StopIteration:
            break
    assert seen == [n for n in range(64) if n % 3]
    assert len(bad) == 22 and len(bad[0].data) == 48 and "kind 2" in str(bad[0]) and ring.bad == 22


def test_records_as_bytes_and_of_growing_types(bpf: Any) -> None:
    ring = bpf.maps["plain"]
    run(bpf.programs["texts"], 2)
    batch = ring.read_batch(0)
    assert len(batch) == 128 and batch.lengths.tolist() == [8 + n % 60 for n in range(128)]
    heads = batch.as_records("<u4,<u4")
    assert heads["f0"].tolist() == list(range(128)) and heads["f1"].tolist() == [n % 60 for n in range(128)]
    assert batch[61][8:] == b"j"
    run(bpf.programs["texts"], 2)
    for n, record in enumerate(ring.events(timeout=0, record="struct text"), 128):
        assert (record.seq, record.len) == (n, n % 60)
        assert len(record.bytes.raw if hasattr(record.bytes, "raw") else record.bytes) == n % 60


def test_short_records(bpf: Any) -> None:
    ring = bpf.maps["events"]
    run(bpf.programs["live"])
    run(bpf.programs["cut"])
    run(bpf.programs["live"])
    events, seen, bad = ring.events(timeout=0), [], []
    while True:
        try:
            seen.append(next(events).seq)
        except BadRecord as error:
            bad.append(error.data)
        except StopIteration:
            break
    assert seen == list(range(128)) and [len(data) for data in bad] == list(range(1, EVENT)) and ring.bad == 31
    run(bpf.programs["cut"])
    run(bpf.programs["live"])
    assert ring.read_batch(0, bad="count")["seq"].tolist() == list(range(128, 192)) and ring.bad == 62
    run(bpf.programs["cut"])
    with pytest.raises(BadRecord, match=r"1 bytes is too short for `struct event`, which takes 32"):
        ring.read_batch(0)
    with pytest.raises(BadRecord):
        ring.read_batch(0, copy=False)
    assert ring.read_batch(0, bad="count", copy=False) is None


def test_a_ring_that_can_never_hold_its_record(bpf: Any) -> None:
    ring = bpf.maps["events"]
    most = ring.size - 8 - 8  # the kernel keeps a header, and never fills the last eight bytes
    with pytest.raises(ValueMismatch, match="can never hold") as caught:
        ring.read(0, record=f"u8[{most + 8}]")
    assert f"'events': {ring.size * 2}" in caught.value.hint
    assert ring.read(0, record=f"u8[{most}]") is None


def test_types_by_id_dtype_and_fields(bpf: Any) -> None:
    ring = bpf.maps["events"]
    run(bpf.programs["live"], 4)
    type_id = bpf.object.btf.find("event", "STRUCT")
    assert ring.read(0, record=type_id).seq == 0
    assert ring.read_batch(0, record=np.dtype([("seq", "<u8"), ("rest", "V24")]), max_records=9)["seq"][0] == 1
    ring.record = [("seq", "u64"), ("kind", "u32")]
    run(bpf.programs["live"])
    assert ring.read(0)._fields == ("seq", "kind")
    with pytest.raises(UnknownName, match=r"no type `struct evnt` in the object.*struct event"):
        ring.read(0, record="struct evnt")
    with pytest.raises(UnknownName, match="has no field `kin`"):
        ring.read(0, record={1: "struct event"}, select="kin")
    with pytest.raises(InputError, match="max_records"):
        ring.batches(max_records=0)
    with pytest.raises(InputError, match="`raise` or `count`"):
        ring.events(bad="skip")


def test_waiting_and_timeouts(bpf: Any) -> None:
    ring = bpf.maps["events"]
    began = time.monotonic()
    assert ring.read(timeout=0.05) is None and not ring.poll(0.05)
    assert 0.09 < time.monotonic() - began < 1
    assert list(ring.batches(timeout=0.02)) == []
    timer = threading.Timer(0.1, run, (bpf.programs["live"],))
    timer.start()
    assert ring.read(timeout=5).seq == 0
    timer.join()


def test_closing_ends_a_wait(bpf: Any) -> None:
    ring, seen = bpf.maps["events"], []
    threads = [threading.Thread(target=lambda: seen.append(list(ring))) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    ring.close()
    for thread in threads:
        thread.join(5)
    assert seen == [[], [], []]
    with pytest.raises(Closed):
        ring.read()


def test_closing_the_object_ends_a_wait(bpf_object: Callable[..., Path]) -> None:
    from bpfsmith.run.load import load

    with load(bpf_object("events")) as bpf:
        ring, seen = bpf.maps["events"], []
        thread = threading.Thread(target=lambda: seen.append(list(ring.batches())))
        thread.start()
        time.sleep(0.05)
    thread.join(5)
    assert seen == [[]]


def test_signals_are_handled_while_waiting(bpf: Any) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            bpf.maps["events"].read(timeout=5)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_threads_share_the_events(bpf: Any) -> None:
    ring, found = bpf.maps["events"], [[], [], []]

    def read(out: list[int]) -> None:
        for batch in ring.batches(timeout=0.5, max_records=500):
            out.extend(batch["seq"].tolist())

    threads = [threading.Thread(target=read, args=(out,)) for out in found]
    for thread in threads:
        thread.start()
    with Background(bpf.programs["live"], 2000):
        for thread in threads:
            thread.join(30)
    numbers = sorted(n for out in found for n in out)
    assert numbers == list(range(bpf.globals["next"]))


def test_a_forked_child_is_refused(bpf: Any) -> None:
    ring = bpf.maps["events"]
    run(bpf.programs["live"])
    assert ring.read().seq == 0
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ring.read_batch(0, record=bytes)  # what was left is a copy of its own
            ring.read_batch(0)
        except InputError as error:
            code = 0 if "forked" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ring.read().seq == 1


def test_a_second_reader_of_the_same_map_reads_nothing_twice(bpf: Any) -> None:
    from bpfsmith.run.maps import Map

    ring = bpf.maps["events"]
    run(bpf.programs["live"])
    assert len(ring.read_batch(0)) == 64
    with Map.from_id(ring.id) as other:
        run(bpf.programs["live"])
        # Opened by its id nobody knows what its records are.
        assert [event.seq for event in other.events(timeout=0, record=[("seq", "u64")])] == list(range(64, 128))
    run(bpf.programs["live"])
    assert ring.read_batch(0)["seq"].tolist() == list(range(128, 192))


def test_reading_leaks_nothing(bpf: Any) -> None:
    ring, opened = bpf.maps["events"], []
    for round_ in range(200):
        run(bpf.programs["live"])
        for event in ring:
            if event.seq % 64 == 20:
                break
        assert len(ring.read_batch(0, max_records=30)) == 43
        assert ring.read(timeout=0.0) is None
        if round_ > 20:
            opened.append(len(os.listdir("/proc/self/fd")))
    assert len(set(opened)) == 1
    ring.close()


def _streaming(path: Path) -> str:
    return f"""
import sys
from bpfsmith.run.load import load
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from streams import Background
bpf = load({str(path)!r})
with Background(bpf.programs["live"], 20000, 1000):
    for batch in bpf.maps["events"].batches():
        print(bpf.maps["events"].id, bpf.programs["live"].id, flush=True)
"""


@pytest.mark.alone
def test_kill_in_the_middle_of_streaming_leaves_nothing(bpf_object: Callable[..., Path]) -> None:
    from bpfsmith.run.load import load

    load(bpf_object("events"), select="live").close()
    child = subprocess.Popen(
        [sys.executable, "-c", _streaming(bpf_object("events"))], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert child.stdout is not None
    for _ in range(50):
        assert child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()

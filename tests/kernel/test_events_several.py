"""Several streams at once, and asyncio: other tasks run, nobody starves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.model.errors import BadRecord, InputError
from streams import Background, run

pytestmark = [pytest.mark.root, pytest.mark.toolchain]
np = pytest.importorskip("numpy")

TYPES = {1: "struct small", 2: "struct large"}


@pytest.fixture
def bpf(bpf_object: Callable[..., Path]) -> Iterator[Any]:
    from bpfsmith.run.load import load

    with load(bpf_object("events")) as loaded:
        loaded.maps["perf"].record = "struct event"
        loaded.maps["plain"].record, loaded.maps["plain"].select = TYPES, "kind"
        yield loaded


def test_three_maps_as_one_stream(bpf: Any) -> None:
    from bpfsmith.run.events import events

    maps = [bpf.maps[name] for name in ("events", "plain", "perf")]
    maps[2].open()
    for name in ("live", "mixed", "samples", "live"):
        run(bpf.programs[name])
    found: dict[str, list[int]] = {}
    for source, event in events(*maps, timeout=0):
        found.setdefault(source.name, []).append(event.seq)
    assert found["events"] == [*range(64), *range(192, 256)]
    assert found["plain"] == list(range(64, 128)) and sorted(found["perf"]) == list(range(128, 192))
    run(bpf.programs["mixed"], 2)
    run(bpf.programs["live"], 2)
    sizes = [(source.name, len(batch)) for source, batch in events(*maps, timeout=0.01).batches()]
    assert sizes == [("events", 128), ("plain", 128)]


def test_a_bad_record_of_one_map_loses_nothing_of_others(bpf: Any) -> None:
    from bpfsmith.run.events import events

    run(bpf.programs["mixed"])
    run(bpf.programs["cut"])
    loop, found = events(bpf.maps["plain"], bpf.maps["events"], timeout=0), []
    for _ in range(64):
        try:
            for source, _ in loop.batches():
                found.append(source.name)
            break
        except BadRecord as error:
            found.append(str(len(error.data)))
    assert "1" in found and found[0] == "plain"
    run(bpf.programs["mixed"])
    run(bpf.programs["cut"])
    seen = 0
    for _ in range(64):
        try:
            for _ in loop:
                seen += 1
            break
        except BadRecord:
            continue
    assert seen == 64


def test_a_loop_that_is_left_loses_nothing(bpf: Any) -> None:
    from bpfsmith.run.events import events

    run(bpf.programs["live"])
    run(bpf.programs["mixed"])
    loop = iter(events(bpf.maps["events"], bpf.maps["plain"], timeout=0))
    assert next(loop)[1].seq == 0
    loop.close()
    assert [event.seq for event in bpf.maps["events"].events(timeout=0)] == list(range(1, 64))
    assert [event.seq for event in bpf.maps["plain"].events(timeout=0)] == list(range(64, 128))


def test_a_callback_that_raises_loses_only_its_event(bpf: Any) -> None:
    from bpfsmith.run.events import EventLoop

    seen: list[int] = []

    def called(event: Any) -> None:
        seen.append(event.seq)
        if event.seq == 3:
            raise RuntimeError

    loop = EventLoop(timeout=0).add(bpf.maps["events"], called).add(bpf.maps["plain"], called)
    run(bpf.programs["live"])
    run(bpf.programs["mixed"])
    with pytest.raises(RuntimeError):
        loop.run()
    assert loop.run() == 124 and sorted(seen) == list(range(128))
    run(bpf.programs["live"])
    run(bpf.programs["mixed"])
    next(iter(loop))
    sizes = [(source.name, len(batch)) for source, batch in loop.batches()]
    assert sizes == [("events", 63), ("plain", 64)]


def test_loops_leave_nothing_with_their_maps(bpf: Any) -> None:
    from bpfsmith.run.events import events

    ring, counts = bpf.maps["events"], set()
    for _ in range(50):
        run(bpf.programs["live"])
        assert sum(1 for _ in events(ring, timeout=0.001)) == 64
        counts.add((len(os.listdir("/proc/self/fd")), len(ring.__dict__.get("_pollers", ()))))
    assert len(counts) == 1


def test_callbacks_and_closing(bpf: Any) -> None:
    from bpfsmith.run.events import EventLoop

    seen: list[int] = []
    loop = EventLoop()
    loop.add(bpf.maps["events"], lambda event: seen.append(event.seq)).add(bpf.maps["plain"])
    with pytest.raises(InputError, match="given twice"):
        loop.add(bpf.maps["events"])
    with pytest.raises(InputError, match="no ring buffer"):
        loop.add(3)
    assert loop.poll() == 0
    run(bpf.programs["live"])
    assert loop.poll(1.0) == 64 and seen == list(range(64))
    thread = threading.Thread(target=loop.run)
    thread.start()
    run(bpf.programs["live"])
    bpf.maps["plain"].close()  # the loop goes on with the other
    while len(seen) < 128:
        pass
    loop.close()
    thread.join(60)
    assert not thread.is_alive() and seen == list(range(128))


def test_async_events_and_a_ticking_task(bpf: Any) -> None:
    async def main() -> tuple[int, int]:
        ticks, last = 0, -1

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        async for event in bpf.maps["events"].aevents(timeout=2):
            assert event.seq == last + 1
            last = event.seq
        ticking.cancel()
        return last, ticks

    with Background(bpf.programs["live"], 1000):
        last, ticks = asyncio.run(main())
    assert last + 1 == bpf.globals["next"] and last + 1 + bpf.globals["refused"] == 64_000
    assert ticks > last // 1024  # a turn between any two chunks


def test_async_batches_and_several_tasks(bpf: Any) -> None:
    async def read(map_: Any) -> list[int]:
        out: list[int] = []
        async for batch in map_.abatches(timeout=2):
            arrays = batch.values() if isinstance(batch, dict) else [batch]
            out += [n for array in arrays for n in array["seq"].tolist()]
        return out

    async def main() -> list[list[int]]:
        ring = bpf.maps["events"]
        tasks = [asyncio.create_task(read(map_)) for map_ in (ring, ring, bpf.maps["plain"])]
        loop = asyncio.get_running_loop()
        for name in ("live", "mixed", "live"):
            await loop.run_in_executor(None, run, bpf.programs[name], 10)
        return list(await asyncio.gather(*tasks))

    first, second, plain = asyncio.run(main())
    assert sorted(first + second) == [*range(640), *range(1280, 1920)]
    assert sorted(plain) == list(range(640, 1280))


def test_async_left_and_closed(bpf: Any) -> None:
    ring = bpf.maps["events"]

    async def main() -> list[int]:
        run(bpf.programs["live"])
        async for event in ring:
            if event.seq == 9:
                break
        await asyncio.sleep(0)
        seen = []
        asyncio.get_running_loop().call_later(0.05, ring.close)
        async for event in ring:
            seen.append(event.seq)
        return seen

    assert asyncio.run(main()) == list(range(10, 64))


def test_async_bad_record(bpf: Any) -> None:
    async def main() -> list[int]:
        ring, lengths = bpf.maps["events"], []
        run(bpf.programs["cut"])
        run(bpf.programs["live"])
        while True:
            try:
                async for event in ring.aevents(timeout=0):
                    lengths.append(event.seq)
                break
            except BadRecord as error:
                lengths.append(-len(error.data))
        return lengths

    assert asyncio.run(main()) == [*range(-1, -32, -1), *range(64)]


def test_async_several_maps(bpf: Any) -> None:
    from bpfsmith.run.events import events

    async def main() -> list[tuple[str, int]]:
        found = []
        asyncio.get_running_loop().call_later(0.02, run, bpf.programs["live"])
        async for source, event in events(bpf.maps["events"], bpf.maps["plain"], timeout=2):
            found.append((source.name, event.seq))
        return found

    assert asyncio.run(main()) == [("events", n) for n in range(64)]


def test_asyncio_and_numpy_are_imported_when_used_only(bpf_object: Callable[..., Path]) -> None:
    code = f"""
import sys
from bpfsmith.run.load import load
with load({str(bpf_object("events"))!r}) as bpf:
    ring = bpf.maps["events"]
    assert list(ring.events(timeout=0)) == [] and not ring.poll()
unwanted = sorted({{"asyncio", "numpy", "dataclasses", "ctypes"}} & set(sys.modules))
assert not unwanted, unwanted
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)

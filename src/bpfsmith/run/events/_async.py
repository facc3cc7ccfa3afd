"""The same reading under asyncio; only this module imports it."""

from __future__ import annotations

import asyncio
from time import monotonic

from ._types import BUSY, SHORT, Left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

    from bpfsmith._native import Poller

    from ._reader import Reader
    from ._types import Chunk, Types

__all__ = ["abatches", "aevents", "readable"]

CHUNK = 1024  # events between two turns of other tasks: about a millisecond


async def readable(poller: Poller, timeout: float | None) -> bool:
    """Waits until `poller` has something; False after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    fd = poller.fileno()

    def came() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, came)
    try:
        done, _ = await asyncio.wait((ready,), timeout=timeout)
        return bool(done)
    finally:
        loop.remove_reader(fd)
        ready.cancel()


class _Waiting:
    """The waiting of one loop: its own poller, as an event loop takes each descriptor once."""

    def __init__(self, reader: Reader, timeout: float | None, latency: float | None, bad: str) -> None:
        self.reader = reader
        self.timeout = timeout
        self.latency = reader.latency if latency is None else latency
        self.bad = bad
        self.poller: Poller | None = None

    async def pull(self, take: Callable[[Any, int], tuple[Any, int]], types: Types, most: int) -> Any:
        reader = self.reader
        end_at = None if self.timeout is None else monotonic() + self.timeout
        nap = 0.0
        try:
            source = reader._source()
            while not reader._shut:
                pause = source.pause(self.latency) if self.latency > 0 else 0.0
                # Other tasks get their turn before every read: a busy ring starves nobody.
                await asyncio.sleep(pause if end_at is None else max(0.0, min(pause, end_at - monotonic())))
                taken, end = take(source, most)
                if taken is not None:
                    return taken
                if end >= SHORT:
                    reader._refuse(types, end, self.bad)
                    continue
                left = None if end_at is None else end_at - monotonic()
                if left is not None and left <= 0:
                    return None
                if end == BUSY or nap:
                    await asyncio.sleep(1e-4)
                    nap = 0.0
                    continue
                if self.poller is None:
                    self.poller = reader._new_poller()
                ready = await readable(self.poller, left)
                nap = 1e-4 if ready and not source.waiting() else 0.0
        except OSError as error:
            found = reader._failed(error)
            if found is not None:
                raise found from error
        return None

    def end(self) -> None:
        pollers: list[Any] = self.reader.__dict__.get("_pollers", [])
        if self.poller in pollers:
            pollers.remove(self.poller)
        self.poller = None


class aevents:  # noqa: N801 - used like a function
    """The events of one map. A class, as a generator that was left by `break` ends only some turns later: what it had
    taken out of the ring would come too late."""

    __slots__ = ("_chunk", "_events", "_types", "_waiting")

    def __init__(self, reader: Reader, types: Types, timeout: float | None, latency: float | None, bad: str) -> None:
        self._waiting = _Waiting(reader, timeout, latency, bad)
        self._types = types
        self._chunk: Chunk | None = None
        self._events: Iterator[Any] = iter(())

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for event in self._events:
            return event
        while True:
            chunk = self._waiting.reader._left_over(self._types)
            if chunk is None:
                chunk = await self._waiting.pull(self._types.chunk, self._types, CHUNK)
            chunk = self._waiting.reader._counting(chunk, self._waiting.bad)
            if chunk is None:
                self._waiting.end()
                raise StopAsyncIteration
            self._chunk = chunk
            self._events = chunk.events
            for event in self._events:
                return event

    def __del__(self) -> None:
        self._waiting.reader._put_back(self._chunk)
        self._waiting.end()


async def abatches(
    reader: Reader, types: Types, timeout: float | None, latency: float | None, bad: str, most: int
) -> AsyncIterator[Any]:
    waiting = _Waiting(reader, timeout, latency, bad)
    try:
        while True:
            batch = reader._left_batch(types)
            if batch is None:
                batch = await waiting.pull(types.array, types, most)
            if batch is None:
                return
            if len(batch):
                yield batch.array if batch.__class__ is Left else batch
            refused = reader._refused_of(batch)
            if refused and bad == "raise":
                raise refused[0]
    finally:
        waiting.end()


class loop_events:  # noqa: N801 - used like a function
    """`EventLoop` under asyncio: (map, event)."""

    __slots__ = ("_events", "_found", "_loop")

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._found: list[tuple[Any, Any]] = []
        self._events: Iterator[tuple[Any, Any]] = iter(())

    def __aiter__(self) -> AsyncIterator[tuple[Any, Any]]:
        return self

    async def __anext__(self) -> tuple[Any, Any]:
        for event in self._events:
            return event
        self._found = []
        self._found = await self._pull()
        self._events = ((source, event) for source, chunk in self._found for event in chunk.events)
        for event in self._events:
            return event
        raise StopAsyncIteration

    async def _pull(self) -> list[tuple[Any, Any]]:
        loop = self._loop
        end_at = None if loop.timeout is None else monotonic() + loop.timeout
        while loop._runs():
            poller = loop._poller or loop._new_poller()
            await asyncio.sleep(loop._pause())
            found: list[tuple[Any, Any]] = loop._once("chunk", CHUNK)
            if found:
                return found
            left = None if end_at is None else end_at - monotonic()
            if left is not None and left <= 0:
                break
            if loop._busy:
                await asyncio.sleep(1e-4)
            elif await readable(poller, left) and poller.wait(0.0) is None:
                loop._drop_poller()
        return []

    def __del__(self) -> None:
        for source, chunk in self._found:
            source._put_back(chunk)

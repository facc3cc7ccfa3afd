"""The same reading under asyncio; only this module imports it."""

from __future__ import annotations

import asyncio
from time import monotonic

from bpfsmith.model.errors import BadRecord

from ._types import BUSY, SHORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any

    from bpfsmith._native import Poller

    from ._reader import Reader
    from ._types import Types

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


async def aevents(
    reader: Reader, types: Types, timeout: float | None, latency: float | None, bad: str
) -> AsyncIterator[Any]:
    waiting = _Waiting(reader, timeout, latency, bad)
    chunk = None
    try:
        while True:
            chunk = reader._left_over(types)
            if chunk is None:
                chunk = await waiting.pull(types.chunk, types, CHUNK)
            if chunk is None:
                return
            for event in chunk.events:
                yield event
    finally:
        reader._put_back(chunk)
        waiting.end()


async def abatches(
    reader: Reader, types: Types, timeout: float | None, latency: float | None, bad: str, most: int
) -> AsyncIterator[Any]:
    waiting = _Waiting(reader, timeout, latency, bad)
    try:
        while True:
            left = reader._left_over(types)
            if left is not None:
                batch = types.array_of(left.raw(left.left()))
            else:
                batch = await waiting.pull(types.array, types, most)
            if batch is None:
                return
            refused: list[BadRecord] = list(getattr(batch, "bad", ()))
            reader.bad += len(refused)
            if len(batch):
                yield batch
            if refused and bad == "raise":
                raise refused[0]
    finally:
        waiting.end()


async def loop_events(loop: Any) -> AsyncIterator[tuple[Any, Any]]:
    """`EventLoop` under asyncio."""
    end_at = None if loop.timeout is None else monotonic() + loop.timeout
    while not loop._closed and any(not source._shut for source in loop._maps):
        poller = loop._poller or loop._new_poller()
        await asyncio.sleep(loop._pause())
        loop._busy = False
        found = loop._once(lambda types: types.chunk, CHUNK)
        if found:
            try:
                for source, chunk in found:
                    for event in chunk.events:
                        yield source, event
            finally:
                for source, chunk in found:
                    source._put_back(chunk)
            end_at = None if loop.timeout is None else monotonic() + loop.timeout
            continue
        left = None if end_at is None else end_at - monotonic()
        if left is not None and left <= 0:
            return
        if loop._busy:
            await asyncio.sleep(1e-4)
        elif await readable(poller, left) and poller.wait(0.0) is None:
            loop._poller = None

"""Several event streams at once."""

from __future__ import annotations

from time import monotonic

from bpfsmith.model.errors import BadRecord, InputError

from ._reader import BATCH, Reader
from ._types import BUSY, SHORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

    from bpfsmith._native import Poller

    from ._types import Types

__all__ = ["EventLoop", "events"]

TURN = 1024  # events of one map before the next one's turn


def events(*maps: Any, timeout: float | None = None, latency: float | None = None) -> EventLoop:
    """Several ring or perf buffers as one stream of (map, event):

        for source, event in bpfsmith.events(bpf.maps["OPENS"], bpf.maps["EXITS"]):

    timeout: seconds without any event after which the loop ends. Each map keeps its own order and gets its turn after
    at most 1024 events of another. `batches()` gives (map, array); `async for` works too."""
    return EventLoop(*maps, timeout=timeout, latency=latency)


class EventLoop:
    """Maps read together; `record`, `select`, `latency` are those of each map. Ends when all of them are closed, by
    `close()`, or after `timeout` seconds without an event."""

    def __init__(self, *maps: Any, timeout: float | None = None, latency: float | None = None) -> None:
        self._poller: Poller | None = None
        self._maps: list[Reader] = []
        self.timeout = timeout
        self.latency = latency
        self._callbacks: dict[int, Callable[[Any], object]] = {}
        self._closed = False
        for one in maps:
            self.add(one)

    def add(self, source: Any, callback: Callable[[Any], object] | None = None) -> EventLoop:
        """One more map; `callback` is what `run()` and `poll()` call with its events."""
        if not isinstance(source, Reader):
            raise InputError(f"{source!r} is no ring buffer or perf buffer, so that it has no events")
        if any(one is source for one in self._maps):
            raise InputError(f"{source.where} is given twice")
        self._maps.append(source)
        if callback is not None:
            self._callbacks[id(source)] = callback
        if self._poller is not None:
            self._watch(self._poller, len(self._maps) - 1)
        return self

    def _watch(self, poller: Poller, place: int) -> None:
        from bpfsmith.kernel import streams

        source = self._maps[place]
        for fd in source._watched():
            streams.watch(poller, fd, place, source.where)
        # Closing one map wakes the loop: it goes on with the others.
        source.__dict__.setdefault("_pollers", []).append(poller)

    def _new_poller(self) -> Poller:
        from bpfsmith.kernel import streams

        self._drop_poller()
        poller = streams.open_poller("the event loop")
        self._poller = poller
        for place, source in enumerate(self._maps):
            if not source._shut:
                self._watch(poller, place)
        if self._closed:  # meanwhile, by another thread, which did not see this one
            poller.wake()
        return poller

    def _drop_poller(self) -> None:
        poller, self._poller = self._poller, None
        for source in self._maps:
            pollers: list[Any] = source.__dict__.get("_pollers", [])
            if poller in pollers:
                pollers.remove(poller)

    def __del__(self) -> None:
        self._drop_poller()

    def close(self) -> None:
        """Ends the loop; the maps stay open."""
        self._closed = True
        if self._poller is not None:
            self._poller.wake()

    def _runs(self) -> bool:
        return not self._closed and any(not source._shut for source in self._maps)

    def _once(self, how: str, most: int) -> list[tuple[Any, Any]]:
        """What each map has now, at most `most` records of each, as a `chunk` or an `array`."""
        late, self._late = self._late, None
        if late is not None:
            raise late
        found: list[tuple[Any, Any]] = []
        self._busy = False
        for source in self._maps:
            if source._shut:
                continue
            types = source._types(None, None)
            try:
                if source._left and (left := self._left_of(source, types, how)) is not None:
                    found.append((source, left))
                    continue
                taken, end = getattr(types, how)(source._source(), most)
                if taken is None and end >= SHORT:
                    source._refuse(types, end, "raise")
                elif taken is not None:
                    found.append((source, taken))
                elif end == BUSY:
                    self._busy = True
            except OSError as error:
                failed = source._failed(error)
                if failed is not None:
                    raise failed from error
            except BadRecord as error:
                if not found:
                    raise
                self._late = error  # what other maps had is out of their rings: it comes first
                break
        return found

    def _left_of(self, source: Reader, types: Types, how: str) -> Any:
        """What an earlier loop took out of a map's ring and did not hand out: it comes first."""
        if how == "chunk":
            return source._left_over(types)
        batch = source._left_batch(types)
        if refused := source._refused_of(batch):
            if not len(batch):
                raise refused[0]
            self._late = refused[0]
        return getattr(batch, "array", batch)

    _busy = False
    _late: BadRecord | None = None

    def _pause(self) -> float:
        pause = 0.0
        for source in self._maps:
            latency = source.latency if self.latency is None else self.latency
            if latency <= 0:
                return 0.0
            if not source._shut:
                pause = max(pause, source._source().pause(latency))
        return pause

    def _rounds(self, how: str, most: int) -> Iterator[list[tuple[Any, Any]]]:
        end_at = None if self.timeout is None else monotonic() + self.timeout
        while self._runs():
            pause = self._pause()
            poller = self._poller or self._new_poller()
            if pause and poller.sleep(pause if end_at is None else max(0.0, min(pause, end_at - monotonic()))):
                self._drop_poller()  # woken: one of the maps, or the loop, was closed
                continue
            found = self._once(how, most)
            if found:
                yield found
                end_at = None if self.timeout is None else monotonic() + self.timeout
                continue
            left = None if end_at is None else end_at - monotonic()
            if left is not None and left <= 0:
                return
            if self._busy:
                poller.sleep(1e-4)
            elif poller.wait(left) is None:
                self._drop_poller()

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for found in self._rounds("chunk", TURN):
            chunks = list(found)
            try:
                for source, chunk in chunks:
                    for event in chunk.events:
                        yield source, event
            finally:
                for source, chunk in chunks:
                    source._put_back(chunk)

    def batches(self, max_records: int = BATCH) -> Iterator[tuple[Any, Any]]:
        """(map, array) as each map's `batches`."""
        for found in self._rounds("array", max_records):
            yield from found

    def poll(self, timeout: float | None = 0.0) -> int:
        """Calls the callbacks with what is there, waiting up to `timeout` seconds for the first event: how many."""
        count = 0
        was, self.timeout = self.timeout, timeout
        try:
            for found in self._rounds("chunk", TURN):
                count += self._call(found)
                break
        finally:
            self.timeout = was
        return count

    def _call(self, found: list[tuple[Any, Any]]) -> int:
        count = 0
        try:
            for source, chunk in found:
                callback = self._callbacks.get(id(source))
                for event in chunk.events:
                    count += 1
                    if callback is not None:
                        callback(event)
        finally:  # a callback that raised: what is left of all of them
            for source, chunk in found:
                source._put_back(chunk)
        return count

    def run(self) -> int:
        """Calls the callbacks until the loop ends: how many events there were."""
        count = 0
        for found in self._rounds("chunk", TURN):
            count += self._call(found)
        return count

    def __aiter__(self) -> AsyncIterator[tuple[Any, Any]]:
        from ._async import loop_events

        return loop_events(self)

    def __enter__(self) -> EventLoop:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

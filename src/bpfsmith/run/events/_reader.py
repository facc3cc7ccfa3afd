"""Reading a stream of events: in batches (arrays), one by one (typed values), blocking or under asyncio.

What was taken out of the ring and not handed out yet (a loop was left by `break`) stays with the map and comes first
next time. A record that does not fit its type raises `BadRecord` in its turn; the iterator may be used on after that.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from time import monotonic

from bpfsmith.model.errors import BadRecord, BpfsmithError, Closed, InputError, KernelError, ValueMismatch

from ._choice import types_of
from ._types import BROKEN, BUSY, FULL, HEADER, SHORT, ChosenType, Chunk, Left, OneType, Raising, Types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from typing import Any

    from bpfsmith._native import Poller

__all__ = ["LATENCY", "Reader"]

# Seconds. While events are frequent they gather this long, and producers, who wake a reader that has caught up with
# them, run undisturbed; a rare event is delivered at once.
LATENCY = 1e-3
CHUNK = 4096  # events decoded at once, where each becomes a Python object
BATCH = 65536  # records in an array at most,
BATCH_BYTES = 2 << 20  # and bytes, when the user does not say: about as much as caches hold
_EBADF, _ECHILD = 9, 10
_NAP, _LONGEST_NAP = 20e-6, 1e-3


class Reader:
    """What ring buffers and perf buffers share. A map class gives `_source()` (something with the `take_*` methods of
    `_native.Ring`), `_watched()` (descriptors to wait for), `spec` and `where`."""

    #: Seconds events may gather while they are frequent; 0: each is delivered at once, which slows its producer.
    latency: float = LATENCY
    #: Records that fitted no type, met so far.
    bad: int = 0
    _shut = False
    _more = False
    _left: Sequence[Chunk] = ()
    _said: tuple[Any, Any, Types] | None = None
    _poller: Poller | None = None

    # ---------------------------------------------------------------- from the map

    def _source(self) -> Any:
        raise NotImplementedError

    def _watched(self) -> list[int]:
        raise NotImplementedError

    @property
    def where(self) -> str:
        """The map as messages call it."""
        return f"map `{self.name}`"  # type: ignore[attr-defined]

    # ---------------------------------------------------------------- types

    #: The default of `record=` and `select=`; None: the map's value type, else bytes.
    record: Any = None
    select: Any = None

    def _types(self, record: Any, select: Any) -> Types:
        if record is None:
            record = self.record
            select = self.select if select is None else select
        spec: Any = self.spec  # type: ignore[attr-defined]
        if record is None and spec.value_type:
            record = spec.value_type
        # One reading after the other usually has the same types: what is left over then needs no second decoding.
        last = self._said
        if (
            last is not None
            and last[1] is select
            and (last[0] is record or (last[0].__class__ in (str, int) and last[0] == record))
        ):
            return last[2]
        found = types_of(record, select, spec.btf, self.where)
        if spec.type == "ringbuf" and HEADER + found.least >= spec.max_entries:
            # The kernel refuses it to the program at each try, and tells nobody else.
            raise ValueMismatch(
                f"{self.where} has {spec.max_entries} bytes and can never hold a `{found.name}`, which takes "
                f"{HEADER} + {found.least}",
                hint=f"load with `map_sizes={{'{spec.name}': {1 << (HEADER + found.least).bit_length()}}}`",
            )
        self._said = (record, select, found)
        return found

    # ---------------------------------------------------------------- waiting

    def _waiter(self) -> Poller:
        if self._poller is None:
            self._poller = self._new_poller()
        return self._poller

    def _new_poller(self) -> Poller:
        from bpfsmith.kernel import streams

        poller = streams.open_poller(self.where)
        for key, fd in enumerate(self._watched()):
            streams.watch(poller, fd, key, self.where)
        self.__dict__.setdefault("_pollers", []).append(poller)
        if self._shut:  # meanwhile, by another thread, which did not see this one
            poller.wake()
        return poller

    def _close_reader(self) -> None:
        """Ends every wait, in whichever thread or task."""
        self._shut = True
        for poller in self.__dict__.pop("_pollers", ()):
            poller.wake()

    def _failed(self, error: OSError) -> BpfsmithError | None:
        """What a native call's refusal means; None: closed meanwhile."""
        if error.errno == _ECHILD:
            return InputError(
                f"{self.where} was opened before this process was forked, and its parent reads it",
                hint="open it again here, from its id or pin: then both share its events",
            )
        if error.errno == _EBADF:
            return None
        return KernelError(f"cannot wait for {self.where}: {error.strerror}", "epoll_wait", error.errno or 0)

    def _owner_closed(self) -> None:
        """The object the map belongs to was closed."""
        self.close()  # type: ignore[attr-defined]

    def typed(self, key_type: Any = None, value_type: Any = None, *, dtype: Any = None) -> Any:
        """Reads it with another type from now on (`record`): one ring has one reader, so that it is the same map. There
        are no keys: a single argument is the records' type."""
        if dtype is None:
            dtype = key_type if value_type is None else value_type
        self.record = dtype
        return self

    def _begin(self) -> None:
        if self._shut or self.closed:  # type: ignore[attr-defined]
            raise Closed(f"{self.where} is closed")

    def _refuse(self, types: Types, end: int, mode: str) -> None:
        """Takes the record out that a walk stopped at."""
        if end == BROKEN:
            raise KernelError(f"{self.where} holds no records: its memory was overwritten", "mmap")
        record = self._source().take()
        if isinstance(record, int):
            return  # another thread was faster
        self.bad += 1
        if mode == "raise":
            raise types.bad(record)

    def _pull(  # noqa: PLR0912 - one round of waiting
        self,
        take: Callable[[Any, int], tuple[Any, int]],
        types: Types,
        most: int,
        timeout: float | None,
        latency: float | None,
        mode: str,
    ) -> Any:
        """The next thing `take` gives, waiting for it; None after `timeout` seconds, or when the map was closed."""
        latency = self.latency if latency is None else latency
        end_at = None if timeout is None else monotonic() + timeout if timeout else 0.0
        nap, due = 0.0, False
        try:
            source = self._source()
            while not self._shut:
                if latency > 0 and not self._more:
                    pause = source.pause(latency)
                    if pause and self._pause(pause, end_at):
                        break
                taken, end = take(source, most)
                self._more = end == FULL  # then nothing need gather
                if taken is not None:
                    return taken
                if end >= SHORT:
                    self._refuse(types, end, mode)
                    continue
                left = None if end_at is None else end_at - monotonic()
                if left is not None and left <= 0:
                    break
                if end == BUSY or due:
                    # Readable without anything to read: a record is being written, or read ones are still lent, which
                    # may take long: naps grow as long as that lasts.
                    nap = min(nap * 2, _LONGEST_NAP) if nap else _NAP
                    if self._waiter().sleep(nap if left is None else min(nap, left)):
                        break
                    due = False
                else:
                    keys = self._waiter().wait(left)
                    if keys is None:
                        break
                    due = bool(keys) and not source.waiting()
                    if not due:
                        nap = 0.0
        except OSError as error:
            found = self._failed(error)
            if found is not None:
                raise found from error
        return None

    def _pause(self, pause: float, end_at: float | None) -> bool:
        if end_at is not None:
            pause = min(pause, end_at - monotonic())
        return pause > 0 and self._waiter().sleep(pause)

    # ---------------------------------------------------------------- left over

    def _put_back(self, chunk: Chunk | None) -> None:
        if chunk is not None and chunk.left():
            if not isinstance(self._left, list):
                self._left = []
            self._left.append(chunk)

    def _left_over(self, types: Types) -> Chunk | None:
        chunk = self._take_left()
        return None if chunk is None else chunk.retyped(types)

    def _take_left(self) -> Chunk | None:
        if isinstance(self._left, list):
            with suppress(IndexError):  # another thread was faster
                found: Chunk = self._left.pop(0)
                return found
        return None

    def _left_batch(self, types: Types) -> Any:
        """What is left over as an array."""
        chunk = self._take_left()
        return None if chunk is None else types.batch(chunk.raw(chunk.left()))

    def _refused_of(self, batch: Any) -> list[BadRecord]:
        """What was no record of the batch's types, counted."""
        bad = list(getattr(batch, "bad", ()))
        self.bad += len(bad)
        return bad

    def _next_chunk(self, types: Types, timeout: float | None, latency: float | None, mode: str) -> Chunk | None:
        chunk = self._left_over(types)
        if chunk is None:
            chunk = self._pull(types.chunk, types, CHUNK, timeout, latency, mode)
        return self._counting(chunk, mode)

    def _counting(self, chunk: Chunk | None, mode: str) -> Chunk | None:
        if chunk is not None and isinstance(chunk.events, Raising):
            chunk.events.reader, chunk.events.skips = self, mode == "count"
        return chunk

    # ---------------------------------------------------------------- what users call

    def batches(
        self,
        timeout: float | None = None,
        *,
        record: Any = None,
        select: Any = None,
        max_records: int | None = None,
        copy: bool = True,
        latency: float | None = None,
        bad: str = "raise",
    ) -> Iterator[Any]:
        """Numpy arrays of what arrives, no Python object per event; each holds 1 to `max_records` records (default: as
        many as take 2 MiB, at most 65536).

            for events in bpf.maps["EVENTS"].batches(timeout=1.0):
                total += events["bytes"].sum()

        timeout: seconds without an event after which the loop ends; None: waits until the map is closed.
        record: the records' type, where the map's BTF does not say: a name of the object's BTF (`struct event`), a BTF
            id, a numpy dtype, fields; bytes (`Mixed` arrays) when nothing is known. {number: type} for several, told
            apart by `select`: a field's name, (offset, bytes), or a function from a record's bytes to a key or type;
            then a batch is a `SortedBatch` of arrays by type.
        copy: False gives arrays over the ring's own memory, of records of one length each: nothing is copied, and the
            kernel gets the room back once the array (and all older ones) is dropped. What is kept blocks the ring.
        latency: seconds events may gather while they are frequent (default: the map's `latency`); 0 gives the least
            delay and the lowest rate, as producers wake a reader that has caught up.
        bad: `raise` `BadRecord` for records shorter than their type, or `count` them in `bad`.

        Needs numpy (else `EnvironmentMissing`). Records longer than their type are cut to it.
        """
        self._begin()
        types = self._types(record, select)
        most = self._most(types, max_records)
        if max_records is None and not copy:
            most = max(1, most // 2)  # what is lent is missing in the ring
        return _Batches(self, types, timeout, latency, bad, most, copy)

    def _most(self, types: Types, wanted: int | None) -> int:
        if wanted is None:
            return max(1, min(BATCH, BATCH_BYTES // max(types.least, HEADER)))
        if wanted < 1:
            raise InputError(f"{self.where}: max_records must be at least 1, not {wanted}")
        return wanted

    def events(
        self,
        timeout: float | None = None,
        *,
        record: Any = None,
        select: Any = None,
        latency: float | None = None,
        bad: str = "raise",
    ) -> Iterator[Any]:
        """Events one by one, as typed values (`Record`s of structs; bytes when no type is known); arguments as in
        `batches`. `for event in m` is the same without an end."""
        self._begin()
        return chain.from_iterable(_Chunks(self, self._types(record, select), timeout, latency, bad))

    def __iter__(self) -> Iterator[Any]:
        return self.events()

    def read(self, timeout: float | None = None, *, record: Any = None, select: Any = None) -> Any:
        """One event; None when none comes for `timeout` seconds (0: does not wait)."""
        self._begin()
        chunks = _Chunks(self, self._types(record, select), timeout, None, "raise")
        try:
            for events in chunks:
                for event in events:
                    return event
            return None
        finally:
            chunks.release()  # at once: an error's traceback would keep it

    def read_batch(self, timeout: float | None = None, **options: Any) -> Any:
        """One batch, as `batches` gives; None when none comes for `timeout` seconds."""
        return next(self.batches(timeout, **options), None)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is something to read, waiting up to `timeout` seconds for it (None: until there is)."""
        self._begin()
        if self._left:
            return True
        try:
            return bool(self._source().waiting() or (self._waiter().wait(timeout) and self._source().waiting()))
        except OSError as error:
            found = self._failed(error)
            if found is not None:
                raise found from error
            return False

    @property
    def waiting(self) -> int:
        """Bytes that wait in the ring, headers included."""
        self._begin()
        return int(self._source().waiting())

    @property
    def fill(self) -> float:
        """How full the ring is, 0.0 to 1.0; at 1.0 its programs lose what they would add."""
        self._begin()
        source = self._source()
        return float(source.waiting() / source.size)

    # ---------------------------------------------------------------- asyncio

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.aevents()

    def aevents(
        self,
        timeout: float | None = None,
        *,
        record: Any = None,
        select: Any = None,
        latency: float | None = None,
        bad: str = "raise",
    ) -> AsyncIterator[Any]:
        """`events` for `async for`: other tasks run while it waits, and between any two chunks of events."""
        self._begin()
        from ._async import aevents

        return aevents(self, self._types(record, select), timeout, latency, bad)

    def abatches(
        self,
        timeout: float | None = None,
        *,
        record: Any = None,
        select: Any = None,
        max_records: int | None = None,
        latency: float | None = None,
        bad: str = "raise",
    ) -> AsyncIterator[Any]:
        """`batches` for `async for`."""
        self._begin()
        from ._async import abatches

        types = self._types(record, select)
        return abatches(self, types, timeout, latency, bad, self._most(types, max_records))


class _Chunks:
    """The chunks `events` chains: what is left of the last one goes back to the map when the loop is left."""

    __slots__ = ("_arguments", "_chunk", "_reader")

    def __init__(self, reader: Reader, types: Types, timeout: float | None, latency: float | None, bad: str) -> None:
        self._chunk: Chunk | None = None
        self._reader = reader
        if bad not in ("raise", "count"):
            raise InputError(f"`bad` is `raise` or `count`, not {bad!r}")
        self._arguments = (types, timeout, latency, bad)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            self._chunk = self._reader._next_chunk(*self._arguments)
        except BadRecord as error:
            # Raised by the chunk, not here: a chain whose source failed has ended.
            self._chunk = None
            return _Once(error)
        if self._chunk is None:
            raise StopIteration
        return self._chunk.events

    def release(self) -> None:
        chunk, self._chunk = self._chunk, None
        self._reader._put_back(chunk)

    def __del__(self) -> None:
        self.release()


class _Once:
    """Raises an error once, and is empty after that."""

    __slots__ = ("_error",)

    def __init__(self, error: BadRecord) -> None:
        self._error: BadRecord | None = error

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        error, self._error = self._error, None
        raise StopIteration if error is None else error


class _Batches:
    """The iterator of `batches`."""

    __slots__ = ("_arguments", "_bad", "_may_refuse", "_reader", "_refused", "_take", "_types")

    def __init__(
        self,
        reader: Reader,
        types: Types,
        timeout: float | None,
        latency: float | None,
        bad: str,
        most: int,
        copy: bool,
    ) -> None:
        if bad not in ("raise", "count"):
            raise InputError(f"`bad` is `raise` or `count`, not {bad!r}")
        self._reader = reader
        self._types = types
        self._arguments = (types, most, timeout, latency, bad)
        self._bad = bad
        self._refused: list[BadRecord] = []
        self._may_refuse = isinstance(types, ChosenType)
        self._take = self._lent if not copy else types.array
        if copy and isinstance(types, OneType):
            spare: list[Any] = []
            self._take = lambda source, most: types.array(source, most, spare)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._refused:
            raise self._refused.pop(0)
        reader = self._reader
        batch = reader._left_batch(self._types) if reader._left else None
        if batch is None:
            batch = reader._pull(self._take, *self._arguments)
            if batch is None:
                raise StopIteration
            if not self._may_refuse:
                return batch
        refused = reader._refused_of(batch)
        if refused and self._bad == "raise":
            self._refused += refused
            if not len(batch):
                raise self._refused.pop(0)
        return batch if batch.__class__ is not Left else batch.array

    def _lent(self, source: Any, most: int) -> tuple[Any, int]:
        from bpfsmith.run.columns import numpy

        lend = getattr(source, "lend", None)
        if lend is None:
            raise InputError(f"{self._reader.where}: only ring buffers give arrays over their own memory (copy=False)")
        types = self._types
        codec = getattr(types, "codec", None)
        while True:
            lease = lend(most)
            if isinstance(lease, int):
                return None, lease
            if lease.length >= types.least:
                end = FULL if lease.count == most else 0
                break
            self._reader.bad += lease.count
            if self._bad == "raise":
                raise types.bad(bytes(memoryview(lease)[: lease.length]))
        if codec is None:
            rows = numpy().ndarray((lease.count, lease.length), "u1", lease, 0, (lease.stride, 1))
            rows.flags.writeable = False
            return rows, end
        return numpy().ndarray((lease.count,), codec.dtype, lease, 0, (lease.stride,)), end

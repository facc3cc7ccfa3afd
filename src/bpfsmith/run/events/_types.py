"""How the records of a stream are typed: bytes, one type, a type that grows with its record, or several by a selector.

A `Types` turns what is taken from a ring into events (`chunk`) and arrays (`array`), and one record's bytes into an
event (`decode`).
"""

from __future__ import annotations

from sys import byteorder, getrefcount

from bpfsmith.model.errors import BadRecord, InputError, ValueMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from bpfsmith.run.codec import Codec

__all__ = [
    "BROKEN",
    "BUSY",
    "EMPTY",
    "FULL",
    "HEADER",
    "SHORT",
    "UNKNOWN",
    "ChosenType",
    "Chunk",
    "GrowingType",
    "Left",
    "Mixed",
    "OneType",
    "Raising",
    "SortedBatch",
    "SortedTypes",
    "Types",
]  # fmt: skip

# Why a walk over records ended; `_native.pyi` explains them.
EMPTY, FULL, BUSY, SHORT, UNKNOWN, BROKEN = range(6)

# Bytes from which on memory is kept for the next batch: fresh pages cost twice what filling them does.
SMALL = 1 << 16
HEADER = 8  # bytes before a record in a ring buffer; a perf record has more


class Chunk:
    """Events taken out of the ring but not handed out yet. `events` is a list's iterator: its length hint says how many
    are left; `raw(n)` are the bytes of the last `n`."""

    __slots__ = ("events", "raw", "types")

    def __init__(self, types: Types, events: list[Any], raw: Callable[[int], list[bytes]]) -> None:
        self.types = types
        self.events: Any = iter(events)
        self.raw = raw

    def left(self) -> int:
        return int(self.events.__length_hint__())

    def retyped(self, types: Types) -> Chunk:
        """The same records for another reader."""
        if types is self.types:
            return self
        return _each(types, self.raw(self.left()))


class Mixed:
    """Records of several lengths as arrays: `data` (bytes of all), `offsets` and `lengths` (one per record).

    >>> batch = Mixed(b"abcdefgh" + b"xy", memoryview(b"\\0\\0\\0\\0\\10\\0\\0\\0").cast("I"),
    ...               memoryview(b"\\10\\0\\0\\0\\2\\0\\0\\0").cast("I"))
    >>> len(batch), batch[1], list(batch)
    (2, b'xy', [b'abcdefgh', b'xy'])
    """

    __slots__ = ("data", "lengths", "offsets")

    def __init__(self, data: Any, offsets: Any, lengths: Any) -> None:
        self.data = data
        self.offsets = offsets
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> bytes:
        start = int(self.offsets[index])
        return bytes(self.data[start : start + int(self.lengths[index])])

    def __iter__(self) -> Iterator[bytes]:
        for index in range(len(self)):
            yield self[index]

    def as_records(self, dtype: Any) -> Any:
        """The start of every record as `dtype` (a numpy dtype or a codec): what follows it in longer ones is left out.
        `BadRecord` when one is shorter."""
        from bpfsmith.run.columns import numpy

        module = numpy()
        dtype = module.dtype(getattr(dtype, "dtype", dtype))
        if not len(self):
            return module.empty(0, dtype)
        shortest = int(self.lengths.argmin())
        if int(self.lengths[shortest]) < dtype.itemsize:
            record = self[shortest]
            raise BadRecord(f"record {shortest} has {len(record)} bytes, its type {dtype.itemsize}", record)
        data = module.frombuffer(self.data, module.uint8)
        rows = module.lib.stride_tricks.sliding_window_view(data, dtype.itemsize)[self.offsets]
        return module.ascontiguousarray(rows).view(dtype).reshape(-1)


class Left:
    """A batch of what was left over, and what did not fit."""

    __slots__ = ("array", "bad")

    def __init__(self, array: Any, bad: list[BadRecord]) -> None:
        self.array = array
        self.bad = bad

    def __len__(self) -> int:
        return len(self.array)


class SortedBatch(dict):  # type: ignore[type-arg]
    """Type name -> array of its records; `order[i]` is the index (in the order of the keys) of record i's type."""

    order: Any
    bad: Sequence[BadRecord] = ()  # what was none of the types, already taken out

    def __len__(self) -> int:
        return len(self.order)

    def __bool__(self) -> bool:
        return len(self.order) > 0


class Types:
    """Records as bytes: the type of a stream nobody described. The other kinds derive from it."""

    __slots__ = ()
    name = "bytes"
    least = 0

    def decode(self, record: bytes) -> Any:
        """One event; `BadRecord` when the bytes do not fit."""
        return record

    def chunk(self, source: Any, most: int) -> tuple[Chunk | None, int]:
        """Up to `most` events, and why no more."""
        data, offsets, lengths, end = source.take_mixed(most)
        if not offsets:
            return None, end
        records = _cut(data, offsets, lengths)
        return self._decoded(records), end

    def array(self, source: Any, most: int) -> tuple[Any, int]:
        """The same as a batch; None when there is nothing."""
        data, offsets, lengths, end = source.take_mixed(most)
        return (self._mixed(data, offsets, lengths), end) if offsets else (None, end)

    def batch(self, records: list[bytes]) -> Left:
        """A batch of records that were taken out before."""
        good: list[bytes] = []
        bad: list[BadRecord] = []
        for record in records:
            try:
                self.decode(record)
                good.append(record)
            except BadRecord as error:
                bad.append(_about(error, record))
        return Left(self.array_of(good), bad)

    def array_of(self, records: list[bytes]) -> Any:
        """A batch of records, all of which fit."""
        from itertools import accumulate
        from struct import pack

        lengths = [len(record) for record in records]
        offsets = list(accumulate(lengths, initial=0))[:-1]
        code = f"={len(records)}I"
        return self._mixed(b"".join(records), pack(code, *offsets), pack(code, *lengths))

    def _mixed(self, data: bytes, offsets: bytes, lengths: bytes) -> Mixed:
        from bpfsmith.run.columns import numpy

        module = numpy()
        return Mixed(data, module.frombuffer(offsets, module.uint32), module.frombuffer(lengths, module.uint32))

    def _decoded(self, records: list[bytes]) -> Chunk:
        return Chunk(self, records, lambda n: records[len(records) - n :])

    def bad(self, record: bytes) -> BadRecord:
        """Why a record the walk stopped at is none of ours."""
        return BadRecord(
            f"an event of {len(record)} bytes is too short for `{self.name}`, which takes {self.least}",
            record,
            hint="its program submits less than the type says: give the type as `record=`, or several with `select=`",
        )


class OneType(Types):
    """All records are of one type; what a record has beyond it (padding of perf records) is left out."""

    __slots__ = ("codec", "least", "many", "name")

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.name = codec.name
        self.least = codec.size
        self.many = _many(codec)

    def decode(self, record: bytes) -> Any:
        if len(record) < self.least:
            raise self.bad(record)
        return self.codec.decode(record)

    def chunk(self, source: Any, most: int) -> tuple[Chunk | None, int]:
        size = self.least
        wanted = min(most, source.waiting() // (size + HEADER) + 1)
        data = bytearray(wanted * size)
        count, end = source.take_into(data, size, wanted)
        if not count:
            return None, end
        del data[count * size :]
        return Chunk(self, self.many(data), lambda n: _pieces(data, size)[count - n :]), (
            end if wanted == most else EMPTY
        )

    def array(self, source: Any, most: int, spare: list[Any] | None = None) -> tuple[Any, int]:
        """`spare`: memory of earlier batches of one loop, used again once nobody holds an array over it."""
        from bpfsmith.run.columns import numpy

        module, size = numpy(), self.least
        wanted = min(most, source.waiting() // (size + HEADER) + 1)
        if spare is None or wanted * size < SMALL:
            data = module.empty(wanted * size, module.uint8)
        else:
            data = _free(spare)
            if data is None:
                data = module.empty(most * size, module.uint8)
                if len(spare) < 3:
                    spare.append(data)
        count, end = source.take_into(data, size, wanted)
        if not count:
            return None, end
        # What came meanwhile is no more than usual: it may gather.
        return data[: count * size].view(self.codec.dtype), end if wanted == most else EMPTY

    def array_of(self, records: list[bytes]) -> Any:
        from bpfsmith.run.columns import numpy

        module = numpy()
        return module.frombuffer(bytearray(b"".join(record[: self.least] for record in records)), self.codec.dtype)


class GrowingType(Types):
    """A struct whose last field is an array without a length: it fills what the record has."""

    __slots__ = ("_of", "_sizes", "least", "name")

    def __init__(self, codec: Codec, of: Callable[[int], Codec]) -> None:
        self.name = codec.name
        self.least = codec.size
        self._of = of
        self._sizes: dict[int, Codec] = {}

    def decode(self, record: bytes) -> Any:
        codec = self._sizes.get(len(record))
        if codec is None:
            if len(record) < self.least:
                raise self.bad(record)
            codec = self._sizes[len(record)] = self._fitting(len(record))
        return codec.decode(record)

    def _fitting(self, length: int) -> Codec:
        # A record may end in padding that is no whole element.
        for size in range(length, self.least - 1, -1):
            try:
                return self._of(size)
            except (InputError, ValueMismatch):
                continue
        return self._of(self.least)

    def _decoded(self, records: list[bytes]) -> Chunk:
        return _each(self, records)


class ChosenType(Types):
    """A function of the user's says for each record which type it is of."""

    __slots__ = ("_choose", "_types", "name")

    def __init__(self, choose: Callable[[bytes], Any], types: Callable[[Any], Types]) -> None:
        self._choose = choose
        self._types = types
        self.name = "the type `select` chose"

    def decode(self, record: bytes) -> Any:
        types = self._types(self._choose(record))
        if len(record) < types.least:
            raise types.bad(record)
        return types.decode(record)

    def _decoded(self, records: list[bytes]) -> Chunk:
        return _each(self, records)

    def array(self, source: Any, most: int) -> tuple[Any, int]:
        data, offsets, lengths, end = source.take_mixed(most)
        return (self.array_of(_cut(data, offsets, lengths)), end) if offsets else (None, end)

    def array_of(self, records: list[bytes]) -> Any:
        kinds: dict[str, tuple[Types, list[bytes]]] = {}
        order, bad = [], []
        for record in records:
            try:
                types = self._types(self._choose(record))
                if len(record) < types.least:
                    raise types.bad(record)
            except BadRecord as error:
                bad.append(_about(error, record))
                continue
            kinds.setdefault(types.name, (types, []))[1].append(record)
            order.append(types.name)
        batch = _batch({name: types.array_of(found) for name, (types, found) in kinds.items()}, order)
        batch.bad = bad
        return batch


class SortedTypes(Types):
    """The number in a field says which type a record is of."""

    __slots__ = ("codecs", "least", "name", "names", "numbers", "selector", "sizes")

    def __init__(self, selector: tuple[int, int], by_number: Mapping[int, Codec]) -> None:
        self.selector = selector
        self.codecs: list[Codec] = []
        self.numbers: list[tuple[int, int]] = []
        mask = (1 << 8 * selector[1]) - 1
        for number, codec in by_number.items():
            if codec not in self.codecs:
                self.codecs.append(codec)
            self.numbers.append((number & mask, self.codecs.index(codec)))
        self.names: list[str] = []
        for codec in self.codecs:
            again = f"{codec.name} ({len(self.names)})"  # two types of one name stay two
            self.names.append(again if codec.name in self.names else codec.name)
        self.sizes = [codec.size for codec in self.codecs]
        self.name = " or ".join(f"`{name}`" for name in self.names)
        self.least = sum(selector)

    def _codec(self, record: bytes) -> Codec:
        offset, size = self.selector
        if len(record) < offset + size:
            raise self.bad(record)
        number = int.from_bytes(record[offset : offset + size], byteorder)
        for known, index in self.numbers:
            if known == number:
                return self.codecs[index]
        raise BadRecord(
            f"an event of {len(record)} bytes says it is of kind {number}, which is none of "
            + ", ".join(str(known) for known, _ in self.numbers),
            record,
            hint="add it to `record={number: type}`",
        )

    def decode(self, record: bytes) -> Any:
        codec = self._codec(record)
        if len(record) < codec.size:
            raise self.bad(record)
        return codec.decode(record)

    def bad(self, record: bytes) -> BadRecord:
        if len(record) >= sum(self.selector):
            try:
                codec = self._codec(record)
            except BadRecord as error:
                return error
            return OneType(codec).bad(record)
        return Types.bad(self, record)

    def _take(self, source: Any, most: int) -> tuple[list[bytes], bytes, int]:
        return source.take_sorted(self.selector, self.numbers, self.sizes, most)  # type: ignore[no-any-return]

    def chunk(self, source: Any, most: int) -> tuple[Chunk | None, int]:
        data, order, end = self._take(source, most)
        if not order:
            return None, end
        kinds = [iter(_many(codec)(part)) for codec, part in zip(self.codecs, data, strict=True)]
        # One pass in C: the next event of each record's type.
        events = list(map(next, map(kinds.__getitem__, order)))
        return Chunk(self, events, lambda n: self._raw(data, order)[len(order) - n :]), end

    def _raw(self, data: list[bytes], order: bytes) -> list[bytes]:
        kinds = [iter(_pieces(part, size)) for part, size in zip(data, self.sizes, strict=True)]
        return [next(kinds[index]) for index in order]

    def array(self, source: Any, most: int) -> tuple[Any, int]:
        from bpfsmith.run.columns import numpy

        data, order, end = self._take(source, most)
        if not order:
            return None, end
        module = numpy()
        parts = zip(self.names, self.codecs, data, strict=True)
        batch = SortedBatch((name, module.frombuffer(part, codec.dtype)) for name, codec, part in parts)
        batch.order = module.frombuffer(order, module.uint8)
        return batch, end

    def array_of(self, records: list[bytes]) -> Any:
        kinds: dict[str, list[bytes]] = {name: [] for name in self.names}
        order = []
        for record in records:
            name = self.names[self.codecs.index(self._codec(record))]
            kinds[name].append(record)
            order.append(name)
        parts = zip(self.codecs, kinds.items(), strict=True)
        return _batch({name: OneType(codec).array_of(found) for codec, (name, found) in parts}, order)


def _batch(arrays: dict[str, Any], order: list[str]) -> SortedBatch:
    from bpfsmith.run.columns import numpy

    batch = SortedBatch(arrays)
    index = {name: place for place, name in enumerate(arrays)}
    batch.order = numpy().array([index[name] for name in order], dtype="u1")
    return batch


def _cut(data: bytes, offsets: bytes, lengths: bytes) -> list[bytes]:
    starts, sizes = memoryview(offsets).cast("I"), memoryview(lengths).cast("I")
    return [data[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def _free(spare: list[Any]) -> Any:
    """The memory only `spare` holds; every array over it holds it too."""
    for data in spare:
        if getrefcount(data) <= _ALONE:
            return data
    return None


def _alone(spare: list[Any]) -> int:
    # As `_free` counts: what a loop and a call add differs between Pythons.
    for data in spare:
        return getrefcount(data)
    return 0


_ALONE = _alone([object()])


def _pieces(data: Any, size: int) -> list[bytes]:
    return [bytes(data[at : at + size]) for at in range(0, len(data), size)] if size else []


def _about(error: BadRecord, record: bytes) -> BadRecord:
    error.data = error.data or record
    return error


def _each(types: Types, records: list[bytes]) -> Chunk:
    """A chunk in which a record that does not fit is raised in its turn."""
    events: list[Any] = []
    refused = False
    for record in records:
        try:
            events.append(types.decode(record))
        except BadRecord as error:
            events.append(_Refused(_about(error, record)))
            refused = True
    chunk = Chunk(types, events, lambda n: records[len(records) - n :])
    if refused:
        chunk.events = Raising(chunk.events)
    return chunk


class _Refused:
    """Stands in a chunk for a record that does not fit its type."""

    __slots__ = ("error",)

    def __init__(self, error: BadRecord) -> None:
        self.error = error


class Raising:
    """A list's iterator that raises what was refused (or skips it), counts it in `reader.bad`, and goes on after it."""

    __slots__ = ("_events", "reader", "skips")

    def __init__(self, events: Any) -> None:
        self._events = events
        self.reader: Any = None
        self.skips = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while True:
            event = next(self._events)
            if event.__class__ is not _Refused:
                return event
            if self.reader is not None:
                self.reader.bad += 1
            if not self.skips:
                raise event.error

    def __length_hint__(self) -> int:
        return int(self._events.__length_hint__())


def _many(codec: Codec) -> Callable[[Any], list[Any]]:
    """What decodes records that stand one after the other."""
    found = getattr(codec, "decode_all", None)
    if found is not None:
        return found  # type: ignore[no-any-return]
    size = codec.size or 1
    return lambda data: [codec.decode(data, at) for at in range(0, len(data), size)]

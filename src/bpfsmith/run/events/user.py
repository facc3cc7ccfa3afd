"""BPF_MAP_TYPE_USER_RINGBUF (Linux 6.1): this process adds records, a program drains them."""

from __future__ import annotations

from time import monotonic

from bpfsmith.model.errors import Closed, InputError, KernelError, ValueMismatch
from bpfsmith.run.maps.base import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Poller, Slot, UserRing
    from bpfsmith.run.codec import Codec

__all__ = ["Reservation", "UserRingBuffer"]

_E2BIG, _ENOSPC, _ECHILD, _EBADF = 7, 28, 10, 9


class Reservation:
    """Room for one record: a context manager that gives its bytes as a writable `memoryview`, submits them at its end,
    and gives them up when an exception leaves it."""

    __slots__ = ("_slot", "_view")

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._view: memoryview | None = None

    @property
    def data(self) -> memoryview:
        """The record's bytes; what was in the ring before stands there until overwritten."""
        if self._view is None:
            self._view = memoryview(self._slot)  # type: ignore[arg-type]
        return self._view

    def submit(self) -> None:
        """Hands the record to the program."""
        self._end()
        self._slot.submit()

    def discard(self) -> None:
        """Gives the room back; the program does not see the record."""
        self._end()
        self._slot.discard()

    def _end(self) -> None:
        if self._view is not None:
            self._view.release()
            self._view = None

    def __enter__(self) -> memoryview:
        return self.data

    def __exit__(self, kind: object, *_exc: object) -> None:
        if not self._slot.done:
            if kind is None:
                self.submit()
            else:
                self.discard()


class UserRingBuffer(Map):
    """A user ring buffer: `bpf_user_ringbuf_drain` calls a program's callback with each record.

        bpf.maps["COMMANDS"].submit({"kind": 1, "port": 80})        # by the map's type or `record=`
        bpf.maps["COMMANDS"].submit_all(array)                      # a numpy array of records, or their bytes
        with bpf.maps["COMMANDS"].reserve(64) as data: data[:5] = b"hello"

    Safe to use from several threads. Full is `KernelError` (ENOSPC) after `timeout` seconds of waiting for the program.
    """

    #: The default of `record=`; None: the map's value type, else bytes.
    record: Any = None
    _ring: UserRing | None = None
    _poller: Poller | None = None
    _shut = False

    @property
    def where(self) -> str:
        return f"map `{self.name}`"

    def _open(self) -> UserRing:
        if self._shut:
            raise Closed(f"{self.where} is closed")
        if self._ring is None:
            from bpfsmith.kernel import streams

            self._ring = streams.open_user_ring(self.fileno(), self.spec.max_entries, self.where)
        return self._ring

    def _record_codec(self, record: Any) -> Codec | None:
        record = self.record if record is None else record
        if record is None and self.spec.value_type:
            record = self.spec.value_type
        if record is None:
            return None
        from ._choice import codec_of

        return codec_of(record, self.spec.btf, self.where)

    def _room(self, end_at: float | None) -> None:
        """Waits for the program to drain; `KernelError` at the end."""
        left = None if end_at is None else end_at - monotonic()
        if left is not None and left <= 0:
            raise KernelError(
                f"{self.where} is full: {self.waiting} of {self.size} bytes wait for its program",
                "reserve",
                _ENOSPC,
                hint="call the program that drains it more often, make the map larger, or pass timeout=",
            )
        if self._poller is None:
            from bpfsmith.kernel import streams

            self._poller = streams.open_poller(self.where)
            streams.watch(self._poller, self.fileno(), 0, self.where, room=True)
        # The kernel says that there is room as soon as there is any; more may be wanted.
        if self._poller.wait(0.0 if left is None else min(left, 0.01)) is None:
            raise Closed(f"{self.where} was closed")
        self._poller.sleep(0.0005 if left is None else min(left, 0.0005))

    def _no_room(self, errno: int, size: int, end_at: float | None) -> None:
        if errno == _ENOSPC:
            self._room(end_at)
            return
        if errno == _E2BIG:
            raise ValueMismatch(
                f"{self.where} has {self.size} bytes and can never hold a record of {size}",
                hint="make the map larger with map_sizes=",
            )
        if errno == _ECHILD:
            raise InputError(f"{self.where} was opened before this process was forked", hint="open it again here")
        raise Closed(f"{self.where} is closed")

    def reserve(self, size: int, timeout: float | None = 0.0) -> Reservation:
        """Room for a record of `size` bytes."""
        ring = self._open()
        end_at = None if timeout is None else monotonic() + timeout
        while True:
            slot = ring.reserve(size)
            if not isinstance(slot, int):
                return Reservation(slot)
            self._no_room(-slot, size, end_at)

    def submit(self, value: Any, *, record: Any = None, timeout: float | None = 0.0) -> None:
        """Adds one record: bytes as they are, or a value of the map's (or the given) type. `timeout`: seconds to wait
        for room; None: until there is."""
        codec = self._record_codec(record)
        if isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
        elif codec is None:
            raise ValueMismatch(
                f"{self.where} has no type, so that a record of it is bytes, not {type(value).__name__}",
                hint="pass bytes, or record= with a type",
            )
        else:
            data = codec.encode(value, self.where)
        self.submit_all(data, size=len(data), timeout=timeout)

    def submit_all(self, records: Any, *, size: int | None = None, timeout: float | None = 0.0) -> int:
        """Adds many records at once: a numpy array (one record per element), or bytes in records of `size`; answers how
        many. When there is no room for all within `timeout`, `KernelError` whose `stored` says how many are in."""
        ring = self._open()
        end_at = None if timeout is None else monotonic() + timeout
        if size is None:
            size = int(getattr(records, "itemsize", 0)) or self._size()
        if hasattr(records, "dtype"):
            from bpfsmith.run.columns import numpy

            module = numpy()
            records = module.ascontiguousarray(records).view(module.uint8).reshape(-1)
        data = memoryview(records).cast("B")
        if size < 1 or len(data) % size:
            if not data and size == 0:
                size = 1
            raise ValueMismatch(f"{self.where}: {len(data)} bytes are no records of {size}")
        sent, total = 0, len(data) // size
        while sent < total:
            done = ring.send(data[sent * size :], size)
            if done >= 0:
                sent += done
                continue
            try:
                self._no_room(-done, size, end_at)
            except KernelError as error:
                error.stored = sent  # type: ignore[attr-defined]
                raise
        return total

    def _size(self) -> int:
        codec = self._record_codec(None)
        if codec is None:
            raise InputError(f"{self.where}: records of which size?", hint="pass size=")
        return codec.size

    @property
    def waiting(self) -> int:
        """Bytes no program has drained yet, headers included."""
        return self._open().waiting()

    @property
    def size(self) -> int:
        """Bytes of the ring."""
        return int(self.spec.max_entries)

    def close(self) -> None:
        """Ends waits for room, and gives the map back."""
        self._shut = True
        if self._poller is not None:
            self._poller.wake()
        if self._ring is not None:
            self._ring.close()
        super().close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.size} bytes"
        return f"<{type(self).__name__} {self.name}: {state}>"

"""BPF_MAP_TYPE_PERF_EVENT_ARRAY as an event stream: one buffer per CPU (Linux 4.4)."""

from __future__ import annotations

from sys import byteorder

from bpfsmith.model.errors import InputError
from bpfsmith.run.maps.base import Map

from ._reader import Reader
from ._types import EMPTY, SHORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Fd, PerfRing

__all__ = ["PerfBuffer"]

SIZE = 1 << 18  # bytes per CPU


class _Group:
    """The buffers of all CPUs as one: read in turn, each time beginning after the one that was read first last time, so
    that a busy CPU does not keep the others waiting."""

    __slots__ = ("at", "rings")

    def __init__(self, rings: list[PerfRing]) -> None:
        self.rings = rings
        self.at = 0

    def _turn(self) -> list[PerfRing]:
        at = self.at % max(len(self.rings), 1)
        self.at = at + 1
        return self.rings[at:] + self.rings[:at]

    def _stopped(self, ring: PerfRing, end: int) -> int:
        """The next call, and `take`, begin with the ring whose record is to be looked at."""
        if end >= SHORT:
            self.at = self.rings.index(ring)
        return end

    @property
    def size(self) -> int:
        return sum(ring.size for ring in self.rings)

    def waiting(self) -> int:
        return sum(ring.waiting() for ring in self.rings)

    def pause(self, latency: float) -> float:  # noqa: ARG002 - wake-ups of perf events are the kernel's (`wakeup=`)
        return 0.0

    def take_into(self, out: Any, size: int, most: int) -> tuple[int, int]:
        view, count, end = memoryview(out).cast("B"), 0, EMPTY
        for ring in self._turn():
            if ring.waiting():
                got, end = ring.take_into(view[count * size :], size, most - count)
                count += got
                if end >= SHORT or count == most:
                    return count, self._stopped(ring, end)
        return count, EMPTY

    def take_mixed(self, most: int) -> tuple[bytes, bytes, bytes, int]:
        for ring in self._turn():
            if ring.waiting():
                found = ring.take_mixed(most)
                if found[1] or found[3] >= SHORT:
                    self._stopped(ring, found[3])
                    return found
        return b"", b"", b"", EMPTY

    def take_sorted(
        self, selector: tuple[int, int], values: list[tuple[int, int]], sizes: list[int], most: int
    ) -> tuple[list[bytes], bytes, int]:
        for ring in self._turn():
            if ring.waiting():
                found = ring.take_sorted(selector, values, sizes, most)
                if found[1] or found[2] >= SHORT:
                    self._stopped(ring, found[2])
                    return found
        return [b"" for _ in sizes], b"", EMPTY

    def take(self) -> bytes | int:
        at = self.at % max(len(self.rings), 1)
        for ring in self.rings[at:] + self.rings[:at]:
            record = ring.take()
            if not isinstance(record, int):
                return record
        return EMPTY


class PerfBuffer(Reader, Map):
    """A perf event array that programs write events to with `bpf_perf_event_output`.

    Read like a `RingBuffer`. Its buffers are opened by `open()`, or by the first read: what programs write before that
    is refused to them (ENOENT) and seen by nobody. The order of events of different CPUs is not kept. `lost` counts
    exactly what there was no room for. Up to 7 bytes of padding may follow an event: bytes show them, types do not.
    CPUs that come later are not read: `close_buffers()` and `open()` again. Needs CAP_PERFMON (CAP_SYS_ADMIN before
    5.8).
    """

    _group: _Group | None = None
    _events: dict[int, tuple[Fd, bool, PerfRing]]
    _gone = 0

    def open(self, size: int = SIZE, wakeup: int = 1, watermark: int = 0) -> PerfBuffer:
        """Opens a buffer of `size` bytes (made a power of two of pages) for each CPU that runs now. Readers are woken
        every `wakeup` events, or with `watermark` when that many bytes wait on one CPU: fewer wake-ups, more delay (a
        read that times out still takes what is there)."""
        from bpfsmith import kernel
        from bpfsmith.kernel import streams

        self._begin()
        if self._group is not None:
            raise InputError(f"{self.where} is open", hint="`close_buffers()` first")
        if size < 1 or wakeup < 1:
            raise InputError(f"{self.where}: `size` and `wakeup` must be at least 1")
        page = kernel.live().page_size
        size = max(page, 1 << (size - 1).bit_length())
        opened: dict[int, tuple[Fd, bool, PerfRing]] = {}
        try:
            for cpu in streams.online_cpus():
                if cpu >= self.spec.max_entries:
                    from warnings import warn

                    text = f"{self.where} has room for {self.spec.max_entries} CPUs: events of the others are refused"
                    warn(text, RuntimeWarning, stacklevel=2)
                    break
                made = streams.open_perf_output(cpu, self.where, wakeup, min(watermark, size - 1))
                if made is None:
                    continue
                fd, counts = made
                opened[cpu] = (fd, counts, streams.open_perf_ring(fd, size, self.where))
                key, value = cpu.to_bytes(4, byteorder), fd.fileno().to_bytes(4, byteorder)
                fields = {"map_fd": self.fileno(), "key": key, "value": value}
                kernel.call("BPF_MAP_UPDATE_ELEM", self.where, **fields)
        except BaseException:
            self._drop(opened)
            raise
        self._events = opened
        self._group = _Group([ring for _, _, ring in opened.values()])
        return self

    def _drop(self, opened: dict[int, tuple[Fd, bool, PerfRing]]) -> None:
        from bpfsmith import kernel

        for cpu, (fd, _, ring) in opened.items():
            if not self.fd.closed:
                kernel.try_call("BPF_MAP_DELETE_ELEM", map_fd=self.fd.fileno(), key=cpu.to_bytes(4, byteorder))
            ring.close()
            fd.close()

    def close_buffers(self) -> None:
        """Programs write nothing any more until `open()`; what was not read is thrown away."""
        if self._group is not None:
            self._gone = self.lost
            self._drop(self._events)
            self._events = {}
            self._group = None

    def _source(self) -> _Group:
        if self._group is None:
            self.open()
        assert self._group is not None
        return self._group

    def _watched(self) -> list[int]:
        self._source()
        return [fd.fileno() for fd, _, _ in self._events.values()]

    @property
    def cpus(self) -> list[int]:
        """The CPUs whose events are read."""
        return list(self._events) if self._group is not None else []

    @property
    def lost(self) -> int:
        """Events there was no room for, exactly: by the kernel's count of each buffer (6.0+), else by the records of
        losses read so far (those after the last event read show only with the next)."""
        if self._group is None:
            return self._gone
        from bpfsmith.kernel import streams

        found = self._gone
        for fd, counts, ring in self._events.values():
            found += streams.lost_samples(fd.fileno()) if counts else ring.lost
        return found

    def close(self) -> None:
        """Ends the loops that read it, closes its buffers, and gives the map back."""
        self._close_reader()
        self.close_buffers()
        super().close()

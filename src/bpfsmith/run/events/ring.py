"""BPF_MAP_TYPE_RINGBUF (Linux 5.8)."""

from __future__ import annotations

from bpfsmith.run.maps.base import Map

from ._reader import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import Ring

__all__ = ["RingBuffer"]


class RingBuffer(Reader, Map):
    """A ring buffer: programs add events, this process takes them.

        for event in bpf.maps["EVENTS"]:                            # typed values, for ever
        for events in bpf.maps["EVENTS"].batches(timeout=1.0):      # numpy arrays
        async for event in bpf.maps["EVENTS"]:

    Its memory is mapped at the first read, which for a ring of 256 MiB takes 35 ms; events added before are not lost.
    What is lost because the ring was full only the program knows (`bpf_ringbuf_reserve` answers NULL): it is counted
    nowhere; `fill` says how near that is. Several threads may read; then they share the events. A forked child must
    open the map itself. Reading needs write access to the map, no privilege else.
    """

    _ring: Ring | None = None

    def _source(self) -> Ring:
        ring = self._ring
        if ring is None:
            from bpfsmith.kernel import streams

            ring = self._ring = streams.open_ring(self.fileno(), self.spec.max_entries, self.where)
        return ring

    def _watched(self) -> list[int]:
        return [self.fileno()]

    @property
    def size(self) -> int:
        """Bytes of the ring."""
        return int(self.spec.max_entries)

    @property
    def positions(self) -> tuple[int, int]:
        """(consumer, producer) in bytes since the map was made, as `bpf_ringbuf_query` answers BPF_RB_CONS_POS and
        BPF_RB_PROD_POS."""
        self._begin()
        return self._source().positions()[:2]

    @property
    def discarded(self) -> int:
        """Events their programs gave up (`bpf_ringbuf_discard`), met so far."""
        return self._ring.discarded if self._ring is not None else 0

    def close(self) -> None:
        """Ends the loops that read it, and gives the map back. Arrays over its memory stay valid."""
        self._close_reader()
        if self._ring is not None:
            self._ring.close()
        super().close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.size} bytes"
        return f"<{type(self).__name__} {self.name}: {state}>"

"""Maps without keys: queue, stack, Bloom filter."""

from __future__ import annotations

from bpfsmith.model.errors import InputError, KeyMissing, MapFull
from bpfsmith.run.maps.base import E2BIG, ENOENT, LOOKUP, LOOKUP_AND_DELETE, UPDATE, Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = ["BloomFilter", "Queue", "Stack"]

_NOTHING: Any = object()


class Queue(Map):
    """First in, first out: `push`, `pop`, `peek`, `drain` (4.20+)."""

    __slots__ = ()

    def _encode(self, value: Any) -> bytes:
        return self.value_type.encode(value, f"value of map `{self.spec.name}`")

    def push(self, value: Any, *, replace: bool = False) -> None:
        """Puts one in; `MapFull` when there is no room, unless `replace` throws out the oldest."""
        answer = self._element(UPDATE, None, self._encode(value), 2 if replace else 0)
        if answer == -E2BIG:
            raise MapFull(
                f"{self._where} is full: it holds {self.max_entries} entries", 0, E2BIG, where=self._where,
                hint="`push(value, replace=True)` throws out the oldest",
            )  # fmt: skip
        if answer < 0:
            raise self._refused("BPF_MAP_UPDATE_ELEM", -answer)

    def extend(self, values: Iterable[Any]) -> None:
        """Puts several in, in their order; `MapFull` says how many are in."""
        raw = [self._encode(value) for value in values]
        for at, data in enumerate(raw):
            answer = self._element(UPDATE, None, data)
            if answer == -E2BIG:
                raise MapFull(
                    f"{self._where} is full: it holds {self.max_entries} entries; {at} of {len(raw)} were stored", at,
                    E2BIG, where=self._where,
                )  # fmt: skip
            if answer < 0:
                raise self._refused("BPF_MAP_UPDATE_ELEM", -answer)

    def _take(self, command: int, default: Any) -> Any:
        out = bytearray(self.spec.value_size)
        answer = self._element(command, None, out)
        if answer == -ENOENT:
            if default is _NOTHING:
                raise KeyMissing(f"{self._where} is empty", where=self._where)
            return default
        if answer < 0:
            name = "BPF_MAP_LOOKUP_ELEM" if command == LOOKUP else "BPF_MAP_LOOKUP_AND_DELETE_ELEM"
            raise self._refused(name, -answer)
        return self.value_type.decode(out)

    def pop(self, default: Any = _NOTHING) -> Any:
        """The next one, taken out; `default`, or `KeyMissing`, when it is empty."""
        return self._take(LOOKUP_AND_DELETE, default)

    def peek(self, default: Any = _NOTHING) -> Any:
        """The next one, left in."""
        return self._take(LOOKUP, default)

    def drain(self) -> Iterator[Any]:
        """Takes out one after the other until it is empty."""
        while True:
            value = self.pop(_END)
            if value is _END:
                return
            yield value

    def clear(self) -> None:
        """Takes everything out."""
        for _ in self.drain():
            pass


_END: Any = object()


class Stack(Queue):
    """Last in, first out."""

    __slots__ = ()


class BloomFilter(Map):
    """Says whether a value was added: never wrongly no, sometimes wrongly yes (5.16+). Nothing can be taken out."""

    __slots__ = ()

    def _encode(self, value: Any) -> bytes:
        return self.value_type.encode(value, f"value of map `{self.spec.name}`")

    def add(self, value: Any) -> None:
        answer = self._element(UPDATE, None, self._encode(value))
        if answer < 0:
            raise self._refused("BPF_MAP_UPDATE_ELEM", -answer)

    def update(self, values: Iterable[Any]) -> None:
        """Adds several; all are checked before the first is added."""
        for data in [self._encode(value) for value in values]:
            answer = self._element(UPDATE, None, data)
            if answer < 0:
                raise self._refused("BPF_MAP_UPDATE_ELEM", -answer)

    def contains(self, value: Any) -> bool:
        """Whether it was added, or looks like one that was."""
        # The value to look for is read from where others write the answer to.
        answer = self._element(LOOKUP, None, bytearray(self._encode(value)))
        if answer == -ENOENT:
            return False
        if answer < 0:
            raise self._refused("BPF_MAP_LOOKUP_ELEM", -answer)
        return True

    def __contains__(self, value: object) -> bool:
        return self.contains(value)

    def __iter__(self) -> Iterator[Any]:
        raise InputError(f"{self._where} cannot be listed: a Bloom filter keeps no values", where=self._where)

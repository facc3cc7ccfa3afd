"""Program arrays: what tail calls jump to."""

from __future__ import annotations

from sys import byteorder

from bpfsmith.model.errors import InputError, KeyMissing, ValueMismatch
from bpfsmith.run.maps import bulk
from bpfsmith.run.maps.base import DELETE, EINVAL, ENOENT, LOOKUP, UPDATE
from bpfsmith.run.maps.slots import SlotTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["ProgArray"]


class ProgArray(SlotTable):
    """`prog_array`: index -> program.

        chain = bpf.maps["CHAIN"]
        chain[0] = bpf.programs["parse"]
        chain.fill([bpf.programs["parse"], bpf.programs["count"]])
        chain.chain()                       # {0: 'parse', 1: 'count'}

    Reading answers the id of the program there, `chain()` its name. The slots live only as long as something holds the
    map from user space: the loaded object, a descriptor or a pin. When the last of these goes, the kernel empties them,
    even if a program that uses the map stays attached: pin the map to keep the chain.
    """

    __slots__ = ()
    _indexed = True
    _what = "a loaded program or its descriptor"

    def _encode_value(self, value: Any) -> bytes:
        fd = getattr(value, "fd", value)
        number = fd.fileno() if hasattr(fd, "fileno") else fd
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ValueMismatch(f"value of map `{self.spec.name}`: expected {self._what}, got {value!r}")
        return number.to_bytes(4, byteorder)

    def _read(self, key: bytes, flags: int = 0) -> bytes | bytearray | None:
        out = bytearray(4)
        answer = self._element(LOOKUP, key, out, flags)
        if answer == -ENOENT:
            return None
        if answer < 0:
            raise self._refused("BPF_MAP_LOOKUP_ELEM", -answer)
        return out

    def _decode_value(self, raw: Any) -> int:
        return int.from_bytes(raw, byteorder)

    def _missing(self, key: Any) -> KeyMissing:
        if isinstance(key, int) and not 0 <= key < self.max_entries:
            last = self.max_entries - 1
            return KeyMissing(f"{self._where} has the slots 0 to {last}, not {key}", where=self._where)
        return KeyMissing(f"slot {key!r} of {self._where} is empty", where=self._where)

    def _not_stored(self, key: Any, errno: int, new: bool | None = None) -> Exception:
        if errno == EINVAL:
            return InputError(
                f"{self._where} does not take this program in slot {key!r}", where=self._where,
                hint="all programs of a chain have one type, and agree in being JIT-compiled and attached to one hook; "
                "programs that may not be called (such as extensions) never fit",
            )  # fmt: skip
        if errno == 7:
            return self._missing(key)
        return super()._not_stored(key, errno, new)

    def fill(self, programs: Iterable[Any], first: int = 0) -> None:
        """Stores programs in the slots from `first` on; `None` empties a slot. When one is refused, the slots are put
        back as they were."""
        wanted = list(programs)
        if first < 0 or first + len(wanted) > self.max_entries:
            raise InputError(
                f"{self._where} has {self.max_entries} slots: {len(wanted)} programs from {first} on do not fit",
                where=self._where,
            )
        before = {at: self._held(at) for at in range(first, first + len(wanted))}
        try:
            for at, program in enumerate(wanted, first):
                if program is None:
                    self._element(DELETE, at.to_bytes(4, byteorder), None)
                else:
                    self[at] = program
        except BaseException:
            for at, fd in before.items():
                if fd is None:
                    self._element(DELETE, at.to_bytes(4, byteorder), None)
                else:
                    self._element(UPDATE, at.to_bytes(4, byteorder), fd.fileno().to_bytes(4, byteorder))
            raise
        finally:
            for fd in before.values():
                if fd is not None:
                    fd.close()

    def replace(self, key: int, program: Any) -> int | None:
        """Puts another program into a slot, in one step for those that jump there; the id of the one before."""
        old = self.get(key)
        self[key] = program
        return old if isinstance(old, int) else None

    def _held(self, at: int) -> Any:
        """A descriptor of the program in a slot, to put it back."""
        from bpfsmith.kernel.info import open_id
        from bpfsmith.model.errors import BpfsmithError

        number = self.get(at)
        if number is None:
            return None
        try:
            return open_id("prog", number)
        except BpfsmithError:
            return None

    def chain(self) -> dict[int, str]:
        """Slot -> name of the program there; empty slots are left out."""
        from bpfsmith.kernel.info import open_id, program

        found = {}
        for at, number in self.items():
            with open_id("prog", number) as fd:
                found[at] = program(fd).get("name") or f"id {number}"
        return found

    def _rows(self, *, drain: bool = False, lock: bool = False) -> Any:
        del drain, lock
        # The kernel passes over what is empty: one walk.
        rows, _ = bulk.dump(self, bulk.Layout(4, 4))
        view = memoryview(rows).cast("I")
        return iter([(view[at], view[at + 1]) for at in range(0, len(view), 2)])

    def __iter__(self) -> Any:
        return (key for key, _ in self._rows())

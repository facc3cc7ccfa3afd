"""Per-CPU kinds: a value of each possible CPU under one key."""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.model.errors import ValueMismatch
from bpfsmith.run.maps.table import ArrayMap, HashMap, Table
from bpfsmith.run.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["PerCpu", "PerCpuArray", "PerCpuHash", "PerCpuTable", "cpu_list"]


class PerCpu(tuple):  # type: ignore[type-arg]
    """The values of one key, one per *possible* CPU: the kernel keeps them for CPUs that are offline or not plugged in
    too, so sums miss nothing that was counted before a CPU went away.

    `sum()`, `max()`, `min()` work on numbers, and field by field on records; `online()` answers those of the CPUs that
    run now."""

    __slots__ = ()

    def sum(self) -> Any:
        return self._over(sum)

    def max(self) -> Any:
        return self._over(max)

    def min(self) -> Any:
        return self._over(min)

    def mean(self) -> Any:
        return self._over(lambda values: sum(values) / len(values))

    def _over(self, function: Callable[[Any], Any]) -> Any:
        return _combine(list(self), function)

    def online(self) -> dict[int, Any]:
        """CPU number -> value, of the CPUs online now."""
        numbers = cpu_list("possible", len(self))
        running = set(cpu_list("online", len(self)))
        return {cpu: value for cpu, value in zip(numbers, self, strict=False) if cpu in running}

    def by_cpu(self) -> dict[int, Any]:
        """CPU number -> value, of all possible CPUs (their numbers may have gaps)."""
        return dict(zip(cpu_list("possible", len(self)), self, strict=False))


class Fields(dict):  # type: ignore[type-arg]
    """Sums of records, by field; also by attribute. Not a record: a sum of 32-bit counters may need more bits."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _combine(values: list[Any], function: Callable[[Any], Any]) -> Any:
    first = values[0]
    if isinstance(first, Record):
        return Fields((name, _combine([one[name] for one in values], function)) for name in first._fields)
    if isinstance(first, tuple):
        return tuple(_combine(list(column), function) for column in zip(*values, strict=True))
    if isinstance(first, (int, float)):
        return function([int(one) if isinstance(one, int) else one for one in values])
    return values[0] if all(one == first for one in values) else tuple(values)


def cpu_list(which: str, otherwise: int) -> list[int]:
    """Numbers of the `possible` or `online` CPUs; 0 to `otherwise - 1` where the kernel does not say."""
    try:
        text = kernel.door().read_text(f"/sys/devices/system/cpu/{which}").strip()
    except OSError:
        return list(range(otherwise))
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


class PerCpuTable(Table):
    """What per-CPU hashes and arrays share. `m[key]` answers a `PerCpu`; storing takes one value per possible CPU.
    `to_numpy()["value"]` has the shape `(entries, possible CPUs)`."""

    __slots__ = ()

    @property
    def possible_cpus(self) -> int:
        """How many values there are under each key."""
        return kernel.live().possible_cpus

    @property
    def _lanes(self) -> int:  # type: ignore[override]
        return self.possible_cpus

    @property
    def _step(self) -> int:
        return -(-self.spec.value_size // 8) * 8

    @property
    def _copied(self) -> int:
        return self._step * self.possible_cpus

    def _decode_value(self, raw: Any) -> Any:
        decode, step = self.value_type.decode, self._step
        return PerCpu([decode(raw, at) for at in range(0, len(raw), step)])

    def _encode_value(self, value: Any) -> bytes:
        count = self.possible_cpus
        shown = f"value of map `{self.spec.name}`"
        values = (
            [value[cpu] for cpu in cpu_list("possible", count) if cpu in value] if isinstance(value, dict) else value
        )
        if isinstance(values, (bytes, bytearray, memoryview)) and len(values) == self._copied:
            return bytes(values)
        if (
            isinstance(values, (str, bytes, bytearray, Record))
            or not hasattr(values, "__len__")
            or len(values) != count
        ):
            told = f"{len(values)} values" if values and isinstance(values, (list, tuple)) else repr(value)
            raise ValueMismatch(
                f"{shown}: expected {count} values, one per possible CPU, got {told}",
                hint=f"a counter that starts at x is `[x] + [0] * {count - 1}`; `fill(key, value)` stores one for all",
            )
        pad = bytes(self._step - self.spec.value_size)
        encode = self.value_type.encode
        return b"".join([encode(one, f"{shown}, CPU {at}") + pad for at, one in enumerate(values)])

    def fill(self, key: Any, value: Any) -> None:
        """Stores the same value for every CPU."""
        self[key] = [value] * self.possible_cpus

    def sum(self, key: Any) -> Any:
        """The sum over all possible CPUs; field by field for records."""
        return self[key].sum()

    def max(self, key: Any) -> Any:
        return self[key].max()

    def min(self, key: Any) -> Any:
        return self[key].min()

    def sums(self) -> dict[Any, Any]:
        """Key -> sum over all possible CPUs."""
        return {key: value.sum() for key, value in self.items()}


class PerCpuHash(PerCpuTable, HashMap):
    """`percpu_hash` and `lru_percpu_hash`."""

    __slots__ = ()


class PerCpuArray(PerCpuTable, ArrayMap):
    """`percpu_array`."""

    __slots__ = ()

"""Where XDP redirects to: devices and CPUs."""

from __future__ import annotations

from sys import byteorder

from bpfsmith.model.errors import TargetMissing, ValueMismatch
from bpfsmith.model.near import did_you_mean
from bpfsmith.run.maps.slots import SlotTable
from bpfsmith.run.record import Record
from bpfsmith.run.structs import Field, StructCodec
from bpfsmith.run.values import Codec, IntCodec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["CpuMap", "DevMap", "DevMapHash"]

_BIG = byteorder == "big"


def _value(first: str) -> StructCodec:
    u32 = IntCodec("u32", 4, False, _BIG)
    fields = [Field(first, 0, u32), Field("program", 32, u32)]
    return StructCodec("struct", "target", 8, fields, _BIG)


class _Targets(SlotTable):
    """A target, and a program that runs on what arrives there (when values have eight bytes: 5.8 and 5.9 on).

    Reading answers a record of the target and the id of its program (0: none)."""

    __slots__ = ()
    _first = ""

    @property
    def value_type(self) -> Codec:
        if self._value is None:
            u32 = IntCodec("u32", 4, False, _BIG)
            short = StructCodec("struct", "target", 4, [Field(self._first, 0, u32)], _BIG)
            self._value = _value(self._first) if self.spec.value_size == 8 else short
        return self._value

    def _target(self, value: Any) -> int:
        raise NotImplementedError

    def _encode_value(self, value: Any) -> bytes:
        program: Any = None
        if isinstance(value, Record):
            value = value[0]
        elif isinstance(value, dict):
            known = {self._first, "program"}
            for name in value:
                if name not in known:
                    raise ValueMismatch(f"{self._where}: no field `{name}`", hint=did_you_mean(str(name), known))
            value, program = value.get(self._first), value.get("program")
        elif isinstance(value, (tuple, list)):
            if len(value) != 2:
                raise ValueMismatch(f"{self._where}: expected {self._what}, or that and a program, got {value!r}")
            value, program = value
        number = self._target(value)
        if self.spec.value_size < 8:
            if program is not None:
                raise ValueMismatch(f"{self._where}: its values have 4 bytes: no room for a program")
            return number.to_bytes(4, byteorder)
        fd = getattr(program, "fd", program)
        said = fd.fileno() if hasattr(fd, "fileno") else fd or 0
        # 0 is no descriptor of a program here: none.
        return number.to_bytes(4, byteorder) + int(said).to_bytes(4, byteorder)

    def _read(self, key: bytes, flags: int = 0) -> bytes | bytearray | None:
        from bpfsmith.run.maps.table import Table

        return Table._read(self, key, flags)

    def _decode_value(self, raw: Any) -> Any:
        return self.value_type.decode(raw)


class _Devices(_Targets):
    __slots__ = ()
    _first = "ifindex"
    _what = "an interface's name or index"

    def _target(self, value: Any) -> int:
        if isinstance(value, str):
            from bpfsmith import kernel

            door = kernel.door()
            try:
                return door.interface_index(value)
            except OSError:
                names = [name for _, name in door.interfaces()]
                hint = did_you_mean(value, names, f"there are {', '.join(names)}")
                raise TargetMissing(f"no interface `{value}`", where=self._where, hint=hint) from None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
            raise ValueMismatch(f"value of map `{self.spec.name}`: expected {self._what}, got {value!r}")
        return value


class DevMap(_Devices):
    """`devmap`: interfaces by index: `m[0] = "eth0"`, `m[0] = ("eth0", bpf.programs["egress"])`."""

    __slots__ = ()
    _indexed = True


class DevMapHash(_Devices):
    """`devmap_hash`: interfaces by key (5.4+)."""

    __slots__ = ()


class CpuMap(_Targets):
    """`cpumap`: how many packets may wait for a CPU: `m[2] = 192`, `m[2] = (192, program)`; the index is the CPU."""

    __slots__ = ()
    _indexed = True
    _first = "qsize"
    _what = "a queue size in packets"

    def _target(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 16384:
            raise ValueMismatch(f"value of map `{self.spec.name}`: expected {self._what} (1 to 16384), got {value!r}")
        return value

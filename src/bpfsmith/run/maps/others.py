"""Kinds that are looked at rather than used: struct_ops values, arrays of instructions."""

from __future__ import annotations

from sys import byteorder

from bpfsmith import kernel
from bpfsmith.model.errors import InputError
from bpfsmith.run.codec import codec_for
from bpfsmith.run.maps.base import DELETE, ENOENT, LOOKUP, Map
from bpfsmith.run.maps.spec import map_info
from bpfsmith.run.maps.table import ArrayMap
from bpfsmith.run.structs import Field, StructCodec
from bpfsmith.run.values import Codec, IntCodec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["InsnArray", "StructOps"]

# enum bpf_struct_ops_state
STATES = ("init", "in use", "to be freed", "ready")


class StructOps(Map):
    """`struct_ops`: one value, a table of functions the kernel calls. `value` shows it as this kernel's type (pointers
    to programs read as their ids), `state` whether it is registered."""

    __slots__ = ()

    @property
    def value_type(self) -> Codec:
        if self._value is None:
            info = map_info(self._fd)
            number = info.vmlinux_value_type_id
            if number:
                self._value = codec_for(self._kernel_types(number, info.value_size), number, info.value_size)
            else:
                self._value = self._codec(self.spec.value_type, self.spec.value_size)
        return self._value

    def _kernel_types(self, number: int, size: int) -> Any:
        live = kernel.live()
        for btf in live.targets:  # a module's types have numbers of their own
            if number < btf.first_id + len(btf) and btf.kind(number) == "STRUCT" and btf.size_of(number) == size:
                return btf
        return live.btf

    def raw(self) -> bytes:
        out = bytearray(map_info(self._fd).value_size)
        answer = self._element(LOOKUP, bytes(4), out)
        if answer == -ENOENT:
            return bytes(out)  # never registered
        if answer < 0:
            raise self._refused("BPF_MAP_LOOKUP_ELEM", -answer)
        return bytes(out)

    @property
    def value(self) -> Any:
        """The whole value as a record; zeros before it was registered."""
        return self.value_type.decode(self.raw())

    @property
    def state(self) -> str:
        """`init`, `in use`, `to be freed` or `ready`."""
        raw = self.raw()
        number = int.from_bytes(raw[4:8], byteorder)
        return STATES[number] if number < len(STATES) else str(number)

    def unregister(self) -> None:
        """Takes it out of use, where it was registered without a link."""
        answer = self._element(DELETE, bytes(4), None)
        if answer == -ENOENT:
            raise InputError(f"{self._where} is not registered", where=self._where)
        if answer < 0:
            raise self._refused("BPF_MAP_DELETE_ELEM", -answer)


class InsnArray(ArrayMap):
    """`insn_array`: where instructions of a program went: records of `orig_off`, `xlated_off` (slots) and `jitted_off`
    (bytes) (6.19+)."""

    __slots__ = ()

    @property
    def value_type(self) -> Codec:
        if self._value is None and self.spec.value_size == 16:
            u32 = IntCodec("u32", 4, False, byteorder == "big")
            names = ("orig_off", "xlated_off", "jitted_off")
            fields = [Field(name, at * 32, u32) for at, name in enumerate(names)]
            self._value = StructCodec("struct", "insn", 16, fields, byteorder == "big")
        return super().value_type

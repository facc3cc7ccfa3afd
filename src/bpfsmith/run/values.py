"""The codecs of each kind of type; `bpfsmith.run.codec` builds them.

A `Codec` decodes to ints, floats, bools, `Text`, bytes, tuples and `Record`s, all hashable; it encodes from these, from
dicts, and from bytes of the exact size, with padding zeroed. What does not fit raises `ValueMismatch` naming the field,
its type, size and range.
"""

from __future__ import annotations

from operator import index
from struct import Struct
from struct import error as StructError  # noqa: N812

from bpfsmith.model.errors import ValueMismatch
from bpfsmith.model.near import did_you_mean
from bpfsmith.run.address import Ip, Mac, ip, mac
from bpfsmith.run.record import EnumValue, Record, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = [
    "AddressCodec",
    "ArrayCodec",
    "BytesCodec",
    "Codec",
    "EnumCodec",
    "FloatCodec",
    "IntCodec",
    "NothingCodec",
    "bytes_of",
]

_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}
_SIGNED = {1: "b", 2: "h", 4: "i", 8: "q"}
_FLOATS = {2: "e", 4: "f", 8: "d"}


class Codec:
    """One type. `size` in bytes, `name` as messages call it, `kind`: `int`, `bool`, `float`, `enum`, `char`, `text`,
    `bytes`, `array`, `struct`, `union`, `address` or `nothing`; `fields`: those of structs and unions, else empty."""

    __slots__ = ("_dtype", "_one", "align", "big", "code", "kind", "load", "name", "size")

    def __init__(self, kind: str, name: str, size: int, code: str, big: bool, align: int = 1) -> None:
        self.kind = kind
        self.name = name
        self.size = size
        self.code = code  # letter (or `16s`) of `struct` that reads the raw value
        self.big = big
        self.align = align
        self.load: Callable[[Any], Any] | None = None  # raw value -> value; None: the same
        self._one = Struct((">" if big else "<") + code)
        self._dtype: Any = None

    @property
    def fields(self) -> tuple[Any, ...]:
        return ()

    def decode(self, buffer: Any, offset: int = 0) -> Any:
        """The value at `offset` of a buffer; `ValueMismatch` when it is too short."""
        try:
            raw = self._one.unpack_from(buffer, offset)[0]
        except StructError:
            raise self._short(len(buffer) - offset) from None
        return raw if self.load is None else self.load(raw)

    def encode(self, value: Any, where: str = "") -> bytes:
        """`size` bytes; `ValueMismatch` names `where` and the field."""
        return self._one.pack(self.store(value, where))

    def store(self, value: Any, where: str) -> Any:
        """The raw value that `code` packs."""
        raise NotImplementedError

    @property
    def dtype(self) -> Any:
        """numpy's dtype of the same bytes, offsets and padding included; bit fields show as their storage."""
        if self._dtype is None:
            from bpfsmith.run.columns import numpy

            self._dtype = numpy().dtype(self._numpy())
        return self._dtype

    @property
    def has_bits(self) -> bool:
        """Whether bit fields are within: then `run.columns.expand` makes columns of them."""
        return False

    @property
    def mask(self) -> bytes:
        """Ones where a value has bits, zeros in padding."""
        return b"\xff" * self.size

    def _numpy(self) -> Any:
        return f"V{self.size}"

    def _short(self, have: int) -> ValueMismatch:
        return ValueMismatch(f"{self._named} needs {self.size} bytes, and {max(have, 0)} are there")

    @property
    def _named(self) -> str:
        return f"`{self.name}`"

    def _raw(self, value: Any) -> bytes | None:
        """The bytes of what is a buffer; None for anything else."""
        if value.__class__ is bytes or isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        return None

    def refuse(self, where: str, expected: str, value: Any, hint: str = "", got: str = "") -> ValueMismatch:
        """The one way to say that a value does not fit; `got` says first what is wrong about it."""
        shown = f"{got}: {value!r}" if got else repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        kind = "" if got or value.__class__ in (int, str, bytes, float) else f" ({type(value).__name__})"
        at = f"`{where}`: " if where and " " not in where else f"{where}: " if where else ""
        return ValueMismatch(f"{at}expected {expected}, got {shown}{kind}", hint=hint)

    def __repr__(self) -> str:
        return f"<Codec {self.name}: {self.size} bytes>"


class IntCodec(Codec):
    """Integers of 1 to 16 bytes; bools; code points of Rust's `char`."""

    __slots__ = ("_pack", "high", "low", "signed")

    def __init__(self, name: str, size: int, signed: bool, big: bool, kind: str = "int") -> None:
        code = "?" if kind == "bool" and size == 1 else (_SIGNED if signed else _UNSIGNED).get(size, f"{size}s")
        super().__init__(kind, name, size, code, big, size)
        self.signed = signed
        self.low = -(1 << size * 8 - 1) if signed else 0
        self.high = (1 << size * 8 - signed) - 1
        # What fits the bytes of a bool need not be one.
        self._pack = None if kind == "bool" else self._one.pack
        if size not in _UNSIGNED:
            self.load = lambda raw: int.from_bytes(raw, "big" if big else "little", signed=signed)
        if kind == "char":
            self.load = lambda raw: chr(raw) if raw < 0x110000 else raw
        elif kind == "bool" and size != 1:
            self.load = bool

    def encode(self, value: Any, where: str = "") -> bytes:
        pack = self._pack
        if pack is not None and value.__class__ is int:
            try:
                return pack(value)
            except StructError:
                pass  # said below
        return self._one.pack(self.store(value, where))

    @property
    def expects(self) -> str:
        if self.kind == "bool":
            return f"true or false (`{self.name}`, {bytes_of(self.size)})"
        return f"an integer {self.low} to {self.high} (`{self.name}`, {bytes_of(self.size)})"

    def store(self, value: Any, where: str) -> Any:
        try:
            number = index(value)
        except TypeError:
            number = self._other(value, where)
        if self.kind == "bool" and number not in (0, 1):
            raise self.refuse(where, self.expects, value)
        if not self.low <= number <= self.high:
            raise self.refuse(where, self.expects, value)
        if self.code[-1] == "s":
            return number.to_bytes(self.size, "big" if self.big else "little", signed=self.signed)
        return number

    def _other(self, value: Any, where: str) -> int:
        raw = self._raw(value)
        packed = getattr(value, "packed", None)
        if raw is None and isinstance(packed, bytes):
            raw = packed  # an address of `ipaddress`: its bytes in network order
        if raw is not None:
            if len(raw) != self.size:
                raise self.refuse(where, f"{self.expects} or exactly {bytes_of(self.size)}", value)
            return int.from_bytes(raw, "big" if self.big else "little", signed=self.signed)
        if self.kind == "char" and isinstance(value, str) and len(value) == 1:
            return ord(value)
        if isinstance(value, Record) and len(value) == 1:
            return int(self.store(value[0], where))
        hint = ""
        if isinstance(value, str):
            hint = f"for an address pass `bpfsmith.ip({value!r})`" if value.count(".") == 3 or ":" in value else ""
        raise self.refuse(where, self.expects, value, hint)

    def _numpy(self) -> Any:
        order = ">" if self.big else "<"
        if self.kind == "bool" and self.size == 1:
            return "?"
        if self.size in _UNSIGNED:
            return f"{order}{'i' if self.signed else 'u'}{self.size}"
        return (f"{order}u8", (self.size // 8,)) if self.size % 8 == 0 else f"V{self.size}"


class EnumCodec(IntCodec):
    """An enum: `EnumValue`s; from ints and names."""

    __slots__ = ("names", "values")

    def __init__(self, name: str, size: int, signed: bool, big: bool, pairs: Sequence[tuple[str, int]]) -> None:
        super().__init__(name, size, signed, big, "enum")
        self.names = dict(pairs)
        # The first of several names of one value is the one it is called.
        self.values = {number: EnumValue(number, text, name) for text, number in reversed(pairs)}
        load, known = self.load, self.values

        def named(raw: Any) -> EnumValue:
            number = raw if load is None else load(raw)
            found = known.get(number)
            return EnumValue(number, None, name) if found is None else found

        self.load = named

    @property
    def expects(self) -> str:
        some = ", ".join(list(self.names)[:6]) + (", ..." if len(self.names) > 6 else "")
        return f"one of {some} or an integer {self.low} to {self.high} (`{self.name}`, {bytes_of(self.size)})"

    def _other(self, value: Any, where: str) -> int:
        if isinstance(value, str):
            number = self.names.get(value)
            if number is None:
                raise self.refuse(where, self.expects, value, did_you_mean(value, self.names))
            return number
        inner = getattr(value, "value", None)  # a member of an enum.Enum
        if isinstance(inner, int):
            return inner
        return super()._other(value, where)


class FloatCodec(Codec):
    """IEEE floats of 2, 4 and 8 bytes."""

    __slots__ = ()

    def __init__(self, name: str, size: int, big: bool) -> None:
        super().__init__("float", name, size, _FLOATS[size], big, size)

    def store(self, value: Any, where: str) -> Any:
        expected = f"a number (`{self.name}`, {bytes_of(self.size)})"
        raw = self._raw(value)
        if raw is not None:
            if len(raw) != self.size:
                raise self.refuse(where, f"{expected} or exactly {bytes_of(self.size)}", value)
            return self._one.unpack(raw)[0]
        if isinstance(value, str) or not hasattr(value, "__float__"):
            raise self.refuse(where, expected, value)
        number = float(value)
        try:
            self._one.pack(number)
        except (OverflowError, StructError):
            raise self.refuse(where, expected, value, "it is too large for this type") from None
        return number

    def _numpy(self) -> Any:
        return f"{'>' if self.big else '<'}f{self.size}"


class BytesCodec(Codec):
    """Raw bytes: arrays of unsigned bytes, and types nothing is known about; `text`: arrays of `char`."""

    __slots__ = ()

    def __init__(self, name: str, size: int, big: bool, kind: str = "bytes") -> None:
        super().__init__(kind, name, size, f"{size}s", big)
        if kind == "text":
            self.load = Text

    def store(self, value: Any, where: str) -> bytes:
        text = self.kind == "text"
        if value.__class__ is Text:
            raw = value.raw
        elif isinstance(value, str):
            raw = value.encode("utf-8", "surrogateescape")
            if "\0" in value:
                raise self.refuse(where, f"text without NUL (`{self.name}`, {bytes_of(self.size)})", value)
            if len(raw) <= self.size:
                return raw.ljust(self.size, b"\0")
        else:
            raw = self._bytes(value, where)
        if len(raw) == self.size or (text and len(raw) < self.size):
            return raw.ljust(self.size, b"\0")
        expected = f"at most {bytes_of(self.size)} of text" if text else f"exactly {bytes_of(self.size)}"
        hint = ""
        if isinstance(value, str) and self.size in (4, 16) and (value.count(".") == 3 or ":" in value):
            hint = f"for an address pass `bpfsmith.ip({value!r})`"
        elif isinstance(value, str) and self.size == 6 and value.count(":") == 5:
            hint = f"for a hardware address pass `bpfsmith.mac({value!r})`"
        raise self.refuse(where, f"{expected} (`{self.name}`)", value, hint, bytes_of(len(raw)))

    def _bytes(self, value: Any, where: str) -> bytes:
        raw = self._raw(value)
        if raw is not None:
            return raw
        packed = getattr(value, "packed", None)
        if isinstance(packed, bytes):
            return packed
        try:
            if isinstance(value, (list, tuple)) or hasattr(value, "tobytes"):
                return bytes(value)
        except (TypeError, ValueError):
            pass
        raise self.refuse(where, f"{bytes_of(self.size)} (`{self.name}`)", value)

    def _numpy(self) -> Any:
        return f"S{self.size}" if self.kind == "text" else ("u1", (self.size,))


class AddressCodec(BytesCodec):
    """IPv4, IPv6 and hardware addresses where the user says that it is one: `ipv4`, `ipv6`, `mac`."""

    __slots__ = ("parse",)

    def __init__(self, name: str, big: bool) -> None:
        super().__init__(name, {"ipv4": 4, "ipv6": 16, "mac": 6}[name], big, "address")
        self.parse: Callable[[Any], bytes] = mac if name == "mac" else ip
        self.load = Mac if name == "mac" else Ip

    def store(self, value: Any, where: str) -> bytes:
        try:
            raw = bytes(self.parse(value))
        except ValueMismatch as error:
            raise self.refuse(where, f"an address (`{self.name}`, {bytes_of(self.size)})", value, error.hint) from None
        if len(raw) != self.size:
            raise self.refuse(where, f"an address of {bytes_of(self.size)} (`{self.name}`)", value)
        return raw


class NothingCodec(Codec):
    """No bytes at all: the value of a set, `()`."""

    __slots__ = ()

    def __init__(self, name: str = "void") -> None:
        super().__init__("nothing", name, 0, "0s", False)
        self.load = lambda _raw: None

    def store(self, value: Any, where: str) -> bytes:
        if value is None or value is True or value in (b"", ()):
            return b""
        raise self.refuse(where, f"nothing: `None` (`{self.name}`, 0 bytes)", value)


class ArrayCodec(Codec):
    """Arrays of anything but bytes: tuples."""

    __slots__ = ("_unpack", "count", "item")

    def __init__(self, item: Codec, count: int, big: bool) -> None:
        super().__init__("array", _of(item.name, count), item.size * count, f"{item.size * count}s", big, item.align)
        self.item = item
        self.count = count
        letters = f"{count}{item.code}" if len(item.code) == 1 else item.code * count
        unpack = self._unpack = Struct((">" if big else "<") + letters)
        load = item.load
        self.load = unpack.unpack if load is None else lambda raw: tuple(map(load, unpack.unpack(raw)))

    def store(self, value: Any, where: str) -> bytes:
        raw = self._raw(value)
        if raw is not None:
            if len(raw) == self.size:
                return raw
            raise self.refuse(where, f"exactly {bytes_of(self.size)} (`{self.name}`)", value)
        if isinstance(value, str) and self.item.size == 1 and len(value.encode()) <= self.count:
            return value.encode().ljust(self.size, b"\0")  # C's `char` as Rust spells it: `[i8; 16]`
        if isinstance(value, str) or not hasattr(value, "__len__") or isinstance(value, (dict, set)):
            raise self.refuse(where, f"{self.count} values (`{self.name}`)", value)
        if len(value) != self.count:
            raise self.refuse(where, f"{self.count} values (`{self.name}`)", value, "", f"{len(value)} values")
        return self._unpack.pack(*(self.item.store(one, f"{where}[{at}]") for at, one in enumerate(value)))

    @property
    def has_bits(self) -> bool:
        return self.item.has_bits

    @property
    def mask(self) -> bytes:
        return self.item.mask * self.count

    def _numpy(self) -> Any:
        return (self.item.dtype, (self.count,)) if self.size else "V0"


def _of(name: str, count: int) -> str:
    """`int[3]` two times is `int[2][3]`."""
    base, bracket, rest = name.partition("[")
    return f"{base}[{count}]{bracket}{rest}"


def bytes_of(size: int) -> str:
    """`1 byte`, `4 bytes`."""
    return f"{size} byte" if size == 1 else f"{size} bytes"

"""The codec of structs, unions and sections of variables: records of fields, bit fields and shared bytes included."""

from __future__ import annotations

from operator import index
from struct import Struct
from struct import error as StructError  # noqa: N812

from bpfsmith.model.errors import InputError, ValueMismatch
from bpfsmith.model.near import did_you_mean
from bpfsmith.run.record import Record, record_class
from bpfsmith.run.values import Codec, bytes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["Field", "StructCodec"]

_LOSSY = ("bool", "float")
# Fields the kernel keeps to itself: what user space stores there is left out, and reads as zeros.
_OF_THE_KERNEL = frozenset(f"struct bpf_{word}" for word in (
    "spin_lock", "res_spin_lock", "timer", "wq", "task_work", "list_head", "list_node", "rb_root", "rb_node",
    "refcount",
))  # fmt: skip


class Field:
    """One field of a struct or union: `offset` and `size` in bytes. A bit field is `bits` wide (0 for others) and lies
    at `shift` of the integer in these bytes; `bit` is its first bit as BTF counts."""

    __slots__ = ("bit", "bits", "codec", "name", "offset", "shift", "size")

    def __init__(self, name: str, bit: int, codec: Codec, bits: int = 0) -> None:
        self.name = name
        self.bit = bit
        self.codec = codec
        self.bits = bits
        self.offset = bit // 8
        self.size = (bit % 8 + bits + 7) // 8 if bits else codec.size
        # BTF counts from the lowest bit of a little-endian word, and from the highest of a big-endian one.
        self.shift = 0 if not bits else self.size * 8 - bit % 8 - bits if codec.big else bit % 8

    def __repr__(self) -> str:
        return f"<Field {self.name} at {self.offset}: {self.codec.name}{f' : {self.bits}' if self.bits else ''}>"

    def load(self, buffer: bytes, big: bool) -> Any:
        """Its value in the bytes of the struct."""
        codec = self.codec
        if not self.bits:
            return codec.decode(buffer, self.offset)
        word = int.from_bytes(buffer[self.offset : self.offset + self.size], "big" if big else "little")
        raw = word >> self.shift & (1 << self.bits) - 1
        if getattr(codec, "signed", False) and raw >> self.bits - 1:
            raw -= 1 << self.bits
        if codec.kind == "bool":
            return bool(raw)
        return codec.load(raw) if codec.kind == "enum" and codec.load else raw

    def save(self, buffer: bytearray, value: Any, big: bool, where: str) -> None:
        """Writes its value into the bytes of the struct."""
        codec = self.codec
        if not self.bits:
            buffer[self.offset : self.offset + self.size] = codec.encode(value, where)
            return
        try:
            number = index(value)
        except TypeError:
            number = codec.store(value, where)
        signed = bool(getattr(codec, "signed", False))
        low, high = (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if signed else (0, (1 << self.bits) - 1)
        if not low <= number <= high:
            raise codec.refuse(where, f"an integer {low} to {high} (`{codec.name}`, {self.bits} bits)", value)
        order = "big" if big else "little"
        mask = (1 << self.bits) - 1 << self.shift
        word = int.from_bytes(buffer[self.offset : self.offset + self.size], order)  # type: ignore[arg-type]
        word = word & ~mask | (number << self.shift & mask)
        buffer[self.offset : self.offset + self.size] = word.to_bytes(self.size, order)  # type: ignore[arg-type]

    @property
    def span(self) -> tuple[int, int]:
        """First bit and the bit after its last."""
        return self.bit, self.bit + (self.bits or self.size * 8)


class StructCodec(Codec):
    """Structs, unions, and sections of variables: `Record`s."""

    __slots__ = ("_fields", "_has_bits", "_loads", "_unpack", "by_name", "cls", "overlaps")

    def __init__(self, kind: str, name: str, size: int, fields: Sequence[Field], big: bool, align: int = 0) -> None:
        align = align or max((field.codec.align for field in fields), default=1)
        super().__init__(kind, name, size, f"{size}s", big, align)
        self._fields = tuple(fields)
        self.by_name = {field.name: field for field in fields}
        self.cls = record_class(_identifier(name), tuple(field.name for field in fields), self)
        if any(field.offset + field.size > size for field in fields):
            raise InputError(f"`{name}` has fields beyond its {size} bytes", where="BTF", hint="build the object again")
        self._has_bits = any(field.bits or field.codec.has_bits for field in fields)
        end, self.overlaps = 0, False
        for field in sorted(fields, key=lambda one: one.span):
            first, last = field.span
            self.overlaps |= first < end and last > first
            end = max(end, last)
        self._unpack: Struct | None = None
        self._loads: list[tuple[int, Callable[[Any], Any]]] = []
        in_order = list(fields) == sorted(fields, key=lambda one: one.offset)
        if in_order and not self.overlaps and not any(field.bits for field in fields):
            self._unpack = Struct((">" if big else "<") + self._format())
            self._loads = [(at, one.codec.load) for at, one in enumerate(fields) if one.codec.load is not None]
        self.load = self.decode

    def _format(self) -> str:
        text, at = "", 0
        for field in self._fields:
            text += f"{field.offset - at}x" * (field.offset > at) + field.codec.code
            at = max(at, field.offset + field.size)  # a flexible array of no bytes may stand anywhere
        return text + f"{self.size - at}x" * (self.size > at)

    @property
    def fields(self) -> tuple[Field, ...]:
        return self._fields

    @property
    def has_bits(self) -> bool:
        return self._has_bits

    def decode(self, buffer: Any, offset: int = 0) -> Any:
        if self._unpack is None:
            raw = bytes(buffer[offset : offset + self.size])
            if len(raw) < self.size:
                raise self._short(len(raw))
            return tuple.__new__(self.cls, [field.load(raw, self.big) for field in self._fields])
        try:
            values = self._unpack.unpack_from(buffer, offset)
        except StructError:
            raise self._short(len(buffer) - offset) from None
        if not self._loads:
            return tuple.__new__(self.cls, values)
        changed = list(values)
        for at, load in self._loads:
            changed[at] = load(changed[at])
        return tuple.__new__(self.cls, changed)

    def decode_all(self, buffer: Any) -> list[Any]:
        """Records one after the other in a buffer of whole ones; the fastest way to many."""
        if self._unpack is None or self._loads or not self.size:
            return [self.decode(buffer, at) for at in range(0, len(buffer), self.size or 1)]
        new, cls = tuple.__new__, self.cls
        return [new(cls, values) for values in self._unpack.iter_unpack(buffer)]

    def encode(self, value: Any, where: str = "") -> bytes:
        return self.store(value, where)

    def store(self, value: Any, where: str) -> bytes:
        if isinstance(value, dict):
            return self._from_names(value, where)
        if isinstance(value, Record):
            return self._from_record(value, where)
        raw = self._raw(value)
        if raw is None and getattr(value, "dtype", None) is not None and getattr(value, "shape", None) == ():
            raw = value.tobytes()  # a numpy.void of the same layout
        if raw is None and isinstance(getattr(value, "packed", None), bytes):
            raw = value.packed
        if raw is not None:
            if len(raw) != self.size:
                expected = f"exactly {bytes_of(self.size)} (`{self.name}`)"
                raise self.refuse(where, expected, value, "", bytes_of(len(raw)))
            return raw
        if isinstance(value, (tuple, list)):
            return self._from_order(value, where)
        names = getattr(value, "__dataclass_fields__", None)
        if names is not None:
            return self._from_names({name: getattr(value, name) for name in names}, where)
        sized = [field for field in self._fields if field.size]
        if len(sized) == 1 and not isinstance(value, (str, set)):
            # A newtype: `struct Id(u32)` from 5; fields without size (Rust's `MaybeUninit`, markers) say nothing.
            return self._from_names({sized[0].name: value}, where)
        raise self.refuse(where, self._expects(), value)

    def _expects(self) -> str:
        names = [field.name for field in self._fields]
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        return f"a dict, tuple or record with {shown} (`{self.name}`, {bytes_of(self.size)})"

    def _from_record(self, value: Record, where: str) -> bytes:
        if type(value) is self.cls:
            return self._from_order(value, where)
        return self._from_names(dict(zip(value._fields, value, strict=True)), where)

    def _from_order(self, values: Any, where: str) -> bytes:
        fields = self._fields
        if len(values) != len(fields):
            raise self.refuse(where, f"{len(fields)} values, {self._expects()}", values, "", f"{len(values)} values")
        if self._unpack is not None:
            pairs = zip(fields, values, strict=True)
            return self._unpack.pack(*(field.codec.store(one, _inside(where, field.name)) for field, one in pairs))
        given = dict(zip((field.name for field in fields), values, strict=True))
        return (
            self._merge(given, where, values.__class__ is not self.cls) if self.overlaps else self._write(given, where)
        )

    def _from_names(self, value: dict[str, Any], where: str) -> bytes:
        for name in value:
            if name not in self.by_name:
                hint = did_you_mean(str(name), self.by_name, f"it has {', '.join(list(self.by_name)[:12])}")
                at = f"{where}: " if where else ""
                raise ValueMismatch(f"{at}`{self.name}` has no field `{name}`", hint=hint)
        if len(value) < len(self._fields):
            self._missing(value, where)
        return self._write(value, where)

    def _missing(self, value: dict[str, Any], where: str) -> None:
        """Every byte of every field must be said; fields of a union that share bytes with a given one are."""
        given = [self.by_name[name].span for name in value]
        lacking = []
        for field in self._fields:
            first, last = field.span
            if field.codec.name in _OF_THE_KERNEL:
                continue
            if field.name not in value and first < last and not any(a < last and first < b for a, b in given):
                lacking.append(field)
        if lacking:
            # Of a union any one member will do.
            word = "one of the fields" if self.kind == "union" else "field" if len(lacking) == 1 else "fields"
            names = ", ".join(f"`{field.name}`" for field in lacking)
            raise ValueMismatch(
                f"{where + ': ' if where else ''}`{self.name}` lacks {word} {names}",
                hint=f"give {lacking[0].name}={lacking[0].codec.name} and so on, or all {self.size} bytes",
            )

    def _write(self, value: dict[str, Any], where: str) -> bytes:
        if self.overlaps:
            return self._merge(value, where)
        out = bytearray(self.size)
        for name, one in value.items():
            self.by_name[name].save(out, one, self.big, _inside(where, name))
        return bytes(out)

    def _merge(self, value: dict[str, Any], where: str, strict: bool = True) -> bytes:
        """Fields that share bytes: each writes only what it means, not its padding, and all must say the same.

        What was decoded agrees by its origin (not `strict`), but for a bool or float that stood for other bytes than it
        encodes to: those count last."""
        whole = said = 0
        rows = value.items()
        for name, one in rows if strict else sorted(rows, key=lambda row: self.by_name[row[0]].codec.kind in _LOSSY):
            field = self.by_name[name]
            out = bytearray(self.size)
            field.save(out, one, self.big, _inside(where, name))
            number, mask = int.from_bytes(out, "little"), self._mask(field)
            if strict and (whole ^ number) & said & mask:
                raise ValueMismatch(
                    f"{_inside(where, name)}: shares its bytes in `{self.name}` with a field given another value",
                    hint="give only one field of a union",
                )
            whole |= number & mask & ~said
            said |= mask
        return whole.to_bytes(self.size, "little")

    def _mask(self, field: Field) -> int:
        """The bits of the struct's bytes that a field means, the first byte lowest."""
        if not field.bits:
            return int.from_bytes(field.codec.mask, "little") << field.offset * 8
        word = ((1 << field.bits) - 1 << field.shift).to_bytes(field.size, "big" if self.big else "little")
        return int.from_bytes(word, "little") << field.offset * 8

    @property
    def mask(self) -> bytes:
        mask = 0
        for field in self._fields:
            mask |= self._mask(field)
        return mask.to_bytes(self.size, "little")

    def changed(self, record: Record, changes: dict[str, Any]) -> Record:
        """`record` with some fields written anew."""
        out = bytearray(self._from_order(record, ""))
        for name, one in changes.items():
            if name not in self.by_name:
                raise ValueMismatch(f"`{self.name}` has no field `{name}`", hint=did_you_mean(name, self.by_name))
            self.by_name[name].save(out, one, self.big, name)
        made: Record = self.decode(bytes(out))
        return made

    def _numpy(self) -> Any:
        names: list[str] = []
        formats: list[Any] = []
        offsets: list[int] = []
        for field in self._fields:
            if field.bits:
                name = f"_bits{field.offset}"
                if name in names:
                    at = names.index(name)
                    formats[at] = max(formats[at], f"V{field.size}", key=lambda text: int(text[1:]))
                    continue
                names.append(name)
                formats.append(f"V{field.size}")
            elif field.size:
                names.append(field.name)
                formats.append(field.codec.dtype)
            else:
                continue
            offsets.append(field.offset)
        if not names:
            return f"V{self.size}"
        return {"names": names, "formats": formats, "offsets": offsets, "itemsize": self.size}


def _inside(where: str, name: str) -> str:
    if not where:
        return name
    return (
        f"{where}.{name}"
        if " " not in where
        else f"{where}, field {name}"
        if ", field " not in where
        else f"{where}.{name}"
    )


def _identifier(name: str) -> str:
    """The name of a record's class."""
    if name.startswith("("):
        return "Tuple"
    word = name.partition("<")[0].rpartition(" ")[2].rpartition("::")[2]
    return word if word.isidentifier() else "".join(c if c.isalnum() else "_" for c in word) or "Record"

"""What typed values are decoded to: records of structs and unions, texts of `char` arrays, named values of enums."""

from __future__ import annotations

from operator import itemgetter

from bpfsmith.model.errors import UnknownName
from bpfsmith.model.near import did_you_mean

try:  # What namedtuple itself uses: five times as fast as a property.
    from _collections import _tuplegetter  # type: ignore[import-not-found]
except ImportError:  # pragma: no cover

    def _tuplegetter(index: int, doc: str) -> property:
        return property(itemgetter(index), doc=doc)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpfsmith.run.structs import StructCodec

__all__ = ["EnumValue", "Record", "Text", "record_class"]


class Record(tuple):  # type: ignore[type-arg]
    """One struct or union: a tuple of its fields in declared order, also by attribute and by name.

    >>> from bpfsmith.run.codec import parse_type
    >>> codec = parse_type([("packets", "u64"), ("port", "u16")])
    >>> count = codec.decode(codec.encode({"packets": 3, "port": 80}))
    >>> count, count.port, count["packets"], count[0], count == (3, 80)
    (Record(packets=3, port=80), 80, 3, 3, True)
    >>> count._replace(port=443)._asdict()
    {'packets': 3, 'port': 443}

    A field whose name Python cannot spell as an attribute (`in`) is there by name. Records are values: changing one
    means `_replace` and storing it again. Anonymous structs and unions within a struct lend it their fields; fields of
    a union all show the same bytes.
    """

    __slots__ = ()
    _fields: tuple[str, ...] = ()
    _codec: StructCodec
    _places: Mapping[str, int]

    def __getitem__(self, key: Any) -> Any:
        if key.__class__ is str:
            place = self._places.get(key)
            if place is None:
                raise UnknownName(f"`{self._codec.name}` has no field `{key}`", hint=did_you_mean(key, self._fields))
            return tuple.__getitem__(self, place)
        return tuple.__getitem__(self, key)

    def __getattr__(self, name: str) -> Any:
        # Only reached for what is no field; copy, pickle and the like probe for dunder names.
        hint = "" if name.startswith("__") else did_you_mean(name, self._fields)
        raise AttributeError(f"`{self._codec.name}` has no field `{name}`" + (f" ({hint})" if hint else ""))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, dict):
            return self._asdict() == other
        return tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__

    def __repr__(self) -> str:
        name = type(self).__name__
        if self._fields and all(field[:2] == "__" and field[2:].isdigit() for field in self._fields):
            # A Rust tuple or newtype.
            inside = ", ".join(map(repr, self))
            return f"{name}({inside})" if name != "Tuple" else f"({inside})"
        fields = ", ".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
        return f"{name}({fields})"

    def _asdict(self) -> dict[str, Any]:
        """Field name -> value, records within as dicts too."""
        return {name: _plain(value) for name, value in zip(self._fields, self, strict=True)}

    def _replace(self, **changes: Any) -> Record:
        """The same record with other values in these fields; what shares bytes with them changes along."""
        return self._codec.changed(self, changes)

    def __reduce__(self) -> tuple[Any, ...]:
        # A record's class belongs to its map; elsewhere it is an ordinary tuple.
        return (tuple, (tuple(self),))

    def __copy__(self) -> Record:
        return self

    def __deepcopy__(self, memo: object) -> Record:
        return self


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value._asdict()
    if value.__class__ is tuple:
        return [_plain(one) for one in value]
    return value


# What `Record` and tuples need for themselves; fields of these names are there by name only.
_KEPT = frozenset(name for name in dir(Record) if name.startswith("__")) | {
    "_asdict",
    "_codec",
    "_fields",
    "_places",
    "_replace",
}


def record_class(name: str, fields: tuple[str, ...], codec: StructCodec) -> type[Record]:
    """A `Record` for one type."""
    body: dict[str, Any] = {
        "__slots__": (),
        "_fields": fields,
        "_codec": codec,
        "_places": {field: place for place, field in enumerate(fields)},
    }
    for place, field in enumerate(fields):
        if field not in _KEPT:
            body[field] = _tuplegetter(place, field)
    return type(name, (Record,), body)


class Text(str):
    """A `char` array: what stands before its first NUL; `raw` holds all its bytes.

    Compares as a plain string with strings, by all bytes with another `Text`: two keys that differ only after the NUL
    stay two keys.
    """

    __slots__ = ("raw",)
    raw: bytes

    def __new__(cls, raw: bytes) -> Text:
        text = str.__new__(cls, raw.partition(b"\0")[0].decode("utf-8", "surrogateescape"))
        text.raw = raw
        return text

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Text) else str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return (Text, (self.raw,))


class EnumValue(int):
    """A value of a C or Rust enum: an int that knows its name (`None`: no enumerator has this value)."""

    name: str | None
    enum: str

    def __new__(cls, value: int, name: str | None, enum: str) -> EnumValue:
        self = int.__new__(cls, value)
        self.name = name
        self.enum = enum
        return self

    def __repr__(self) -> str:
        return f"{self.name}={int(self)}" if self.name else str(int(self))

    def __str__(self) -> str:
        return self.name or str(int(self))

    def __format__(self, spec: str) -> str:
        return format(str(self), spec) if not spec or spec[-1:] == "s" else int(self).__format__(spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return (EnumValue, (int(self), self.name, self.enum))

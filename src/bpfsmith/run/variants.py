"""Rust enums that carry data, as rustc describes them in BTF: a union of variants, and a tag.

BTF tells the order of the variants, not the tag of each: it is taken to be the position, which it is unless the enum
gives discriminants of its own. Where the tag lies inside a payload (`Option<NonZeroU32>`, `Option<bool>`), a value the
payload cannot have stands for a variant without data, as rustc chooses it.
"""

from __future__ import annotations

from bpfsmith.model.near import did_you_mean
from bpfsmith.run.record import Record
from bpfsmith.run.structs import Field, StructCodec
from bpfsmith.run.values import Codec, EnumCodec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["Variant", "VariantCodec"]


class Variant(Record):
    """One variant and its fields: `variant` is its name. `Y(7)` is equal to `("Y", 7)`, `{"Y": 7}` and, without data,
    to `"Y"`; two variants are equal only when they are the same one."""

    __slots__ = ()
    variant = ""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Variant):
            return self.variant == other.variant and tuple.__eq__(self, other)
        if isinstance(other, str):
            return not len(self) and self.variant == other
        inner: Any = self[0] if len(self) == 1 else tuple(self)
        return other in ((self.variant, inner), {self.variant: inner})

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.variant) if not len(self) else hash((self.variant, tuple(self)))

    def __repr__(self) -> str:
        return Record.__repr__(self) if len(self) else self.variant


class VariantCodec(Codec):
    """Decodes to `Variant`s; `Option<T>` to `None` or what is in it. Encodes from these, from `"Z"`, `("X", 7)` and
    `{"X": 7}`."""

    __slots__ = ("_niche", "names", "option", "tag", "variants")

    def __init__(
        self,
        name: str,
        size: int,
        tag: Field,
        variants: Sequence[tuple[str, StructCodec]],
        big: bool,
        align: int,
    ) -> None:
        super().__init__("variant", name, size, f"{size}s", big, align)
        self.tag = tag
        self.variants = list(variants)
        self.names = {text: at for at, (text, _) in enumerate(self.variants)}
        for text, codec in self.variants:
            body = {"__slots__": (), "variant": text}
            codec.cls = type(text, (Variant, codec.cls), body)
        self.option = set(self.names) == {"None", "Some"} and name.startswith("Option<")
        self._niche = self._find_niche()
        self.load = self._decode

    def _find_niche(self) -> tuple[int, int] | None:
        """(the variant with data, first tag that stands for one without) when tag and data share bytes."""
        for at, (_, codec) in enumerate(self.variants):
            for field in codec.fields:
                first, last = field.span
                if field.size and first < self.tag.span[1] and self.tag.span[0] < last:
                    return at, _first_invalid(field, self.tag, field.offset)
        return None

    def _which(self, raw: bytes) -> int | None:
        number: int = self.tag.load(raw, self.big)
        if self._niche is None:
            return number if 0 <= number < len(self.variants) else None
        data, first = self._niche
        others = [at for at in range(len(self.variants)) if at != data]
        return others[number - first] if 0 <= number - first < len(others) else data

    def _decode(self, raw: bytes) -> Any:
        at = self._which(raw)
        if at is None:
            return raw  # a tag no variant has: the bytes, which can be stored again
        text, codec = self.variants[at]
        if self.option:
            return None if text == "None" else codec.decode(raw)[0]
        return codec.decode(raw)

    def store(self, value: Any, where: str) -> bytes:
        raw = self._raw(value)
        if raw is not None and len(raw) == self.size:
            return raw
        if self.option and not (isinstance(value, Variant) and value.variant in self.names):
            name, inner = ("None", ()) if value is None else ("Some", (value,))
        elif isinstance(value, Variant):
            name, inner = value.variant, tuple(value)
        elif isinstance(value, str):
            name, inner = value, ()
        elif isinstance(value, dict) and len(value) == 1:
            ((name, inner),) = value.items()
        elif isinstance(value, tuple) and value and isinstance(value[0], str):
            name, inner = value[0], value[1] if len(value) == 2 else value[1:]
        else:
            raise self.refuse(where, self._expects(), value)
        at = self.names.get(name)
        if at is None:
            raise self.refuse(where, self._expects(), value, did_you_mean(name, self.names))
        codec = self.variants[at][1]
        if not isinstance(inner, (tuple, list, dict)):
            inner = (inner,)
        out = bytearray(codec.store(inner, f"{where}, field {name}" if " " in where else f"{where}.{name}".strip(".")))
        self._put_tag(out, at)
        return bytes(out)

    def _put_tag(self, out: bytearray, at: int) -> None:
        if self._niche is not None and at == self._niche[0]:
            return
        number = at
        if self._niche is not None:
            data, first = self._niche
            number = first + [one for one in range(len(self.variants)) if one != data].index(at)
        size = self.tag.size
        number &= (1 << size * 8) - 1
        out[self.tag.offset : self.tag.offset + size] = number.to_bytes(size, "big" if self.big else "little")

    def _expects(self) -> str:
        return f"one of the variants {', '.join(self.names)} (`{self.name}`, {self.size} bytes)"

    def _numpy(self) -> Any:
        names, formats, offsets = ["tag"], [self.tag.codec.dtype], [self.tag.offset]
        for text, codec in self.variants:
            if codec.fields:
                names.append(text)
                formats.append(codec.dtype)
                offsets.append(0)
        return (
            {"names": names, "formats": formats, "offsets": offsets, "itemsize": self.size}
            if names
            else f"V{self.size}"
        )


def _first_invalid(field: Field, tag: Field, base: int) -> int:  # noqa: PLR0911 - a table of kinds
    """The first number at the tag's place that the payload there never is; beyond all numbers when nothing is known."""
    codec = field.codec
    if codec.name.split("<")[0].rpartition(" ")[2].startswith(("NonZero", "NonNull", "Box", "&")):
        return 0
    if codec.kind == "bool":
        return 2
    if codec.kind == "char":
        return 0x110000
    if isinstance(codec, EnumCodec):
        return max(codec.names.values(), default=-1) + 1
    if codec.name.endswith("*"):
        return 0
    for inner in codec.fields:
        if base + inner.offset <= tag.offset < base + inner.offset + inner.size:
            return _first_invalid(inner, tag, base + inner.offset)
    return 1 << 130  # nothing is known: whatever is there is data

"""Typed values: between the bytes of a key, value, global or event and Python.

`codec_for(btf, type_id, size)` follows an object's types; `parse_type(spec)` takes what a user writes where there are
none. What codecs do stands in `bpfsmith.run.values`.
"""

from __future__ import annotations

import sys
from struct import calcsize
from struct import error as StructError  # noqa: N812

from bpfsmith.model.errors import InputError, UnknownName, ValueMismatch
from bpfsmith.model.near import did_you_mean
from bpfsmith.run.record import EnumValue, Record, Text
from bpfsmith.run.structs import Field, StructCodec
from bpfsmith.run.values import (
    AddressCodec,
    ArrayCodec,
    BytesCodec,
    Codec,
    EnumCodec,
    FloatCodec,
    IntCodec,
    NothingCodec,
)
from bpfsmith.run.variants import Variant, VariantCodec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Btf

__all__ = [
    "Codec",
    "EnumValue",
    "Field",
    "Record",
    "StructCodec",
    "Text",
    "Variant",
    "codec_for",
    "parse_type",
    "plain_codec",
    "readable",
]

_BIG = sys.byteorder == "big"


def codec_for(btf: Btf | None, type_id: int, size: int) -> Codec:
    """The codec of a BTF type that takes `size` bytes; without a type (`btf` None or id 0) an unsigned integer of 1, 2,
    4 or 8 bytes, else bytes.

    A flexible array at the end of a struct is made to fill the size. `InputError` when the type has another size.
    """
    if btf is None or type_id == 0:
        return plain_codec(size)
    return _Types(btf).codec(type_id, size if size > 0 else -1)  # ring buffers declare a type and no size


def plain_codec(size: int, big: bool = _BIG) -> Codec:
    """What is known of a size alone."""
    if size == 0:
        return NothingCodec()
    if size in (1, 2, 4, 8):
        return IntCodec(f"u{size * 8}", size, False, big)
    return BytesCodec(f"u8[{size}]", size, big)


class _Types:
    """One walk over a BTF; types met twice are made once."""

    __slots__ = ("big", "btf", "depth", "made")

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.big = btf.big_endian
        self.made: dict[int, Codec] = {}
        self.depth = 0

    def codec(self, type_id: int, size: int = -1) -> Codec:
        found = self.made.get(type_id)
        if found is None or 0 <= size != found.size:
            # Types may refer to themselves by pointers only, which are not followed.
            if self.depth > 64:
                raise InputError("types are nested too deeply", where="BTF", hint="build the object again")
            self.depth += 1
            try:
                found = self._make(type_id, size)
            finally:
                self.depth -= 1
            self.made.setdefault(type_id, found)
        if 0 <= size != found.size:
            raise InputError(
                f"the type `{found.name}` takes {found.size} bytes, but {size} are declared",
                where="BTF",
                hint="the object's types disagree with its maps: build it again, or give the type as `dtype=`",
            )
        return found

    def _make(self, type_id: int, size: int) -> Codec:  # noqa: PLR0911 - a table of kinds
        named = self._name(type_id)
        real = self.btf.resolve(type_id)
        if real == 0:
            return NothingCodec()
        row: dict[str, Any] = self.btf.type(real)
        kind = row["kind"]
        name = named or str(row.get("name") or "")
        if kind in ("STRUCT", "UNION"):
            return self._struct(kind, row, name, size)
        if kind == "DATASEC":
            return self._section(row, size)
        if kind == "ARRAY":
            return self._array(row, int(row["nr_elems"]))
        if kind == "PTR":
            width = 8 if size < 0 else size
            return IntCodec(f"{self._target(row)} *", width, False, self.big)
        if kind == "FWD":
            return BytesCodec(f"struct {name}", max(size, 0), self.big)
        if kind == "VAR":
            return self.codec(int(row["type"]), size)
        return self._scalar(kind, row, name)

    def _scalar(self, kind: str, row: dict[str, Any], name: str) -> Codec:
        width = int(row.get("size") or 0)
        encoding = str(row.get("encoding", ""))
        if kind in ("ENUM", "ENUM64"):
            pairs = [(str(one["name"]), int(one["val"])) for one in row["values"]]
            # A value of an older compiler's enum is signed as soon as one of its names is.
            signed = encoding == "SIGNED" or any(number < 0 for _, number in pairs)
            return EnumCodec(f"enum {row['name']}" if row["name"] else name or "enum", width, signed, self.big, pairs)
        if kind == "FLOAT":
            return FloatCodec(name, width, self.big) if width in (2, 4, 8) else BytesCodec(name, width, self.big)
        if kind != "INT" or not 0 < width <= 16:
            return BytesCodec(name, width, self.big) if width else NothingCodec(name or "()")
        if encoding == "BOOL":
            return IntCodec(name, width, False, self.big, "bool")
        if row["name"] == "char" and width == 4:
            return IntCodec(name, width, False, self.big, "char")
        return IntCodec(name, width, encoding == "SIGNED", self.big)

    def _array(self, row: dict[str, Any], count: int) -> Codec:
        item = int(row["type"])
        real = self.btf.resolve(item)
        element: dict[str, Any] = self.btf.type(real) if real else {"kind": "VOID", "name": "void"}
        name = self._name(item) or str(element["name"])
        if element["kind"] == "INT" and element["size"] == 1:
            if element["name"] == "char" or element.get("encoding") == "CHAR":
                return BytesCodec(f"{name}[{count}]", count, self.big, "text")
            if element.get("encoding") == "(none)":
                return BytesCodec(f"{name}[{count}]", count, self.big)
        codec = self.codec(item)
        if codec.size * count > 1 << 30 or count > 1 << 24:
            raise InputError(f"an array of {count} `{codec.name}` fits into no map", where="BTF")
        return ArrayCodec(codec, count, self.big)

    def _struct(self, kind: str, row: dict[str, Any], name: str, size: int) -> Codec:
        variants = self._variants(row, name)
        if variants is not None:
            return variants
        fields: list[Field] = []
        self._members(row, 0, fields)
        if kind == "STRUCT" and str(row["name"]).startswith("NonZero") and len(fields) == 1:
            inner = fields[0].codec  # core::num::NonZero<u32>: an integer
            if isinstance(inner, IntCodec):
                return IntCodec(readable(str(row["name"])), inner.size, inner.signed, self.big)
        whole = int(row["size"])
        if size > whole and row["members"]:
            last = row["members"][-1]
            array = self._row(int(last["type"]))
            place = int(last["bits_offset"]) // 8
            if array["kind"] == "ARRAY" and not array["nr_elems"]:
                one = self.codec(int(array["type"])).size
                if one and (size - place) % one == 0:
                    longer = self._array(array, (size - place) // one)
                    fields = [field for field in fields if field.name != last["name"]]
                    fields.append(Field(str(last["name"]), int(last["bits_offset"]), longer))
                    whole = size
        word = "struct" if kind == "STRUCT" else "union"
        shown = readable(str(row["name"]) or name)
        # A Rust type is called by its path, a C one with its keyword.
        title = shown if "<" in shown or "(" in shown else f"{word} {shown}".strip()
        return StructCodec(word, title, whole, fields, self.big)

    def _variants(self, row: dict[str, Any], name: str) -> Codec | None:
        """A Rust enum with data: only a nameless union, of structs and (nameless too) their tag."""
        if row["kind"] != "STRUCT" or len(row["members"]) != 1 or row["members"][0]["name"]:
            return None
        union = self._row(int(row["members"][0]["type"]))
        if union["kind"] != "UNION":
            return None
        tag, variants, size = None, [], int(row["size"])
        for member in union["members"]:
            inner = self._row(int(member["type"]))
            if not member["name"] and inner["kind"] in ("INT", "ENUM", "ENUM64"):
                tag = Field("tag", int(member["bits_offset"]), self.codec(int(member["type"])))
            elif inner["kind"] == "STRUCT" and inner["name"] == member["name"]:
                fields: list[Field] = []
                self._members(inner, 0, fields)
                variants.append(
                    (str(member["name"]), StructCodec("struct", str(member["name"]), size, fields, self.big))
                )
            else:
                return None
        if tag is None:
            return None
        align = max([tag.codec.align, *(codec.align for _, codec in variants)])
        return VariantCodec(readable(str(row["name"]) or name), size, tag, variants, self.big, align)

    def _members(self, row: dict[str, Any], base: int, out: list[Field]) -> None:
        for member in row["members"]:
            type_id, bit, bits = int(member["type"]), base + int(member["bits_offset"]), int(member["bitfield_size"])
            name = str(member["name"])
            inner = self._row(type_id)
            if not name and inner["kind"] in ("STRUCT", "UNION"):
                self._members(inner, bit, out)
            elif name:
                # rustc's `char` has no type in BTF, and nothing else is a member without one.
                codec = self.codec(type_id) if type_id else IntCodec("char", 4, False, self.big, "char")
                # Before `kind_flag` a bit field was an integer type with fewer bits than its bytes.
                if not bits and inner["kind"] == "INT" and 0 < int(inner["nr_bits"]) < int(inner["size"]) * 8:
                    bits, bit = int(inner["nr_bits"]), bit + int(inner["bits_offset"])
                if any(field.name == name for field in out):
                    continue
                out.append(Field(name, bit, codec, bits if bits < codec.size * 8 or bit % 8 else 0))

    def _section(self, row: dict[str, Any], size: int) -> Codec:
        fields = []
        for var in row["vars"]:
            declared: dict[str, Any] = self.btf.type(int(var["type"]))
            if declared["kind"] == "VAR":
                codec = self.codec(int(declared["type"]), int(var["size"]))
                fields.append(Field(str(declared["name"]), int(var["offset"]) * 8, codec))
        end = max((field.offset + field.size for field in fields), default=0)
        fields.sort(key=lambda field: field.bit)
        return StructCodec(
            "struct", str(row["name"]), size if size >= end else int(row["size"]) or end, fields, self.big, 8
        )

    def _row(self, type_id: int) -> dict[str, Any]:
        real = self.btf.resolve(type_id)
        return self.btf.type(real) if real else {"kind": "VOID", "name": "void"}

    def _target(self, row: dict[str, Any]) -> str:
        target = int(row["type"])
        return (self._name(target) or self.btf.name(target) or "?") if target else "void"

    def _name(self, type_id: int) -> str:
        """The first typedef's name on the way to the type behind."""
        for _ in range(32):
            row: dict[str, Any] = self.btf.type(type_id) if type_id else {}
            kind = row.get("kind")
            if kind in ("TYPEDEF",):
                return str(row["name"])
            if kind not in ("CONST", "VOLATILE", "RESTRICT", "TYPE_TAG", "VAR"):
                return str(row.get("name") or "")
            type_id = int(row["type"])
        return ""


def readable(name: str) -> str:
    """A Rust name as it was before the linker replaced what the kernel does not take: `Option_3C_u32_3E_` was
    `Option<u32>`."""
    parts = name.split("_")
    for at in range(1, len(parts) - 1):
        sign = _SIGNS.get(parts[at])
        if sign is not None:
            parts[at] = f"\0{sign}\0"
    return "_".join(parts).replace("_\0", "").replace("\0_", "").replace("\0", "")


_SIGNS = {f"{ord(sign):02X}": sign for sign in "<>(){}[],:;&*' -+#=.$\"/!"}


# ------------------------------------------------------------ types as users write them

_INTS = {
    **{f"{sign}{bits}": (bits // 8, sign in ("i", "s")) for sign in ("u", "i", "s") for bits in (8, 16, 32, 64, 128)},
    **{f"__{sign}{bits}": (bits // 8, sign == "s") for sign in ("u", "s") for bits in (8, 16, 32, 64)},
    **{f"__{order}{bits}": (bits // 8, False) for order in ("be", "le") for bits in (16, 32, 64)},
    **{f"{sign}int{bits}_t": (bits // 8, not sign) for sign in ("u", "") for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("char", "signed char"), (1, True)),
    **dict.fromkeys(("unsigned char",), (1, False)),
    **dict.fromkeys(("short",), (2, True)),
    **dict.fromkeys(("unsigned short",), (2, False)),
    **dict.fromkeys(("int", "pid_t"), (4, True)),
    **dict.fromkeys(("unsigned", "unsigned int"), (4, False)),
    **dict.fromkeys(("long", "long long", "isize", "ssize_t"), (8, True)),
    **dict.fromkeys(("unsigned long", "unsigned long long", "usize", "size_t"), (8, False)),
}


def parse_type(spec: Any, btf: Btf | None = None, size: int = -1) -> Codec:
    """The codec of a type a user wrote, of `size` bytes when that is known (else -1).

    `spec`: a C or Rust name (`u32`, `unsigned long`, `char[16]`, `u8[4]`, `struct flow` of the object's BTF), `ipv4`,
    `ipv6`, `mac`; a format of the standard library's `struct` (`<IHxx`); a numpy dtype; a list or dict of (field,
    type), laid out as C does; a Python type (`int`, `float`, `bool`, `str`, `bytes`) or `None` for bytes as they are,
    which take the known size; a `Codec`. `InputError` for what is none of these, `ValueMismatch` for another size.
    """
    codec = _parse(spec, btf, size)
    if 0 <= size != codec.size:
        raise ValueMismatch(f"the type `{codec.name}` takes {codec.size} bytes, but the map has {size}")
    return codec


def _parse(spec: Any, btf: Btf | None, size: int) -> Codec:
    if isinstance(spec, Codec):
        return spec
    if isinstance(spec, str):
        return _word(spec.strip(), btf)
    if spec is None or (isinstance(spec, type) and spec in (int, float, bool, str, bytes)):
        return _python(spec, size)
    if isinstance(spec, dict):
        spec = list(spec.items())
    if isinstance(spec, (list, tuple)) and all(isinstance(one, (list, tuple)) and len(one) == 2 for one in spec):
        return _layout([(str(name), _parse(one, btf, -1)) for name, one in spec])
    if hasattr(spec, "itemsize") and hasattr(spec, "fields"):
        return _from_numpy(spec)
    if isinstance(spec, type):
        from bpfsmith.run.columns import numpy

        return _from_numpy(numpy().dtype(spec))
    raise InputError(f"{spec!r} is no type", hint="expected a name such as `u32`, a `struct` format or a numpy dtype")


def _python(kind: type | None, size: int) -> Codec:
    if size < 0:
        raise InputError("a Python type says nothing about its size here", hint="write `u32`, `char[16]` or the like")
    if kind is None or kind is bytes:
        return BytesCodec(f"u8[{size}]", size, _BIG)
    if kind is str:
        return BytesCodec(f"char[{size}]", size, _BIG, "text")
    if kind is float and size in (4, 8):
        return FloatCodec({4: "float", 8: "double"}[size], size, _BIG)
    if kind is bool:
        return IntCodec("bool", size, False, _BIG, "bool")
    if kind is int and 0 < size <= 16:
        return IntCodec(f"u{size * 8}", size, False, _BIG)
    raise InputError(f"a `{kind.__name__}` cannot have {size} bytes")


def _word(word: str, btf: Btf | None) -> Codec:  # noqa: PLR0911 - a table of words
    if word.startswith("[") and word.endswith("]") and ";" in word:  # Rust: [u8; 4]
        inner, _, count = word[1:-1].rpartition(";")
        return _array_of(_word(inner.strip(), btf), inner.strip(), _count(count.strip(), word))
    if word.endswith("]") and "[" in word:
        inner, _, count = word[:-1].rpartition("[")
        # Of `int[2][3]` the last bound belongs to the innermost array.
        bounds = [count]
        while inner.endswith("]"):
            inner, _, count = inner[:-1].rpartition("[")
            bounds.append(count)
        return _arrays(inner.strip(), [_count(one, word) for one in bounds], btf)
    if word in ("ipv4", "ipv6", "mac"):
        return AddressCodec(word, _BIG)
    if word in _INTS:
        width, signed = _INTS[word]
        return IntCodec(word, width, signed, _BIG)
    if word in ("bool", "_Bool"):
        return IntCodec(word, 1, False, _BIG, "bool")
    if word in ("float", "double", "f32", "f64"):
        return FloatCodec(word, 4 if word in ("float", "f32") else 8, _BIG)
    if word in ("void", "()", ""):
        return NothingCodec()
    if word.endswith("*"):
        return IntCodec(word, 8, False, _BIG)
    return _named(word, btf) or _format(word, btf)


def _count(text: str, word: str) -> int:
    if not (text.isascii() and text.strip().isdigit()):
        raise InputError(f"`{word}` has no number of elements", hint="write `u32[4]`")
    return int(text)


def _arrays(inner: str, bounds: list[int], btf: Btf | None) -> Codec:
    codec = _array_of(_word(inner, btf), inner, bounds[0])
    for bound in bounds[1:]:
        codec = ArrayCodec(codec, bound, _BIG)
    return codec


def _array_of(item: Codec, name: str, count: int) -> Codec:
    if name == "char":
        return BytesCodec(f"char[{count}]", count, _BIG, "text")
    if item.kind == "int" and item.size == 1 and not getattr(item, "signed", False):
        return BytesCodec(f"{name}[{count}]", count, _BIG)
    return ArrayCodec(item, count, item.big)


def _named(word: str, btf: Btf | None) -> Codec | None:
    """A type of the object's BTF, with or without its keyword."""
    if btf is None:
        return None
    kind, _, rest = word.partition(" ")
    wanted = {"struct": ("STRUCT",), "union": ("UNION",), "enum": ("ENUM", "ENUM64")}.get(kind)
    name = rest if wanted else word
    for one in wanted or ("TYPEDEF", "STRUCT", "UNION", "ENUM", "ENUM64", "INT", "FLOAT"):
        found = btf.find(name, one)
        if found:
            return _Types(btf).codec(found)
    return None


_LETTERS = {
    **dict.fromkeys("BHILQN", False),
    **dict.fromkeys("bhilqn", True),
}


def _format(word: str, btf: Btf | None) -> Codec:
    """A format of the `struct` module: one letter is a scalar, several are a record of `f0`, `f1` and so on."""
    order = word[0] if word[:1] in ("<", ">", "=", "!", "@") else "@"
    body = word.lstrip("<>=!@")
    try:
        size = calcsize(word)
    except StructError:
        size = -1
    if size < 0 or not body or set(body) - set("0123456789 xcbB?hHiIlLqQnNefdspP"):
        raise UnknownName(f"no type `{word}`", hint=_near_types(word, btf))
    big = order in (">", "!") or (order in ("=", "@") and _BIG)
    fields: list[tuple[str, int, Codec]] = []
    done, count = order, ""
    for letter in body.replace(" ", ""):
        if letter.isdigit():
            count += letter
            continue
        before = calcsize(done)
        done += count + letter
        if letter != "x":
            whole = calcsize(done) - before
            number, count = int(count or 1), ""
            one = calcsize(order + letter) if letter not in "sp" else number
            number = 1 if letter in "sp" else number
            start = calcsize(done) - number * one
            codec = _letter(letter, one, big)
            for at in range(number if whole else 0):
                fields.append((f"f{len(fields)}", start + at * one, codec))
        count = ""
    if len(fields) == 1 and fields[0][2].size == size:
        return fields[0][2]
    return StructCodec("struct", word, size, [Field(name, at * 8, codec) for name, at, codec in fields], big)


def _letter(letter: str, size: int, big: bool) -> Codec:
    if letter in "sp" or letter == "c":
        return BytesCodec(f"u8[{size}]", size, big)
    if letter == "?":
        return IntCodec("bool", 1, False, big, "bool")
    if letter in "efd":
        return FloatCodec({2: "half", 4: "float", 8: "double"}[size], size, big)
    return IntCodec(f"{'i' if _LETTERS.get(letter) else 'u'}{size * 8}", size, bool(_LETTERS.get(letter)), big)


def _near_types(word: str, btf: Btf | None) -> str:
    known = list(_INTS)
    if btf is not None:
        # Of a kernel's 100,000 types only the first ones: a hint is not worth more.
        known += [name for number in range(btf.first_id, min(len(btf), 5000)) if (name := btf.name(number))]
    return did_you_mean(
        word.removeprefix("struct "), known, "write `u32`, `char[16]`, `<IHxx` or a type of the object's BTF"
    )


def _layout(members: list[tuple[str, Codec]]) -> Codec:
    """As a C compiler lays out these members."""
    at, align, fields = 0, 1, []
    for name, codec in members:
        own = max(codec.align, 1)
        at = -(-at // own) * own
        fields.append(Field(name, at * 8, codec))
        at += codec.size
        align = max(align, own)
    return StructCodec("struct", "Record", -(-at // align) * align, fields, _BIG, align)


def _from_numpy(dtype: Any) -> Codec:  # noqa: PLR0911 - a table of kinds
    if dtype.subdtype is not None:
        item, shape = dtype.subdtype
        codec = _from_numpy(item)
        for bound in reversed(shape):
            codec = _array_of(codec, codec.name, bound) if bound is shape[-1] else ArrayCodec(codec, bound, codec.big)
        return codec
    big = dtype.byteorder == ">" or (dtype.byteorder in ("=", "|") and _BIG)
    if dtype.names:
        fields = [Field(name, dtype.fields[name][1] * 8, _from_numpy(dtype.fields[name][0])) for name in dtype.names]
        return StructCodec("struct", "Record", dtype.itemsize, fields, big, dtype.alignment)
    size, kind = dtype.itemsize, dtype.kind
    if kind in "iu":
        return IntCodec(f"{'i' if kind == 'i' else 'u'}{size * 8}", size, kind == "i", big)
    if kind == "b":
        return IntCodec("bool", 1, False, big, "bool")
    if kind == "f" and size in (2, 4, 8):
        return FloatCodec({2: "half", 4: "float", 8: "double"}[size], size, big)
    if kind == "S":
        return BytesCodec(f"char[{size}]", size, big, "text")
    if kind == "V":
        return BytesCodec(f"u8[{size}]", size, big)
    raise InputError(
        f"numpy's `{dtype}` has no counterpart in a map", hint="use integers, floats, `S16` or records of them"
    )

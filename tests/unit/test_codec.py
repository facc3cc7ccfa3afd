"""Typed values: against ctypes (layout), struct and numpy (bytes), over types made at random."""

from __future__ import annotations

import ctypes
import ipaddress
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfsmith import InputError, UnknownName, ValueMismatch, ip, mac, prefix
from bpfsmith._native import Btf
from bpfsmith.run.address import Ip, Prefix
from bpfsmith.run.codec import EnumValue, Record, Text, codec_for, parse_type, readable
from bpfsmith.run.columns import expand, storage

KINDS = {"INT": 1, "PTR": 2, "ARRAY": 3, "STRUCT": 4, "UNION": 5, "ENUM": 6, "FWD": 7, "TYPEDEF": 8, "CONST": 10,
         "VAR": 14, "DATASEC": 15, "FLOAT": 16, "ENUM64": 19}  # fmt: skip
SIGNED, CHAR, BOOL = 1, 2, 4


class Writer:
    """A BTF as a compiler writes it."""

    def __init__(self, order: str = "<") -> None:
        self.order = order
        self.strings = b"\0"
        self.types: list[bytes] = []

    def name(self, text: str) -> int:
        if not text:
            return 0
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def add(self, kind: str, name: str, size_or_type: int, rest: bytes = b"", vlen: int = 0, flag: bool = False) -> int:
        info = KINDS[kind] << 24 | vlen | flag << 31
        self.types.append(struct.pack(f"{self.order}III", self.name(name), info, size_or_type) + rest)
        return len(self.types)

    def integer(self, name: str, size: int, encoding: int = 0, bits: int = 0) -> int:
        return self.add("INT", name, size, struct.pack(f"{self.order}I", encoding << 24 | (bits or size * 8)))

    def array(self, item: int, count: int, index: int) -> int:
        return self.add("ARRAY", "", 0, struct.pack(f"{self.order}III", item, index, count))

    def enum(self, name: str, size: int, values: dict[str, int], signed: bool = False) -> int:
        if size == 8:
            rest = [(self.name(key), one & 0xFFFFFFFF, one >> 32 & 0xFFFFFFFF) for key, one in values.items()]
            data = b"".join(struct.pack(f"{self.order}III", *row) for row in rest)
            return self.add("ENUM64", name, size, data, len(values), signed)
        rows = [(self.name(key), one & 0xFFFFFFFF) for key, one in values.items()]
        data = b"".join(struct.pack(f"{self.order}II", *row) for row in rows)
        return self.add("ENUM", name, size, data, len(values), signed)

    def composite(self, kind: str, name: str, size: int, members: list[tuple[str, int, int, int]]) -> int:
        """Members: (name, type, bit offset, bits of a bit field or 0)."""
        data = b"".join(
            struct.pack(f"{self.order}III", self.name(text), type_id, bits << 24 | at)
            for text, type_id, at, bits in members
        )
        return self.add(kind, name, size, data, len(members), True)

    def btf(self) -> Btf:
        types = b"".join(self.types)
        head = struct.pack(f"{self.order}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self.strings))
        return Btf.parse(head + types + self.strings)


# ------------------------------------------------------------ random types beside ctypes

SCALARS: dict[str, tuple[Any, int, int]] = {
    "unsigned char": (ctypes.c_uint8, 1, 0), "signed char": (ctypes.c_int8, 1, SIGNED), "u16": (ctypes.c_uint16, 2, 0),
    "s16": (ctypes.c_int16, 2, SIGNED), "u32": (ctypes.c_uint32, 4, 0), "s32": (ctypes.c_int32, 4, SIGNED),
    "u64": (ctypes.c_uint64, 8, 0), "s64": (ctypes.c_int64, 8, SIGNED), "_Bool": (ctypes.c_bool, 1, BOOL),
}  # fmt: skip

scalar = st.sampled_from(sorted(SCALARS))
# Bit fields of one size only: ctypes before Python 3.13 misplaces mixed ones.
member = st.recursive(
    scalar | st.tuples(st.just("bits"), st.sampled_from(["u32", "s32"]), st.integers(1, 32)),
    lambda inner: (
        st.tuples(st.just("array"), scalar, st.integers(1, 4))
        | st.tuples(st.just("struct"), st.lists(inner, min_size=1, max_size=4))
    ),
    max_leaves=8,
)


def build(writer: Writer, shape: Any) -> tuple[Any, int]:
    """(ctypes type, BTF id) of the same type."""
    if isinstance(shape, str):
        form, size, encoding = SCALARS[shape]
        return form, writer.integer(shape, size, encoding)
    if shape[0] == "array":
        form, number = build(writer, shape[1])
        return form * shape[2], writer.array(number, shape[2], writer.integer("index", 4))
    rows, ids = [], []
    for at, one in enumerate(shape[1]):
        bits = one[2] if one[0] == "bits" else 0
        form, number = build(writer, one[1] if bits else one)
        rows.append((f"f{at}", form, bits) if bits else (f"f{at}", form))
        ids.append((f"f{at}", number, bits))
    made = type("S", (ctypes.LittleEndianStructure,), {"_fields_": rows})
    members = []
    for name, number, bits in ids:
        field = getattr(made, name)
        members.append((name, number, field.offset * 8 + (field.size & 0xFFFF if bits else 0), bits))
    return made, writer.composite("STRUCT", "s", ctypes.sizeof(made), members)


def plain(value: Any) -> Any:
    """A ctypes value as a codec decodes it."""
    if isinstance(value, ctypes.Structure):
        return tuple(plain(getattr(value, row[0])) for row in value._fields_)
    if isinstance(value, ctypes.Array):
        return bytes(value) if value._type_ is ctypes.c_uint8 else tuple(plain(one) for one in value)
    return value


@settings(max_examples=60, deadline=None)
@given(st.lists(member, min_size=1, max_size=6), st.binary(min_size=256, max_size=256))
def test_layout_as_ctypes(shape: list[Any], data: bytes) -> None:
    writer = Writer()
    form, number = build(writer, ("struct", shape))
    size = ctypes.sizeof(form)
    if size > len(data):
        return
    codec = codec_for(writer.btf(), number, size)
    value = codec.decode(data)
    assert value == plain(form.from_buffer_copy(data))
    # What was decoded encodes to bytes that decode to the same, whose padding is zero.
    raw = codec.encode(value)
    assert len(raw) == size and codec.decode(raw) == value and codec.encode(codec.decode(raw)) == raw
    assert codec.encode(value._asdict()) == raw == codec.encode(tuple(value))
    # numpy sees the same.
    wide = expand(codec, numpy.frombuffer(raw * 3, codec.dtype))
    assert codec.dtype.itemsize == size and [same(one, value) for one in wide.tolist()] == [True] * 3


def same(one: Any, two: Any) -> bool:
    if isinstance(two, (tuple, bytes)):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return bool(one == two)


@given(st.sampled_from(sorted("bBhHiIqQ")), st.sampled_from("<>"), st.integers(-(1 << 64), 1 << 64))
def test_integers_as_struct(letter: str, order: str, value: int) -> None:
    codec = parse_type(order + letter)
    try:
        raw = struct.pack(order + letter, value)
    except struct.error:
        with pytest.raises(ValueMismatch) as caught:
            codec.encode(value, "x")
        assert f"expected an integer {codec.low} to {codec.high}" in str(caught.value)  # type: ignore[attr-defined]
        return
    assert codec.encode(value) == raw and codec.decode(raw) == value
    assert numpy.frombuffer(raw, codec.dtype)[0] == value


@given(
    st.sampled_from(["<IHxx", "=BxH", "@bq", ">3H2x4s", "<?d", "@BIQ", "<f16sxB"]), st.binary(min_size=64, max_size=64)
)
def test_formats_as_struct(form: str, data: bytes) -> None:
    codec = parse_type(form)
    size = struct.calcsize(form)
    assert codec.size == size
    assert repr(tuple(codec.decode(data))) == repr(struct.unpack_from(form, data))  # NaN is equal to nothing
    array = numpy.frombuffer(data[:size], codec.dtype)
    assert array.dtype.itemsize == size


@pytest.mark.parametrize(
    ("spec", "size", "name"),
    [
        ("u32", 4, "u32"), ("unsigned long", 8, "unsigned long"), ("__be16", 2, "__be16"), ("char[16]", 16, "char[16]"),
        ("u8[4]", 4, "u8[4]"), ("[u8; 4]", 4, "u8[4]"), ("int[2][3]", 24, "int[2][3]"), ("ipv6", 16, "ipv6"),
        ("u128", 16, "u128"), ("bool", 1, "bool"), ("double", 8, "double"), ("void *", 8, "void *"), ("()", 0, "void"),
        (numpy.dtype("u2"), 2, "u16"), (numpy.dtype([("a", "u1"), ("b", "u4")], align=True), 8, "Record"),
        (numpy.uint8, 1, "u8"), ([("a", "u8"), ("b", "u32")], 8, "Record"), ({"a": "u64"}, 8, "Record"),
        (numpy.dtype(("u4", (2, 3))), 24, "u32[2][3]"), (numpy.dtype("S8"), 8, "char[8]"),
    ],
)  # fmt: skip
def test_types_as_users_write_them(spec: Any, size: int, name: str) -> None:
    codec = parse_type(spec)
    assert (codec.size, codec.name) == (size, name)
    assert codec.encode(codec.decode(bytes(size))) == bytes(size)


@pytest.mark.parametrize(
    ("spec", "size", "error", "said"),
    [
        ("u33", -1, UnknownName, "did you mean `u32`"), ("u32", 8, ValueMismatch, "takes 4 bytes, but the map has 8"),
        (int, -1, InputError, "write `u32`"), (int, 100, InputError, "cannot have 100 bytes"),
        (5, -1, InputError, "5 is no"),
        ("u8[x]", -1, InputError, "no number of elements"), (numpy.dtype("M8[s]"), -1, InputError, "no counterpart"),
    ],
)  # fmt: skip
def test_types_nobody_has(spec: Any, size: int, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        parse_type(spec, None, size)
    assert said in str(caught.value)


# ------------------------------------------------------------ one of each


def test_without_types_sizes_decide() -> None:
    assert codec_for(None, 0, 8).encode(5) == struct.pack("=Q", 5)
    assert codec_for(None, 0, 6).decode(b"abcdef") == b"abcdef"
    assert codec_for(None, 0, 0).encode(None) == b"" and codec_for(None, 0, 0).decode(b"") is None


def test_enums_have_names() -> None:
    writer = Writer()
    number = writer.enum("color", 4, {"RED": -1, "GREEN": 2, "GRUEN": 2, "NONE": 0}, True)
    wide = writer.enum("wide", 8, {"BIG": 1 << 40, "ZERO": 0})
    btf = writer.btf()
    codec = codec_for(btf, number, 4)
    value = codec.decode(struct.pack("<i", -1))
    assert (
        isinstance(value, EnumValue)
        and value == -1
        and value.name == "RED"
        and f"{value}" == "RED"
        and f"{value:d}" == "-1"
    )
    assert codec.decode(struct.pack("<i", 2)).name == "GREEN" and codec.decode(bytes(4)).name == "NONE"
    assert codec.decode(struct.pack("<i", 7)).name is None and repr(value) == "RED=-1"
    assert codec.encode("GRUEN") == codec.encode(2) and pickle.loads(pickle.dumps(value)).name == "RED"
    assert codec_for(btf, wide, 8).decode(struct.pack("<Q", 1 << 40)).name == "BIG"
    with pytest.raises(ValueMismatch, match=r"one of RED, GREEN.*did you mean `GREEN`"):
        codec.encode("GREN")


def test_texts_keep_what_stands_behind_them() -> None:
    writer = Writer()
    comm = writer.array(writer.integer("char", 1, SIGNED), 8, writer.integer("index", 4))
    codec = codec_for(writer.btf(), comm, 8)
    clean, dirty = codec.decode(b"bash\0\0\0\0"), codec.decode(b"bash\0old")
    assert clean == dirty.raw.partition(b"\0")[0].decode() == "bash" and dirty == "bash" and clean != dirty
    assert len({clean, dirty}) == 2 and codec.encode(dirty) == b"bash\0old" and codec.encode("bash") == clean.raw
    assert codec.encode(b"12345678") == b"12345678" and codec.decode(b"\xff\xfe\0\0\0\0\0\0").raw[:2] == b"\xff\xfe"
    assert codec.encode(str(codec.decode(b"\xff\xfe\0\0\0\0\0\0")))[:2] == b"\xff\xfe"
    assert isinstance(pickle.loads(pickle.dumps(dirty)), Text)
    for wrong in ("123456789", "a\0b", 5, b"123456789"):
        with pytest.raises(ValueMismatch):
            codec.encode(wrong)


def union_of(writer: Writer) -> Btf:
    u32, u8 = writer.integer("u32", 4), writer.integer("unsigned char", 1)
    octets = writer.array(u8, 4, u32)
    anonymous = writer.composite("UNION", "", 4, [("number", u32, 0, 0), ("octets", octets, 0, 0)])
    named = writer.composite("UNION", "either", 4, [("x", u32, 0, 0), ("y", u8, 0, 0)])
    writer.composite("STRUCT", "both", 12, [("a", u32, 0, 0), ("", anonymous, 32, 0), ("in", named, 64, 0)])
    return writer.btf()


def test_unions_share_their_bytes() -> None:
    btf = union_of(Writer())
    codec = codec_for(btf, btf.find("both", "STRUCT") or 0, 12)
    raw = codec.encode({"a": 1, "number": 0x04030201, "in": {"y": 7}})
    value = codec.decode(raw)
    assert value.octets == b"\1\2\3\4" and value["in"].x == 7 and value["in"] == {"x": 7, "y": 7}
    assert codec.encode(value) == raw == codec.encode({"a": 1, "octets": b"\1\2\3\4", "in": {"x": 7}})
    assert value._replace(number=5).octets == b"\5\0\0\0" and value._replace(octets=b"\1\0\0\0").number == 1
    with pytest.raises(ValueMismatch, match="shares its bytes"):
        codec.encode({"a": 1, "number": 1, "octets": bytes(4), "in": {"x": 1}})
    with pytest.raises(ValueMismatch, match="lacks"):
        codec.encode({"a": 1, "in": {"x": 1}})
    assert codec.dtype.fields["number"][1] == codec.dtype.fields["octets"][1] == 4
    # A member's padding may be another one's data: nothing of it is lost.
    writer = Writer()
    u8, u32 = writer.integer("unsigned char", 1), writer.integer("u32", 4)
    holes = writer.composite("STRUCT", "holes", 8, [("x", u8, 0, 0), ("y", u32, 32, 0)])
    wide = writer.composite("UNION", "wide", 8, [("raw", writer.array(u8, 8, u32), 0, 0), ("holes", holes, 0, 0)])
    made = codec_for(writer.btf(), wide, 8)
    assert made.encode(made.decode(b"12345678")) == b"12345678" and made.decode(b"12345678").holes.x == 0x31
    assert "in=" in repr(value) and value == pickle.loads(pickle.dumps(value))


def test_records() -> None:
    codec = parse_type([("packets", "u64"), ("count", "u16"), ("class", "u16")])
    value = codec.decode(codec.encode((1, 2, 3)))
    assert isinstance(value, Record) and (value.count, value["class"], value[0]) == (2, 3, 1)  # not tuple.count
    assert hash(value) == hash((1, 2, 3)) and value == (1, 2, 3) == tuple(value) and value != (1, 2, 4)
    assert value._replace(packets=9) == {"packets": 9, "count": 2, "class": 3}
    with pytest.raises(AttributeError, match="did you mean `packets`"):
        _ = value.packet
    with pytest.raises(UnknownName):
        value["packet"]
    assert not hasattr(value, "__array__")
    assert codec.decode_all(codec.encode(value) * 3) == [value] * 3  # type: ignore[attr-defined]
    with pytest.raises(ValueMismatch, match="needs 16 bytes, and 3 are there"):
        codec.decode(b"123")


def test_newtypes_take_what_is_inside() -> None:
    writer = Writer()
    u32 = writer.integer("u32", 4)
    one = writer.composite("STRUCT", "Port", 4, [("__0", u32, 0, 0)])
    pair = writer.composite("STRUCT", "_28_u32_2C__20_u32_29_", 8, [("__0", u32, 0, 0), ("__1", u32, 32, 0)])
    letter = writer.integer("char", 4)
    btf = writer.btf()
    port = codec_for(btf, one, 4)
    assert port.encode(80) == port.encode((80,)) == port.encode({"__0": 80}) == struct.pack("<I", 80)
    assert port.decode(port.encode(80))[0] == 80
    assert codec_for(btf, pair, 8).name == "(u32, u32)" and codec_for(btf, pair, 8).decode(bytes(8)) == (0, 0)
    assert (
        codec_for(btf, letter, 4).decode("ü".encode("utf-32-le"))
        == "ü"
        == codec_for(btf, letter, 4).decode(codec_for(btf, letter, 4).encode("ü"))
    )
    assert readable("Option_3C_u32_3E_") == "Option<u32>" and readable("plain_name_2") == "plain_name_2"


def test_rust_enums_with_data() -> None:
    """As rustc 1.96 writes `enum Data { X(u32), Y(u64), Z }`, `Option<u32>` and `Option<NonZero<u32>>`."""
    writer = Writer()
    u32, u64 = writer.integer("u32", 4), writer.integer("u64", 8)
    x = writer.composite("STRUCT", "X", 16, [("__0", u32, 32, 0)])
    y = writer.composite("STRUCT", "Y", 16, [("__0", u64, 64, 0)])
    z = writer.composite("STRUCT", "Z", 16, [])
    union = writer.composite("UNION", "", 16, [("", u32, 0, 0), ("X", x, 0, 0), ("Y", y, 0, 0), ("Z", z, 0, 0)])
    data = writer.composite("STRUCT", "Data", 16, [("", union, 0, 0)])

    def option(name: str, size: int, payload: int, at: int) -> int:
        none = writer.composite("STRUCT", "None", size, [])
        some = writer.composite("STRUCT", "Some", size, [("__0", payload, at, 0)])
        members = [("", u32, 0, 0), ("None", none, 0, 0), ("Some", some, 0, 0)]
        inside = writer.composite("UNION", "", size, members)
        return writer.composite("STRUCT", name, size, [("", inside, 0, 0)])

    maybe = option("Option_3C_u32_3E_", 8, u32, 32)
    inner = writer.composite("STRUCT", "NonZeroU32Inner", 4, [("__0", u32, 0, 0)])
    nonzero = writer.composite("STRUCT", "NonZero_3C_u32_3E_", 4, [("__0", inner, 0, 0)])
    niche = option("Option_3C_core_3A__3A_num_3A__3A_nonzero_3A__3A_NonZero_3C_u32_3E__3E_", 4, nonzero, 0)
    btf = writer.btf()
    codec = codec_for(btf, data, 16)
    for value, raw in (
        (("X", 7), struct.pack("<II8x", 0, 7)),
        ({"Y": 8}, struct.pack("<IxxxxQ", 1, 8)),
        ("Z", struct.pack("<I12x", 2)),
    ):  # fmt: skip
        assert codec.encode(value) == raw and codec.decode(raw) == value
        assert codec.encode(codec.decode(raw)) == raw
    one, two = codec.decode(codec.encode(("X", 7))), codec.decode(codec.encode(("Y", 7)))
    assert one != two and len({one, two}) == 2 and one.variant == "X" and (repr(one), one[0]) == ("X(7)", 7)
    assert codec.decode(b"\x09" + bytes(15)) == b"\x09" + bytes(15)  # no such variant: the bytes
    assert codec.dtype.names == ("tag", "X", "Y")
    with pytest.raises(ValueMismatch, match="one of the variants X, Y, Z"):
        codec.encode("W")
    for number, size, some in ((maybe, 8, struct.pack("<II", 1, 5)), (niche, 4, struct.pack("<I", 5))):
        codec = codec_for(btf, number, size)
        assert codec.encode(None) == bytes(size) and codec.decode(bytes(size)) is None
        assert codec.encode(5) == some and codec.decode(some) == 5


def test_flexible_arrays_fill_the_size() -> None:
    writer = Writer()
    u32, u8 = writer.integer("u32", 4), writer.integer("unsigned char", 1)
    key = writer.composite("STRUCT", "key", 4, [("prefixlen", u32, 0, 0), ("data", writer.array(u8, 0, u32), 32, 0)])
    btf = writer.btf()
    assert codec_for(btf, key, 8).decode(b"\x08\0\0\0\x0a\0\0\0") == (8, b"\x0a\0\0\0")
    assert codec_for(btf, key, 4).decode(b"\x08\0\0\0") == (8, b"")
    with pytest.raises(InputError, match="takes 4 bytes, but 5 are declared"):
        codec_for(btf, u32, 5)


def test_types_no_compiler_writes() -> None:
    writer = Writer()
    writer.composite("STRUCT", "itself", 4, [("again", 1, 0, 0)])
    u32 = writer.integer("u32", 4)
    beyond = writer.composite("STRUCT", "beyond", 4, [("x", u32, 24, 0)])
    endless = writer.array(u32, 0xFFFFFFFF, u32)
    try:
        btf = writer.btf()
    except ValueError:
        return  # refused where it is read
    for number, size in ((1, 4), (beyond, 4)):
        with pytest.raises(InputError):
            codec_for(btf, number, size)
    with pytest.raises((InputError, ValueMismatch)):
        codec_for(btf, endless, 8)


def test_sections_of_variables() -> None:
    writer = Writer()
    u32 = writer.integer("int", 4, SIGNED)
    var = writer.add("VAR", "limit", u32, struct.pack("<I", 1))
    other = writer.add("VAR", "flag", writer.integer("_Bool", 1, BOOL), struct.pack("<I", 0))
    section = writer.add("DATASEC", ".data", 0, struct.pack("<6I", var, 0, 4, other, 8, 1), 2)
    codec = codec_for(writer.btf(), section, 16)
    assert codec.decode(struct.pack("<i4xB7x", -5, 1)) == {"limit": -5, "flag": True}


def test_big_endian_objects() -> None:
    writer = Writer(">")
    u32 = writer.integer("u32", 4)
    number = writer.composite("STRUCT", "s", 4, [("high", u32, 0, 4), ("middle", u32, 4, 12), ("low", u32, 16, 16)])
    codec = codec_for(writer.btf(), number, 4)
    assert (
        codec.decode(b"\x12\x34\x56\x78") == (1, 0x234, 0x5678)
        and codec.encode((1, 0x234, 0x5678)) == b"\x12\x34\x56\x78"
    )
    assert expand(codec, numpy.frombuffer(b"\x12\x34\x56\x78", codec.dtype)).tolist() == [(1, 0x234, 0x5678)]


# ------------------------------------------------------------ addresses


def test_addresses() -> None:
    address = ip("10.0.0.1")
    assert (
        address == b"\x0a\0\0\1" and str(address) == "10.0.0.1" and address.host == 0x0A000001 and address.version == 4
    )
    assert (
        parse_type("__be32").encode(address) == address
        and ip(address.number) == address
        and repr(address) == "ip('10.0.0.1')"
    )
    assert (
        parse_type("u32").encode(ipaddress.ip_address("10.0.0.1")) == address
        and ip(ipaddress.ip_address("::1"))[15] == 1
    )
    assert parse_type("u8[4]").encode(address) == parse_type("ipv4").encode("10.0.0.1") == address
    assert (
        isinstance(parse_type("ipv4").decode(address), Ip)
        and str(ip("fe80::1")) == "fe80::1"
        and f"{address:>10}" == "  10.0.0.1"
    )
    assert (
        mac("02-00-00-00-00-01") == mac("2:0:0:0:0:1") == b"\2\0\0\0\0\1"
        and str(mac(b"\2\0\0\0\0\1")) == "02:00:00:00:00:01"
    )


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        *((ip, one) for one in ("10.0.0", "10.0.0.256", "01.0.0.1", ":::", b"123", -1, None)),
        *((mac, one) for one in ("1:2:3", b"12", "gg:0:0:0:0:0")),
        *((prefix, one) for one in ("10.0.0.0/x", "10.0.0.0/33")),
    ],
)
def test_what_is_no_address(make: Callable[[Any], Any], wrong: Any) -> None:
    with pytest.raises(ValueMismatch):
        make(wrong)


@given(st.integers(0, 32), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))
def test_prefixes_as_ipaddress(length: int, base: int, address: int) -> None:
    network = ipaddress.ip_network((base, length), strict=False)
    ours = prefix(str(network))
    assert ours == prefix(ipaddress.ip_address(base), length) == prefix(network) == str(network)
    assert (ipaddress.ip_address(address) in network) == (ipaddress.ip_address(address) in ours)
    assert hash(ours) == hash(Prefix(length, base.to_bytes(4, "big"))) and str(ours) == str(network)


# ------------------------------------------------------------ arrays as they come


def test_storage_takes_only_what_fits() -> None:
    u32, pair = parse_type("u32"), parse_type([("a", "u8"), ("b", "u32")])
    given_array = numpy.arange(3, dtype="u4")
    assert storage(u32, given_array, "x") is given_array or storage(u32, given_array, "x").base is given_array
    assert storage(u32, [1, 2], "x").dtype == "u4" and storage(u32, numpy.array([1], "i1"), "x").tolist() == [1]
    loose = numpy.array([(1, 2)], [("b", "i8"), ("a", "i8")])
    assert storage(pair, loose, "x").tolist() == [(2, 1)]
    for codec, wrong in (
        (u32, [-1]),
        (u32, [1 << 32]),
        (u32, [0.5]),
        (u32, ["a"]),
        (pair, numpy.array([(1, 2)], "u1,u1")),
    ):
        with pytest.raises(ValueMismatch):
            storage(codec, wrong, "x")

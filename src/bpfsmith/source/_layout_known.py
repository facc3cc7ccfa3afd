"""Types whose layout is known without their source: primitives, C's names for them, wrappers, a few of the library."""

from __future__ import annotations

__all__ = ["KNOWN_STRUCTS", "PRIMITIVES", "WRAPPERS", "c_type"]

# name -> (kind, size); the alignment is the size.
PRIMITIVES: dict[str, tuple[str, int]] = {
    "u8": ("uint", 1), "u16": ("uint", 2), "u32": ("uint", 4), "u64": ("uint", 8), "u128": ("uint", 16),
    "usize": ("uint", 8), "i8": ("int", 1), "i16": ("int", 2), "i32": ("int", 4), "i64": ("int", 8),
    "i128": ("int", 16), "isize": ("int", 8), "f32": ("float", 4), "f64": ("float", 8), "bool": ("bool", 1),
    "char": ("char", 4),
}  # fmt: skip

_LIBRARY = frozenset({"core", "std"})
# Types that lie in memory as what they wrap, and the crates they are in.
WRAPPERS: dict[str, frozenset[str]] = {
    "MaybeUninit": _LIBRARY,
    "ManuallyDrop": _LIBRARY,
    "UnsafeCell": _LIBRARY,
    "Cell": _LIBRARY,
    "Wrapping": _LIBRARY,
    "NonZero": _LIBRARY,
    "Global": frozenset({"aya_ebpf"}),
}

KNOWN_STRUCTS: dict[str, tuple[str, int, int]] = {
    **{f"{module}::Ipv4Addr": ("struct", 4, 1) for module in ("core::net", "std::net")},
    **{f"{module}::Ipv6Addr": ("struct", 16, 1) for module in ("core::net", "std::net")},
    **{
        f"{library}::sync::atomic::Atomic{name}": ("int" if name.startswith("I") else "uint", size, size)
        for library in ("core", "std")
        for name, size in (("U8", 1), ("U16", 2), ("U32", 4), ("U64", 8), ("Usize", 8), ("I8", 1), ("I16", 2),
                           ("I32", 4), ("I64", 8), ("Isize", 8), ("Bool", 1))
    },
    **{
        f"{library}::num::NonZero{name}": ("int" if name.startswith("I") else "uint", size, size)
        for library in ("core", "std")
        for name, size in (("U8", 1), ("U16", 2), ("U32", 4), ("U64", 8), ("Usize", 8), ("I8", 1), ("I16", 2),
                           ("I32", 4), ("I64", 8), ("Isize", 8))
    },
}  # fmt: skip

_C = {
    "c_schar": "i8", "c_uchar": "u8", "c_short": "i16", "c_ushort": "u16", "c_int": "i32", "c_uint": "u32",
    "c_long": "i64", "c_ulong": "u64", "c_longlong": "i64", "c_ulonglong": "u64", "c_float": "f32",
    "c_double": "f64", "__u8": "u8", "__u16": "u16", "__u32": "u32", "__u64": "u64", "__s8": "i8", "__s16": "i16",
    "__s32": "i32", "__s64": "i64", "__be16": "u16", "__be32": "u32", "__be64": "u64", "__le16": "u16",
    "__le32": "u32", "__le64": "u64", "pid_t": "i32", "uid_t": "u32", "gid_t": "u32",
}  # fmt: skip
_C_CRATES = frozenset({"core", "std", "libc", "aya_ebpf", "aya_bpf", "aya_ebpf_cty", "aya_bpf_cty", "cty"})


def c_type(path: str) -> tuple[str, int, str] | None:
    """(kind, size, Rust's name) of a C type's name by its absolute path; `c_char` has no certain sign and is left out
    of comparisons by kind alone."""
    first, _, _ = path.partition("::")
    last = path.rpartition("::")[2]
    if first not in _C_CRATES:
        return None
    if last == "c_char":
        return "char8", 1, "c_char"
    name = _C.get(last)
    return (*PRIMITIVES[name], name) if name is not None else None

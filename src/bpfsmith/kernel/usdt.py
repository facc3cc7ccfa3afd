"""User-space static probes: the notes an executable carries, and how a program finds their arguments.

A probe is a `nop` with a note beside it (`.note.stapsdt`): provider, name, address, semaphore, and each argument as the
assembler saw it (`-4@-20(%rbp)`). `encode` makes of these what libbpf's `usdt.bpf.h` reads from map `__bpf_usdt_specs`.
"""

from __future__ import annotations

from os import uname
from struct import unpack_from

from bpfsmith.kernel.elfsym import MALFORMED, ElfFile
from bpfsmith.model.errors import InputError, TargetMissing, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfsmith._native import Btf

__all__ = ["LAYOUTS", "MAX_ARGUMENTS", "Layout", "Probe", "encode", "parse_argument", "probes", "split_arguments"]

MAX_ARGUMENTS = 12
_CONST, _REG, _DEREF, _INDEXED = range(4)
_NOTE_KIND = 3
_OWNER = b"stapsdt\0"


class Probe:
    """One place of a probe: `offset`, `semaphore` in the file (0: none), `arguments` as the note tells them."""

    __slots__ = ("arguments", "name", "offset", "provider", "semaphore")

    def __init__(self, provider: str, name: str, offset: int, semaphore: int, arguments: str) -> None:
        self.provider = provider
        self.name = name
        self.offset = offset
        self.semaphore = semaphore
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"<Probe {self.provider}:{self.name} at {self.offset:#x}: {self.arguments}>"


def probes(path: str, provider: str | None = None, name: str | None = None) -> list[Probe]:
    """The places of the probes of a file, all or those of that provider and name; `TargetMissing` with near matches."""
    with ElfFile(path) as elf:
        found = _read(elf)
    fits = [one for one in found if provider in (None, one.provider) and name in (None, one.name)]
    if not fits and name is not None:
        from bpfsmith.model.near import did_you_mean

        if not found:
            raise TargetMissing(
                f"`{path}` has no static probes", path, "it must be built with <sys/sdt.h> probes in it"
            )
        known = dict.fromkeys(f"{one.provider}:{one.name}" for one in found)
        shown = ", ".join(f"`{one}`" for one in list(known)[:6])
        raise TargetMissing(
            f"`{path}` has no static probe `{provider or '*'}:{name}`", path,
            did_you_mean(f"{provider or ''}:{name}", known) or f"it has {shown}",
        )  # fmt: skip
    return fits


def _read(elf: ElfFile) -> list[Probe]:
    place = elf.section(".note.stapsdt")
    if place is None:
        return []
    data = elf.bytes_at(place[1], place[2])
    base = elf.section(".stapsdt.base")
    end = elf._end
    word = f"{end}QQQ" if elf.bits64 else f"{end}III"
    found, at = [], 0
    try:
        while at + 12 <= len(data):
            name_size, size, kind = unpack_from(f"{end}III", data, at)
            start = at + 12 + (name_size + 3 & ~3)
            if kind == _NOTE_KIND and data[at + 12 : at + 12 + name_size] == _OWNER:
                address, linked, semaphore = unpack_from(word, data, start)
                texts = data[start + (24 if elf.bits64 else 12) : start + size].split(b"\0")
                # Prelinking moves a file after its notes were written; the base tells by how much.
                moved = base[0] - linked if base is not None and linked else 0
                offset = elf.offset_of(address + moved)
                if offset is not None and len(texts) >= 3:
                    counter = elf.offset_of(semaphore + moved, executable=False) if semaphore else 0
                    provider, name, arguments = (text.decode("utf-8", "replace") for text in texts[:3])
                    found.append(Probe(provider, name, offset, counter or 0, arguments))
            at = start + (size + 3 & ~3)
    except MALFORMED:
        raise InputError(f"`{elf.path}` has damaged notes of static probes", elf.path) from None
    return found


# ------------------------------------------------------------ arguments

# Register -> offset in `struct pt_regs`, by machine.
_X86 = {
    "r15": 0, "r14": 8, "r13": 16, "r12": 24, "bp": 32, "bx": 40, "r11": 48, "r10": 56, "r9": 64, "r8": 72, "ax": 80,
    "cx": 88, "dx": 96, "si": 104, "di": 112, "ip": 128, "sp": 152,
}  # fmt: skip
_RISCV = {
    name: number * 8
    for number, name in enumerate(
        [
            "pc",
            "ra",
            "sp",
            "gp",
            "tp",
            "t0",
            "t1",
            "t2",
            "s0",
            "s1",
            "a0",
            "a1",
            "a2",
            "a3",
            "a4",
            "a5",
            "a6",
            "a7",
            "s2",
            "s3",
            "s4",
            "s5",
            "s6",
            "s7",
            "s8",
            "s9",
            "s10",
            "s11",
            "t3",
            "t4",
            "t5",
            "t6",
        ]
    )
}


def _register(name: str, machine: str) -> int | None:
    if machine == "x86_64":
        return _x86_register(name.lstrip("%"))
    if machine == "aarch64":
        if name in {"sp", "x31"}:
            return 248
        number = name[1:]
        return int(number) * 8 if name[:1] in "xw" and number.isdigit() and int(number) < 31 else None
    return _RISCV.get("s0" if name == "fp" else name)


def _x86_register(name: str) -> int | None:
    """Of any width: `rax`, `eax`, `ax`, `al`; `r8`, `r8d`; the high bytes (`ah`) are no place of their own."""
    if name.startswith("r") and name[1:2].isdigit():
        return _X86.get(name.rstrip("dwb"))
    if len(name) == 2 and name[1] in "lh":
        return _X86.get(f"{name[0]}x") if name[1] == "l" else None
    return _X86.get(name[1:] if name[:1] in "re" and len(name) == 3 else name.removesuffix("l"))


def split_arguments(text: str) -> list[str]:
    """`-4@%edi 8@[sp, 8]` -> the arguments; a space inside brackets divides nothing."""
    found: list[str] = []
    for word in text.split():
        if found and (found[-1].count("[") > found[-1].count("]") or found[-1].count("(") > found[-1].count(")")):
            found[-1] += word
        else:
            found.append(word)
    return found


def parse_argument(text: str, machine: str = "") -> tuple[int, int, int, bool, int, int, int]:
    """(kind, value or offset, register offset, signed, bytes, index register's offset, scale) of `-4@-20(%rbp)`.

    `Unsupported` for what no program can read (floating point registers, symbols)."""
    from re import fullmatch

    machine = machine or uname().machine
    size, _, place = text.partition("@")
    number = size.removesuffix("f")
    if not number.lstrip("-").isdigit() or abs(int(number)) not in {1, 2, 4, 8} or not place:
        raise _odd(text)
    signed, width = number.startswith("-"), abs(int(number))
    place = place.replace(" ", "")
    if found := fullmatch(r"[$#]?(-?(?:0x[0-9a-f]+|\d+))", place):
        return _CONST, int(found[1], 0), 0, signed, width, 0, 0
    if found := fullmatch(r"%?([a-z]\w*)", place):
        offset = _register(found[1], machine)
        if offset is not None:
            return _REG, 0, offset, signed, width, 0, 0
    pattern = r"\[(?P<reg>\w+)(?:,#?(?P<off>-?\d+))?\]" if machine == "aarch64" else (
        r"(?P<off>-?(?:0x[0-9a-f]+|\d+))?\(%?(?P<reg>\w+)(?:,%?(?P<index>\w+)(?:,(?P<scale>[1248]))?)?\)"
    )  # fmt: skip
    if found := fullmatch(pattern, place):
        parts = found.groupdict()
        offset = _register(parts["reg"], machine)
        index = _register(parts["index"], machine) if parts.get("index") else 0
        if offset is not None and index is not None:
            scale = {"1": 0, "2": 1, "4": 2, "8": 3}[parts.get("scale") or "1"]
            kind = _INDEXED if parts.get("index") else _DEREF
            return kind, int(parts["off"] or "0", 0), offset, signed, width, index, scale
    raise _odd(text)


def _odd(text: str) -> Unsupported:
    return Unsupported(
        f"no program can read the argument `{text}` of a static probe", "usdt_argument", "",
        "arguments are read from registers, memory and constants",
    )  # fmt: skip


class Layout:
    """Where libbpf's `usdt.bpf.h` has the fields of `struct __bpf_usdt_spec`: field -> (bit offset, bits).

    Its versions differ: an argument takes 16 bytes up to 1.6 and 24 in 1.7, so an object's own types are asked."""

    __slots__ = ("fields", "size", "stride")

    def __init__(self, size: int, stride: int, fields: dict[str, tuple[int, int]]) -> None:
        """`stride`: bits from one argument to the next."""
        self.size = size
        self.stride = stride
        self.fields = fields

    @staticmethod
    def of(btf: Btf, type_id: int, size: int) -> Layout:
        """As the types of an object say. `InputError` when they are no specs."""
        from bpfsmith._native import ReadError

        fields: dict[str, tuple[int, int]] = {}
        for name in (*_FIELDS, *_INDEX_FIELDS):
            path = name if name in {"usdt_cookie", "arg_cnt"} else f"args[0].{name}"
            try:
                fields[name] = btf.offset_of(type_id, path)[:2]
            except ReadError:
                if name not in _INDEX_FIELDS:
                    raise InputError(f"the values of map `__bpf_usdt_specs` have no `{name}`") from None
        return Layout(size, btf.offset_of(type_id, "args[1].val_off")[0] - fields["val_off"][0], fields)


_INDEX_FIELDS = ("idx_reg_off", "scale_bitshift")
_FIELDS = ("val_off", "arg_type", "reg_off", "arg_signed", "arg_bitshift", "usdt_cookie", "arg_cnt")
# By the size of a value, for objects without types.
# fmt: off
LAYOUTS = {
    208: Layout(208, 128, {
        "val_off": (0, 64), "arg_type": (64, 32), "reg_off": (96, 16), "arg_signed": (112, 8),
        "arg_bitshift": (120, 8), "usdt_cookie": (1536, 64), "arg_cnt": (1600, 16),
    }),
    304: Layout(304, 192, {
        "val_off": (0, 64), "arg_type": (64, 8), "idx_reg_off": (80, 12), "scale_bitshift": (92, 4),
        "reg_off": (112, 16), "arg_signed": (128, 8), "arg_bitshift": (136, 8), "usdt_cookie": (2304, 64),
        "arg_cnt": (2368, 16),
    }),
}
# fmt: on


def encode(arguments: Sequence[str] | str, cookie: int = 0, machine: str = "", layout: Layout | None = None) -> bytes:
    """`struct __bpf_usdt_spec` of libbpf's `usdt.bpf.h`: up to 12 arguments, the user's cookie, their number."""
    layout = layout or LAYOUTS[208]
    words = split_arguments(arguments) if isinstance(arguments, str) else list(arguments)
    if len(words) > MAX_ARGUMENTS:
        raise Unsupported(f"a static probe with {len(words)} arguments: programs read {MAX_ARGUMENTS}", "usdt_argument")
    spec = 0

    def put(name: str, value: int, start: int = 0) -> None:
        nonlocal spec
        at, bits = layout.fields[name]
        # Bits are counted as a little-endian machine has them.
        spec |= (value & (1 << bits) - 1) << (start + at)

    for number, word in enumerate(words):
        start = number * layout.stride
        kind, value, register, signed, width, index, scale = parse_argument(word, machine)
        put("val_off", value, start)
        put("arg_type", kind, start)
        put("reg_off", register, start)
        put("arg_signed", signed, start)
        put("arg_bitshift", 64 - width * 8, start)
        if kind == _INDEXED:
            if "idx_reg_off" not in layout.fields:
                raise Unsupported(
                    f"the argument `{word}` of a static probe needs a program built with `usdt.bpf.h` of libbpf 1.7",
                    "usdt_argument",
                )
            put("idx_reg_off", index, start)
            put("scale_bitshift", scale, start)
    put("usdt_cookie", cookie)
    put("arg_cnt", len(words))
    return spec.to_bytes(layout.size, "little")

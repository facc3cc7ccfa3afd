"""Programs of a few instructions, types of a few words and maps of one entry: the questions `probe` asks."""

from __future__ import annotations

from struct import pack
from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith._native import Fd

_LITTLE = byteorder == "little"
_LAYOUT = "<BBhi" if _LITTLE else ">BBhi"

# Opcodes used below.
MOV64_IMM, MOV64_REG, ADD64_IMM, EXIT, CALL, LD_IMM64 = 0xB7, 0xBF, 0x07, 0x95, 0x85, 0x18


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One slot in the machine's byte order."""
    registers = dst | src << 4 if _LITTLE else dst << 4 | src
    return pack(_LAYOUT, code, registers, off, imm)


def ld_imm64(dst: int, src: int = 0, imm: int = 0, high: int = 0) -> bytes:
    return insn(LD_IMM64, dst, src, 0, imm) + insn(0, imm=high)


def call(helper: int, src: int = 0) -> bytes:
    return insn(CALL, src=src, imm=helper)


ZERO = insn(MOV64_IMM)
END = insn(EXIT)
RETURN_0 = ZERO + END


def load(kind: int, code: bytes = RETURN_0, **fields: Any) -> Fd | int:
    """Loads a program of that type: an `Fd` or `-errno`."""
    from bpfsmith import kernel

    from .attrs import encode

    given = {"prog_type": kind, "insn_cnt": len(code) // 8, "insns": code, "license": "GPL", **fields}
    made = kernel.door().bpf_fd(*encode("BPF_PROG_LOAD", **given))
    for _ in range(4):
        if made != -11:  # EAGAIN: a signal interrupted the verifier
            break
        made = kernel.door().bpf_fd(*encode("BPF_PROG_LOAD", **given))
    return made


def load_log(kind: int, code: bytes, size: int = 4096, **fields: Any) -> tuple[Fd | int, bytes]:
    """The same with the verifier's text, cut at `size` (a longer one answers `-ENOSPC` of a program that may load)."""
    log = bytearray(size)
    done = load(kind, code, log_level=1, log_size=size, log_buf=log, **fields)
    return done, bytes(log).partition(b"\0")[0]


def create(kind: int, key: int = 4, value: int = 4, entries: int = 1, flags: int = 0, **fields: Any) -> Fd | int:
    """Creates a map: an `Fd` or `-errno`."""
    from bpfsmith import kernel

    from .attrs import encode

    given = {"map_type": kind, "key_size": key, "value_size": value, "max_entries": entries, "map_flags": flags}
    return kernel.door().bpf_fd(*encode("BPF_MAP_CREATE", **given, **fields))


# ---- types

INT, PTR, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = 1, 2, 12, 13, 14, 15, 16, 17, 18, 19


def kind_word(kind: int, count: int = 0) -> int:
    """The `info` word of a type with `count` members (or, of a function, its linkage)."""
    return kind << 24 | count


def int_type(name: int = 0, size: int = 4) -> tuple[int, ...]:
    """A signed integer named by its offset in the strings."""
    return (name, kind_word(INT), size, 1 << 24 | size * 8)


def btf_blob(words: tuple[int, ...], strings: bytes) -> bytes:
    """BTF of these type words; `strings` without the first and the last NUL."""
    order = "<" if _LITTLE else ">"
    types = pack(f"{order}{len(words)}I", *(word & 0xFFFFFFFF for word in words))
    text = b"\0" + strings + b"\0"
    return pack(f"{order}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(text)) + types + text


def load_btf(words: tuple[int, ...], strings: bytes = b"") -> Fd | int:
    from bpfsmith import kernel

    from .attrs import encode

    blob = btf_blob(words, strings)
    return kernel.door().bpf_fd(*encode("BPF_BTF_LOAD", btf=blob, btf_size=len(blob)))


def closed(result: Fd | int) -> int:
    """0 for what was made (it is closed again), else `-errno`."""
    if isinstance(result, int):
        return min(result, 0)
    result.close()
    return 0


# ---- answers: 0 = yes, -errno = why not


def yes(condition: bool, errno: int = 22) -> int:
    return 0 if condition else -errno


def answers(value: int, *wanted: int) -> int:
    """Yes when the command failed with one of these errnos: it got as far as looking at its arguments."""
    return 0 if -value in wanted or value >= 0 else value


def attempt(command: str, **fields: Any) -> int:
    from bpfsmith import kernel

    return kernel.try_call(command, **fields)


def attempt_fd(command: str, **fields: Any) -> int:
    from bpfsmith import kernel

    from .attrs import encode

    return closed(kernel.door().bpf_fd(*encode(command, **fields)))


def with_made(made: Fd | int, then: Callable[[Fd], int]) -> int:
    """`then` of what was made, which is closed afterwards."""
    if isinstance(made, int):
        return made
    with made:
        return then(made)


def loads(kind: int, code: bytes = RETURN_0, **fields: Any) -> int:
    return closed(load(kind, code, **fields))

"""How the prover asks a kernel: thousands of tiny programs through one door, each answer with the verifier's words."""

from __future__ import annotations

from typing import Any

from bpfsmith import kernel
from bpfsmith.kernel._tiny import END, MOV64_IMM, insn
from bpfsmith.kernel.attrs import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfsmith._native import Step

LOG_SIZE = 16384
# Statistics only: the verifier's objections come, the states it walked through do not.
LOG_LEVEL = 4


def program(kind: int, code: bytes, licence: str = "GPL", **fields: Any) -> Step:
    """A program load as one call."""
    given = {"prog_type": kind, "insn_cnt": len(code) // 8, "insns": code, "license": licence, **fields}
    return _step("BPF_PROG_LOAD", given)


def creation(kind: int, key: int, value: int, entries: int, flags: int, **fields: Any) -> Step:
    given = {"map_type": kind, "key_size": key, "value_size": value, "max_entries": entries, "map_flags": flags}
    return _step("BPF_MAP_CREATE", given | fields)


def _step(command: str, fields: dict[str, Any]) -> Step:
    number, attr, buffers = encode(command, **fields)
    return number, bytes(attr), [(at, bytes(blob), []) for at, blob in buffers], [], -1


def returning(value: int) -> bytes:
    return insn(MOV64_IMM, imm=value) + END


def each(steps: Sequence[Step]) -> list[tuple[int, str]]:
    """(0 or `-errno`, log) of every call; what was made is closed again."""
    return kernel.door().each(steps, LOG_LEVEL, LOG_SIZE)


def last_line(log: str) -> str:
    """The verifier's last line that is not its statistics."""
    lines = [line for line in log.splitlines() if line.strip() and not _counted(line)]
    return lines[-1] if lines else ""


def _counted(line: str) -> bool:
    return line.startswith(
        ("processed ", "verification time ", "stack depth ", "subprog ", "max_states ", "mark_read ")
    )


def ranges(numbers: Any) -> str:
    """`1-3,7` of the numbers 1, 2, 3, 7."""
    out: list[list[int]] = []
    for number in sorted(numbers):
        if out and out[-1][1] == number - 1:
            out[-1][1] = number
        else:
            out.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in out)


def numbers(text: str) -> set[int]:
    """The inverse of `ranges`."""
    out: set[int] = set()
    for part in text.split(",") if text else ():
        low, _, high = part.partition("-")
        out.update(range(int(low), int(high or low) + 1))
    return out

"""What object rules share: the first place of each thing a program needs, and words for kernels that lack it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from bpfsmith.facts.helpers import Helper
    from bpfsmith.model.map import Map
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program

__all__ = ["DELIBERATE", "constant_key", "helper_calls", "linkable", "listed", "on", "return_slot", "signed"]

# Parts of names and comments that say that refusing everything is meant.
DELIBERATE = ("deny", "drop", "reject", "block", "forbid", "refuse", "discard", "disallow", "lockdown")


def linkable(obj: Object) -> Iterator[Program]:
    """The programs whose code can be looked at (another rule reports the rest)."""
    for program in obj.programs:
        if program.link_error is None:
            yield program


def helper_calls(program: Program, without: Collection[int] = ()) -> Iterator[tuple[int, Helper]]:
    """(slot of the first reachable call, helper) for each helper the facts know; `without` the calls in these slots."""
    from bpfsmith.facts import helpers

    seen: set[int] = set()
    for slot, kind, number, _ in program.calls():
        if kind != "helper" or number in seen or slot in without:
            continue
        seen.add(number)
        found = helpers.by_id(number)
        if found is not None:
            yield slot, found


def on(series: Iterable[str]) -> str:
    """`Linux 5.10..5.16`, for messages."""
    from bpfsmith.model.kernels import fold_series

    return f"Linux {fold_series(series)}"


def signed(value: int, bits: int = 64) -> int:
    """A register's value read as signed."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


_MOV64, _MOV32 = 0xB7, 0xB4


def return_slot(program: Program, value: int, exit_slot: int) -> int:
    """Where the entry function sets R0 to the constant `value`, as near to its `return` as can be told.

    Compilers put all paths through one exit, whose own line is the closing brace: no place to edit.
    """
    big = program.owner.endianness == "big"
    code = program.insns()
    _, first, count, _ = program.functions()[0]
    found = []
    for slot in range(first, first + count):
        word = code[slot * 8 : slot * 8 + 8]
        register = word[1] >> 4 if big else word[1] & 15
        if word[0] in (_MOV64, _MOV32) and register == 0:
            imm = int.from_bytes(word[4:8], "big" if big else "little", signed=True)
            if imm == signed(value, 32):
                found.append(slot)
    for slot in found:
        if "return" in (program.line_text(slot) or ""):
            return slot
    return found[0] if found else exit_slot


def constant_key(arg: int | str | None, one: Map, obj: Object) -> bytes | None:
    """The bytes of a map helper's key where they are constant: on the stack, or in read-only data (Rust's `&0`)."""
    if not isinstance(arg, str):
        return None
    kind, _, rest = arg.partition(":")
    if kind == "stack":
        # What is known may reach beyond the key.
        found = bytes.fromhex(rest.partition("=")[2])[: one.key_size]
    elif kind == "value":
        name, _, offset = rest.rpartition("+")
        section = obj.map(name) if name.startswith(".rodata") and offset.isdigit() else None
        data = b"" if section is None else section.data or b""
        found = data[int(offset) : int(offset) + one.key_size] if data else b""
    else:
        return None
    return found if found and len(found) == one.key_size else None


def listed(words: Iterable[str], limit: int = 6) -> str:
    """`` `a`, `b` and 3 more ``."""
    every = [f"`{word}`" for word in words]
    if len(every) <= limit:
        return ", ".join(every)
    return f"{', '.join(every[:limit])} and {len(every) - limit} more"

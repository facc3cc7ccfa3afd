"""Comparisons with the packet's end that lie off the path, and packet pointers where the context belongs."""

from __future__ import annotations

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.result import Advice, Cause
from bpfsmith.verify.cause.words import octets, subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Step, Trace

__all__ = ["MOST", "PACKET", "Told", "at_least", "beyond", "follows", "instead_of_context", "late", "told", "words"]

PACKET = ("pkt", "pkt_meta")
MOST = 0xFFFF
AHEAD = 32
FAR = 4000
# Where contexts keep the packet's end: (offset, bytes).
_ENDS = ((4, 4), (80, 4), (8, 8))


class Told:
    """A packet pointer as the message itself tells of it, where no state does."""

    __slots__ = ("id", "line_no", "off", "range", "type", "umax", "var_off")

    def __init__(self, identity: int | None, off: int, there: int) -> None:
        self.type = "pkt"
        self.id = identity
        self.off = off
        self.range = there
        self.umax = None
        self.var_off = None if identity in (0, None) else (0, MOST)
        self.line_no = None


def told(lines: list[str]) -> Told | None:
    """`invalid access to packet, off=21 size=1, R1(id=0,off=21,r=0)`."""
    for line in lines:
        if line.startswith("invalid access to packet"):
            found = {}
            for part in line.partition("(")[2].rstrip(")").split(","):
                name, _, number = part.partition("=")
                if number.lstrip("-").isdigit():
                    found[name.strip()] = int(number)
            return Told(found.get("id"), found.get("off", 0), found.get("r", 0))
    return None


def instead_of_context(trace: Trace, last: Step) -> Cause | None:
    """A packet pointer where a helper wants the context."""
    from bpfsmith.facts import helpers

    name = (last.insn.call or "").partition("#")[0]
    row = helpers.by_name(name) if name else None
    for at, wanted in enumerate(row.arguments if row is not None else (), 1):
        value = last.value(f"r{at}")
        if wanted != "context":
            continue
        typed = value is not None and value.type in PACKET
        if not typed and (value is None or value.line_no is None):
            from bpfsmith.verify.cause.ranges import read_from_context

            typed = read_from_context(trace, last, f"r{at}", name)
        if typed:
            what, variable_name = subject(trace, last, f"r{at}", "packet data")
            return Cause(
                "argument-type",
                "high",
                f"`{name}` wants the context as argument {at}, and is given a pointer into the packet",
                place=trace.own_place(last),
                slot=last.slot,
                because=[trace.fact(last, f"{what} is passed to {name} here: packet data, where the context belongs")],
                variables=[variable_name] if variable_name else [],
                advice=[Advice("pass-context", f"pass the program's context to {name}", function=name, position=at)],
            )
    return None


def words(text: str) -> set[str]:
    """The identifiers in a line."""
    word, found = "", set()
    for letter in f"{text} ":
        if letter.isalnum() or letter == "_":
            word += letter
        else:
            if word and not word[0].isdigit():
                found.add(word)
            word = ""
    return found


def follows(text: str, word: str) -> bool:
    """The line reads through the variable: `word->`, `*word`, `word[`."""
    return f"{word}->" in text or f"*{word}" in text or f"{word}[" in text


def late(trace: Trace, last: Step, where: str, first: list[int] | None = None, far: int = AHEAD) -> code.Insn | None:
    """A comparison with the packet's end after the use, on a line of its own; with `first`, one on the ways that begin
    there."""
    from bpfsmith.verify.cause.flow import type_of
    from bpfsmith.verify.cause.ranges import Fields

    fields = Fields(trace, last, where, "pkt")
    held = {f"r{number}": fields.type(last, f"r{number}") for number in range(10)}
    ends = frozenset(name for name, kind in held.items() if kind == "pkt_end")
    starts = frozenset(name for name, kind in held.items() if kind in PACKET)
    contexts = frozenset(name for name in held if type_of(trace, last, name) == "ctx")
    waiting = [(slot, ends, starts - set(code.writes(last.insn))) for slot in first or trace.successors(last.slot)]
    seen = {last.slot}
    while waiting and len(seen) < far:
        slot, ends, starts = waiting.pop(0)
        insn = trace.insn(slot)
        if slot in seen or insn is None:
            continue
        seen.add(slot)
        if code.conditional(insn) and code.by_register(insn):
            named = code.reads(insn)
            if any(name in ends for name in named) and any(name in starts for name in named):
                place = trace.own_place(slot)
                own = first is None and place is not None and place.same_line(trace.own_place(last))
                return None if own else insn
        written = set(code.writes(insn))
        field = code.is_load(insn) and f"r{insn.src}" in contexts and (insn.off, code.width(insn)) in _ENDS
        source = f"r{insn.src}" if code.is_mov(insn) else ""
        kept = code.group(insn) == code.ALU64 and code.operation(insn) == code.ADD
        target = {f"r{insn.dst}"}
        ends, starts = (
            (ends - written) | (target if field or source in ends else set()),
            (starts - (set() if kept else written)) | (target if source in starts else set()),
        )
        waiting += [(after, ends, starts) for after in code.successors(insn)]
    return None


def beyond(trace: Trace, last: Step, where: str, size: int) -> int:
    """How many bytes behind the access at `last` are used through the same pointer further on: one check is for all."""
    state = last.before
    value = last.value(where)
    if code.is_call(last.insn) or state is None or not state.frames:
        return 0
    here = most = last.insn.off + size
    same = {where}
    for name, one in state.frames[-1].regs.items():
        if value is not None and (one.type, one.id, one.off, one.var_off) == (
            value.type,
            value.id,
            value.off,
            value.var_off,
        ):
            same.add(name)
    seen: set[tuple[int, frozenset[str]]] = set()
    waiting = [(last.slot, frozenset(same))]
    while waiting and len(seen) < FAR:
        slot, names = waiting.pop()
        insn = trace.insn(slot)
        if (slot, names) in seen or insn is None or not names:
            continue
        seen.add((slot, names))
        group = code.group(insn)
        base = insn.src if group == code.LDX else insn.dst if group in (code.ST, code.STX) else None
        if base is not None and f"r{base}" in names:
            most = max(most, insn.off + code.width(insn))
        written = frozenset(code.writes(insn))
        copied = frozenset((f"r{insn.dst}",)) if code.is_mov(insn) and f"r{insn.src}" in names else frozenset()
        waiting += [(after, (names - written) | copied) for after in code.successors(insn)]
    return min(most - here, MOST)


def at_least(need: int, more: int) -> str:
    """Bytes to check: as far as later accesses go; where none is known, what this one needs at least."""
    return octets(need + more) if more else f"at least {octets(need)}"

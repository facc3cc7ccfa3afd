"""A verifier's log, of any kernel from 5.10 on, taken apart: what it says last, where, and what it counted.

    told = parse(log)
    told.message        # R0 invalid mem access 'map_value_or_null'
    told.instruction    # 7
    told.stack          # [8, 24], by subprogram

Kernels differ in what surrounds the message. Up to 7.2 the depths of the stack are one line (`stack depth 8+24`); 7.3
gives each subprogram a line of its own and, where instructions are logged, adds a report in sections (`Reason:`, `At:`,
`Causal path:`, `Suggestion:`) behind the message it always had. The message is that one, so that kernels can be
compared; the report is `told.report`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Log", "parse", "slot_of"]

# What lines begin with that say nothing of the reason: counts, source lines, states.
_BESIDE = (
    "processed ", "verification time ", "stack depth ", "mark_precise", "; ", "cur state:", "old state:",
    "Live regs before insn", "max_states_per_insn", "peak_states",
)  # fmt: skip
_COUNTED = "max_states_per_insn"
_REPORT = "Verification failed"
_SECTIONS = ("Reason:", "At:", "Causal path:", "Suggestion:")
# Messages about the shape of the code, found before the first instruction is followed: the number is in them.
_PLACED = (
    "unreachable insn ",
    "infinite loop detected at insn ",
    "back-edge from insn ",
    "jump out of range from insn ",
)


class Log:
    """`message`: the last line that says something, "" when none does; `instruction`: the slot it ended at, in the
    program as it was loaded; `processed`, `states`, `peak`, `limit`, `ns` (verification time) and `stack` as the kernel
    counted them, None where it did not say; `subprograms`: (name, instructions processed in it, and with those it
    calls, bytes of stack), since 7.3; `report`: section -> text, since 7.3."""

    __slots__ = (
        "instruction", "limit", "message", "ns", "peak", "processed", "report", "stack", "states", "subprograms",
    )  # fmt: skip

    def __init__(self) -> None:
        self.message = ""
        self.instruction: int | None = None
        self.processed: int | None = None
        self.limit: int | None = None
        self.states: int | None = None
        self.peak: int | None = None
        self.ns: int | None = None
        self.stack: list[int] | None = None
        self.subprograms: list[tuple[str, int, int, int]] = []
        self.report: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Log {self.message!r} at {self.instruction}, {self.processed} instructions>"


def parse(text: str) -> Log:
    """Never fails: what a log does not say stays empty."""
    found = Log()
    lines = text.splitlines()
    _counts(lines, found)
    lines = _without_report(lines, found)
    at = _last(lines)
    if at is None:
        found.message = found.report.get("Reason", "")
        return found
    message = lines[at].strip()
    if _COUNTED in message:
        message = message.rpartition("processed ")[0].strip()  # a message that lacks its line end
    said, _, time = message.rpartition("verification time ")
    if time.endswith(" usec"):
        message = said.strip()
    found.message = message
    own = slot_of(message)
    found.instruction = own if own is not None else _before(lines[:at], message)
    return found


def slot_of(line: str) -> int | None:
    """The slot of `12: (85) call bpf_map_lookup_elem#1`, else None."""
    number, colon, rest = line.partition(": (")
    return int(number) if colon and _is_number(number) and rest[2:3] == ")" else None


def _last(lines: Sequence[str]) -> int | None:
    for at in range(len(lines) - 1, -1, -1):
        line = lines[at]
        if not line.strip() or line.startswith(_BESIDE) or _subprogram(line) is not None:
            continue
        if _COUNTED in line and not line.partition("processed ")[0].strip():
            continue
        return at
    return None


def _before(lines: Sequence[str], message: str) -> int | None:
    """The last instruction the verifier followed, or the one the message names."""
    for stem in _PLACED:
        if message.startswith(stem):
            word = message[len(stem) :].partition(" ")[0]
            if _is_number(word):
                return int(word)
    for line in reversed(lines):
        slot = slot_of(line)
        if slot is not None:
            return slot
    return None


def _without_report(lines: list[str], found: Log) -> list[str]:
    """The log without 7.3's report: its headings begin in the first column, its text does not."""
    kept: list[str] = []
    section = ""
    inside = False
    for line in lines:
        if line.startswith(_REPORT):
            inside, section = True, "Category"
            found.report[section] = line[len(_REPORT) :].strip(": ")
        elif inside and line.startswith(_SECTIONS):
            section, _, rest = line.partition(":")
            found.report[section] = rest.strip()
        elif inside and (not line.strip() or line[0] in " \t"):
            if section in ("Reason", "Suggestion") and line.strip():
                found.report[section] = f"{found.report[section]} {line.strip()}".strip()
        else:
            inside = False
            kept.append(line)
    return kept


def _counts(lines: Sequence[str], found: Log) -> None:
    depths: list[int] = []
    for line in lines:
        if line.endswith(" usec") and "verification time " in line:
            word = line.rpartition("verification time ")[2].partition(" ")[0]
            found.ns = int(word) * 1000 if _is_number(word) else found.ns
        elif line.startswith("stack depth "):
            words = line[len("stack depth ") :].split()[:1]
            parts = words[0].split("+") if words else []
            if parts and all(_is_number(part) for part in parts):
                found.stack = [int(part) for part in parts]
        elif line.startswith("subprog "):
            row = _subprogram(line)
            if row is not None:
                found.subprograms.append(row)
                depths.append(row[3])
        elif _COUNTED in line and "processed " in line:
            words = line.rpartition("processed ")[2].replace("(", "").replace(")", "").split()
            told = _pairs(words)
            found.processed = _number(words[0]) if words else None
            found.limit = _number(told.get("limit"))
            found.states = _number(told.get("total_states"))
            found.peak = _number(told.get("peak_states"))
    if depths:
        found.stack = depths


def _subprogram(line: str) -> tuple[str, int, int, int] | None:
    """`subprog 0 (main) main insns_self 13 insns_total 13 stack 8`; later kernels may add words in between."""
    if not line.startswith("subprog ") or " (" not in line or ")" not in line:
        return None
    name, _, rest = line.partition(" (")[2].partition(")")
    told = _pairs(rest.split())
    stack = _number(told.get("stack"))
    if stack is None:
        return None
    own = _number(told.get("insns_self")) or 0
    return name, own, _number(told.get("insns_total")) or own, stack


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """Each word and the one after it."""
    return {one: words[at + 1] for at, one in enumerate(words[:-1])}


def _number(word: str | None) -> int | None:
    return int(word) if word is not None and _is_number(word) else None


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()

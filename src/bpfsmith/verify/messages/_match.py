"""From a line, or a log, to the family of its message."""

from __future__ import annotations

from errno import errorcode

from bpfsmith.verify.messages import _rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfsmith._native import VerifierLog
    from bpfsmith.verify.messages._rows import Row

__all__ = ["Match", "classify"]

# What loaders, terminals and libraries put before a message.
_BEFORE = ("libbpf: ", "Error: ", "error: ", "Caused by: ", "libbpf:", "load program: ", "bpf: ", "Verifier output: ")
# Calls that loaders write where something could not be resolved: their numbers, and what is missing.
_POISON = (
    (range(195896080, 195896081), "V60"),  # a field or type (libbpf, cilium/ebpf and Aya alike)
    (range(2001000000, 2002000000), "V24"),  # a map (libbpf)
    (range(2002000000, 2003000000), "V35"),  # a kernel function (libbpf)
)
# What a line before the last says better: the last one is the same for several regions.
_REGION = (
    "min value is outside of the", "max value is outside of the", "offset is outside of the packet",
    "unbounded memory access, make sure",
)  # fmt: skip
_DETAIL = "invalid access to "
_CONTRACT = "Caller passes invalid args"
_LOOKED_AT = 300  # lines from the end: noise may have millions
_SURE = 0.45  # of the words of a wording that is in no row
_NUMBER = ("scalar", "inv", "unknown", "imm", "const_imm")  # what kernels called a register that holds no pointer


class Match:
    """A message understood.

    `family`: `V06`; `format`: the kernel's own, of the kernels `row.first` .. `row.last`; `operands`: by name, numbers
    as `int` (`reg`, `off`, `size`, `value_size`, `type`, `expected`, `func`, `insn`, ..); `message`: the line chosen;
    `confidence`: `high` where all of the line is explained, `medium` where it goes on, `low` where only its words are
    those of a row.
    """

    __slots__ = ("confidence", "family", "message", "operands", "row")

    def __init__(self, family: str, row: Row | None, operands: dict[str, int | str], message: str, sure: str) -> None:
        self.family = family
        self.row = row
        self.operands = operands
        self.message = message
        self.confidence = sure

    @property
    def format(self) -> str:
        """The kernel's format, "" where an errno is all there is."""
        return self.row.format if self.row is not None else ""

    def __repr__(self) -> str:
        return f"<Match {self.family} {self.message!r}>"


def classify(log: VerifierLog | str, rejected: bool = False) -> Match | None:
    """The family of a log's message, or of a message alone; None where nothing tells (or the program was accepted).

    `rejected`: the kernel's errno says so, though the log ends as if it had accepted (its last check comes later).

    Of a log, THE message is chosen among what was told: kernels print notes before and after it. A line that no row
    knows is matched by its words: `confidence` is `low`.
    """
    if isinstance(log, str):
        if "\n" not in log.strip():
            found = _one(log) or _loader([log], None) or _alike(log)
            return None if found is None or found.family == "note" else found
        from bpfsmith import _native

        log = _native.VerifierLog(log)
    if log.verdict == "accepted" and not rejected:
        return None
    told = [text for _, text in log.told[-_LOOKED_AT:]]
    if not log.message and (path := log.path):  # it stops among its instructions: what was said before was a note
        last = log.step(path[-1]).line_no
        told = [text for number, text in log.told[-_LOOKED_AT:] if number > last]
    found = _chosen(told, log.message)
    if found is not None and found.family == "V09" and _of_packet(log, found):
        found.family = "V08"
    if found is None and log.report is not None:
        found = _one(log.report.reason) or _alike(log.report.reason)
    silent = not log.steps and not log.counts  # the verifier was not asked
    if found is None or (silent and found.confidence == "low"):
        words = _loader([*(text for _, text in log.beside[-_LOOKED_AT:]), *told[-20:]], log.errno)
        found = words if found is None or (words is not None and words.row is not None) else found
    return found


def _chosen(told: Sequence[str], message: str) -> Match | None:
    """The last line that ends a verification; else the last that may; else the one most like a message we know."""
    weak: Match | None = None
    lines = list(told)
    if message and message not in lines:
        lines.append(message)
    for at in range(len(lines) - 1, -1, -1):
        found = _one(lines[at])
        if found is None or found.row is None or found.row.kind == "note":
            if found is None and lines[at] == message and len(lines) > 1:
                alike = _alike(message)
                if alike is not None and weak is None:
                    return alike
            continue
        if found.confidence == "low":
            continue
        if found.row.kind == "error" or any(stem in lines[at] for stem in _REGION):
            return _detailed(found, lines[:at])
        weak = weak or found
    if weak is not None:
        return weak
    return _alike(message) if message else None


def _detailed(found: Match, before: Sequence[str]) -> Match:
    """With what the line before says: which region it is, which argument."""
    if not before:
        return found
    last = before[-1]
    if any(stem in found.message for stem in _REGION) and last.startswith(_DETAIL):
        region = _one(last)
        if region is not None:
            return Match(region.family, found.row, {**region.operands, **found.operands}, found.message, "high")
    if found.message.startswith(_CONTRACT):
        argument = _one(last)
        if argument is not None and argument.row is not None and argument.row.kind != "note":
            return Match(found.family, found.row, {**argument.operands, **found.operands}, found.message, "high")
    return found


def _of_packet(log: VerifierLog, found: Match) -> bool:
    """7.3 words packets like memory; where the line before is cut off, the register's state tells."""
    reg, path = found.operands.get("reg"), log.path
    if not isinstance(reg, int) or not path or not any(stem in found.message for stem in _REGION[:2]):
        return False
    frames = log.state(path[-1]).frames
    value = frames[-1].regs.get(f"r{reg}") if frames else None
    return value is not None and value.type.startswith("pkt")


def _one(line: str) -> Match | None:
    """A line by the formats."""
    text = _bare(line)
    if not text:
        return None
    found = _rows.best(text)
    if found is None:
        return None
    row, told, whole = found
    operands = {name: _value(value) for name, value in told.items()}
    _subject(operands)
    sure = "high" if whole and row.kind != "part" else "medium"
    return Match(_family(row, operands, text), row, operands, text, sure)


def _alike(line: str) -> Match | None:
    """A line by its words."""
    text = _bare(line)
    found = _rows.similar(text) if text else None
    if found is None or found[1] < _SURE:
        return None
    row = found[0]
    operands: dict[str, int | str] = {}
    _guess(text, operands)
    return Match(_family(row, operands, text), row, operands, text, "low")


def _bare(line: str) -> str:
    text = line.strip()
    changed = True
    while changed:
        changed = False
        for word in _BEFORE:
            if text.startswith(word):
                text, changed = text[len(word) :].lstrip(), True
    text = text.partition("\n")[0].strip().removeprefix(": ")
    if text.endswith(" omitted)"):  # cilium/ebpf's count of lines that it left out
        text = text.rpartition(" (")[0]
    said, counted, _ = text.partition("processed ")  # some messages lack their line end
    if counted and said and "max_states_per_insn" in text:
        return said.strip()
    said, timed, rest = text.rpartition("verification time ")
    return said.strip() if timed and said and rest.endswith(" usec") else text


def _family(row: Row, operands: dict[str, int | str], text: str) -> str:
    """A row's family, or where one format serves several, the one its operands say."""
    family = row.family
    kind = operands.get("type")
    if isinstance(kind, str) and family in ("V07", "V11", "V20"):
        return _typed(row, kind)
    if family == "V40" and "callback" in text[:24]:
        return "V38"
    return _poisoned(operands.get("number")) if family == "V22" else family


def _typed(row: Row, kind: str) -> str:
    """Where the type of a register decides."""
    if "or_null" in kind or "OR_NULL" in kind:
        return "V06"
    if row.family == "V20" and kind.startswith(_NUMBER):
        return "V07"
    if row.family == "V11" and kind == "pkt_end":
        return "V08"
    return _pointed(kind) if "mem access" in row.format else row.family


def _pointed(kind: str) -> str:
    """Memory access through a register of this type."""
    if kind.startswith(_NUMBER):
        return "V07"
    if kind.startswith("percpu_"):
        return "V16"
    if "dynptr" in kind:
        return "V33"
    return "V08" if kind.startswith("pkt") else "V20"


def _poisoned(number: int | str | None) -> str:
    """Of a helper's number."""
    return next((family for numbers, family in _POISON if isinstance(number, int) and number in numbers), "V22")


def _value(word: str) -> int | str:
    digits = word[1:] if word[:1] in "+-" else word
    if digits.isascii() and digits.isdigit():
        return int(word)
    if digits[:2].lower() == "0x":
        try:
            return int(word, 16)
        except ValueError:
            return word
    return word


def _subject(operands: dict[str, int | str]) -> None:
    """`R1`, `arg#0` or `arg 1` where newer kernels have a word for what older ones number."""
    subject = operands.get("subject")
    if not isinstance(subject, str):
        return
    word = subject.strip()
    if word[:1] == "R" and word[1:].isdigit():
        operands.setdefault("reg", int(word[1:]))
    elif word.startswith("arg"):
        digits = word.removeprefix("arg").lstrip("#s ")
        if digits.isdigit():
            operands.setdefault("arg", int(digits))


def _guess(text: str, operands: dict[str, int | str]) -> None:
    """Operands of a wording that is new: the register it begins with, and `name=number`."""
    words = text.split()
    first = words[0] if words else ""
    if first[:1] == "R" and first[1:].isdigit():
        operands["reg"] = int(first[1:])
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier():
            operands.setdefault(name, _value(value.strip(",;.)")))
    if "mem access '" in text:
        operands["type"] = text.partition("mem access '")[2].partition("'")[0]


def _loader(lines: Sequence[str], errno: int | None) -> Match | None:
    """What loaders say where the kernel said nothing."""
    weak: Match | None = None
    for line in reversed(lines):
        for part in _said(line):
            found = _one(part)
            if found is None or found.row is None or found.row.kind == "note" or found.confidence == "low":
                continue
            if found.row.kind == "error":
                return found
            weak = weak or found
    if weak is not None or errno is None:
        return weak
    family = {1: "V63", 28: "V66", 7: "V27"}.get(errno, "V67")
    return Match(family, None, {"errno": errno}, errorcode.get(errno, str(errno)), "low")


def _said(line: str) -> list[str]:
    """A loader's line, and what it quotes: `load program: operation not permitted: map create: ..`."""
    out = [line]
    rest = line
    while ": " in rest:
        rest = rest.partition(": ")[2]
        out.append(rest)
    return out[:8]

"""Logs: read from files, pastes and bytes; each load of a paste explained; what is no log is said."""

from __future__ import annotations

from bpfsmith.model.errors import InputError
from bpfsmith.verify.explained import WHOLE, explained, parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO

    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.verify.explained import Explained

__all__ = ["of_bytes", "read"]

GIVE = (
    "give what the loader printed: `bpfsmith verify X.o --log-dir DIR` writes logs, Aya has them in its error, libbpf "
    "and bpftool print them"
)


def read(path: str) -> tuple[bytes, BinaryIO | None]:
    """The first bytes of a file, or of standard input for `-`, and what holds more where there is more than is read at
    once. `InputError` for what cannot be read."""
    try:
        if path == "-":
            import sys

            stream: BinaryIO = sys.stdin.buffer
        else:
            stream = open(path, "rb")  # noqa: SIM115 - closed below, or by whoever reads on
        data = stream.read(WHOLE)
        if len(data) < WHOLE:
            if path != "-":
                stream.close()
            return data, None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InputError(
            f"cannot read `{path}`: {why}", path, "give a verifier's log, an object or a workspace"
        ) from None
    return data, stream


def of_bytes(
    data: bytes | str,
    name: str,
    *,
    more: BinaryIO | None = None,
    objects: Sequence[Object] = (),
    programs: Any = None,
    sources: Any = None,
) -> tuple[list[Explained], list[str]]:
    """(each load of it, notes). `more`: where the log goes on; `objects`: where the program may be; `programs`: its
    name or pattern.

    `InputError` for what is no verifier's log; it says what it is instead."""
    data = _refuse(data, name)
    log = parsed(data, more)
    loads = list(log.loads)
    if not any(_tells(one) for one in loads):
        raise InputError(f"no verifier's log in `{name}`: {_instead(log)}", name, GIVE)
    loads = _once([one for one in loads if _tells(one)])
    notes = []
    whole = [one for one in loads if not any(_part(one, other) for other in loads if other is not one)]
    if len(whole) < len(loads):
        notes.append("a part of the same log stands beside it, without an end: only the whole one is explained")
        loads = whole
    if len(loads) > 1:
        notes.append(f"{len(loads)} loads in one paste, each explained alone")
    told = sorted({str(one.program) for one in loads if one.program})
    if isinstance(programs, str) and told and not objects and not _wanted(told, programs):
        names = ", ".join(f"`{one}`" for one in told)
        notes.append(f"the log is of {names}, not of `{programs}`: it is explained as such")
    made = []
    for one in loads:
        program, said = _program(one, objects, programs)
        each = explained(one, program=program, sources=sources, name=_named(one, programs, program))
        if said:
            each.notes.insert(0, said)
        made.append(each)
    return made, notes


def _wanted(told: list[str], pattern: str) -> bool:
    """A name a log tells fits; kernels tell 15 letters of it."""
    from fnmatch import fnmatchcase

    return any(fnmatchcase(one, pattern) or pattern.startswith(one) for one in told)


def _once(loads: list[Any]) -> list[Any]:
    """Without repetitions: errors of Rust print their cause once more, with the whole log in it."""
    kept: list[Any] = []
    for one in loads:
        if not any(_again(one, former) for former in kept):
            kept.append(one)
    return kept


def _part(one: Any, other: Any) -> bool:
    """An excerpt of another load in the paste: people show the line they mean, then all of it."""
    if one.message or not one.steps or one.steps >= other.steps or not other.message:
        return False
    pairs = [(one.insn(slot), other.insn(slot)) for slot in one.insns]
    return all(mine is not None and whole is not None and mine.text == whole.text for mine, whole in pairs)


def _again(one: Any, former: Any) -> bool:
    if one.counts and former.counts and one.counts != former.counts:
        return False  # loaded once more
    if one.steps != former.steps or (one.steps and one.at != former.at) or not former.message:
        return False
    return one.message == former.message or former.message in one.text


def _tells(log: Any) -> bool:
    """Whether it is a log at all. A message alone, without instructions, counts or a loader's error, must be one that
    verifiers say: noise has last lines too."""
    if log.steps or log.counts or log.errno is not None or log.verdict == "accepted":
        return True
    from bpfsmith.verify.messages import classify, quoted

    if not log.message and log.verdict == "unknown":
        return quoted(log) is not None
    return classify(log) is not None or quoted(log) is not None


def _refuse(data: bytes | str, name: str) -> bytes | str:
    """Its text; an error for what needs no parser to be known as no log."""
    if not data.strip():
        raise InputError(f"`{name}` is empty", name, GIVE)
    head = data[:4096]
    if isinstance(head, bytes) and b"\0" in head:
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # as some shells redirect
            return bytes(data).decode("utf-16", "replace") if isinstance(data, bytes) else data
        kind = _KINDS.get(bytes(head[:4]), "binary data")
        raise InputError(f"`{name}` is {kind}, no verifier's log", name, GIVE)
    return data


_KINDS = {
    b"\x1f\x8b\x08\x00": "compressed (gzip)",
    b"\x28\xb5\x2f\xfd": "compressed (zstd)",
    b"PK\x03\x04": "a zip archive",
}


def _instead(log: Any) -> str:
    """What it looks like."""
    lines = log.lines
    if log.loader is not None and log.loader != "kernel":
        errno = f" (error {log.errno})" if log.errno else ""
        return f"words of {log.loader}{errno}, but not what the verifier said"
    return f"{lines} line{'s' * (lines != 1)}, none of them the verifier's"


def _named(log: Any, programs: Any, program: Program | None) -> str | None:
    if program is not None:
        return program.name
    if log.program:
        return str(log.program)
    return programs if isinstance(programs, str) and not set(programs) & set("*?[") else None


# ------------------------------------------------------------ whose log it is


def _program(log: Any, objects: Sequence[Object], wanted: Any) -> tuple[Program | None, str]:
    """The program this log is of, and what is to be said about it."""
    if not objects:
        return None, ""
    from bpfsmith.verdict.items import chosen

    all_of = [one for obj in objects for one in obj.programs]
    named = [one for obj in objects for one in chosen(obj, wanted)]
    if wanted is not None and not named:
        from bpfsmith.model.errors import UnknownName
        from bpfsmith.model.near import did_you_mean

        names = [one.name for one in all_of]
        raise UnknownName(f"no program `{wanted}` in `{objects[0].path}`", hint=did_you_mean(str(wanted), names))
    if not log.insns:
        told = [one for one in named if one.name == log.program] or (named if len(named) == 1 else [])
        return (told[0] if told else None), ""
    if log.program:
        named.sort(key=lambda one: not one.name.startswith(str(log.program)))  # the kernel knows 15 letters
    if (found := _nearest(log, named)) is not None:
        return found, ""
    other = _nearest(log, [one for one in all_of if one not in named])
    path = objects[0].path
    if other is not None:
        what = f"of program `{other.name}`, not of `{named[0].name}`" if len(named) == 1 else "of another program"
        return other, f"the log is {what}: it is explained as such"
    whose = f"`{named[0].name}` of `{path}`" if len(named) == 1 else f"any program of `{path}`"
    return None, f"the log is not of {whose}: its instructions are others; the log alone is explained"


def _nearest(log: Any, programs: Sequence[Program]) -> Program | None:
    """Of programs that are alike the one whose instructions and lines are the log's; of equals the one that the log's
    name speaks for, else the first."""
    found = []
    for at, one in enumerate(programs):
        distance = _distance(log, one)
        if distance is not None:
            found.append((log.program is not None and not one.name.startswith(str(log.program)), distance, at))
    return programs[min(found)[2]] if found else None


def _distance(log: Any, program: Program) -> int | None:
    """In how many instructions and lines a log differs from a program; None where it is another one's: opcodes and
    registers at the same slots must be the same. Loaders change constants, and CO-RE the width of a load."""
    try:
        code = program.insns()
    except Exception:  # what cannot be linked cannot be compared
        return None
    seen = wrong = near = 0
    for slot in log.insns:
        insn = log.insn(slot)
        if insn is None or not insn.exact:
            continue
        at = slot * 8
        seen += 1
        if at + 8 > len(code):
            return None
        if code[at] != insn.code or (insn.kind in _REGISTERS and code[at + 1] & 15 != insn.dst):
            wrong += 1
        elif int.from_bytes(code[at + 4 : at + 8], "little", signed=True) != insn.imm:
            near += 1
        told = log.source(slot)
        if told is not None and told[1] is not None:
            line = program.source_line(slot)
            near += line is not None and line.line != told[1]
    return 2 * wrong + near if wrong <= seen // 10 else None


_REGISTERS = frozenset(("alu", "mov", "load", "store", "branch"))

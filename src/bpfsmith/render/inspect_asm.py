"""`inspect --asm`: a program's instructions under the source lines they come from.

Instructions are spelled as the verifier's log spells them, so that a log can be laid beside the listing, with jump
targets as labels, and helpers, maps, functions and kernel functions by name.
"""

from __future__ import annotations

from bpfsmith.render.inspect_table import Paint, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.instruction import Instruction
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.program import Program

_CALL = 0x85
_JUMPS = frozenset((5, 6))  # BPF_JMP and BPF_JMP32
_NOT_JUMPS = frozenset((0x80, 0x90))  # call and exit
_GOTOL = 0x06
_GOTOX = 0x0D  # goes where a table says
_POISONED_CORE = 0xBAD2310  # what libbpf writes as the helper of an instruction it could not relocate


def render(program: Program, *, kernel: Kernel | None = None, color: bool = False, inlined: bool = False) -> str:
    """The listing of one program, its subprograms behind it; with `kernel` as relocated against it."""
    return "\n".join(_lines(program, kernel, Paint(color), inlined)) + "\n"


def _lines(program: Program, kernel: Kernel | None, paint: Paint, inlined: bool) -> Iterator[str]:
    instructions = list(program.instruction_view(kernel))
    labels = _labels(instructions)
    texts = dict(program.disassemble(kernel))
    names = _names(program)
    core = {row["slot"]: row for row in program.core(kernel)} if kernel is not None else {}
    starts = {first: (name, count, stack) for name, first, count, stack in program.functions()}
    lines = {row[0] for row in program.lines()}
    digits = len(str(max(program.instructions - 1, 0)))
    against = f", relocated against {kernel.name}" if kernel is not None else ""
    shown = f"{program.name} ({program.section}): {program.instructions} slots, {program.stack} bytes of stack{against}"
    yield paint(printable(shown), "bold")
    shown_line = ""
    for one in instructions:
        slot = one.slot
        if slot in starts:
            shown_line = ""
            name, count, stack = starts[slot]
            yield ""
            if len(starts) > 1 or name != program.name:  # else the first line has just said it
                yield paint(printable(f"{name}:"), "cyan") + paint(f"  {count} slots, {stack} bytes of stack", "dim")
        if slot in labels:
            yield paint(f"{labels[slot]}:", "yellow")
        if slot in lines:
            # Records of one line differ by column: it is shown once.
            source = list(_source(program, slot, paint, inlined))
            if source and source[0] != shown_line:
                yield from source
                shown_line = source[0]
        text = printable(_text(one, texts.get(slot, ""), labels, names))
        note = _note(core.get(slot))
        yield f"  {paint(f'{slot:>{digits}}', 'dim')}: {text}" + (f"  {paint('; ' + note, 'dim')}" if note else "")


def _source(program: Program, slot: int, paint: Paint, inlined: bool) -> Iterator[str]:
    place = program.source_line(slot)
    if place is None:
        return
    text = (place.text or "").strip()
    yield paint(printable(f"; {_short(place.path)}:{place.line}" + (f"  {text}" if text else "")), "green")
    if inlined:
        frames = program.inline_frames(slot)
        for function, path, line, _ in frames if len(frames) > 1 else ():
            yield paint(printable(f";   in {function} ({_short(path)}:{line})"), "dim")


def _short(path: str) -> str:
    """The last two parts of a path: enough to know the file by."""
    parts = path.rsplit("/", 2)
    return "/".join(parts[-2:]) if len(parts) == 3 else path


def _target(one: Instruction) -> int | None:
    """The slot a jump goes to."""
    if one.code & 7 not in _JUMPS or one.code & 0xF0 in _NOT_JUMPS or one.code == _GOTOX:
        return None
    return one.slot + 1 + (one.imm if one.code == _GOTOL else one.off)


def _labels(instructions: list[Instruction]) -> dict[int, str]:
    known = {one.slot for one in instructions}
    targets = {target for one in instructions if (target := _target(one)) is not None and target in known}
    return {slot: f"L{number}" for number, slot in enumerate(sorted(targets), 1)}


def _names(program: Program) -> dict[int, tuple[str, str, int]]:
    """Slot -> (kind, name, offset) of what the instruction refers to; helpers and direct calls included."""
    found = {slot: (kind, name, offset) for slot, kind, name, offset in program.native.refs()}
    for slot, kind, number, name in program.calls():
        if kind == "helper":
            found[slot] = ("helper", name, number)
        elif kind == "subprog":
            found[slot] = ("subprog", name, 0)
    return found


def _text(one: Instruction, text: str, labels: dict[int, str], names: dict[int, tuple[str, str, int]]) -> str:  # noqa: PLR0911  # one return per kind of operand
    if one.code == _CALL and one.src == 0 and one.imm == _POISONED_CORE:
        return f"({one.code:02x}) call poisoned"
    if one.src == 0 and names.get(one.slot, ("",))[0] == "extern":
        return f"{text}  ; no {names[one.slot][1]} there"
    target = _target(one)
    if target in labels:
        head, word, _ = text.rpartition("goto")
        if word:
            return f"{head}{_goto(text)} {labels[target]}"
    kind, name, offset = names.get(one.slot, ("", "", 0))
    prefix = f"({one.code:02x})"
    if one.code == _CALL and one.src == 0 and kind == "helper":
        return f"{prefix} call {name}#{offset}"
    if one.code == _CALL and one.src in {1, 2} and name:
        return f"{prefix} call {name}"
    if one.wide and name and one.src:
        if kind == "map":
            return f"{prefix} r{one.dst} = map[{name}]"
        if kind == "value":
            return f"{prefix} r{one.dst} = map[{name}]+{offset}"
        return f"{prefix} r{one.dst} = {kind}[{name}]"
    return text


def _goto(text: str) -> str:
    """`goto` or `gotol`, as in the text."""
    return "gotol" if "gotol" in text else "goto"


def _note(row: dict[str, object] | None) -> str:
    if row is None:
        return ""
    what = f"{row['kind']} {row['access']}"
    if row["reason"]:
        return f"{what}: {row['reason']}"
    return f"{what}: {row['orig']} -> {row['new']}" if row["orig"] != row["new"] else what

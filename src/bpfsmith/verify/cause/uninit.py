"""Registers and bytes of the stack that are read before anything was written to them."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import stack_slot
from bpfsmith.verify.cause.locals import at_stack, frame
from bpfsmith.verify.cause.locals import place as declaration
from bpfsmith.verify.cause.panics import NEAR, panic_cause, panicking, trapped
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place
from bpfsmith.verify.cause.words import octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import Btf
    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find"]

ARGUMENTS = ("r1", "r2", "r3", "r4", "r5")


def find(trace: Trace, match: Match | None) -> Cause | None:
    """`uninitialised`, `panic-or-unreachable` where a panic's way fell through, `context-access` for the kernel's own
    bytes on the stack."""
    message = parts.said(trace, match)
    if "__bpf_trap" in message:
        return trapped(trace)
    if "read from stack" in message or "indirect access to stack" in message:
        return _stack(trace, message)
    if "!read_ok" in message or ("is invalid" in message and parts.register(message)):
        return _register(trace, message)
    return None


# ---------------------------------------------------------------- registers


def _register(trace: Trace, message: str) -> Cause | None:  # noqa: PLR0911
    step = trace.last
    reg = parts.register(message)
    if reg is None or (step is None and int(reg[1:]) <= 10):
        return None
    if step is None or int(reg[1:]) > 10:
        return parts.cause(
            trace, "loader-or-metadata", "high", f"the instruction names a register that there is not (`{reg}`)",
            step=step, advice=[Advice("rebuild", "the program's bytes are not what a compiler makes: build it again")],
        )  # fmt: skip
    panic = panicking(trace, step)
    if panic is not None:
        return panic_cause(trace, step, panic, f"the program then runs into code where {reg} was never set")
    if reg in ARGUMENTS and (name := parts.called(step)):
        return _unset_argument(trace, step, reg, name)
    writer = trace.defined(step, reg)
    if writer is not None and writer.frame < step.frame:
        return _missing_argument(trace, step, reg, writer)
    if writer is not None and code.is_call(writer.insn):
        joined = _joined(trace, step, reg, writer)
        return _clobbered(trace, step, reg, writer) if joined is None else _partly(trace, step, reg, joined)
    if writer is not None and code.group(writer.insn) == code.LD and reg != "r0":
        return _after_load(trace, step, reg, writer)
    if reg == "r0" and code.is_exit(step.insn):
        return _no_return(trace, step)
    whole = len(trace.steps) > 0 and trace.steps[0].slot == 0
    entered = writer is None and whole and step.frame == 0 and reg in ARGUMENTS and reg != "r1"
    if entered and not parts.rust(trace) and _skipped(trace, step, reg) is None:
        return _one_argument(trace, step, reg)
    return _never(trace, step, reg)


def _missing_argument(trace: Trace, step: Step, reg: str, call: Step) -> Cause:
    name = parts.function(trace, step.slot) or "the function"
    if reg not in ARGUMENTS:
        return _never(trace, step, reg)
    which = _ordinal(int(reg[1:]))
    if caller := parts.called(call):  # it decides what a callback gets
        return parts.cause(
            trace, "uninitialised", "high", f"`{caller}` calls `{name}` without a {which} argument, which it uses",
            step=step,
            because=[
                trace.fact(call, f"`{caller}` calls `{name}`: {reg} holds nothing there"),
                trace.fact(step, f"{reg}, the {which} argument, is used here"),
            ],
            advice=[Advice("callback-arguments", f"declare `{name}` with the arguments that `{caller}` gives, and hand "
                                                 "over the rest through its context")],
        )  # fmt: skip
    return parts.cause(
        trace, "uninitialised", "high", f"`{name}` uses its {which} argument ({reg}), and this call does not pass one",
        step=call,
        because=[
            trace.fact(call, f"`{name}` is called and {reg} holds nothing"),
            trace.fact(step, f"{reg}, the {which} argument, is used here"),
        ],
        advice=[Advice("pass-argument", f"pass a value as the {which} argument, or declare it as it is called")],
    )  # fmt: skip


def _one_argument(trace: Trace, step: Step, reg: str) -> Cause:
    return parts.cause(
        trace, "uninitialised", "high",
        f"the kernel calls a program with its context alone: there is no {_ordinal(int(reg[1:]))} argument ({reg})",
        step=step, because=[trace.fact(step, f"{reg} is used here, and nothing on the way sets it")],
        advice=[Advice("context-arguments", "read it from the context (`BPF_PROG`, `BPF_KPROBE` and their like do "
                                            "that), or give the variable a value where it is declared")],
    )  # fmt: skip


def _unset_argument(trace: Trace, step: Step, reg: str, name: str) -> Cause:
    from bpfsmith.facts import helpers

    position = int(reg[1:])
    row = helpers.by_name(name)
    wanted = f", {_article(row.arguments[position - 1])}," if row and position <= len(row.arguments) else ""
    count = f" takes {len(row.arguments)} arguments, and" if row else ":"
    return parts.cause(
        trace, "uninitialised", "high",
        f"`{name}`{count} nothing was passed as the {_ordinal(position)}{wanted.rstrip(',')} ({reg})",
        step=step, because=[trace.fact(step, f"`{name}` is called, and {reg} holds nothing")], variables=[name],
        advice=[
            Advice("pass-argument", f"pass the {_ordinal(position)} argument, and use the helper as its header "
                                    f"declares it",
                   function=name, position=position)
        ],
    )  # fmt: skip


def _article(what: str) -> str:
    return f"{'an' if what[:1] in 'aeiou' else 'a'} {what}"


def _clobbered(trace: Trace, step: Step, reg: str, call: Step) -> Cause:
    name = parts.called(call) or parts.function(trace, call.insn.target) or "a function"
    if reg == "r0":
        return parts.cause(
            trace, "uninitialised", "high", f"`{name}` returns nothing, and its result is used",
            step=step,
            because=[
                trace.fact(call, f"`{name}` leaves no value in r0"),
                trace.fact(step, "r0 is used here" if not code.is_exit(step.insn) else "r0 is returned here"),
            ],
            variables=[name],
            advice=[Advice("return-value", "give the value explicitly (`return 0;`) after the call", call=name)],
        )  # fmt: skip
    earlier = trace.defined(call, reg)
    because: list[Fact | None] = []
    if earlier is not None and earlier.frame == call.frame:
        because.append(trace.fact(earlier, f"{reg} is set"))
    because += [
        trace.fact(call, f"`{name}` is called: r1 to r5 hold nothing afterwards"),
        trace.fact(step, f"{reg} is used here"),
    ]
    return parts.cause(
        trace, "uninitialised", "high",
        f"{reg} is used after the call of `{name}`, which leaves nothing in r1 to r5",
        step=step, because=because, variables=[],
        advice=[
            Advice(
                "reload-after-call",
                f"set {reg} again after the call, or keep the value in r6 to r9 (in inline assembly: name r0 to r5 as "
                "clobbered)",
                register=reg, call=name,
            )
        ],
    )  # fmt: skip


def _after_load(trace: Trace, step: Step, reg: str, load: Step) -> Cause:
    return parts.cause(
        trace, "uninitialised", "high", f"{reg} is used after an old packet load (LD_ABS, LD_IND), which leaves "
                                        f"nothing in it",
        step=step, because=[trace.fact(load, "the load leaves nothing in r1 to r5"),
                            trace.fact(step, f"{reg} is used here")],
        advice=[Advice("reload-after-call", f"set {reg} again after the load, or keep the value in r6 to "
                                            f"r9", register=reg)],
    )  # fmt: skip


def _no_return(trace: Trace, step: Step) -> Cause:
    name = parts.function(trace, step.slot)
    shown = f"`{name}`" if name else "the program"
    end = trace.place(step.slot)
    place = end if end is not None and (end.text or "").startswith("}") else trace.own_place(step)
    if place is not None and place.text is not None and not place.text.startswith("}"):
        place = parts.downward(trace, place, "}", "", 1) or place
    return parts.cause(
        trace, "uninitialised", "high", f"{shown} ends without a return value on this path",
        step=step, place=place,
        because=[trace.fact(step, "the exit hands on r0, and nothing on this path set it")],
        advice=[Advice("return-value", "return a value on every path (`return 0;`), of the declared type", value=0)],
    )  # fmt: skip


def _never(trace: Trace, step: Step, reg: str) -> Cause:
    """Nothing on this path wrote the register: where the path left the one that does."""
    branch = _skipped(trace, step, reg)
    name, place = _variable(trace, step, reg)
    because: list[Fact | None] = []
    if branch is not None:
        because.append(trace.fact(branch, f"this way leaves out where {f'`{name}`' if name else reg} is set"))
    because.append(trace.fact(step, f"{f'`{name}`' if name else reg} is used here and has no value"))
    shown = f"`{name}`" if name else f"the value in {reg}"
    return parts.cause(
        trace, "uninitialised", "medium" if place is None else "high",
        f"{shown} is used here, and on this path nothing has set it",
        step=step, place=place, because=because, variables=[name],
        advice=[Advice("initialise", f"give {shown} a value where it is declared", variable=name)],
    )  # fmt: skip


def _skipped(trace: Trace, step: Step, reg: str) -> Step | None:
    """The branch on the path that left a way on which `reg` is written before it is used."""
    writers = [
        slot for slot, insn in trace.cfg.items() if reg in code.writes(insn) and not code.is_call(insn)
    ]  # fmt: skip
    if not writers:
        return None
    for former in trace.steps.back(step.at, NEAR):
        if former.frame != step.frame or not code.conditional(former.insn):
            continue
        after = former.next
        other = [slot for slot in trace.successors(former.slot) if after is None or slot != after.slot]
        if any(parts.reaches(trace, one, writers, avoid=(step.slot,)) for one in other):
            return former
    return None


def _joined(trace: Trace, step: Step, reg: str, call: Step) -> Step | None:
    """The last step on this path before another way comes in that has set the register."""
    before: dict[int, list[int]] = {}
    for slot in trace.cfg:
        for after in trace.successors(slot):
            before.setdefault(after, []).append(slot)
    for former in trace.steps.back(step.at, NEAR):
        if former.at < call.at:
            return None
        behind = former.next
        for other in before.get(behind.slot, ()) if behind is not None else ():
            if other != former.slot and _sets(trace, other, reg, before):
                return former
    return None


def _sets(trace: Trace, slot: int, reg: str, before: dict[int, list[int]]) -> bool:
    """The straight way that ends in `slot` sets the register, not by a call."""
    for _ in range(16):
        insn = trace.insn(slot)
        if insn is None or code.is_call(insn):
            return False
        if reg in code.writes(insn):
            return True
        ways = before.get(slot, [])
        if len(ways) != 1:
            return False
        slot = ways[0]
    return False


def _partly(trace: Trace, step: Step, reg: str, made: Step) -> Cause:
    """Where ways meet, one of which leaves out part of a value: enums with variants of different length, locals that
    one branch sets."""
    name, place = _variable(trace, step, reg)
    shown = f"`{name}`" if name else "the value"
    return parts.cause(
        trace, "uninitialised", "high" if name else "medium",
        f"{shown} is made here without all of its bytes, and all of them are used where the ways meet",
        step=made, place=place,
        because=[
            trace.fact(made, f"on this way nothing sets what {reg} is to hold; another way that leads on does"),
            trace.fact(step, f"{reg} is used here and has no value"),
        ],
        variables=[name],
        advice=[Advice("initialise", "give every part a value on each way: a struct without variants, or zeroes first",
                       variable=name)],
    )  # fmt: skip


def _variable(trace: Trace, step: Step, reg: str) -> tuple[str | None, Place | None]:
    """The variable read at `step`, where its line names one that is declared without a value."""
    place = trace.own_place(step)
    if place is None or place.text is None:
        return None, None
    for name in _names(place.text):
        found = parts.declaration(trace, place, name)
        if found is not None and found.text is not None and "=" not in found.text:
            return name, found
    del reg
    return None, None


def _names(text: str) -> list[str]:
    letters = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text)
    return list(dict.fromkeys(word for word in letters.split() if word.isidentifier()))


def _ordinal(number: int) -> str:
    return ("zeroth", "first", "second", "third", "fourth", "fifth")[number]


# ---------------------------------------------------------------- bytes of the stack


def _stack(trace: Trace, message: str) -> Cause | None:
    """`off -16+4 size 8`: byte 4 of the 8 at -16 was never written."""
    step = trace.last
    at = _offsets(message)
    if step is None or at is None:
        return None
    start, byte, size = at
    helper = parts.called(step)
    reg = parts.register(message)
    if reg is None and helper:
        reg = _pointing(step, start)
    special = _special(trace, step, start) or _address(trace, step, start + byte, helper)
    if special is not None:
        return special
    written = _stores(trace, step, start, size)
    begun = len(trace.steps) > 0 and trace.steps[0].slot == 0
    missing = _missing(written, start, size, byte) if begun or trace.program is not None else [byte]
    position = int(reg[1:]) if reg is not None and helper else 0
    expression = _argument(trace, step, helper, position)
    name = parts.identifier(expression)
    layout = _layout(trace, step, helper, position)
    known = at_stack(trace, step.slot, start + byte)
    if known is not None:
        name = known.name
        if known.fields and not layout:
            shift = start - (known.kept(step.slot, "frame") or 0) + frame(trace, step.slot)
            layout = [(one, low - shift, low - shift + size) for one, low, size in known.fields]
    what = _which(missing, start, size, written, layout)
    shown = f"`{name}`" if name else f"the {'byte' if size == 1 else octets(size)} at fp{start:+d}"
    were = "was" if len(missing) == 1 else "were"
    place = declaration(trace, known) if known is not None else _made(trace, step, name, written)
    because: list[Fact | None] = []
    lines: list[tuple[int | None, str | None]] = []
    for one, low, high in written[:6]:
        own = trace.own_place(one)
        key = (own.line, own.text) if own is not None else (None, None)
        if own is None or key not in lines:
            because.append(
                trace.fact(
                    one,
                    f"{_bytes(low - start, high - 1 - start)} of {shown} {'are' if high - low > 1 else 'is'} written",
                )
            )
            lines.append(key)
    every = "the byte" if size == 1 else f"all {size} bytes"
    use = f"`{helper}` reads {every}" if helper else f"{octets(size)} {'is' if size == 1 else 'are'} read"
    because.append(trace.fact(step, f"{use}, and {what} {were} never written on this path"))
    zero = (
        f"make {shown} from zeroes (`let mut {name or 'x'}: T = unsafe {{ core::mem::zeroed() }};`, then set its "
        f"fields), "
        "or give the padding a field of its own"
        if parts.rust(trace)
        else f"make {shown} from zeroes (`= {{}}` or `__builtin_memset`), or give the padding a field of its own"
    )
    return parts.cause(
        trace, "uninitialised", "high",
        f"{what} of {shown} {were} never written, and " + (_reads(helper, len(missing))),
        step=step if place is None else None, place=place, slot=written[0][0].slot if written else step.slot,
        because=because, variables=[name],
        advice=[Advice("zero-initialise", zero, variable=name, offset=start, size=size, bytes=missing)],
    )  # fmt: skip


def _pointing(step: Step, start: int) -> str | None:
    """The argument that points to the bytes, of messages that do not name it."""
    for number in range(1, 6):
        if stack_slot(step, number, 0) == start:
            return f"r{number}"
    return None


def _special(trace: Trace, step: Step, start: int) -> Cause | None:
    """Words of a dynptr or an iterator: they are the kernel's own."""
    state = step.before
    slot = state.frames[-1].stack.get(start - start % 8) if state is not None and state.frames else None
    if slot is None:
        return None
    letters = {"d": "dynptr", "i": "iter", "f": "irq"}  # kernels before 6.4 print them as bytes
    kind = slot.kind if slot.kind in ("dynptr", "iter", "irq") else letters.get((slot.bytes or " ")[0], "")
    if not kind:
        return None
    what = {"dynptr": "a dynptr", "iter": "an iterator", "irq": "an interrupt flag"}[kind]
    moved = _copied(trace, step)
    return parts.cause(
        trace, "context-access" if moved else "uninitialised", "high",
        f"{what} is copied: it has to stay where it was made, and only the kernel knows its bytes" if moved
        else f"the bytes of {what} on the stack are read as if they were the program's own",
        step=step, because=[trace.fact(step, f"the bytes at fp{start:+d} belong to {what}, which only the kernel "
                                             f"reads")],
        advice=[
            Advice("keep-in-place", f"make {what} in the variable it is used from, and pass its address")
            if moved
            else Advice("use-helper", f"ask through the helpers for {what} (`bpf_dynptr_read()`, "
                                      "`bpf_dynptr_data()`)")
        ],
    )  # fmt: skip


def _address(trace: Trace, step: Step, at: int, helper: str) -> Cause | None:
    """A saved pointer, whose bytes an unprivileged program may not hand out: to the verifier they are not set."""
    state = step.before
    slot = state.frames[-1].stack.get(at - at % 8) if state is not None and state.frames else None
    value = slot.value if slot is not None else None
    saved = next((former for former, _, _ in reversed(_stores(trace, step, at - at % 8, 8))), None)
    if value is None and saved is not None and code.group(saved.insn) == code.STX and code.width(saved.insn) == 8:
        value = saved.value(f"r{saved.insn.src}")
    if value is None or value.type in ("", "scalar", "inv", "unknown", "imm"):
        return None
    return parts.cause(
        trace, "environment", "high",
        f"the bytes that `{helper or 'the load'}` reads are a kernel address, which needs CAP_PERFMON to go outside",
        step=step, because=[
            trace.fact(saved, f"an address (`{value.type}`) is saved here") if saved is not None else None,
            trace.fact(step, "its bytes are read here as if they were a number"),
        ],
        variables=[helper],
        advice=[Advice("capability", "load it with CAP_BPF and CAP_PERFMON, or use a number that tells as much",
                       needed="CAP_BPF and CAP_PERFMON")],
    )  # fmt: skip


def _copied(trace: Trace, step: Step) -> bool:
    """What is read is stored elsewhere at once, as moves and copies do; with a log alone, what Rust does."""
    if trace.program is None:
        return parts.rust(trace)
    insn, slot = step.insn, step.slot
    for at in range(slot + 1, slot + 8):
        after = trace.insn(at)
        if after is None or not (code.is_load(after) or code.is_store(after) or code.is_mov(after)):
            return False
        if code.is_store(after) and code.group(after) == code.STX and after.src == insn.dst:
            return True
    return False


def _offsets(message: str) -> tuple[int, int, int] | None:
    """(offset from the frame's top, byte that is missing, size)."""
    size = parts.number(message, "size ")
    rest = parts.after(message, " off ")
    if rest and "+" in rest:
        start, byte = parts.number(rest), parts.number(rest.partition("+")[2])
        if start is not None and byte is not None and size:
            return start, byte, size
    return None


def _stores(trace: Trace, step: Step, start: int, size: int) -> list[tuple[Step, int, int]]:
    """(step, first byte, past the last byte) of what was stored into the bytes, in the order of the path."""
    found: list[tuple[Step, int, int]] = []
    for former in trace.steps.back(step.at, 5000):
        if former.frame < step.frame:
            break
        insn = former.insn
        if former.frame != step.frame or not (code.is_store(insn) or code.is_atomic(insn)):
            continue
        at = stack_slot(former, insn.dst, insn.off)
        if at is not None and at < start + size and start < at + code.width(insn):
            found.append((former, max(at, start), min(at + code.width(insn), start + size)))
    found.reverse()
    return found


def _missing(written: list[tuple[Step, int, int]], start: int, size: int, byte: int) -> list[int]:
    """Bytes (from 0) that no store wrote; at least the one the message names."""
    left = set(range(size))
    for _, low, high in written:
        left -= set(range(low - start, high - start))
    left.add(byte)
    return sorted(left)


def _bytes(low: int, high: int) -> str:
    return f"byte {low}" if low == high else f"bytes {low} to {high}"


def _reads(helper: str | None, count: int) -> str:
    one = count == 1
    return f"`{helper}` reads {'it' if one else 'them'}" if helper else f"{'is' if one else 'are'} read"


def _which(
    missing: list[int], start: int, size: int, written: list[tuple[Step, int, int]], layout: list[tuple[str, int, int]]
) -> str:
    del start
    if len(missing) == size:
        return "all bytes" if size > 1 else "the byte"
    runs: list[list[int]] = []
    for byte in missing:
        if runs and byte == runs[-1][1] + 1:
            runs[-1][1] = byte
        else:
            runs.append([byte, byte])
    shown = " and ".join(f"{low} to {high}" if low != high else f"{low}" for low, high in runs)
    bytes_ = f"byte{'s' if len(missing) > 1 else ''} {shown}"
    inside = [name for name, low, high in layout if any(low <= byte < high for byte in missing)]
    if inside:
        return f"{bytes_} (field{'s' if len(inside) > 1 else ''} {', '.join(f'`{one}`' for one in inside)})"
    if layout:
        before = [name for name, _, high in layout if high <= missing[0]]
        return f"{bytes_} (padding{f' after field `{before[-1]}`' if before else ''})"
    if written and len(missing) < 8 and (missing[-1] + 1) % 4 == 0:
        return f"{bytes_} (padding, as it seems)"
    return bytes_


def _argument(trace: Trace, step: Step, helper: str, position: int) -> str | None:
    place = trace.own_place(step)
    if not helper or place is None:
        return None
    return parts.argument(place.text, helper, position)


def _layout(trace: Trace, step: Step, helper: str, position: int) -> list[tuple[str, int, int]]:
    """(field, first byte, past the last) of a map's key or value struct, from the object's BTF."""
    from bpfsmith.facts import helpers

    row = helpers.by_name(helper) if helper else None
    if row is None or trace.program is None or not 0 < position <= len(row.arguments):
        return []
    what = row.arguments[position - 1]
    if not what.startswith(("key", "value")):
        return []
    for slot, _, args in trace.program.call_args():
        if slot == step.slot and args and isinstance(args[0], str) and args[0].startswith("map:"):
            return _fields(trace, args[0][4:], "key" if what.startswith("key") else "value")
    return []


def _fields(trace: Trace, map_name: str, part: str) -> list[tuple[str, int, int]]:
    if trace.program is None:
        return []
    btf = trace.program.owner.btf
    one = next((found for found in trace.program.owner.maps if found.name == map_name), None)
    identity = 0 if one is None else one.key_type if part == "key" else one.value_type
    if btf is None or not identity:
        return []
    return members(btf, identity)


def members(btf: Btf, identity: int) -> list[tuple[str, int, int]]:
    """(field, first byte, past the last) of a struct of BTF; [] of anything else."""
    found: list[tuple[str, int, int]] = []
    try:
        told = btf.type(btf.resolve(identity)).get("members", [])
        for member in told if isinstance(told, list) else []:
            offset = int(member.get("bits_offset", 0)) // 8
            size = btf.size_of(int(member["type"])) or 0
            found.append((str(member.get("name") or "?"), offset, offset + size))
    except (KeyError, ValueError, TypeError):
        return []
    return found


def _made(trace: Trace, step: Step, name: str | None, written: list[tuple[Step, int, int]]) -> Place | None:
    """The line where the bytes should have been set: the declaration, else the first that writes some of them."""
    here = trace.own_place(step)
    if name:
        found = parts.declaration(trace, here, name)
        if found is not None:
            return found
    first: Place | None = None
    for one, _, _ in written:
        place = trace.own_place(one)
        if place is None or place.text is None or not place.own:
            continue
        if name and (f"{name} =" in place.text or f"{name}:" in place.text or f"{name};" in place.text):
            return place
        if first is None and not (here is not None and place.same_line(here)):
            first = place
    return first

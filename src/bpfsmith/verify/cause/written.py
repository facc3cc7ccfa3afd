"""Bytes of the stack that are read before anything was written to them, or that only the kernel may read."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import stack_slot
from bpfsmith.verify.cause.locals import at_stack, frame
from bpfsmith.verify.cause.locals import place as declaration
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place
from bpfsmith.verify.cause.words import octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import Btf
    from bpfsmith.verify.cause.trace import Step, Trace

__all__ = ["members", "stack"]


def stack(trace: Trace, message: str) -> Cause | None:
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
    what = _which(missing, size, written, layout)
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
    missing: list[int], size: int, written: list[tuple[Step, int, int]], layout: list[tuple[str, int, int]]
) -> str:
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

"""Who wrote what, along the failing path: definitions, origins, copies and comparisons of values.

All of it follows instructions. The stack is followed where its address is certain: `r10` itself, and registers the
verifier says point into the frame.
"""

from __future__ import annotations

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.trace import FAR, Link, Step, Test

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Trace

__all__ = [
    "WHOLE",
    "address",
    "ceiling",
    "constant",
    "copies",
    "defined",
    "gives_pointer",
    "location",
    "origin",
    "read_of",
    "root",
    "stack_slot",
    "tests",
    "type_of",
    "variable",
]

AHEAD = 24  # instructions looked at after a use
LINKS = 64  # stations of one value
HOPS = 12  # stations of an address on the stack
WHOLE = ("mov", "spill", "fill", "arg", "return")  # what keeps a value as it is


def frame_slot(step: Step, register: int, off: int) -> tuple[int, int] | None:
    """(frame, offset from its top) of the address `register + off`, when it certainly is on the stack."""
    if register == 10:
        return step.frame, off
    value = step.value(f"r{register}")
    if value is not None and value.type == "fp" and value.off is not None and not _varies(value):
        if step.frame and value.frame is None:  # older kernels do not print whose frame it is
            passed = _pointed(step, f"r{register}")
            if passed is not None:
                return passed[0], passed[1] + off
        return step.frame if value.frame is None else int(value.frame), int(value.off) + off
    if value is not None and value.line_no is not None:
        return None
    found = _pointed(step, f"r{register}")
    return None if found is None else (found[0], found[1] + off)


def _pointed(step: Step, where: str) -> tuple[int, int] | None:
    """The same of a register that no state tells of: a frame's top, copied, moved by constants, or passed on."""
    trace = step.trace
    kept: dict[tuple[int, str], tuple[int, int] | None] = trace.kept.setdefault("pointed", {})
    key = (step.at, where)
    if key in kept:
        return kept[key]
    kept[key] = None
    offset = 0
    for _ in range(HOPS):
        if where == "r10":
            kept[key] = (step.frame, offset)
            break
        link = _link(trace, step, where)
        if link is None or link.source is None or link.how not in ("mov", "add", "sub", "arg"):
            break
        insn = link.step.insn
        if link.how in ("add", "sub"):
            if code.by_register(insn):
                break
            offset += insn.imm if link.how == "add" else -insn.imm
        step, where = link.step, link.source
    return kept[key]


def stack_slot(step: Step, register: int, off: int) -> int | None:
    """The offset in the function's own frame that `register + off` is, when it is certain."""
    found = frame_slot(step, register, off)
    return found[1] if found is not None and found[0] == step.frame else None


def _varies(value: object) -> bool:
    told = getattr(value, "var_off", None)
    return told is not None and told[1] != 0


def defined(trace: Trace, step: Step, where: str) -> Step | None:
    """As `Trace.defined`."""
    if where.startswith("fp"):
        return _stored(trace, step, where)
    for former in trace.steps.back(step.at, FAR):
        if former.frame > step.frame:
            continue
        if former.frame < step.frame or where in code.writes(former.insn):
            return former
    return None


def _stored(trace: Trace, step: Step, where: str) -> Step | None:
    """The last store to a place on the stack, by its own function or by one that was given its address."""
    told, slot, size = place_on_stack(where)
    frame = step.frame if told is None else told
    for former in trace.steps.back(step.at, FAR):
        if former.frame < frame:
            return None
        insn = former.insn
        if code.is_store(insn) or code.is_atomic(insn):
            at = frame_slot(former, insn.dst, insn.off)
            if at is not None and at[0] == frame and at[1] < slot + size and slot < at[1] + code.width(insn):
                return former
        elif code.is_call(insn) and insn.call and _filled(former, frame, slot, size):
            return former
    return None


def _filled(call: Step, frame: int, slot: int, size: int) -> bool:
    """Whether a helper writes to a place on the stack: it was given its address, to fill it."""
    for number in range(1, 6):
        at = frame_slot(call, number, 0)
        if at is None or at[0] != frame or at[1] >= slot + size:
            continue
        from bpfsmith.facts import helpers

        row = helpers.by_name(call.insn.call or "")
        if row is None or number > len(row.arguments) or "(filled)" not in row.arguments[number - 1]:
            continue
        value = call.value(f"r{number + 1}")
        wide = 8  # what has no length beside it is a number or a map's value
        if number < len(row.arguments) and row.arguments[number].startswith("mem size"):
            wide = int(value.umax) if value is not None and value.umax is not None else size
        if slot < at[1] + wide:
            return True
    return False


def place_on_stack(where: str) -> tuple[int | None, int, int]:
    """(frame, offset, bytes) of `fp[0]-12:4`; None for the function's own frame, 8 bytes where none are told."""
    rest, frame = where[2:], None
    if rest.startswith("["):
        number, _, rest = rest[1:].partition("]")
        frame = int(number)
    offset, _, size = rest.partition(":")
    return frame, int(offset), int(size or 8)


def on_stack(offset: int, size: int, frame: int | None = None) -> str:
    """A place on the stack as links name it."""
    told = "" if frame is None else f"[{frame}]"
    return f"fp{told}{offset:+d}" if size == 8 else f"fp{told}{offset:+d}:{size}"


def address(trace: Trace, step: Step, where: str) -> int | None:
    """The offset in the frame that a register points to, as states or instructions show it."""
    if where == "r10":
        return 0
    value = step.value(where)
    if value is not None and value.type == "fp":
        other = value.frame is not None and value.frame != step.frame
        return None if other or _varies(value) else int(value.off or 0)
    offset = 0
    for link in origin(trace, step, where):
        insn = link.step.insn
        if link.how in ("add", "sub") and not code.by_register(insn):
            offset += insn.imm if link.how == "add" else -insn.imm
        elif link.how != "mov":
            return None
        if link.source == "r10":
            return offset
    return None


def type_of(trace: Trace, step: Step, where: str) -> str:
    """The type of a value, "" when it is not known: as the states say, else `ctx` for what the program was given."""
    value = step.value(where)
    if value is not None:
        return str(value.type)
    for link in origin(trace, step, where):
        if link.how == "ctx":
            return "ctx"
        if link.how not in ("mov", "spill", "fill", "arg"):
            break
    return "fp" if where == "r10" else ""


def origin(trace: Trace, step: Step, where: str) -> list[Link]:
    """As `Trace.origin`."""
    found: list[Link] = []
    while len(found) < LINKS:
        link = _link(trace, step, where)
        if link is None:
            break
        found.append(link)
        if link.source is None:
            break
        step, where = link.step, link.source
        if link.how == "return":
            # The value is what the callee had in r0 when it left: its exit is the step before the caller goes on.
            step = link.step
    return found


def _link(trace: Trace, step: Step, where: str) -> Link | None:  # noqa: PLR0911
    """The nearest station of a value."""
    writer = defined(trace, step, where)
    if writer is None:
        if where == "r1" and step.frame == 0 and len(trace.steps) and trace.steps[0].slot == 0:
            return Link(trace.steps[0], where, "ctx")
        return None
    insn = writer.insn
    if where.startswith("fp"):
        if code.is_call(insn):
            return None  # what a helper wrote begins where it is read
        _, slot, size = place_on_stack(where)
        at = frame_slot(writer, insn.dst, insn.off)
        fits = at is not None and at[1] == slot and code.width(insn) >= size
        whole = code.group(insn) == code.STX and not code.is_atomic(insn) and fits
        same = code.width(insn) == size
        return Link(writer, where, "spill" if same or not whole else "narrow", f"r{insn.src}" if whole else None, same)
    if writer.frame < step.frame:  # what a function was called with
        return Link(writer, where, "arg", where)
    if code.is_call(insn):
        if where == "r0" and code.is_subprogram_call(insn):
            leaving = _exit_of(trace, writer, step)
            if leaving is not None:
                return Link(leaving, where, "return", "r0")
        return Link(writer, where, "call")
    if code.is_load(insn):
        at = frame_slot(writer, insn.src, insn.off)
        if at is not None:
            frame = None if at[0] == writer.frame else at[0]
            return Link(writer, where, "fill", on_stack(at[1], code.width(insn), frame))
        return Link(writer, where, "load")
    if code.is_atomic(insn) or code.group(insn) == code.LD:
        return Link(writer, where, "const" if insn.code == 0x18 else "load")
    return _math(writer, insn, where)


def _math(writer: Step, insn: code.Insn, where: str) -> Link:
    what = code.operation(insn)
    wide = code.group(insn) == code.ALU64
    source = f"r{insn.src}"
    if what == code.MOV:
        if not code.by_register(insn):
            return Link(writer, where, "const")
        whole = wide and insn.off in (0, 1)
        return Link(writer, where, "mov" if whole else "narrow", source, whole)
    if what in (code.ADD, code.SUB):
        plain = what == code.ADD and wide and code.by_register(insn)
        if plain and _pointer(writer, source) and not _pointer(writer, where):
            return Link(writer, where, "add", source)
        return Link(writer, where, "add" if what == code.ADD else "sub", where, wide)
    how = "and-mask" if what == code.AND else "shift" if what in (6, 7, 0xC) else "math"
    return Link(writer, where, how, where, wide)


def _pointer(step: Step, where: str) -> bool:
    value = step.value(where)
    if value is not None and (value.type != "scalar" or value.line_no is not None):
        return value.type not in ("scalar", None, "")
    return points(step.trace, step, where)


def points(trace: Trace, step: Step, where: str) -> bool:
    """Whether a value that no state tells of certainly is an address: of the stack, of a map, what a helper gives that
    answers pointers, the context."""
    if where == "r10":
        return True
    kept: dict[tuple[int, str], bool] = trace.kept.setdefault("points", {})
    key = (step.at, where)
    if key not in kept:
        kept[key] = False
        kept[key] = _points(trace, step, where)
    return kept[key]


def gives_pointer(insn: code.Insn) -> bool:
    """A call of a helper that answers an address, as far as is known of it."""
    from bpfsmith.facts import helpers

    row = helpers.by_name(insn.call or "") if code.is_helper_call(insn) else None
    return row is not None and not row.returns.startswith(("number", "nothing"))


def _points(trace: Trace, step: Step, where: str) -> bool:
    for _ in range(HOPS):
        if where == "r10":
            return True
        link = _link(trace, step, where)
        if link is None:
            return False
        insn = link.step.insn
        if link.how == "ctx" or (link.how == "const" and insn.code == 0x18 and insn.src in (1, 2)):
            return True
        if link.how == "call":
            return gives_pointer(insn)
        if link.source is None or link.how not in (*WHOLE, "add"):
            return False
        step, where = link.step, link.source
    return False


def _exit_of(trace: Trace, call: Step, until: Step) -> Step | None:
    """The `exit` of the function that `call` entered, before `until`."""
    for former in trace.steps.back(until.at, FAR):
        if former.at <= call.at:
            return None
        if former.frame == call.frame + 1 and code.is_exit(former.insn):
            return former
    return None


def root(trace: Trace, step: Step, where: str, narrow: bool = False) -> tuple[int, str]:
    """The place where the value in `where` began, through copies, spills, fills and arguments only: two with the same
    root hold the same value. With `narrow`, 32-bit copies count too."""
    hows = (*WHOLE, "narrow") if narrow else WHOLE
    former: Link | None = None
    for _ in range(LINKS):
        link = _link(trace, step, where)
        if link is None:
            # Bytes that a helper wrote, or none that is known: what was read of them is where the value begins.
            return (-1 - step.frame, where) if former is None else (former.step.at, former.where)
        former = link if link.how == "fill" else None
        if link.source is None or link.how not in hows or (narrow and link.how == "narrow" and link.source == where):
            return link.step.at, link.where
        step, where = link.step, link.source
    return step.at, where


def location(chain: list[Link], at: int, use: Step, where: str) -> tuple[int, str]:
    """(frame, register or slot) where the value in `where` before `use` was at step number `at`, on its own way."""
    frame = use.frame
    for link in chain:
        if link.step.at < at:
            return frame, link.where
        where = link.source or where
        frame = link.step.frame
    return frame, where


def read_of(trace: Trace, step: Step, where: str) -> tuple[tuple[int, str], int, int] | None:
    """The memory a number was read from: (root of the address, offset, bytes); None when it was not read."""
    for link in origin(trace, step, where):
        insn = link.step.insn
        fetched = code.is_atomic(insn) and link.where != f"r{insn.dst}"
        if link.how == "load" and (code.is_load(insn) or fetched):
            base = root(trace, link.step, f"r{insn.dst if fetched else insn.src}")
            return (base, insn.off, code.width(insn)) if base[0] >= 0 else None
    return None


def constant(step: Step, where: str) -> int | None:
    """The constant a register holds before `step`, as the state or the instruction that wrote it tells."""
    value = step.value(where)
    if value is not None and value.known is not None:
        return int(value.known)
    if value is not None and value.line_no is not None and value.type != "scalar":
        return None
    for link in origin(step.trace, step, where):
        if link.how == "const":
            return link.step.insn.imm if link.step.insn.code != 0x18 or link.step.insn.src == 0 else None
        if link.how not in WHOLE:
            break
    return None


def ceiling(step: Step, where: str) -> int | None:
    """The greatest number a register may hold before `step`: as the state says, else by masks and widths of loads."""
    value = step.value(where)
    if value is not None and value.line_no is not None:
        return None if value.umax is None or value.umax >= 1 << 62 else int(value.umax)
    shifted = 0
    for link in origin(step.trace, step, where):
        insn = link.step.insn
        plain = not code.by_register(insn)
        if link.how == "and-mask" and plain and insn.imm > 0:
            return insn.imm << shifted if shifted >= 0 else insn.imm >> -shifted
        if link.how == "load" and code.is_load(insn) and code.width(insn) < 4:
            most = (1 << 8 * code.width(insn)) - 1
            return most << shifted if shifted >= 0 else most >> -shifted
        if link.how == "const":
            return insn.imm if insn.imm >= 0 else None
        if link.how == "shift" and plain:
            shifted += insn.imm if code.operation(insn) == 6 else -insn.imm
        elif link.how not in (*WHOLE, "narrow"):
            break
    return None


def copies(trace: Trace, step: Step, where: str) -> list[str]:
    """As `Trace.copies`."""
    wanted = root(trace, step, where)
    found = []
    for number in range(10):
        name = f"r{number}"
        if name != where and root(trace, step, name) == wanted:
            found.append(name)
    for former in trace.steps.back(step.at, FAR):
        if former.frame < step.frame or former.at <= wanted[0]:
            break
        insn = former.insn
        if former.frame == step.frame and code.is_store(insn):
            at = frame_slot(former, insn.dst, insn.off)
            name = on_stack(at[1], code.width(insn)) if at is not None else ""
            if (
                at is not None
                and at[0] == step.frame
                and name not in found
                and name != where
                and root(trace, step, name) == wanted
            ):
                found.append(name)
    return found


def tests(trace: Trace, step: Step, where: str) -> list[Test]:
    """As `Trace.tests`."""
    wanted = root(trace, step, where)
    loose = root(trace, step, where, narrow=True)
    found: list[Test] = []
    for former in trace.steps.back(step.at, FAR):
        if former.at <= min(wanted[0], loose[0]):
            break
        if code.conditional(former.insn):
            test = _test(trace, former, where, wanted, loose)
            if test is not None:
                found.append(test)
    found.reverse()
    return found + later(trace, step, where)


def _test(trace: Trace, step: Step, where: str, wanted: tuple[int, str], loose: tuple[int, str]) -> Test | None:
    insn = step.insn
    half = code.group(insn) == code.JMP32
    named = code.reads(insn)
    for name in named:
        same = root(trace, step, name) == wanted
        if same or root(trace, step, name, narrow=True) == loose:
            other: str | int = insn.imm
            if len(named) == 2:
                other = named[1] if name == named[0] else named[0]
            return Test(step, insn, name, other, name != where, half or not same, step.taken)
    return None


def later(trace: Trace, step: Step, where: str, also: frozenset[str] = frozenset()) -> list[Test]:
    """Comparisons of the value after `step`, on any way the instructions lead; `also`: registers that count too."""
    holding = also | {where, *(name for name in copies(trace, step, where) if not name.startswith("fp"))}
    holding -= set(code.writes(step.insn)) if code.is_call(step.insn) else set()
    found: list[Test] = []
    waiting = [(slot, frozenset(holding)) for slot in trace.successors(step.slot)]
    seen: set[int] = {step.slot}
    while waiting and len(seen) < AHEAD:
        slot, names = waiting.pop(0)
        insn = trace.insn(slot)
        if slot in seen or insn is None or not names:
            continue
        seen.add(slot)
        if code.conditional(insn):
            named = [name for name in code.reads(insn) if name in names]
            if named:
                half = code.group(insn) == code.JMP32
                read = code.reads(insn)
                other: str | int = insn.imm
                if len(read) == 2:
                    other = read[1] if named[0] == read[0] else read[0]
                found.append(Test(None, insn, named[0], other, named[0] != where, half, None))
        constant = code.group(insn) in (code.ALU, code.ALU64) and code.operation(insn) in (code.ADD, code.SUB)
        left = names if constant and not code.by_register(insn) else names - set(code.writes(insn))
        if code.is_mov(insn) and f"r{insn.src}" in names:
            left |= {f"r{insn.dst}"}
        waiting += [(after, left) for after in code.successors(insn)]
    return found


def variable(chain: list[Link]) -> tuple[Step | None, str | None]:
    """(the addition that gave an address its variable part, the register of the number); (None, None) without one."""
    for link in chain:
        insn = link.step.insn
        if link.how in ("add", "sub") and code.by_register(insn):
            number = f"r{insn.src}" if link.source == f"r{insn.dst}" else f"r{insn.dst}"
            value = link.step.value(number)
            if value is None or value.known is None:
                return link.step, number
    return None, None

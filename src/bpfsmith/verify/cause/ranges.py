"""Packet pointers on the path: what they are where no state tells of it, which comparisons with the packet's end count
for them, and which calls end them."""

from __future__ import annotations

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.comparisons import NOT, TURNED
from bpfsmith.verify.cause.ends import MOST, PACKET
from bpfsmith.verify.cause.flow import type_of, variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.cause.trace import Step, Trace

    Value = Any

__all__ = [
    "FIELDS", "LENGTHS", "Check", "Fields", "apart", "checks", "holds_on_path", "known_range", "moves",
    "read_from_context",
]  # fmt: skip

FAR = 4000
# Words of helpers after which the packet may lie elsewhere.
_MOVING = (
    "adjust_head", "adjust_tail", "adjust_meta", "pull_data", "push_data", "pop_data", "change_head", "change_tail",
    "change_proto", "store_bytes", "vlan_push", "vlan_pop", "adjust_room", "csum_replace", "clone_redirect",
    "push_encap", "seg6_action", "seg6_adjust_srh", "csum_update",
)  # fmt: skip


# Where contexts keep the packet's start, end and metadata: (offset, bytes), by kind of context. Kernels that print few
# states do not tell that what was read there is a packet pointer.
FIELDS = (
    {(0, 4): "pkt", (4, 4): "pkt_end", (8, 4): "pkt_meta"},
    {(76, 4): "pkt", (80, 4): "pkt_end", (140, 4): "pkt_meta"},
    {(0, 8): "pkt", (8, 8): "pkt_end"},
)


# Where contexts of the same rows keep the length of the whole packet or message.
LENGTHS = {1: (0, 4), 2: (68, 4)}


class Fields:
    """Types of packet pointers that no state tells of, by the field of the context they were read from."""

    __slots__ = ("row", "trace")

    def __init__(self, trace: Trace, last: Step, where: str, kind: str) -> None:
        self.trace = trace
        self.row: dict[tuple[int, int], str] = {}
        field = self.field(last, where)
        for row in FIELDS:
            if field is not None and row.get(field) == kind:
                self.row = row

    def field(self, step: Step, where: str) -> tuple[int, int] | None:
        for link in self.trace.origin(step, where):
            if link.how == "load":
                insn = link.step.insn
                at = code.is_load(insn) and type_of(self.trace, link.step, f"r{insn.src}") == "ctx"
                return (insn.off, code.width(insn)) if at else None
        return None

    def type(self, step: Step, where: str) -> str:
        value = step.value(where)
        if value is not None and (value.type != "scalar" or value.line_no is not None):
            return str(value.type)
        field = self.field(step, where) if self.row else None
        return self.row.get(field, "") if field is not None else ""

    def offset(self, step: Step, where: str) -> int:
        """The constant part of a packet pointer."""
        value = step.value(where)
        if value is not None and value.type in PACKET:
            return int(value.off or 0)
        total = 0
        for link in self.trace.origin(step, where):
            insn = link.step.insn
            if link.how in ("add", "sub") and not code.by_register(insn):
                total += insn.imm if link.how == "add" else -insn.imm
        return total

    def base(self, step: Step, where: str) -> tuple[object, ...]:
        """What pointers of one range have in common: the last addition of an unknown number, else the field."""
        added, _ = variable(self.trace.origin(step, where))
        return ("add", added.at) if added is not None else ("field", self.field(step, where))


class Check:
    """A comparison of a packet pointer with the end: `on` the pointer's register, `off` its constant part; `same`: of
    the base of the pointer that is used; `right`: with the end that counts for it (metadata ends where the packet
    begins)."""

    __slots__ = ("off", "on", "right", "same", "step")

    def __init__(self, step: Step, on: str, off: int, same: bool, right: bool) -> None:
        self.step = step
        self.on = on
        self.off = off
        self.same = same
        self.right = right


def known_range(value: Value) -> int:
    """Bytes that are known to be there; kernels print marks for "beyond the end" as huge numbers."""
    told = int(value.range or 0)
    return told if 0 < told <= MOST else 0


def checks(trace: Trace, last: Step, where: str, value: Value) -> tuple[list[Check], Step | None]:
    """(comparisons with an end that still count, in the order of the path; the last call that moved the packet, when
    there were comparisons before it)."""
    found: list[Check] = []
    moved: Step | None = None
    before = False
    ends = ("pkt_end",) if value.type == "pkt" else ("pkt", "pkt_end")
    fields = Fields(trace, last, where, value.type)
    base = fields.base(last, where)
    for step in trace.steps.back(last.at, FAR):
        insn = step.insn
        if code.is_call(insn) and moved is None and step.frame <= last.frame and moves(step):
            moved = step
        if not code.conditional(insn) or not code.by_register(insn):
            continue
        pair = ((f"r{insn.dst}", f"r{insn.src}"), (f"r{insn.src}", f"r{insn.dst}"))
        for on, end in pair:
            limit = fields.type(step, end)
            if limit not in ends or fields.type(step, on) != value.type:
                continue
            if moved is not None:
                before = True
                break
            one = step.value(on)
            typed = one is not None and one.type == value.type
            same = one.id == value.id if typed and one is not None else fields.base(step, on) == base
            found.append(Check(step, on, fields.offset(step, on), same, limit == ends[0]))
            break
        if before:
            break
    found.reverse()
    return found, moved if before else None


def read_from_context(trace: Trace, step: Step, where: str, call: str) -> bool:
    """The value was read from where the context of programs that may call `call` keeps the packet."""
    found = Fields(trace, step, where, "").field(step, where)
    rows = next((rows for start, rows in _ROWS if call.startswith(start)), (0, 1, 2))
    return any(FIELDS[row].get(found) is not None for row in rows) if found is not None else False


# Which contexts functions get, by the start of their names.
_ROWS = (
    ("bpf_xdp", (0,)), ("bpf_msg", (2,)), ("bpf_sk_skb", (1,)), ("bpf_skb", (1,)), ("bpf_csum", (1,)),
    ("bpf_clone", (1,)), ("bpf_l3", (1,)), ("bpf_l4", (1,)), ("bpf_", (0, 1)),
)  # fmt: skip


def apart(trace: Trace, step: Step, one: str, other: str) -> bool:
    """Two registers hold the packet's end and an address in it, as states or the fields they were read from tell."""
    fields = Fields(trace, step, one, "pkt_end")
    return fields.type(step, one) == "pkt_end" and fields.type(step, other) in PACKET


def moves(step: Step) -> bool:
    """A call after which packet pointers are gone: a helper by its name, a function that calls one."""
    insn = step.insn
    if code.is_helper_call(insn):
        return insn.call is not None and any(word in insn.call for word in _MOVING)
    if not code.is_subprogram_call(insn):
        return False
    after = step.next
    while after is not None and after.frame > step.frame:
        inner = after.insn
        if code.is_helper_call(inner) and inner.call is not None and any(word in inner.call for word in _MOVING):
            return True
        after = after.next
    return False


def holds_on_path(one: Check) -> int:
    """How the pointer relates to the end on the path, as an operation (`LT`: it is below)."""
    insn = one.step.insn
    what = code.operation(insn)
    if one.on == f"r{insn.src}":
        what = TURNED.get(what, what)
    return what if one.step.taken else NOT.get(what, what)

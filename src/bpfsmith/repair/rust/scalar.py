"""A pointer that the verifier knows only as a number is read directly: kernel and user memory is read by helpers."""

from __future__ import annotations

from bpfsmith.repair.rust.common import ASSIGNS, checked, fresh, pure, replaced, stripped
from bpfsmith.repair.rust.fallible import begins_with, fails_at
from bpfsmith.repair.rust.place import guarded
from bpfsmith.repair.rust.spot import edit, indent, spots, statement
from bpfsmith.source.rust import Let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate
    from bpfsmith.repair.rust.spot import Failing, Spot
    from bpfsmith.source.rust import Expr

__all__ = ["candidates"]

_KERNEL, _USER = "aya_ebpf::helpers::bpf_probe_read_kernel", "aya_ebpf::helpers::bpf_probe_read_user"
_NUMBERS = ("i32", "i64", "c_long", "isize")
_NONE = frozenset({"xdp", "sched_cls", "sched_act", "socket_filter", "cgroup_skb", "sk_msg", "sk_skb"})


def candidates(ground: Ground) -> Iterator[Candidate]:
    """`bpf_probe_read_kernel` (or `_user`) instead of a deref."""
    if (ground.program.type or "") in _NONE:
        return
    # Which memory it is, the program's hook tells; the other helper would load too, and read something else.
    section = ground.program.section
    user = any(word in section for word in ("uprobe", "uretprobe", "usdt", "syscalls/sys_enter"))
    helper = _USER if user else _KERNEL
    for spot in spots(ground):
        for whole, pointer in _reads(spot):
            fails = fails_at(spot.item, ground, whole)
            if fails is not None:
                yield from _helped(spot, whole, pointer, helper, fails)


def _reads(spot: Spot) -> Iterator[tuple[Expr, str]]:
    """(what is read, a pointer to it) for derefs of the line that are only read."""
    for one in spot.around("unary", "method"):
        if one.kind == "method":
            if one.name in ("read", "read_unaligned", "read_volatile") and not one.args and pure(one.receiver):
                yield one, one.receiver.text if one.receiver is not None else ""
            continue
        if one.op != "*" or one.inner is None or not pure(stripped(one.inner)):
            continue
        whole: Expr = one
        while whole.parent is not None:
            outer = whole.parent
            if outer.kind in {"paren", "field"} or (outer.kind == "index" and outer.operands[0] == whole):
                whole = outer
            else:
                break
        while whole.kind == "paren" and whole.inner is not None:
            whole = whole.inner
        parent = whole.parent
        if parent is not None and parent.kind == "ref":
            field = _field_of(parent)
            if field is not None and whole == one:
                yield field, f"&raw const ({one.text}).{field.name}"
            continue
        if parent is not None and parent.kind == "binary" and parent.op in ASSIGNS and parent.operands[0] == whole:
            continue
        if (
            parent is not None
            and parent.kind == "method"
            and parent.receiver == whole
            and parent.name in ("as_ptr", "as_mut_ptr")
        ):
            continue
        yield whole, one.inner.text if whole == one else f"&raw const {whole.text}"


def _field_of(ref: Expr) -> Expr | None:
    """The field that `unsafe { &*p }.field` reads."""
    at = ref
    while at.parent is not None and (
        at.parent.kind == "paren" or (at.parent.kind == "block" and not at.parent.fields[1] and at.parent.tail == at)
    ):
        at = at.parent
    outer = at.parent
    return outer if outer is not None and outer.kind == "field" and outer.receiver == at else None


def _helped(spot: Spot, whole: Expr, pointer: str, helper: str, fails: Failing) -> Iterator[Candidate]:
    call = f"{helper}({pointer})"
    said = f"read `{whole.text[:50]}` by `{helper.rpartition('::')[2]}`"
    place = statement(whole)
    if isinstance(place, Let) and place.name is not None and not place.type and begins_with(place, whole):
        space = indent(spot.file, place.start)
        text = f"let Ok({place.pattern}) = (unsafe {{ {call} }}) else {{\n{space}    {fails.statement}\n{space}}};"
        yield checked("probe-read", [edit(spot.file, place.start, place.end, text)], said, fails)
        return
    type_ = "".join(spot.item.type.split())
    if fails.kind == "result" and type_.endswith(tuple(f",{one}>" for one in _NUMBERS)) and _in_unsafe(whole):
        yield checked("probe-read", [replaced(whole, f"{call}?")], said, fails)
        return
    name = fresh(whole, "read")
    lines = [f"let Ok({name}) = (unsafe {{ {call} }}) else {{", f"    {fails.statement}", "};"]
    yield checked("probe-read", [*guarded(whole, lines), replaced(whole, name)], said, fails)


def _in_unsafe(expr: Expr) -> bool:
    return any(one.kind == "block" and one.is_unsafe for one in expr.ancestors())

"""Comparing `ctx.arg::<T>(n)` with what the kernel passes: for tracing programs and probes (AYA803), for raw
tracepoints (AYA804)."""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix, Label
from bpfsmith.rules._kernel_targets import asks, number, severity_of, type_asked
from bpfsmith.rules._kernel_types import asked, names_of, table
from bpfsmith.rules._rust import covered
from bpfsmith.source.layout import layout
from bpfsmith.source.types import mentions, parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._base import SourceRule
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._kernel_targets import Aim, Ask
    from bpfsmith.rules._kernel_types import Kind, Prototype, Types
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

__all__ = ["Wrong", "arguments"]

_TRACEPOINTS = ("btf_tracepoint", "raw_tracepoint")
_WRAPPERS = ("__x64_sys_", "__arm64_sys_", "__ia32_sys_")
_REGISTERS = 6
_NARROW = frozenset({"i32", "u32", "c_int", "i16", "u16", "i8", "u8", "bool"})


class Wrong:
    """What is wrong with a read on some kernels. `kind` is count, void, pointer, truncated, sign or integer."""

    __slots__ = ("kernels", "kind", "text")

    def __init__(self, kind: str, text: str, kernels: list[Types]) -> None:
        self.kind = kind
        self.text = text
        self.kernels = kernels


def arguments(
    rule: SourceRule, project: Project, ctx: CheckContext, fixes: dict[str, str], *macros: str
) -> Iterator[Finding]:
    """The findings about the arguments that programs of these macros read."""
    for ask in asks(project, "arg", *macros):
        index = number(ask.call.args[0]) if len(ask.call.args) == 1 else None
        if index is None or index < 0 or any(one.offset for one in ask.aims):
            continue
        kernels = asked(ctx)
        if not kernels:
            return
        given = type_asked(ask.call)
        found = [(aim, _of_aim(aim, ask, index, given, kernels)) for aim in ask.aims]
        # A function that several programs share may know which of them it serves.
        if any(wrong is None for _, wrong in found):
            continue
        aim, wrong = found[0]
        if wrong is None:
            continue
        rows = table(["kernel", "arguments", "read here"], _rows(aim, index, kernels))
        message = wrong.text.replace("{on}", f" on {names_of(wrong.kernels)}")
        hint: list[Fix] = [Fix("display", fixes[wrong.kind])] if wrong.kind in fixes else []
        if wrong.kind == "count" and aim.name.startswith(_WRAPPERS):
            hint = [
                Fix(
                    "display",
                    "the one argument leads to the registers of the system call: "
                    "`let regs: *const pt_regs = ctx.arg(0)?` and `bpf_probe_read_kernel(&(*regs).rsi)`, or take the "
                    f"tracepoint `syscalls:sys_enter_{aim.name.partition('_sys_')[2]}`",
                )
            ]
        yield rule.finding(
            ctx,
            message,
            program=aim.program.name,
            span=covered(ctx, ask.call),
            severity=severity_of(wrong.kernels, "warning" if wrong.kind in ("sign",) else "error"),
            labels=[Label(aim.span(ctx), "attached to this")],
            evidence=[Evidence("kernels", f"what `{aim.name}` is given\n{rows}")],
            fixes=hint,
            kernels=[one.series for one in wrong.kernels if one.series],
        )


def _rows(aim: Aim, index: int, kernels: list[Types]) -> list[list[str]]:
    rows = []
    for one in kernels:
        proto = _prototype(aim, one)
        if proto is None:
            rows.append([one.name, "not there", ""])
            continue
        count = len(proto.params)
        read = "nothing"
        if index < count:
            read = one.declared(proto.params[index][1], proto.params[index][0])
        elif index == count and _gives_result(aim):
            read = f"what is returned: {proto.kind(index).text}"
        rows.append([one.name, proto.text(), read])
    return rows


def _gives_result(aim: Aim) -> bool:
    return aim.program.macro in ("fexit", "lsm", "lsm_cgroup")


def _prototype(aim: Aim, kernel: Types) -> Prototype | None:
    """The one prototype of what a program is attached to; None for none, several, and what cannot be compared."""
    macro = aim.program.macro
    if macro in _TRACEPOINTS:
        found = kernel.prototypes(f"btf_trace_{aim.name}", "TYPEDEF")
    elif macro in ("lsm", "lsm_cgroup"):
        found = kernel.prototypes(f"bpf_lsm_{aim.name}")
    else:
        found = kernel.prototypes(aim.name)
    if not found or len({one.text() for one in found}) != 1 or not found[0].plain:
        return None
    return found[0]


def _of_aim(aim: Aim, ask: Ask, index: int, given: str, kernels: list[Types]) -> Wrong | None:
    """What is wrong on the first kernel where something is, with all kernels of which that holds."""
    first: Wrong | None = None
    for kernel in kernels:
        proto = _prototype(aim, kernel)
        if proto is None:
            continue
        wrong = _count(aim, index, proto) or _type(ask.call, index, given, proto, kernel)
        if wrong is None:
            continue
        if first is None:
            first = Wrong(wrong[0], wrong[1], [])
        if first.kind == wrong[0]:
            first.kernels.append(kernel)
    return first


def _count(aim: Aim, index: int, proto: Prototype) -> tuple[str, str] | None:
    count = len(proto.params)
    said = f"`{aim.name}` has {count or 'no'} argument{'' if count == 1 else 's'}{{on}}"
    refused = "the verifier refuses to read"
    if index > count or (index == count and not _gives_result(aim)):
        macro = aim.program.macro
        if macro == "kprobe":
            if index >= _REGISTERS:
                return None
            return "count", f"{said}: number {index} is whatever the register happens to hold"
        if macro == "raw_tracepoint":
            return "count", f"{said}: with a read of number {index}, attaching is refused there"
        return "count", f"{said}: {refused} number {index}"
    if index == count and aim.program.macro == "fexit" and proto.kind(index).what == "void":
        return "void", f"`{aim.name}` returns nothing{{on}}: {refused} number {index}"
    return None


def _type(  # noqa: PLR0911 - a return a kind
    call: Expr, index: int, given: str, proto: Prototype, kernel: Types
) -> tuple[str, str] | None:
    """Whether the type asked for can hold what comes."""
    if not given:
        return None
    kind = proto.kind(index)
    if given.startswith(("*", "&")):
        return _pointer(given, index, kind, kernel)
    made = layout(call.file, given, call.item)
    if made is None or made.kind not in ("int", "uint"):
        return None
    if kind.what == "ptr" and made.size < 8:
        return "truncated", (
            f"argument {index} is a pointer ({_spelled(kind)}){{on}}: `{given}` keeps {made.size} of its 8 bytes"
        )
    if kind.what == "int" and kind.signed and kind.size < 8 and made.kind == "int" and made.size > kind.size:
        if _narrowed(call):
            return None
        return "sign", (
            f"argument {index} is `{kind.text}`, {kind.size} bytes with a sign{{on}}: "
            f"read as `{given}`, what is negative becomes a large number"
        )
    return None


def _narrowed(call: Expr) -> bool:
    """Whether what is read is cut to its own size again: `as i32`, at once or where the local is used."""
    child = call
    for at in call.ancestors():
        if at.kind == "cast":
            return at.cast_type.strip() in _NARROW
        if at.kind == "block":
            let = next((one for one in at.lets if one.init == child), None)
            if let is None:
                return False
            parents = [one.parent for one in mentions(let)]
            return any(one is not None and one.kind == "cast" and one.cast_type.strip() in _NARROW for one in parents)
        if at.kind not in ("try", "paren", "method") or (at.kind == "method" and at.receiver != child):
            return False
        child = at
    return False


def _pointer(  # noqa: PLR0911 - a return a kind
    given: str, index: int, kind: Kind, kernel: Types
) -> tuple[str, str] | None:
    parsed = parse_type(given)
    if parsed is None or given.lstrip("*& ").removeprefix("const ").removeprefix("mut ").startswith(("*", "&")):
        return None
    name = parsed[0].rpartition("::")[2]
    if kernel.struct(name) is None:
        return None  # no kernel type: the program knows what it takes it for
    if kind.what == "ptr" and kind.name:
        if kind.name == name or kernel.struct(kind.name) is None:
            return None
        if kernel.begins_with(name, kind.name) or kernel.begins_with(kind.name, name):
            return None
        return "pointer", f"argument {index} is {_spelled(kind)}{{on}}, and is read as a pointer to `{name}`"
    if kind.what in ("int", "enum") and kind.size < 8:
        return "integer", f"argument {index} is {_spelled(kind)}{{on}}, no pointer to `{name}`"
    if kind.what == "ptr" and kind.to == "INT":
        return "pointer", f"argument {index} is {_spelled(kind)}{{on}}, and is read as a pointer to `{name}`"
    return None


def _spelled(kind: Kind) -> str:
    return f"`{kind.text}`"

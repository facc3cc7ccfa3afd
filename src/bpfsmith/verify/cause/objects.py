"""Dynptrs, iterators and fields that only the kernel touches: set up, used and given back in order."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import stack_slot
from bpfsmith.verify.cause.locals import at_stack
from bpfsmith.verify.cause.result import Advice, Cause, Fact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find"]

_ENDS = ("submit_dynptr", "discard_dynptr", "_destroy")
_BEGINS = (
    "_new", "bpf_dynptr_from_mem", "bpf_ringbuf_reserve_dynptr", "bpf_dynptr_from_skb", "bpf_dynptr_from_xdp",
    "bpf_dynptr_clone", "bpf_dynptr_from_file", "bpf_dynptr_from_skb_meta",
)  # fmt: skip


def find(trace: Trace, match: Match | None) -> Cause | None:  # noqa: PLR0911, PLR0912
    """Causes of families V32, V33, V34 and V39."""
    message = parts.said(trace, match)
    if "xpected an initialized" in message or "must be valid and initialized" in message:
        return _not_begun(trace, message)
    if "ninitialized dynptr" in message or "xpected uninitialized" in message:
        return _twice(trace, message)
    if "overwrite referenced dynptr" in message or "potential write to dynptr" in message:
        return _overwritten(trace, message)
    if "dynptr" in message or "iterator" in message or "DYNPTR" in message or "iter_" in message:
        found = _dynptr(trace, message)
        if found is not None:
            return found
    if "rbtree cb" in message or "rb_node" in message or "non-owning" in message:
        return _tree(trace, message)
    if "dynptr_ptr'" in message:
        return _inside(trace)
    if "RCU" in message and ("expected an" in message or "requires" in message):
        return _needs_rcu(trace, message)
    if "cannot attach to" in message:
        return None
    if "exception c" in message or "bpf_throw" in message:
        return _exception(trace, message)
    if "directly by load/store" in message or "direct access to" in message:
        from bpfsmith.verify.cause import fields

        return fields.find(trace, match)
    if _bytes_of(message):
        return _touched(trace, message)
    if "kptr" in message or "has to have BTF" in message or "constant offset" in message or "valid bpf_" in message:
        return _field(trace, message)
    if "doesn't point to" in message or "mangled" in message or "map_uid" in message or "misaligned" in message:
        return _field(trace, message)
    return None


def _what(message: str) -> str:
    return (
        "dynptr"
        if "ynptr" in message
        else "iterator"
        if "iter" in message
        else "flag"
        if "irq" in message
        else "object"
    )


def _a(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _position(message: str, name: str = "") -> str:
    from bpfsmith.facts import helpers

    told = parts.register(message)
    number = parts.number(message, "arg #")
    if told is not None or number is None:
        return told or "r1"
    if "iter" in message:
        return "r1"
    row = helpers.by_name(name)
    places = [at for at, what in enumerate(row.arguments, 1) if "dynptr" in what] if row is not None else []
    # Kernels count the same argument from 0 or from 1.
    return f"r{places[0]}" if places else f"r{max(number, 1)}"


def _argument(trace: Trace, step: Step, reg: str) -> tuple[str, str | None, int | None]:
    """(the argument in words, its variable, the slot of the stack it points to)."""
    name = parts.called(step)
    place = trace.own_place(step)
    expression = parts.argument(place.text if place is not None else None, name, int(reg[1:]))
    variable = parts.identifier(expression)
    value = step.value(reg)
    slot = stack_slot(step, int(reg[1:]), 0) if value is not None and value.type == "fp" else None
    if variable is None and slot is not None:
        known = at_stack(trace, step.slot, slot)
        variable = known.name if known is not None else None
    shown = f"`{variable}`" if variable else f"what {reg} points to"
    return shown, variable, slot


def _former(trace: Trace, step: Step, slot: int | None, words: tuple[str, ...]) -> Step | None:
    """The last call on the path with a name of `words` about the same slot of the stack."""
    for former in trace.steps.back(step.at, 5000):
        name = parts.called(former)
        if not name or not any(name.endswith(word) or name == word for word in words):
            continue
        if slot is None:
            return former
        for number in range(1, 6):
            value = former.value(f"r{number}")
            if value is not None and value.type == "fp" and value.off == slot:
                return former
    return None


def _not_begun(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    if step is None:
        return None
    name = parts.called(step)
    what = _what(message)
    reg = _position(message, name)
    shown, variable, slot = _argument(trace, step, reg)
    value = step.value(reg)
    if value is not None and value.type not in ("fp", "dynptr_ptr", "scalar"):
        from bpfsmith.verify.cause.arguments import kind

        return parts.cause(
            trace, "argument-type", "high", f"`{name}` wants {'an' if what[0] in 'aeiou' else 'a'} {what} on the "
                                            f"stack, and "
            f"{shown} is {kind(value.type)}", step=step,
            because=[trace.fact(step, f"{reg} is {kind(value.type)}")], variables=[variable, name],
            advice=[Advice("argument", f"keep the {what} in a local variable and pass its address", function=name)],
        )  # fmt: skip
    begun = _former(trace, step, slot, _BEGINS)
    ended = _former(trace, step, slot, _ENDS) or (_ended_with_it(trace, step, begun) if what == "dynptr" else None)
    if ended is not None and (begun is None or begun.at < ended.at):
        again = any(name.endswith(word) for word in _ENDS)
        return parts.cause(
            trace, "unreleased-reference" if again else "stale-pointer", "high",
            f"{shown} is used after `{parts.called(ended)}` ended it",
            step=step if again else ended, because=[trace.fact(ended, f"`{parts.called(ended)}` ends the {what}"),
                     trace.fact(step, f"`{name}` uses it again")],
            variables=[variable, name],
            advice=[Advice("reorder", f"use the {what} before it is ended, and end it once on every "
                                      f"path", function=name)],
        )  # fmt: skip
    written = _write(trace, step, slot, begun)
    if begun is not None and written is not None:
        return parts.cause(
            trace, "uninitialised", "high", f"{shown} was overwritten after it was set up", step=written,
            because=[trace.fact(begun, f"`{parts.called(begun)}` sets the {what} up"),
                     trace.fact(written, "its bytes are overwritten here"), trace.fact(step, f"`{name}` uses it")],
            variables=[variable, name],
            advice=[Advice("leave-alone", f"never copy, move or write the {what}'s bytes: keep it in one place on "
                                          f"the stack")],
        )  # fmt: skip
    maker = "`bpf_dynptr_from_mem()` (`bpf_ringbuf_reserve_dynptr()`, ..)"
    if what == "iterator":
        maker = "`bpf_iter_.._new()`"
    because: list[Fact | None] = []
    if begun is not None:
        because.append(trace.fact(begun, f"`{parts.called(begun)}` sets one up, but not this one (or on another path)"))
    because.append(trace.fact(step, f"`{name}` uses {shown}, and nothing set it up on this path"))
    return parts.cause(
        trace, "uninitialised", "high", f"{shown} is used as {_a(what)}, and nothing set one up there on this path",
        step=step, because=because, variables=[variable, name],
        advice=[Advice("initialise", f"call {maker} on the same variable first, on every path; do not move or copy "
                                     f"it",
                       variable=variable)],
    )  # fmt: skip


def _ended_with_it(trace: Trace, step: Step, begun: Step | None) -> Step | None:
    """What ended a dynptr that was set up here: the end of the reservation it is a view of, or of which it has clones;
    a call that moves the packet's data."""
    if begun is None:
        return None
    from bpfsmith.facts import helpers

    for former in trace.steps.back(step.at, 5000):
        if former.at <= begun.at:
            return None
        name = parts.called(former)
        row = helpers.by_name(name) if name else None
        if any(name.endswith(word) for word in _ENDS) or (row is not None and row.moves_packet):
            return former
    return None


def _write(trace: Trace, step: Step, slot: int | None, begun: Step | None) -> Step | None:
    """A store of the program into the object's bytes after it was set up."""
    if slot is None or begun is None:
        return None
    for former in trace.steps.back(step.at, 5000):
        if former.at <= begun.at:
            return None
        insn = former.insn
        if code.is_store(insn) and former.frame == step.frame:
            at = stack_slot(former, insn.dst, insn.off)
            if at is not None and at < slot + 16 and slot < at + code.width(insn):
                return former
    return None


def _twice(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    if step is None:
        return None
    what = _what(message)
    name = parts.called(step)
    shown, variable, slot = _argument(
        trace, step, _position(message, name) if "arg" in message else _dynptr_register(step)
    )
    begun = _former(trace, step, slot, _BEGINS)
    because = [trace.fact(begun, f"`{parts.called(begun)}` sets the {what} up")] if begun is not None else []
    because.append(trace.fact(step, f"`{name}` would set up another in the same place"))
    return parts.cause(
        trace, "unreleased-reference" if begun is not None else "argument-type",
        "high" if begun is not None else "medium",
        f"{shown} already holds {_a(what)} that is in use, and `{name}` would set up another there" if begun is not None
        else f"`{name}` needs room for {_a(what)} on the stack, all of it free", step=step, because=because,
        variables=[variable, name],
        advice=[Advice("release", f"end the first {what} before, or use a second variable", acquire=name)],
    )  # fmt: skip


def _dynptr_register(step: Step) -> str:
    """The argument that points to the dynptr: the last one of the helpers that make one."""
    for number in (4, 3, 2, 1):
        value = step.value(f"r{number}")
        if value is not None and value.type == "fp":
            return f"r{number}"
    return "r4"


def _overwritten(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    if step is None:
        return None
    insn = step.insn
    at = stack_slot(step, insn.dst, insn.off) if code.is_store(insn) else None
    begun = _former(trace, step, None, _BEGINS)
    name = parts.called(step)
    held = "referenced" in message
    because = [trace.fact(begun, f"`{parts.called(begun)}` sets the dynptr up")] if begun is not None else []
    because.append(
        trace.fact(
            step,
            f"`{name}` writes over it"
            if name
            else f"its bytes at fp{at:+d} are overwritten"
            if at is not None
            else "its bytes are overwritten",
        )
    )
    return parts.cause(
        trace, "unreleased-reference" if held else "argument-type", "high",
        "a dynptr that still holds a reservation is overwritten: nothing could give it back any more" if held
        else "the bytes of a dynptr are overwritten", step=step, because=because,
        variables=[parts.called(begun) if begun is not None else None],
        advice=[Advice("release", "submit or discard it first, and do not copy, move or reuse its bytes",
                       release=("bpf_ringbuf_submit_dynptr", "bpf_ringbuf_discard_dynptr"))],
    )  # fmt: skip


def _dynptr(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    if step is None:
        return None
    name = parts.called(step)
    what = _what(message)
    shown, variable, _ = _argument(trace, step, _position(message, name))
    if "offset" in message:
        headline = f"`{name}` takes the address of the {what} itself, at a constant offset, and gets another"
        tip = f"pass `&{variable or what}`, nothing computed from it"
    elif "Unsupported reg type" in message:
        from bpfsmith.verify.cause.arguments import kind

        word = parts.word(message, "Unsupported reg type ")
        headline = f"`{name}` makes a dynptr of a map's value only, and gets {kind(word)}"
        tip = "take the memory from a map's value (look it up, check for null)"
    elif "unowned const" in message or "DYNPTR cannot be released" in message:
        headline = f"`{name}` would give back a dynptr that belongs to the caller"
        tip = "leave it to the one that made it: read it only"
    elif "const bpf_dynptr" in message and "mutates" in message:
        headline = f"`{name}` changes the dynptr, and this one may only be read"
        tip = "make a dynptr of your own (`bpf_dynptr_clone()`)"
    elif "dynptr of type" in message:
        headline = f"`{name}` takes a dynptr of type `{parts.word(message, 'dynptr of type ')}`, and {shown} is another"
        tip = "use the helper of this kind of dynptr"
    elif "on stack" in message or "to stack" in message:
        headline = f"`{name}` takes the {what} in a local variable on the stack, and {shown} is not one"
        tip = f"keep the {what} in a local variable and pass its address"
    else:
        return None
    return parts.cause(
        trace, "argument-type", "high", headline, step=step,
        because=[trace.fact(step, f"{shown} is passed to `{name}`")], variables=[variable, name],
        advice=[Advice("argument", tip, function=name)],
    )  # fmt: skip


def _inside(trace: Trace) -> Cause | None:
    step = trace.last
    if step is None:
        return None
    return parts.cause(
        trace, "context-access", "high", "the bytes of a dynptr are accessed directly; only its helpers may touch them",
        step=step, because=[trace.fact(step, "they are accessed here")],
        advice=[Advice("use-helper", "use `bpf_dynptr_read()`, `bpf_dynptr_write()` or `bpf_dynptr_data()`")],
    )  # fmt: skip


def _tree(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    if step is None:
        return None
    name = parts.called(step)
    inside = "cb" in message.split()
    headline = (
        f"`{name}` may not be called from the comparison function of a tree" if inside
        else f"`{name}` takes a node that is in the tree (a pointer that does not own it), and gets another"
    )  # fmt: skip
    tip = (
        "compare only"
        if inside
        else "pass what `bpf_rbtree_first()` or `bpf_rbtree_add()` left, while the lock is held"
    )
    return parts.cause(
        trace, "unreleased-reference" if inside else "argument-type", "high", headline, step=step, variables=[name],
        because=[trace.fact(step, f"`{name}` is called here")], advice=[Advice("argument", tip, function=name)],
    )  # fmt: skip


def _needs_rcu(trace: Trace, message: str) -> Cause:
    name = parts.called(trace.last) or parts.word(message, "when using ") or parts.word(message, "kernel func ")
    return parts.cause(
        trace, "unreleased-reference", "high", f"`{name}` may be called inside an RCU section only", step=trace.last,
        because=[trace.fact(trace.last, f"`{name}` is called outside one")] if trace.last is not None else [],
        variables=[name],
        advice=[Advice("hold", "call `bpf_rcu_read_lock()` before, and `bpf_rcu_read_unlock()` after the last use",
                       acquire="bpf_rcu_read_lock", release="bpf_rcu_read_unlock")],
    )  # fmt: skip


def _exception(trace: Trace, message: str) -> Cause:
    step = trace.last
    slot = parts.number(message, "insn ") if step is None else None
    name = parts.quoted(message)
    if "bpf_throw" in message or "directly" in message:
        where = parts.number(message, "(insn ") if "(insn " in message else slot
        return parts.cause(
            trace, "panic-or-unreachable", "high",
            "`bpf_throw` may not be called from a callback" if "callback" in message and "throw" in message
            else "the exception callback may not be called directly", step=step if where is None else None, slot=where,
            advice=[Advice("return-error", "return a value that ends the loop, and throw behind it")],
        )  # fmt: skip
    told = parts.word(parts.told(trace, "Validating"), "Validating ")
    name = name or told or _handler(trace)
    place = None
    if step is None and name:
        from bpfsmith.verify.cause.arguments import function_place

        place = function_place(trace, name)
    headline = "the exception callback has to be one global function that takes one number and returns one"
    return parts.cause(
        trace, "loader-or-metadata", "medium", headline + (f" (`{name}`)" if name else ""), step=step, slot=slot,
        place=place,
        variables=[name], advice=[Advice("exception-callback", "declare it so: `__noinline int cb(u64 cookie)`, "
                                                               "named once")],
    )  # fmt: skip


def _handler(trace: Trace) -> str:
    """The function that the object's types name as exception callback; "" where they name none or several."""
    btf = trace.program.owner.btf if trace.program is not None else None
    if btf is None:
        return ""
    stem = "exception_callback:"
    tags = [btf.name(one) for one in range(btf.first_id, len(btf)) if btf.kind(one) == "DECL_TAG"]
    found = {tag.removeprefix(stem) for tag in tags if tag.startswith(stem)}
    return found.pop() if len(found) == 1 else ""


_FIELDS = (
    "bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq", "bpf_list_head", "bpf_rb_root", "bpf_refcount", "kptr",
    "uptr",
)  # fmt: skip


def _field(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    name = parts.called(step)
    reg = parts.register(message) or "r1"
    field = next((one for one in _FIELDS if one in message), "the field")
    where = _chain(trace, step, f"`{name}` is called here" if name else "it is accessed here")
    if "has to have BTF" in message or "has no valid" in message or "mangled" in message:
        shown = f"map `{parts.quoted(message)}`" if parts.quoted(message) else "the map"
        lacks = "has no types (BTF)" if "has to have BTF" in message else f"has no `{field}` in its value"
        return parts.cause(
            trace, "loader-or-metadata" if "has to have BTF" in message else "argument-type", "high",
            f"{shown} {lacks}, so the kernel cannot find its `{field}`", step=step, because=where, variables=[name],
            advice=[Advice("map-btf", f"declare the map in `.maps` with `__type(value, ..)` of a struct that has a "
                                      f"`struct {field}` "
                           "(in Rust: a BTF map, built with `-C debuginfo=2 -C link-arg=--btf`)", field=field)],
        )  # fmt: skip
    if "map_uid" in message:
        return parts.cause(
            trace, "argument-type", "high", "the timer or work queue lies in another map than the one that is passed",
            step=step, because=where, variables=[name],
            advice=[Advice("argument", "pass the map whose value holds it", function=name)],
        )  # fmt: skip
    if "constant offset" in message or "variable offset" in message:
        return parts.cause(
            trace, "argument-type", "high", f"`{field}` has to be addressed at an offset that is known when it is "
                                            f"built",
            step=step, because=where, variables=[trace.name(step, reg) if step is not None else None, name],
            advice=[Advice("constant", f"address `{field}` through the value's pointer and a constant offset")],
        )  # fmt: skip
    if "doesn't point to" in message:
        at = parts.number(message, "off ") or parts.number(message, "off=")
        real = parts.number(message, "that is at ")
        there = f": it is at {real}" if real is not None else ""
        return parts.cause(
            trace, "argument-type", "high", f"offset {at} of the value is no "
                                            f"`{field}`{there}", step=step, because=where,
            variables=[name], advice=[Advice("argument", f"pass the address of the field `{field}` "
                                                         f"itself", function=name)],
        )  # fmt: skip
    if "invalid kptr access" in message or "isn't referenced kptr" in message:
        wants = parts.after(message, "expected=").partition(" ")[0].removeprefix("ptr_")
        return parts.cause(
            trace, "argument-type", "high",
            f"the field holds pointers to `{wants}`, and another kind is stored" if wants
            else "the field holds no reference, and is used as if it did", step=step, because=where, variables=[name],
            advice=[Advice("argument", "store what the field is declared for (`__kptr`), through `bpf_kptr_xchg()`")],
        )  # fmt: skip
    return None


def _bytes_of(message: str) -> bool:
    """The message is about the bytes of a field that only the kernel keeps."""
    from bpfsmith.verify.cause.classes import conventional

    return conventional(message, "V32") == "context-access"


def _touched(trace: Trace, message: str) -> Cause:
    step = trace.last
    name = parts.called(step)
    field = next((one for one in _FIELDS if one in message), "kptr")
    own = "a kernel pointer in a map may" if field in ("kptr", "uptr") else f"`{field}` may"
    how = "be read whole, at its own offset, and changed through `bpf_kptr_xchg()` only"
    headline = f"{own} {how}" if field == "kptr" else f"{own} be read whole, at its own offset, and never written"
    if "indirectly" in message:
        headline = f"the memory that `{name or 'the call'}` gets holds a `{field}`, which only the kernel may touch"
    return parts.cause(
        trace, "context-access", "high", headline, step=step, variables=[name],
        because=_chain(trace, step, f"`{name}` is called here" if name else "it is accessed here"),
        advice=[Advice("kptr-xchg", "use `bpf_kptr_xchg()` to change it; read all 8 bytes at once to look at it")],
    )  # fmt: skip


def _chain(trace: Trace, step: Step | None, text: str) -> list[Fact]:
    return [trace.fact(step, text)] if step is not None else []

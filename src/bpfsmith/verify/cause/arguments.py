"""Arguments that a helper, a kernel function or a function of the program does not take."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Link, Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find", "function_place", "kind"]

# The kernel's words for what a register holds, in a person's.
_KINDS = {
    "fp": "a pointer to the stack", "pkt": "a pointer into the packet", "pkt_meta": "a pointer to the packet's "
                                                                                    "metadata",
    "pkt_end": "the packet's end", "map_key": "a pointer to a map's key", "map_value": "a pointer to a map's value",
    "map_ptr": "a map", "mem": "a pointer to memory of known size", "ringbuf_mem": "a reserved ring buffer record",
    "alloc_mem": "a reserved ring buffer record",
    "buf": "a pointer to a buffer", "rdonly_buf": "a pointer to a read-only buffer", "rdwr_buf": "a pointer to a "
                                                                                                 "buffer",
    "rdonly_mem": "a pointer to read-only memory", "ctx": "the context", "scalar": "a number", "inv": "a number",
    "sock": "a socket", "sock_common": "a socket (any kind)", "tcp_sock": "a TCP socket", "xdp_sock": "an XDP socket",
    "flow_keys": "flow keys", "func": "a function", "dynptr_ptr": "a dynptr", "iter": "an iterator",
    "trusted_ptr_": "a trusted kernel pointer", "ptr_": "a kernel pointer", "rcu_ptr_": "a kernel pointer under RCU",
    "percpu_ptr_": "a per-CPU kernel pointer", "percpu_trusted_ptr_": "a per-CPU kernel pointer",
    "percpu_rcu_ptr_": "a per-CPU kernel pointer", "untrusted_ptr_": "a kernel pointer of unknown origin",
    "arena": "a pointer into an arena",
}  # fmt: skip
_HOW = {
    "mov": "is copied", "narrow": "is cut to 32 bits: from here on it is a number", "spill": "is saved on the stack",
    "fill": "is read back from the stack", "load": "is read from memory", "const": "is a constant",
    "ctx": "is the context", "call": "is the result of", "and-mask": "is masked: from here on it is a number",
    "shift": "is shifted: from here on it is a number", "math": "is computed: from here on it is a number",
}  # fmt: skip
_TURNS = ("narrow", "and-mask", "shift", "math")


def find(trace: Trace, match: Match | None) -> Cause | None:
    """`argument-type`, `pointer-to-scalar` where it was a pointer once; None for what may be null."""
    message = parts.said(trace, match)
    if "_or_null" in message.partition("expected=")[0] or "NULL" in message:
        return None
    if "type=" in message and "expected=" in message:
        return _kind(trace, message)
    if "Caller passes" in message or "not supported yet" in message or "doesn't return scalar" in message:
        return _subprogram(trace, message)
    if "return value not void" in message:
        return _subprogram(trace, message)
    for words, finder in _FINDERS:
        if any(word in message for word in words):
            return finder(trace, message)
    return None


def kind(word: str) -> str:
    """What the kernel's word for a register's type means."""
    bare = word.strip().rstrip(",")
    if bare in _KINDS:
        return _KINDS[bare]
    for start in ("trusted_ptr_", "rcu_ptr_", "percpu_ptr_", "untrusted_ptr_", "ptr_"):
        if bare.startswith(start):
            return f"{_KINDS[start]} (`{bare[len(start) :]}`)"
    return f"`{bare}`"


def _listed(words: str) -> str:
    """`fp, pkt, map_value` -> as a sentence's part, without repetitions."""
    shown = list(dict.fromkeys(kind(word) for word in words.replace(" or ", ",").split(",") if word.strip()))
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}" if shown else "another kind"


# ---------------------------------------------------------------- R1 type=scalar expected=fp


def _kind(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    reg = parts.register(message)
    if step is None or reg is None:
        return None
    has = parts.after(message, "type=").partition(" expected=")[0].strip()
    wanted = parts.after(message, "expected=").strip()
    name = parts.called(step) or parts.function(trace, step.insn.target) or "the call"
    position = int(reg[1:])
    expression, variable = _expression(trace, step, name, reg)
    origin = trace.origin(step, reg)
    shown = f"`{expression}`" if expression else f"argument {position}"
    if has in ("scalar", "inv"):
        turned = _turned(origin, trace)
        if turned is not None:
            return _lost(trace, step, turned, shown, name, variable, wanted)
        if "map_ptr" in wanted and origin and origin[-1].how == "const":
            return parts.cause(
                trace, "loader-or-metadata", "high",
                f"`{name}` gets a number where the map should stand: the loader did not put the map in",
                step=step, because=[*_story(trace, origin), trace.fact(step, f"`{name}` wants a map as argument "
                                                                             f"{position}")],
                variables=[variable, name],
                advice=[Advice("relocate", "use the map's static by reference (`&MAP`), and load the object with a "
                                           "loader that "
                               "applies its relocations")],
            )  # fmt: skip
    if has.startswith("untrusted_ptr"):
        from bpfsmith.verify.cause.pairs import expired

        if (gone := expired(trace, reg)) is not None:
            return gone
    role = _role(name, position)
    headline = f"`{name}` takes {_listed(wanted)} as argument {position}{role}, and {shown} is {kind(has)}"
    return parts.cause(
        trace, "argument-type", "high", headline, step=step,
        because=[*_story(trace, origin), trace.fact(step, f"{reg} is {kind(has)}; `{name}` wants {_listed(wanted)}")],
        variables=[variable, name],
        advice=[Advice("argument", _tip(has, wanted, shown), function=name, position=position, type=has,
                       expected=wanted)],
    )  # fmt: skip


def _role(name: str, position: int) -> str:
    from bpfsmith.facts import helpers

    row = helpers.by_name(name)
    return f" ({row.arguments[position - 1]})" if row is not None and 0 < position <= len(row.arguments) else ""


def _expression(trace: Trace, step: Step, name: str, reg: str) -> tuple[str | None, str | None]:
    place = trace.own_place(step)
    expression = parts.argument(place.text if place is not None else None, name, int(reg[1:]))
    return expression, parts.identifier(expression) or trace.name(step, reg)


def _story(trace: Trace, origin: list[Link], most: int = 4) -> list[Fact]:
    """Where a value came from, the origin first."""
    found: list[Fact] = []
    for link in reversed(origin[-most:]):
        text = _HOW.get(link.how)
        if text is None or (link.how == "mov" and len(origin) > 1):
            continue
        called = parts.called(link.step)
        if link.how == "call":
            text = f"is the result of `{called}`" if called else "is the result of a call"
        found.append(trace.fact(link.step, f"the value {text}"))
    return found


def _turned(origin: list[Link], trace: Trace) -> Link | None:
    """The station at which a pointer became a number."""
    del trace
    for link in origin:
        if link.how in _TURNS and link.source is not None:
            value = link.step.value(link.source)
            if value is not None and value.type not in ("scalar", "inv", ""):
                return link
    return None


def _lost(trace: Trace, step: Step, turned: Link, shown: str, name: str, variable: str | None, wanted: str) -> Cause:
    return parts.cause(
        trace, "pointer-to-scalar", "high", f"{shown} of `{name}` was a pointer and became a number on the way",
        step=turned.step,
        because=[
            trace.fact(turned.step, f"the pointer {_HOW[turned.how]}"),
            trace.fact(step, f"`{name}` wants {_listed(wanted)}"),
        ],
        variables=[variable, name],
        advice=[Advice("keep-pointer", "keep it a pointer: no casts to `u32`, no masks, no arithmetic but adding a "
                                       "bounded offset")],
    )  # fmt: skip


def _tip(has: str, wanted: str, shown: str) -> str:
    if "map_ptr" in wanted:
        return "pass the map itself, by reference"
    if has in ("ctx", "sock", "pkt_end") or has.endswith("ptr_") or "ptr_" in has:
        return f"copy what {shown} points to onto the stack or into a map's value first, and pass that"
    if has in ("pkt", "pkt_meta"):
        return "copy the bytes out of the packet to the stack first, and pass that"
    if "ctx" in wanted and "," not in wanted:
        return "pass the context as the program got it, unchanged"
    if has in ("map_value", "map_key") and "fp" in wanted and "map_value" not in wanted:
        return "copy it to the stack first (newer kernels take a map's value here, this one does not)"
    return f"pass {_listed(wanted)}"


# ---------------------------------------------------------------- functions of the program


_SIGNATURE = ("doesn't return scalar", "return value not void", "not supported yet")


def _subprogram(trace: Trace, message: str) -> Cause:
    if "Caller passes" in message:  # the line before says what it is about: the function itself, or what is passed
        rows = [text for _, text in trace.log.told if any(word in text for word in _SIGNATURE)]
        message = rows[-1] if rows else message
    step = trace.last
    name = parts.word(message, "Global function ") or parts.quoted(parts.after(message, "('") and message)
    name = name or parts.word(message, " in ")
    if not name and step is not None:
        name = parts.function(trace, step.insn.target) or ""
    name = parts.readable(name.partition("(")[0])
    said = [text for _, text in trace.log.told if text != message]
    detail = next((text for text in reversed(said) if "arg#" in text or text[:1] == "R" or "Arg#" in text), "")
    if "return scalar" in message or "return value not void" in message:
        place = function_place(trace, name)
        return parts.cause(
            trace, "return-range", "high", f"`{name}` is verified on its own and may return a number or nothing only",
            step=step, place=place,
            advice=[Advice("scalar-return", f"let `{name}` return `i32` or `u64`, or make it part of its callers "
                           "(`#[inline(always)]`, `static __always_inline`)", function=name)],
            variables=[name],
        )  # fmt: skip
    if "not supported yet" in message:
        position = (parts.number(message, "rg#") or 0) + 1
        place = function_place(trace, name)
        return parts.cause(
            trace, "argument-type", "high",
            f"argument {position} of `{name}` is of a type that functions verified on their own may not have",
            step=step, place=place, variables=[name],
            advice=[Advice("inline-or-static", f"make `{name}` static or part of its callers (`static`, "
                                               f"`#[inline(always)]`), "
                           "or pass numbers and pointers to plain structs", function=name, position=position)],
        )  # fmt: skip
    which = parts.number(detail, "rg#")
    reg = parts.register(detail)
    position = which + 1 if which is not None else int(reg[1:]) if reg is not None else 0
    why = f": argument {position} does not fit" if position else ""
    passed = step.value(f"r{position}") if step is not None and position else None
    if passed is not None:
        why += f" (it is {kind(passed.type)}{', which may be null' if passed.maybe_null else ''})"
    cls = "missing-null-check" if passed is not None and passed.maybe_null else "argument-type"
    if detail:
        why += f"; the kernel says: {detail.strip()}"
    declared = function_place(trace, name) if "size cannot be determined" in detail else None
    return parts.cause(
        trace, cls, "high", f"`{name}` is verified on its own, and is called with what it does not take{why}",
        step=step, place=declared, variables=[name],
        because=[trace.fact(step, f"`{name}` is "
                                  f"called{f' with {passed.text} as argument {position}' if passed else ''}")]
        if step is not None else [],
        advice=[Advice("inline-or-static", f"make `{name}` static or part of its callers (`static`, "
                                           f"`#[inline(always)]`), or pass "
                       "what its declared types allow (`__arg_ctx`, `__arg_nonnull` from Linux 6.8 on)",
                       function=name, position=position)],
    )  # fmt: skip


def function_place(trace: Trace, name: str) -> Place | None:
    """The first line of a function of the program."""
    from bpfsmith.verify.cause.locals import function_line

    if trace.program is not None:
        for told, first, _, _ in trace.program.functions():
            if name in (told, parts.readable(told)):
                place = function_line(trace, told) or trace.own_place(first)
                return (
                    parts.upward(trace, place, (f"fn {name.rpartition('::')[2]}", f" {name}(", f"*{name}("), 60)
                    or place
                )
    for _, first, told in trace.log.functions:
        if told == name:
            return trace.own_place(first)
    return None


# ---------------------------------------------------------------- constants, kernel functions, fields


def _constant(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    reg = parts.register(message)
    if step is None:
        return _either_map(trace) if "abusing map_ptr" in message else None
    name = parts.called(step)
    if "abusing map_ptr" in message and name != "bpf_tail_call":
        return _either_of_maps(trace, step, name)
    reg = reg or "r2"
    expression, variable = _expression(trace, step, name, reg)
    value = step.value(reg)
    shown = f"`{expression}`" if expression else reg
    span = ""
    if value is not None and value.known is None and value.umin is not None and value.umax is not None:
        span = f" (it can be {value.umin} to {value.umax})" if value.umax < 1 << 32 else ""
    if "offset" in message:
        headline = f"{shown} of `{name}` has to point to a place that is known when the program is built"
        tip = "use a constant index, or take the field of one map value"
    elif (
        "readonly map" in message or "constant address" in message or "zero-terminated" in message or "ormat" in message
    ):
        headline = f"{shown} of `{name}` has to be a constant string with a zero at its end, in read-only data"
        tip = 'use a literal (`static const char fmt[] = ".."`, `c".."` in Rust)'
    else:
        headline = f"{shown} of `{name}` has to be one constant on every path{span}"
        tip = "pass a constant (in Rust a `const`), or branch by size and call it once for each; " + (
            "`bpf_ringbuf_output()` and dynptrs take variable sizes"
            if "ringbuf" in name
            else "or the largest size there is"
        )
    return parts.cause(
        trace, "argument-type", "high", headline, step=step,
        because=[*_story(trace, trace.origin(step, reg)), trace.fact(step, f"{shown} is not a constant here{span}")],
        variables=[variable, name], advice=[Advice("constant", tip, function=name, position=int(reg[1:]))],
    )  # fmt: skip


def _either_map(trace: Trace) -> Cause:
    slot = parts.call_of(trace, "bpf_tail_call")
    place = trace.own_place(slot) if slot is not None else None
    because = (
        [Fact(slot, place, "the paths that meet here bring different program arrays")] if place is not None else []
    )
    return parts.cause(
        trace, "argument-type", "high" if place is not None else "medium",
        "which program array the tail call uses is decided when it runs, and it has to be one that is known",
        slot=slot, place=place, because=because, variables=["bpf_tail_call"],
        advice=[Advice("split-paths", "make a tail call on each path, with its own array; or load it with CAP_BPF and "
                       "CAP_PERFMON", function="bpf_tail_call")],
    )  # fmt: skip


def _either_of_maps(trace: Trace, step: Step, name: str) -> Cause:
    """Kernels call it a tail call's mistake wherever a call's map differs from path to path."""
    _, variable = _expression(trace, step, name, "r1")
    return parts.cause(
        trace, "argument-type", "high", f"which map `{name}` works on differs from path to path, and it has to be one",
        step=step, because=[trace.fact(step, f"`{name}` is reached with different maps")], variables=[variable, name],
        advice=[Advice("split-paths", f"call `{name}` on each path, with its own map", function=name)],
    )  # fmt: skip


def _typed(trace: Trace, message: str) -> Cause | None:
    """Kernel functions' arguments, and helpers' kernel pointers."""
    step = trace.last
    if step is None:
        return None
    name = parts.called(step) or parts.word(message, "kernel function ") or "the call"
    position = _position(message)
    reg = f"r{position}" if position else None
    value = step.value(reg) if reg else None
    expression, variable = _expression(trace, step, name, reg) if reg else (None, None)
    shown = f"`{expression}`" if expression else f"argument {position}" if position else "an argument"
    if value is not None and value.maybe_null and ("must point to" in message or "referenced or" in message):
        from bpfsmith.verify.cause import nulls

        if (null := nulls.find(trace, None)) is not None:
            return null
    wanted = _wanted(message)
    has = f"it is {kind(value.type)}" if value is not None else ""
    got = parts.after(message, "has a pointer to ")
    if got:
        has = f"it points to `{_bare(got)}`"
    elif "is of type " in message:
        has = f"it is a `{parts.word(message, 'is of type ')}`"
    headline = f"`{name}` wants {wanted} as {shown}" if wanted else f"`{name}` does not take {shown}"
    if has:
        headline += f", and {has}"
    if not wanted and not position:
        headline = f"`{name}` does not take what it is given: {message}"
    origin = trace.origin(step, reg) if reg else []
    cls = "missing-bounds-check" if "len pair" in message else "argument-type"
    return parts.cause(
        trace, cls, "high", headline, step=step,
        because=[*_story(trace, origin), trace.fact(step, f"{shown} is passed to `{name}` here")],
        variables=[variable, name],
        advice=[Advice("argument", _typed_tip(message, wanted), function=name, position=position)],
    )  # fmt: skip


def _position(message: str) -> int:
    """The number of the argument, from 1: `arg#0` and `args#0` count from 0, `R1` from 1."""
    for stem in ("args#", "arg#"):
        number = parts.number(message, stem)
        if number is not None:
            return number + 1
    reg = parts.register(message)
    if reg is not None:
        return int(reg[1:])
    return parts.number(message, "arg ") or parts.number(message, "arg") or 0


def _bare(text: str) -> str:
    words = text.replace("STRUCT ", "struct ").replace("UNION ", "union ").split()
    return " ".join(words[:2]) if words[:1] in (["struct"], ["union"]) else words[0] if words else ""


def _wanted(message: str) -> str:  # noqa: PLR0911
    for stem in ("expected pointer to ", "expects pointer to "):
        rest = parts.after(message, stem)
        if rest:
            rest = rest.partition(" but ")[0].partition(",")[0].strip()
            return "the context" if rest == "ctx" else f"a pointer to {_bare(rest) if 'STRUCT' in rest else rest}"
    if "referenced or trusted" in message:
        return "a pointer the kernel vouches for"
    if "rcu pointer" in message:
        return "a pointer read inside an RCU section"
    if "but " in message and " is expected" in message:
        return f"a `{parts.word(message, 'but ')}`"
    if "must point to" in message:
        struct = _bare(parts.after(message, "pointer type "))
        return f"a kernel pointer to `{struct}`" if struct.startswith("struct ") else "memory of plain numbers"
    if " is " in message and " expected " in message and "expected for" not in message:
        return f"a `{_bare(parts.after(message, ' expected ')).removeprefix('struct ')}`"
    if "memory, len pair" in message:
        return "memory that is as long as the length says"
    if "same allocation" in message:
        return "an object that stands beside the lock that is held"
    if "expected for bpf_" in message:
        return "an object that was allocated for it"
    if "doesn't point to a const string" in message:
        return "a constant string"
    return ""


def _typed_tip(message: str, wanted: str) -> str:
    if "referenced or trusted" in message or "untrusted" in message:
        return (
            "take the pointer from a trusted place: an argument of a tp_btf, fentry or LSM program, an acquiring "
            "call, or a "
            "field read inside an RCU section and null-checked"
        )
    if "rcu pointer" in message:
        return "read the pointer between `bpf_rcu_read_lock()` and `bpf_rcu_read_unlock()`, and use it there"
    if "memory, len pair" in message:
        return "pass a length that is bounded by the memory's size (check it just before)"
    return f"pass {wanted}" if wanted else "pass what the function's declaration asks for"


def _map(trace: Trace, message: str) -> Cause | None:
    from bpfsmith.facts import map_types

    step = trace.last
    number = parts.number(message, "map_type ")
    name = parts.called(step) or parts.word(message, "into func ")
    row = map_types.get(number) if number is not None else None
    word = row.name if row is not None else f"type {number}"
    expression, variable = _expression(trace, step, name, "r1") if step is not None else (None, None)
    shown = f"`{expression.lstrip('&')}`" if expression else "the map"
    return parts.cause(
        trace, "argument-type", "high", f"`{name}` does not take {shown}: it is of type `{word}`", step=step,
        because=[trace.fact(step, f"`{name}` is called for a map of type `{word}`")] if step is not None else [],
        variables=[variable, name],
        advice=[Advice("map-type", f"declare the map with a type that `{name}` works on, or use the helper for "
                                   f"`{word}` maps",
                       function=name, map_type=word)],
    )  # fmt: skip


def _flags(trace: Trace, message: str) -> Cause | None:  # noqa: ARG001
    name = parts.called(trace.last)
    return parts.cause(
        trace, "argument-type", "high", f"the flags of `{name}` have to be 0", step=trace.last, variables=[name],
        advice=[Advice("constant", "pass 0 as the flags", function=name, value=0)],
    )  # fmt: skip


def _packet_end(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    reg = parts.register(message)
    if step is None or reg is None:
        return None
    name = parts.called(step) or "the call"
    expression, variable = _expression(trace, step, name, reg)
    return parts.cause(
        trace, "argument-type", "high",
        f"`{name}` would write into {f'`{expression}`' if expression else reg}, which may only be read",
        step=step, because=_story(trace, trace.origin(step, reg)), variables=[variable, name],
        advice=[Advice("argument", "let it write to the stack or into a map's value", function=name)],
    )  # fmt: skip


def _pointers(trace: Trace, message: str) -> Cause | None:  # noqa: ARG001
    """One instruction reached with two kinds of pointers."""
    step = trace.last
    if step is None:
        return None
    base = code.reads(step.insn)[:1]
    value = step.value(base[0]) if base else None
    name = trace.name(step, base[0]) if base else None
    now = f" (here {kind(value.type)})" if value is not None else ""
    return parts.cause(
        trace, "check-lost", "high",
        f"two paths meet here with two kinds of pointers in one register{now}, and one instruction cannot serve both",
        step=step, because=[*_story(trace, trace.origin(step, base[0]) if base else []),
                            trace.fact(step, f"the same instruction was followed with another kind of pointer "
                                             f"before{now}")],
        variables=[name],
        advice=[Advice("split-paths", "access memory in each branch by itself, so that the compiler does not share "
                                      "the access "
                       "(`core::hint::black_box()` or an empty `asm!` in one of them, `barrier_var()` in C)")],
    )  # fmt: skip


_FINDERS = (
    (("same insn cannot be used",), _pointers),
    (("non-zero flags",), _flags),
    (("cannot pass map_type", "invalid map_ptr", "expected prog array"), _map),
    (("may write into memory",), _packet_end),
    (("known constant", "is not a const", "constant offset", "constant address", "readonly map'", "zero-terminated",
      "ormat string", "abusing map_ptr"), _constant),
    (("expected pointer to", "expects pointer to", "referenced or "
                                                   "trusted", "rcu pointer", "is of type", "must point to", "type size",
      "cannot be determined", "acquire kernel function",
      "len pair", "expected for bpf_", "const string", "owning", "doesn't point to", "type ID", "expects refcounted",
      "BPF_PTR_POISON", "invalid btf_id", "is not a scalar", "refcount", "can only take", "map_uid",
      "not found at offset", "same allocation", " expected ", "has no valid", "expects arg#", "offset="), _typed),
)  # fmt: skip

"""Fields that may not be read or written so: of contexts, sockets, tracepoint buffers and kernel structs."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import type_of
from bpfsmith.verify.cause.result import Advice, Cause, Fact
from bpfsmith.verify.cause.words import octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.facts.contexts import Context, Field
    from bpfsmith.facts.program_types import ProgramType
    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find"]

# Program types whose context is an array of 64-bit arguments.
_ARGUMENTS = ("raw_tracepoint", "raw_tracepoint_writable", "tracing", "lsm", "struct_ops")
_SOCKETS = {"sock": "bpf_sock", "sock_common": "bpf_sock", "tcp_sock": "bpf_tcp_sock", "xdp_sock": "bpf_xdp_sock"}


def find(trace: Trace, match: Match | None) -> Cause | None:  # noqa: PLR0911
    """`context-access`; `environment` where a newer kernel would take it."""
    message = parts.said(trace, match)
    if "bpf_context access" in message or "access to context" in message:
        return _context(trace, message)
    if "flow keys" in message or ("access off=" in message and "sock" in message):
        return _socket(trace, message)
    if "buffer access" in message or "buffer offset" in message:
        return _buffer(trace, message)
    if "BPF_ATOMIC" in message or "stores into" in message or "XADD" in message:
        return _atomic(trace, message)
    if "directly by load/store" in message or "direct access to" in message:
        return _special(trace, message)
    if "only read" in message or "no write support" in message or "write" in message:
        return _written(trace, message)
    if "ptr_" in message or "struct" in message or "negative access" in message:
        return _struct(trace, message)
    return None


# ---------------------------------------------------------------- contexts


def _access(step: Step | None) -> tuple[str, int]:
    """(`read` or `written`, bytes) of the access at a step."""
    if step is None:
        return "read", 0
    insn = step.insn
    return ("written" if code.is_store(insn) or code.is_atomic(insn) else "read"), code.width(insn)


def _context(trace: Trace, message: str) -> Cause:
    step = trace.last
    offset, size = parts.number(message, "off=") or 0, parts.number(message, "size=") or 0
    verb, _ = _access(step)
    kind = parts.program_type(trace)
    if kind is not None and kind.name in _ARGUMENTS:
        return _arguments(trace, offset, size, kind, verb)
    if kind is not None and kind.name == "tracepoint":
        return _record(trace, offset, size, verb)
    context = _context_of(trace, kind, offset)
    field = _at(context, offset)
    if context is None or field is None:
        return _nameless(trace, context, kind, offset, size, verb)
    return _field(trace, context, field, kind, offset, size, verb)


def _context_of(trace: Trace, kind: ProgramType | None, offset: int) -> Context | None:
    """The context's struct: of the program type, else the one whose field at `offset` the source line names."""
    from bpfsmith.facts import contexts

    if kind is not None:
        for one in contexts.all():
            if kind.name in one.program_types:
                return one
        return None
    step = trace.last
    place = trace.own_place(step) if step is not None else None
    named = [
        one
        for one in contexts.all()
        if (field := _at(one, offset)) is not None and place is not None and place.text
        and _mentions(place.text, field.name.partition("[")[0])
    ]  # fmt: skip
    return named[0] if len(named) == 1 else None


def _mentions(text: str, name: str) -> bool:
    at = text.find(name)
    return at > 0 and text[at - 1] in ">.(" and not text[at + len(name) : at + len(name) + 1].isalnum()


def _at(context: Context | None, offset: int) -> Field | None:
    for field in context.fields_ if context is not None else ():
        if field.offset <= offset < field.offset + max(field.size, 1):
            return field
    return None


def _field(
    trace: Trace, context: Context, field: Field, kind: ProgramType | None, offset: int, size: int, verb: str
) -> Cause:
    """A field there is, used as it may not be."""
    step = trace.last
    name = f"{context.name}.{field.name}"
    word = kind.name if kind is not None else ""
    attach = trace.program.attach_type if trace.program is not None else None
    running = parts.series(trace)
    newest = field.access(word, attach) if word else ""
    now = field.access(word, attach, running) if word and running else newest
    letter = "w" if verb == "written" else "r"
    cls, why, tip = "context-access", "", ""
    allowed = _widths(now, letter)
    if word and size in _widths(newest, letter) and size not in allowed:
        first = next((s for use in field.uses if use.program_type == word for s, w in use.steps if str(size) in w), "")
        cls = "environment"
        why = (
            f"`{name}` can be {verb} so from Linux {first} on"
            if first
            else f"`{name}` cannot be {verb} so on {running}"
        )
        tip = f"load it on Linux {first} or newer" if first else "load it on a newer kernel"
    elif word and not now:
        others = [use.program_type for use in field.uses if use.at(running)]
        shown = ", ".join(f"`{one}`" for one in dict.fromkeys(others)) or "no type"
        how = f" attached as `{attach}`" if attach else ""
        here = [one for use in field.uses if use.program_type == word for one in use.attach_types]
        if word in others and here:
            shown = f"`{word}` attached as {', '.join(f'`{one}`' for one in dict.fromkeys(here))}"
        why = f"`{name}` is not for `{word}` programs{how}; programs of {shown} have it"
        tip = "get the value another way (a helper, the packet itself), or use a program of one of those types"
    elif word and not allowed:
        why = (
            f"`{name}` may be read, but not written, by `{word}` programs"
            if letter == "w"
            else f"`{name}` cannot be read"
        )
        tip = "keep the value in a variable or a map of your own; some fields have a helper that sets them"
    elif word and size not in allowed:
        sizes = " or ".join(str(one) for one in allowed[:-1]) + " or " * (len(allowed) > 1) + octets(allowed[-1])
        why = f"`{name}` has to be {verb} as {sizes} at once, not {size}"
        tip = f"use a type of {sizes} ({_types(allowed)}) for it, and read neighbouring fields one by one"
    elif offset != field.offset:
        why = f"the access at {offset} begins inside `{name}` ({field.offset} to {field.offset + field.size - 1})"
        tip = f"access all of `{field.name}` at its own offset {field.offset}"
    if not why:
        why = f"`{name}` may not be {verb} as {octets(size)} by a program of this type or with this attach type"
        tip = "look at which program types have the field: `bpfsmith explain " + name + "`"
    return parts.cause(
        trace, cls, "high" if word else "medium", why, step=step,
        because=_chain(trace, step, f"{octets(size)} at {offset} of the context (`{name}`) {_are(size)} {verb} here"),
        variables=[field.name.partition("[")[0]],
        advice=[Advice("context-field", tip, struct=context.name, field=field.name, offset=offset, size=size,
                       access=verb, widths=allowed, type=word)],
    )  # fmt: skip


def _widths(told: str, letter: str) -> list[int]:
    """`r124 w4`, `r` -> [1, 2, 4]."""
    for part in told.split():
        if part.startswith(letter):
            return [int(digit) for digit in part[1:] if digit.isdigit()]
    return []


def _types(widths: list[int]) -> str:
    return " or ".join(f"`u{width * 8}`" for width in widths)


def _nameless(
    trace: Trace, context: Context | None, kind: ProgramType | None, offset: int, size: int, verb: str
) -> Cause:
    step = trace.last
    if context is not None:
        end = max(field.offset + field.size for field in context.fields_)
        why = f"`{context.name}` has no field at offset {offset}"
        if offset >= end:
            why += f": it ends at {end}"
        confidence = "high"
    else:
        what = f"a `{kind.name}` program" if kind is not None else "this program"
        why, confidence = (
            f"the context of {what} has nothing that may be {verb} as {octets(size)} at offset {offset}",
            "medium",
        )
    tip = (
        f"use the context's own struct (`{kind.context}`) and its fields' types" if kind is not None and kind.context
        else "use the context's own struct for this program type, and its fields' own types"
    )  # fmt: skip
    return parts.cause(
        trace, "context-access", confidence, why, step=step,
        because=_chain(trace, step, f"{octets(size)} at {offset} of the context {_are(size)} {verb} here"),
        variables=_read_names(trace, step),
        advice=[Advice("context-field", tip, offset=offset, size=size, access=verb)],
    )  # fmt: skip


def _read_names(trace: Trace, step: Step | None) -> list[str]:
    """The field a C or Rust line reads, where it reads one only: `mark` of `x = ctx->mark;`."""
    place = trace.own_place(step) if step is not None else None
    if place is None or not place.text:
        return []
    found: list[str] = []
    for rest in place.text.replace("->", "\0").split("\0")[1:]:
        end = 0
        while end < len(rest) and (rest[end].isalnum() or rest[end] == "_"):
            end += 1
        if end:
            found.append(rest[:end])
    return found[:1] if len(set(found)) == 1 else []


def _chain(trace: Trace, step: Step | None, text: str) -> list[Fact]:
    return [trace.fact(step, text)] if step is not None else []


def _arguments(trace: Trace, offset: int, size: int, kind: ProgramType, verb: str) -> Cause:
    """Contexts that are arrays of arguments."""
    step = trace.last
    number = offset // 8
    target = trace.program.attach_to if trace.program is not None else None
    said = parts.told(trace, "argument") or parts.told(trace, "func '")
    shown = f"`{target}`" if target else "the attach target"
    if verb == "written":
        why, tip = f"the arguments of {shown} may be read only", "keep a copy of your own"
    elif offset % 8 or (size != 8 and offset % 8):
        why = f"arguments stand at multiples of 8, and offset {offset} is none"
        tip = "read the argument by its number (`ctx.arg(n)`, `BPF_PROG`)"
    elif "doesn't have" in said or "not have" in said:
        why = f"{shown} has no argument {number + 1}"
        tip = f"read only the arguments that {shown} has on this kernel; look at its BTF"
    else:
        why = f"{shown} has no argument {number + 1}, or it is of a kind programs cannot read"
        tip = f"look at the arguments of {shown} in the BTF of the kernel (`bpftool btf dump`)"
        if "func '" in said:
            why += f" ({said.strip()})"
    return parts.cause(
        trace, "context-access", "high", why, step=step,
        because=_chain(trace, step, f"argument {number + 1} (offset {offset}) is {verb} here"),
        variables=_read_names(trace, step),
        advice=[Advice("context-argument", tip, argument=number, type=kind.name)],
    )  # fmt: skip


def _record(trace: Trace, offset: int, size: int, verb: str) -> Cause:
    step = trace.last
    if offset < 8:
        why = "the first 8 bytes of a tracepoint's record are the kernel's own and cannot be read"
    elif verb == "written":
        why = "a tracepoint's record cannot be written"
    else:
        why = f"the access of {octets(size)} at {offset} is not aligned, or lies behind what a record may be read to"
    tip = "take offsets and sizes from /sys/kernel/tracing/events/CATEGORY/NAME/format (fields begin at 8)"
    return parts.cause(
        trace, "context-access", "high", why, step=step,
        because=_chain(trace, step, f"{octets(size)} at {offset} of the record {_are(size)} {verb} here"),
        advice=[Advice("context-field", tip, offset=offset, size=size, access=verb)],
    )  # fmt: skip


# ---------------------------------------------------------------- sockets, buffers


def _socket(trace: Trace, message: str) -> Cause:
    from bpfsmith.facts import contexts

    step = trace.last
    offset, size = parts.number(message, "off=") or 0, parts.number(message, "size=") or 0
    word = "flow keys" if "flow keys" in message else message.partition(" access off=")[0].rpartition(" ")[2]
    verb, _ = _access(step)
    name = _SOCKETS.get(word, "bpf_flow_keys" if word == "flow keys" else word)
    context = contexts.get(name)
    field = _at(context, offset)
    shown = f"`{name}.{field.name}`" if field is not None else f"offset {offset} of `{name}`"
    why = f"{shown} may not be {verb} as {octets(size)}"
    tip = f"use the fields of `struct {name}` with their own types"
    if word == "sock_common":
        why = f"{shown} is only there in a full socket, and this may be a smaller one (`sock_common`)"
        tip = "call `bpf_sk_fullsock()` first, and check what it returns"
    elif field is None and context is not None:
        end = max(one.offset + one.size for one in context.fields_)
        why = f"`{name}` has nothing at offset {offset}" + (f": it ends at {end}" if offset >= end else "")
    return parts.cause(
        trace, "context-access", "high", why, step=step,
        because=[*_origin(trace, step), *_chain(trace, step, f"{octets(size)} at {offset} {_are(size)} {verb} here")],
        variables=_read_names(trace, step),
        advice=[Advice("context-field", tip, struct=name, offset=offset, size=size, access=verb)],
    )  # fmt: skip


def _are(size: int) -> str:
    return "is" if size == 1 else "are"


def _origin(trace: Trace, step: Step | None) -> list[Fact]:
    """Where the pointer of an access came from: the call or load that gave it."""
    if step is None:
        return []
    base = code.reads(step.insn)[:1]
    for link in trace.origin(step, base[0]) if base else ():
        if link.how == "call":
            return [trace.fact(link.step, f"the pointer comes from `{parts.called(link.step) or 'this call'}`")]
        if link.how == "load":
            context = type_of(trace, link.step, f"r{link.step.insn.src}") == "ctx"
            return [trace.fact(link.step, f"the pointer is read from {'the context' if context else 'memory'}")]
    return []


def _buffer(trace: Trace, message: str) -> Cause:
    step = trace.last
    offset, size = parts.number(message, "off=") or 0, parts.number(message, "size=") or 0
    verb, _ = _access(step)
    variable = "offset" in message and "var_off" in message
    what = message.partition(" buffer")[0].rpartition(" ")[2]
    if variable:
        why, cls = f"the {what} buffer is accessed at an offset that is only known when it runs", "pointer-arithmetic"
        tip = "access it at constant offsets"
    else:
        why, cls = (
            f"the {what} buffer has no {octets(size) if size else 'bytes'} at {offset} that may be {verb}",
            "context-access",
        )
        tip = "access only what the attach target declares (its writable size, the value's size)"
    return parts.cause(
        trace, cls, "high", why, step=step,
        because=[
            *_origin(trace, step),
            *_chain(trace, step, f"{octets(size) if size else 'some bytes'} {_are(size)} {verb} here"),
        ],
        advice=[Advice("context-field", tip, offset=offset, size=size, access=verb)],
    )  # fmt: skip


def _atomic(trace: Trace, message: str) -> Cause:
    step = trace.last
    reg = parts.register(message)
    target = message.partition(" is not allowed")[0].rpartition(" ")[2]
    what = {
        "ctx": "the context", "pkt": "the packet", "flow_keys": "flow keys", "sock": "a socket",
        "pkt_meta": "the packet's metadata",
    }.get(target, f"`{target}`")  # fmt: skip
    plain = "BPF_ST stores" in message
    why = f"{what} takes no {'stores of constants' if plain else 'atomic operations'}"
    tip = (
        "build for an older instruction set (`-mcpu=v3`), or load it on Linux 6.4 or newer"
        if plain
        else "use a plain load, change and store, or count in a map"
    )
    name = trace.name(step, reg) if step is not None and reg is not None else None
    return parts.cause(
        trace, "environment" if plain else "context-access", "high", why, step=step, variables=[name],
        because=_chain(trace, step, f"{'a constant is stored' if plain else 'an atomic operation is made'} here"),
        advice=[Advice("plain-access", tip)],
    )  # fmt: skip


def _special(trace: Trace, message: str) -> Cause:
    step = trace.last
    field = parts.word(message, "direct access to ") or message.partition(" ")[0]
    verb, size = _access(step)
    helper = {
        "bpf_spin_lock": "`bpf_spin_lock()` and `bpf_spin_unlock()`", "bpf_timer": "the timer's helpers",
        "kptr": "`bpf_kptr_xchg()`", "bpf_wq": "the work queue's functions",
    }.get(field, "its own functions")  # fmt: skip
    return parts.cause(
        trace, "context-access", "high",
        f"the bytes of `{field}` are {verb} directly; only {helper} may touch them",
        step=step, variables=[field],
        because=_chain(trace, step, f"{octets(size)} of `{field}` {_are(size)} {verb} here"),
        advice=[Advice("skip-field", f"access the fields around `{field}` one by one, and never copy the whole value",
                       field=field)],
    )  # fmt: skip


# ---------------------------------------------------------------- kernel structs


def _written(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    if step is None or not ("only read" in message or "no write support" in message):
        return None
    if (itself := _map_itself(trace, step, "written")) is not None:
        return itself
    base = code.reads(step.insn)[:1]
    value = step.value(base[0]) if base else None
    what = f"`{_struct_of(value.text)}`" if value is not None else parts.word(message, "read from ") or "this memory"
    field = _member(trace, value, step)
    shown = f"{what}" + (f" (`{field}`)" if field else "")
    return parts.cause(
        trace, "context-access", "high", f"{shown} belongs to the kernel and may be read only", step=step,
        because=[*_origin(trace, step), trace.fact(step, f"{shown} is written here")],
        variables=[field, *_read_names(trace, step)],
        advice=[Advice("read-only", "keep a copy of your own and change that; the kernel's fields change through "
                                    "helpers "
                       "or kernel functions only")],
    )  # fmt: skip


def _struct_of(text: str) -> str:
    """`task_struct` of `trusted_ptr_task_struct(off=8)`."""
    return text.partition("(")[0].partition("ptr_")[2] or text.partition("(")[0]


def _member(trace: Trace, value: object, step: Step) -> str | None:
    """The field of a kernel struct, where the running kernel's BTF tells."""
    text = getattr(value, "text", "")
    struct = _struct_of(text)
    if "ptr_" not in text or not struct:
        return None
    btf = _kernel_btf(trace)
    identity = btf.find(struct, "struct") if btf is not None else None
    if btf is None or identity is None:
        return None
    from bpfsmith.verify.cause.written import members

    offset = (getattr(value, "off", 0) or 0) + step.insn.off
    return next((name for name, low, high in members(btf, identity) if low <= offset < high), None)


def _map_itself(trace: Trace, step: Step | None, verb: str) -> Cause | None:
    """The address that is used is the map's own, as the instruction that loads it gives it."""
    if step is None or code.is_call(step.insn):
        return None
    where = f"r{step.insn.src if code.is_load(step.insn) else step.insn.dst}"
    value = step.value(where)
    if value is None or value.type != "map_ptr":
        return None
    made = trace.origin(step, where)[-1:]
    because = [trace.fact(made[0].step, "the address of the map is loaded here, not of a value in it")] if made else []
    return parts.cause(
        trace, "context-access", "high", f"the map itself is {verb} as if it were its value", step=step,
        because=[*because, trace.fact(step, f"it is {verb} here: behind this address lies the kernel's own structure")],
        advice=[Advice("map-itself", "look the value up (`bpf_map_lookup_elem()`, `MAP.get()`); when it is a global "
                                     "variable, load it with a loader that knows `.bss` and `.data`")],
    )  # fmt: skip


def _kernel_btf(trace: Trace):  # type: ignore[no-untyped-def]
    targets = getattr(trace.kernel, "targets", None)
    return targets[0] if targets else None


def _struct(trace: Trace, message: str) -> Cause | None:  # noqa: PLR0911
    step = trace.last
    struct = parts.word(message, "in struct ") or parts.word(message, "struct ") or parts.word(message, "ptr_")
    verb, size = _access(step)
    offset = parts.number(message, "off=")
    offset = parts.number(message, " off ") if offset is None else offset
    if "negative access" in message or "variable offset" in message:
        return _moved(trace, message, struct or "the struct")
    if "user memory" in message:
        return _plain(
            trace, f"`{struct}` is memory of a user's process, and is read as if it were the kernel's",
            "read it with `bpf_probe_read_user()` (`bpf_copy_from_user()` where the program may "
            "sleep)", "probe-read-user",
        )  # fmt: skip
    if (itself := _map_itself(trace, step, verb)) is not None:
        return itself
    if "percpu memory" in message:
        return _plain(
            trace, f"`{struct}` exists once for each processor, and is read as if there were one",
            "take one processor's with `bpf_per_cpu_ptr()` or `bpf_this_cpu_ptr()`", "per-cpu-ptr",
        )  # fmt: skip
    if "beyond the end of member" in message:
        member = parts.word(message, "end of member ")
        end = parts.number(message, "mend:")
        ends = f", which ends at {end}" if end is not None else ""
        return _plain(
            trace, f"the {verb} of {octets(size)} at {offset} goes beyond `{struct}.{member}`{ends}",
            f"access `{member}` inside its own size", "field-width", member,
        )  # fmt: skip
    if "cannot access ptr member" in message:
        member = parts.word(message, "ptr member ")
        return _plain(
            trace, f"`{struct}.{member}` is a pointer, and only part of it, or more, is {verb}",
            f"read all 8 bytes of `{member}` at once", "field-width", member,
        )  # fmt: skip
    if "access beyond" in message:
        return _plain(
            trace, f"`struct {struct}` of this kernel has nothing at offset {offset}: its layout is not the one the "
            "program was built with",
            "read the field through CO-RE (`BPF_CORE_READ`, `preserve_access_index`), or make the bindings again from "
            "this kernel's BTF", "core-read",
        )  # fmt: skip
    return None


def _moved(trace: Trace, message: str, struct: str) -> Cause:
    step = trace.last
    negative = "negative" in message
    offset = parts.number(message, "off=")
    why = f"at offset {offset}, before its start" if negative else "at an offset that is only known when it runs"
    return parts.cause(
        trace, "pointer-arithmetic", "high", f"`{struct}` is accessed {why}", step=step,
        because=[*_origin(trace, step), *_chain(trace, step, f"it is accessed {why}")],
        variables=_read_names(trace, step),
        advice=[Advice("constant-offset", "use fields at constant offsets; to walk kernel memory use "
                                          "`bpf_probe_read_kernel()`")],
    )  # fmt: skip


def _plain(trace: Trace, headline: str, tip: str, kind: str, *names: str) -> Cause:
    step = trace.last
    return parts.cause(
        trace, "context-access", "high", headline, step=step,
        because=[*_origin(trace, step), *_chain(trace, step, "it is accessed here")],
        variables=[*names, *_read_names(trace, step)], advice=[Advice(kind, tip)],
    )  # fmt: skip

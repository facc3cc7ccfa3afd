"""Attach targets that do not take the program."""

from __future__ import annotations

from bpfsmith.verify.cause import parts
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find", "program_place"]

_SEE = (
    "look at what this kernel has: /sys/kernel/tracing/available_filter_functions, its BTF (`bpftool btf dump`), its "
    "configuration"
)


def find(trace: Trace, match: Match | None) -> Cause | None:
    """`attach-target`; `environment` for licences and the JIT."""
    message = parts.said(trace, match)
    if "GPL" in message or "JIT" in message:
        from bpfsmith.verify.cause import available

        return available.find(trace, match)
    program = trace.program
    target = program.attach_to if program is not None else None
    named = _named(message)
    target = (named or target or "").removeprefix("bpf_lsm_") or None
    shown = f"`{target}`" if target else "the attach target"
    headline, tip = _words(message, shown)
    place = program_place(trace)
    section = program.section if program is not None else ""
    because: list[Fact | None] = []
    if place is not None:
        because.append(Fact(0, place, f"the program is for `{section}`" if section else "the program begins here"))
    return parts.cause(
        trace, "attach-target", "high", headline, place=place, slot=0 if place is not None else None, because=because,
        variables=[target], advice=[Advice("attach-target", tip, target=target, section=section)],
    )  # fmt: skip


def program_place(trace: Trace) -> Place | None:
    """Where the source says what the program is attached to: its attribute or section, else its first line."""
    program = trace.program
    if program is None:
        return None
    first = trace.own_place(0)
    above = parts.upward(trace, first, (f'SEC("{program.section}"', f'SEC("?{program.section}"'), 60)
    if above is not None:
        return above
    attributes = [f"#[{name}" for name in ("fentry", "fexit", "lsm", "tracepoint", "btf_tracepoint", "raw_tracepoint",
                                           "kprobe", "kretprobe", "extension", "fmod_ret", "uprobe")]  # fmt: skip
    from bpfsmith.verify.cause.locals import function_line

    return parts.upward(trace, first, attributes, 60) or function_line(trace, program.name) or first


def _named(message: str) -> str:
    """The function or member that a message names."""
    head = message.partition("() is not modifiable")
    if head[1]:
        return head[0].strip().rpartition(" ")[2]
    head = message.partition(" is not sleepable")
    if head[1]:
        return head[0].strip().rpartition(" ")[2]
    for stem in ("disabled hook ", "unsupported member ", "invalid member ", "to function ", "struct_ops module ",
                 "address of function ", "Subprog ", "for function "):  # fmt: skip
        found = parts.quoted(parts.after(message, stem)) if parts.after(message, stem).startswith("'") else ""
        found = found or parts.word(message, stem)
        if found and not found.isdigit():
            return found
    return ""


def _words(message: str, shown: str) -> tuple[str, str]:
    for words, headline, tip in _ROWS:
        if any(word in message for word in words):
            return headline.replace("%s", shown), tip.replace("%s", shown)
    return f"{shown} does not take this program: {message.strip()}", _SEE


_ROWS = (
    (("is not sleepable",), "%s may not run programs that sleep on this kernel",
     "declare the program not sleepable (`SEC(\"fentry/..\")` without `.s`, no `sleepable` in Rust), or attach to a "
     "function "
     "that may sleep (system calls on kernels with CONFIG_FUNCTION_ERROR_INJECTION, most LSM hooks)"),
    (("is not modifiable", "can't modify return codes"), "the return value of %s may not be changed by a program",
     "attach with fmod_ret to functions of the error injection list (/sys/kernel/debug/error_injection/list), or "
     "watch it "
     "with fexit"),
    (("disabled hook",), "%s is a hook that programs may not attach to", "use another LSM hook"),
    (("unsupported member", "invalid member", "not a supported struct", "unsupported struct"),
     "the kernel does not take an implementation of %s", "leave that operation out, or use a kernel that has it"),
    (("can be sleepable", "can only be sleepable"), "programs of this type may not be declared sleepable",
     "leave `.s` (Rust: `sleepable`) out, or use fentry, fexit, fmod_ret, lsm, iter, uprobe or struct_ops"),
    (("__noreturn",), "%s never returns, and this program waits for its return", "use fentry, or attach to its "
                                                                                 "callers"),
    (("is rejected", "Attaching tracing programs to function"), "%s may not be traced", "attach to another function"),
    ((">8 byte return",), "%s returns more than 8 bytes, which this attach type does not take", "use fentry"),
    (("address of function",), "this kernel has no function %s that programs can be attached to (inlined, or in a "
                               "module that "
      "is not loaded)", _SEE),
    (("struct_ops module",), "the kernel's part of %s is not loaded", "load the module that has it (`modprobe`)"),
    (("is not a function",), "%s is no function in this kernel's types", _SEE),
    (("doesn't exist",), "the program that is to be extended has no function %s", "name a global function of that "
                                                                                  "program"),
    (("Cannot replace static", "cannot replace static"), "static functions cannot be replaced", "make it global in "
                                                                                                "the program that "
     "is extended (`__noinline`, not `static`)"),
    (("Cannot replace kernel",), "functions of the kernel cannot be replaced", "name the program that is extended "
                                                                               "when loading"),
    (("Cannot recursively", "Cannot nest", "Cannot extend"), "programs cannot be attached to one another like this",
     "attach to the program at the end of the chain"),
    (("changes packet data",), "the extension changes the packet, and what it replaces does not", "do not change the "
                                                                                                  "packet, or "
     "let the original function do so too"),
    (("may sleep",), "the extension may sleep, and what it replaces may not", "do not call what may sleep"),
    (("exception callback",), "programs cannot be attached to an exception callback", "attach to another function"),
    (("must provide btf_id", "is invalid", "doesn't have a name", "wrong type name", "not a typedef", "is not a "),
     "the loader named no target that this kernel's types have", _SEE),
    (("device mismatch",), "program and target belong to different devices", "load both for the same device"),
)  # fmt: skip

"""Registers out of messages, and values in words."""

from __future__ import annotations

from bpfsmith.verify.cause import code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from bpfsmith.verify.cause.result import Fact, Place
    from bpfsmith.verify.cause.trace import Link, Step, Trace

    Value = Any

__all__ = ["amount", "came", "kind", "octets", "quoted", "register", "register_in", "rust", "said", "subject"]

_KINDS = {
    "map_value": "a map's value",
    "map_key": "a map's key",
    "pkt": "packet data",
    "pkt_meta": "packet metadata",
    "pkt_end": "the packet's end",
    "fp": "the stack",
    "ctx": "the context",
    "mem": "memory of known size",
    "rdonly_mem": "read-only memory",
    "ringbuf_mem": "a ring buffer record",
    "alloc_mem": "a ring buffer record",
    "buf": "a buffer",
    "sock": "a socket",
    "sock_common": "a socket",
    "tcp_sock": "a TCP socket",
    "xdp_sock": "an XDP socket",
    "map_ptr": "a map",
    "flow_keys": "flow keys",
    "scalar": "a number",
}


_TOLD = (
    ("map value", "a map's value"), ("map_value", "a map's value"), ("to packet", "packet data"),
    ("the packet", "packet data"), ("to stack", "the stack"),
)  # fmt: skip


def said(trace: Trace) -> list[str]:
    """What the verifier said after the last instruction it followed, the message last."""
    last = trace.last
    after = 0 if last is None else trace.log.step(last.id).line_no
    found = [text for number, text in trace.log.told if number > after]
    return found or ([trace.log.message] if trace.log.message else [])


def register_in(message: str) -> str | None:
    """The register a message names: `r1` of `R1 invalid mem access` or of `invalid access to packet, .., R1(id=0`."""
    at = message.find("R")
    while at >= 0:
        digits = ""
        for letter in message[at + 1 : at + 3]:
            if not letter.isdigit():
                break
            digits += letter
        if digits and (at == 0 or not message[at - 1].isalnum()) and int(digits) <= 10:
            return f"r{digits}"
        at = message.find("R", at + 1)
    for stem, first in (("helper arg", 0), ("trusted arg", 1), ("arg#", 1)):
        number = message.partition(stem)[2][:1]
        if number.isdigit():
            return f"r{int(number) + first}"
    return None


def register(trace: Trace, message: str | None = None) -> str | None:
    """The register the rejection is about: as the message says, else the address that the last instruction uses."""
    named = register_in(message if message is not None else trace.log.message)
    if named is not None:
        return named
    if message is None:
        for line in said(trace):
            named = register_in(line)
            if named is not None:
                return named
    last = trace.last
    if last is None:
        return None
    insn = last.insn
    if code.group(insn) == code.LDX:
        return f"r{insn.src}"
    if code.group(insn) in (code.ST, code.STX, code.ALU, code.ALU64):
        return f"r{insn.dst}"
    return None


def kind(value: Value | None, lines: Iterable[str] = ()) -> str:
    """The type of a value, in words: `a map's value`, `the address of a kernel struct task_struct`. `lines`: what the
    verifier said, which tells the type where the kernel printed no state."""
    if value is None:
        for line in lines:
            for clue, thing in _TOLD:
                if clue in line:
                    return thing
        return "a value of no known type"
    word: str = value.type
    if word.startswith("ptr_"):
        return f"a kernel `struct {word[4:].rstrip('_')}`" if len(word) > 4 else "a kernel object"
    return _KINDS.get(word, f"`{word}`")


def rust(place: Place) -> bool:
    """Whether a source line is of Rust: by its file, else by its words."""
    if place.path is not None and "." in place.path:
        return place.path.endswith(".rs")
    text = place.text or ""
    return any(word in text for word in ("let ", "unsafe {", "::", "fn ", "&mut ", " as usize", ".get(", "unwrap"))


def quoted(name: str | None, otherwise: str) -> str:
    """`name` as code, else words for it."""
    return f"`{name}`" if name else otherwise


def subject(trace: Trace, step: Step, where: str, otherwise: str = "the value") -> tuple[str, str | None]:
    """(how a sentence names a value, its source name)."""
    name = trace.name(step, where)
    return quoted(name, otherwise), name


def octets(count: int) -> str:
    """`1 byte`, `8 bytes`."""
    return "1 byte" if count == 1 else f"{count} bytes"


def amount(value: Value | None) -> str:
    """The range of a number, in words; "" when nothing is known."""
    if value is None:
        return ""
    if value.known is not None:
        return f"is {value.known}"
    low, high, least = value.umin, value.umax, value.smin
    if least is not None and least < 0 and (high is None or high >= 1 << 63):
        top = value.smax
        if top is not None and top < (1 << 62):
            return f"lies between {_number(least)} and {_number(top)}"
        return "can be any number, negative too" if least <= -(1 << 62) else f"can be as low as {_number(least)}"
    if high is None or high >= 1 << 62:
        return "has no upper limit"
    return f"lies between {_number(low or 0)} and {_number(high)}"


def _number(value: int) -> str:
    return str(value) if -100_000 < value < 100_000 else f"{'-' if value < 0 else ''}{abs(value):#x}"


def came(trace: Trace, chain: list[Link], what: str) -> Fact | None:  # noqa: PLR0911 - one return an origin
    """The origin of a value, as a step of the chain; None when the walk ended before it."""
    for link in reversed(chain):
        insn = link.step.insn
        if link.how == "fill" and link is chain[-1] and link.source is not None:
            writer = trace.defined(link.step, link.source)
            if writer is not None and code.is_call(writer.insn) and writer.insn.call:
                return trace.fact(writer, f"{what} is read from what {writer.insn.call} wrote")
        if link.how == "call":
            return trace.fact(link.step, f"{what} is what {insn.call or 'a function'} gave")
        if link.how == "load":
            base = link.step.value(f"r{insn.src}") if code.is_load(insn) else None
            source = f" from {kind(base)}" if base is not None and base.type else ""
            made = any(one.how in ("add", "sub", "math") for one in chain[: chain.index(link)])
            field = _packet_start(trace, link.step) if made and source == " from the context" else None
            if field is not None:
                return trace.fact(link.step, f"{what} begins with `{field}`, which is read here")
            verb = "begins with what is read here" if made else "is read"
            return trace.fact(link.step, f"{what} {verb}{source}, {octets(code.width(insn))}")
        if link.how == "const" and link is chain[-1]:
            value = link.step.result(link.where)
            if value is not None and value.type != "scalar":
                thing = kind(value)
                named = "the address" if what == thing else what
                return trace.fact(link.step, f"{named} is the address of {thing}")
            return trace.fact(link.step, f"{what} starts as {insn.imm}")
        if link.how == "ctx":
            return trace.fact(link.step, f"{what} is the program's context")
    return None


def _packet_start(trace: Trace, step: Step) -> str | None:
    """What the line reads from the context, as it is written there: `ctx.data()`, `skb->data`."""
    place = trace.own_place(step)
    text = place.text if place is not None else None
    for sign in (".data()", "->data"):
        before, found, after = (text or "").partition(sign)
        at = len(before)
        while at and (before[at - 1].isalnum() or before[at - 1] == "_"):
            at -= 1
        if found and before[at:].isidentifier() and not (after[:1].isalnum() or after[:1] == "_"):
            return before[at:] + sign
    return None

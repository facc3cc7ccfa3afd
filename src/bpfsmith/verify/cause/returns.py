"""Return values: of programs, callbacks and functions, and where r0 got the one that is refused."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Link, Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find"]


def find(trace: Trace, match: Match | None) -> Cause | None:
    """`return-range`."""
    message = parts.said(trace, match)
    if "void LSM hooks" in message:
        message = parts.told(trace, "should have been in") or parts.told(trace, "register R0") or message
    if "return 'int'" in message:
        return _not_int(trace, message)
    if "should have been" in message or "is not a known value" in message or "not a scalar" in message:
        return _value(trace, message)
    return None


def _not_int(trace: Trace, message: str) -> Cause:
    slot = parts.call_of(trace, "bpf_tail_call") if "tail_call" in message else None
    what = "a tail call" if "tail_call" in message else "an old packet load (LD_ABS)"
    step = trace.last
    return parts.cause(
        trace, "return-range", "high", f"a function that makes {what} has to return `int`", step=step,
        slot=slot if step is None else None,
        because=[trace.fact(step, f"{what} is made here, in a function that returns something else")] if step else [],
        advice=[Advice("scalar-return", "let the function return `int` (`i32`), or make it part of the program")],
    )  # fmt: skip


def _value(trace: Trace, message: str) -> Cause:
    step = trace.last
    low, high = _range(message)
    where = (
        "callback" if "callback" in message or "R0 not a scalar" in message
        else "function" if "subprogram exit" in message else "program"
    )  # fmt: skip
    kind = parts.program_type(trace) if where == "program" else None
    attach = trace.program.attach_type if trace.program is not None else None
    has, number = _has(trace, message, step)
    links = trace.origin(step, "r0") if step is not None else []
    source = _source(trace, links)
    at = source.step if source is not None else step
    allowed = _allowed(low, high)
    who = {"callback": "this callback", "function": "this function"}.get(
        where, f"a `{kind.name}` program" if kind else "the program"
    )
    headline = (
        f"{who} may return {allowed} here, and returns {has}" if allowed else f"{who} returns {has}, which is no number"
    )
    because: list[Fact | None] = []
    if source is not None:
        because.append(trace.fact(source.step, _made(source, trace)))
    if step is not None:
        because.append(trace.fact(step, f"r0 ({has}) is returned"))
    tip = _tip(low, high, has, source, where)
    meaning = ""
    row = kind.return_range(attach) if kind is not None else None
    if row is not None and row.values:
        meaning = "; ".join(f"{value} = {text}" for value, text in list(row.values.items())[:5])
        tip += f" ({meaning})"
    names = [_call(source)] if source is not None else []
    place = _return_line(trace, source) if source is not None else None
    variable = _variable(trace, at)
    return parts.cause(
        trace, "return-range", "high", headline, step=at, place=place, because=because, variables=[variable, *names],
        advice=[Advice("return-value", tip, low=low, high=high, value=number, where=where)],
    )  # fmt: skip


def _return_line(trace: Trace, source: Link) -> Place | None:
    """Where the compiler gives a constant the line of the condition before it: the `return` behind it that says it."""
    place = trace.own_place(source.step)
    insn = source.step.insn
    if place is None or place.text is None or "return" in place.text:
        return None
    leaving = _leaving(trace, source)
    if leaving is not None:
        return leaving
    if source.how != "const":
        return _tail(trace, place) if source.how in ("math", "shift", "narrow", "and-mask", "add", "sub") else None
    return _constant_line(trace, place, insn.imm)


def _constant_line(trace: Trace, place: Place, value: int) -> Place | None:
    text = (place.text or "").strip()
    found = parts.downward(trace, place, "return", str(value), 8)
    if found is not None:
        return found
    if (spelled := _spelled(trace, place, value)) is not None:
        return spelled
    if not place.exact and not 0 <= value <= 1 and (only := parts.downward(trace, place, str(value), "", 12)):
        return only  # Rust: the number stands in one line only
    if place.line is not None and text.startswith(("if ", "if(", "} else if", "else if")) and text.endswith((")", "{")):
        return Place(place.path, place.line + 1, 0, None, place.function, place.own)  # what the condition is about
    return None


def _spelled(trace: Trace, place: Place, value: int) -> Place | None:
    """The line below that has the value as a person writes it, by number or by name; None where the place has it
    itself, or several lines below do."""
    from bpfsmith.verify.cause.places import lines

    if 0 <= value <= 1 or place.path is None or place.line is None:
        return None
    known = lines(trace, place.path)
    names = _spellings(known, value)
    rows: list[Place] = []
    for at in range(place.line, place.line + 20):
        text = known.get(at, "")
        if at > place.line and text.startswith(("fn ", "pub fn ", "#[")):
            break
        if any(_stands(text, name) for name in names):
            if at == place.line:
                return None
            rows.append(Place(place.path, at, 0, text, place.function, place.own))
    return rows[0] if len(rows) == 1 else None


def _spellings(known: dict[int, str], value: int) -> list[str]:
    """`-111`, `-ECONNREFUSED`, and what the file calls it: `const REFUSED: i32 = -111;`, `#define REFUSED -111`."""
    from errno import errorcode

    found = [str(value)]
    if value < 0 and -value in errorcode:
        found.append(f"-{errorcode[-value]}")
    for text in known.values():
        for sign, number in (("", value), ("-", -value)) if value < 0 else (("", value),):
            name = _constant_named(text, number)
            if name:
                found.append(sign + name)
    return found


def _constant_named(text: str, number: int) -> str:
    """The constant that a line declares with this number, else ""."""
    words = text.split()
    if words[:1] == ["#define"] and len(words) == 3 and words[2].strip("()") == str(number):
        return words[1]
    left, equals, right = text.partition(" = ")
    if not equals or right.rstrip(";,").strip() != str(number) or "const" not in left.split():
        return ""
    return left.partition(":")[0].split()[-1]


def _stands(text: str, word: str) -> bool:
    """The word stands in a line by itself; a number or name with a sign has it before it."""
    at = text.find(word)
    while at >= 0:
        before, behind = text[max(0, at - 1) : at], text[at + len(word) : at + len(word) + 1]
        minus = word[0] != "-" and before == "-"
        if not minus and not (before.isalnum() or before == "_") and not (behind.isalnum() or behind == "_"):
            return True
        at = text.find(word, at + 1)
    return False


def _tail(trace: Trace, place: Place) -> Place | None:
    """Rust: the line that gives a variable back which an earlier line computed: `port as i32` at the end of a block."""
    from bpfsmith.verify.cause.names import assigned

    name = assigned(place.text or "")
    if name is None or place.path is None or place.line is None or not place.path.endswith(".rs"):
        return None
    for line in range(place.line + 1, place.line + 40):
        text = parts.text_of(trace, place.path, line)
        if text is None or text.startswith(("fn ", "pub fn ", "#[")):
            return None
        value = text.removeprefix("return ").rstrip(";") if text.startswith("return ") else text
        if value.split(" ", 1)[0] == name and (value == name or value.startswith(f"{name} as ")):
            return Place(place.path, line, 0, text, place.function, place.own)
    return None


def _leaving(trace: Trace, source: Link) -> Place | None:
    """The line of the exit, where the way from the value to it has no branch, or the line says both ways' values."""
    last = trace.last
    place = trace.own_place(last) if last is not None else None
    if last is None or place is None or place.text is None or place.same_line(trace.own_place(source.step)):
        return None
    if place.text.startswith("if ") and " else " in place.text and place.text.endswith("}"):
        return place
    straight = not any(code.conditional(trace.steps[at].insn) for at in range(source.step.at, last.at))
    return place if straight and place.text.startswith("return") and source.step.frame == last.frame else None


def _variable(trace: Trace, step: Step | None) -> str | None:
    """`verdict` of `return verdict;`."""
    place = trace.own_place(step) if step is not None else None
    text = (place.text or "").strip() if place is not None else ""
    if text.startswith("return "):
        return parts.identifier(text[7:].rstrip(";").strip())
    return None


def _range(message: str) -> tuple[int | None, int | None]:
    """The values that are allowed: `[0, 1]`, `(0x0; 0x1)` (value, mask of bits that may differ)."""
    rest = parts.after(message, "should have been in ").lstrip()
    if not rest:  # before 5.2: `should have been 0 or 1`
        rest = parts.after(message, "should have been ")
        return parts.number(rest), parts.number(rest.partition(" or ")[2] or rest)
    first, _, second = rest[1:].partition("," if rest.startswith("[") else ";")
    low, high = parts.number(first), parts.number(second)
    if rest.startswith("(") and low is not None and high is not None:
        high = low + high
    return low, high


def _allowed(low: int | None, high: int | None) -> str:
    if low is None or high is None:
        return ""
    return str(low) if low == high else f"{low} or {high}" if high == low + 1 else f"{low} to {high}"


def _has(trace: Trace, message: str, step: Step | None) -> tuple[str, int | None]:  # noqa: PLR0911
    """(what r0 holds in words, the number when it is one)."""
    del trace
    smin, smax = parts.number(message, "smin="), parts.number(message, "smax=")
    if smin is not None and smin == smax:
        return str(smin), smin
    if smin is not None and smax is not None:
        return f"{smin} to {smax}", None
    if smin is not None:
        return f"{smin} or more", None
    if "has value (" in message:
        rest = parts.after(message, "has value (")
        first, mask = parts.number(rest), parts.number(rest.partition(";")[2])
        if first is not None and mask == 0:
            return str(_signed(first)), _signed(first)
    if "is not a known value (" in message or "not a scalar value (" in message:
        from bpfsmith.verify.cause.arguments import kind

        word = parts.after(message, "value (").partition(")")[0]
        return kind(word), None
    value = step.value("r0") if step is not None else None
    if value is not None and value.type not in ("scalar", "inv", ""):
        from bpfsmith.verify.cause.arguments import kind

        return kind(value.type), None
    return "a number that can be anything", None


def _signed(number: int) -> int:
    if number >= 1 << 63:
        return number - (1 << 64)
    return number - (1 << 32) if 1 << 31 <= number < 1 << 32 else number


def _source(trace: Trace, links: list[Link]) -> Link | None:
    """The statement that gave the value: a constant, a call, a load, a computation; not what only copied it."""
    for link in links:
        if link.how in ("mov", "spill", "fill", "arg", "return"):
            continue
        place = trace.own_place(link.step)
        if place is not None:
            return link
    return links[-1] if links else None


def _call(link: Link) -> str | None:
    return parts.called(link.step) or None


def _made(link: Link, trace: Trace) -> str:
    called = parts.called(link.step)
    if link.how == "call":
        name = called or parts.function(trace, link.step.insn.target) or "a function"
        return f"the value is the result of `{name}`"
    if link.how == "const":
        insn = link.step.insn
        return (
            f"the value is the constant {insn.imm}" if code.operation(insn) == code.MOV else "the value is a constant"
        )
    if not link.wide and code.operation(link.step.insn) == code.END:
        return "the value's bytes are put into another order"
    return {
        "load": "the value is read from memory", "narrow": "the value is cut to 32 bits",
        "ctx": "the value is the context's address",
    }.get(link.how, "the value is computed")  # fmt: skip


def _tip(low: int | None, high: int | None, has: str, source: Link | None, where: str) -> str:
    if low is None or high is None:
        return "return a number"
    allowed = _allowed(low, high)
    if source is not None and source.how == "call":
        return f"do not return the result of `{_call(source) or 'the call'}`: look at it, and return {allowed}"
    if where == "callback":
        return (
            f"return {allowed} from the callback (0 goes on, 1 ends)" if (low, high) == (0, 1) else f"return {allowed}"
        )
    if "anything" in has or " to " in has or "more" in has:
        return f"bring it into {allowed} just before the return (compare, and return constants)"
    return f"return {allowed}"

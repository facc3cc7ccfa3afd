"""What several detectors share: numbers and names out of messages, arguments of calls, lines of the source."""

from __future__ import annotations

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.facts.program_types import ProgramType
    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = [
    "after",
    "argument",
    "arguments",
    "call_of",
    "called",
    "cause",
    "function",
    "identifier",
    "number",
    "program_type",
    "quoted",
    "reaches",
    "register",
    "rust",
    "said",
    "series",
    "told",
    "upward",
    "word",
]

_DIGITS = "0123456789abcdefxABCDEFX"

# ---------------------------------------------------------------- messages


def number(text: str, before: str = "") -> int | None:
    """The number right behind `before` (behind blanks, at the text's start without it): `-8` of `off=-8`; else None."""
    at = text.find(before) if before else 0
    if at < 0:
        return None
    rest = text[at + len(before) :].lstrip(" ")
    sign = rest[:1] in ("-", "+")
    end = int(sign)
    hexadecimal = rest[end : end + 2].lower() == "0x"
    end += 2 if hexadecimal else 0
    while end < len(rest) and (rest[end].isdigit() or (hexadecimal and rest[end] in _DIGITS)):
        end += 1
    try:
        return int(rest[:end], 0 if hexadecimal else 10)
    except ValueError:
        return None


def after(text: str, before: str) -> str:
    """What stands behind `before`, "" where it does not occur."""
    return text.partition(before)[2]


def word(text: str, before: str) -> str:
    """The word (letters, digits, `_`, `.`) behind `before`, "" where there is none."""
    rest = after(text, before).lstrip(" '\"`")
    end = 0
    while end < len(rest) and (rest[end].isalnum() or rest[end] in "_."):
        end += 1
    return rest[:end].rstrip(".")


def quoted(text: str) -> str:
    """The first word between single quotes."""
    return text.partition("'")[2].partition("'")[0]


def register(text: str) -> str | None:
    """`r3` of the first `R3` that stands alone."""
    for part in text.replace("(", " ").replace(",", " ").replace("[", " ").replace("]", " ").split():
        if part[:1] == "R" and part[1:3].rstrip("'").isdigit() and len(part.rstrip("'!:")) <= 3:
            return f"r{part[1:3].rstrip(chr(39))}"
    return None


def said(trace: Trace, match: Match | None) -> str:
    """The message: as it was classified, else the log's last."""
    return str((match.message if match is not None else "") or trace.log.message)


def told(trace: Trace, stem: str) -> str:
    """The last thing the log says that contains `stem`, "" when it says none."""
    for _, line in reversed(trace.log.told):
        if stem in line:
            return str(line)
    return str(trace.log.message) if stem in trace.log.message else ""


# ---------------------------------------------------------------- the program


def program_type(trace: Trace) -> ProgramType | None:
    """The program's type, where there is an object."""
    kind = trace.program.type if trace.program is not None else None
    if kind is None:
        return None
    from bpfsmith.facts import program_types

    return program_types.get(kind)


def series(trace: Trace) -> str:
    """`6.1`: of the kernel the log is of, "" when it is not known."""
    kernel = trace.kernel
    text = (
        kernel if isinstance(kernel, str) else getattr(kernel, "name", None) or getattr(kernel, "release", None) or ""
    )
    parts = str(text).partition("-")[0].split(".")
    if len(parts) >= 2 and parts[0].isdigit() and parts[1].isdigit():
        return f"{int(parts[0])}.{int(parts[1])}"
    return ""


def older(one: str, than: str) -> bool:
    """Whether kernel series `one` is known and older than `than`."""
    if not one or not than:
        return False
    from bpfsmith.facts._row import series_key

    return series_key(one) < series_key(than)


def function(trace: Trace, slot: int | None) -> str | None:
    """The function a slot lies in, as a person would call it; None when neither log nor object tells."""
    if slot is None:
        return None
    if trace.program is not None:
        for name, first, slots, _ in trace.program.functions():
            if first <= slot < first + slots:
                frames = trace.program.inline_frames(first) if name.startswith("_R") else []
                return frames[-1][0].rpartition("::")[2] or readable(name) if frames else readable(name)
    best: tuple[int, str] | None = None
    for _, first, name in trace.log.functions:
        if name and first <= slot and (best is None or first >= best[0]):
            best = (first, name)
    return None if best is None else readable(best[1])


_LONGEST = 9  # digits of a length in a mangled name: more are no name's


def _newer(rest: str) -> str:
    """The same of the newer mangling: `core::num::ilog2` of `NvMs7_NtCs1NpfdXmxSul_4core3numy5ilog2`."""
    found: list[str] = []
    root = False
    while rest:
        letter = rest[0]
        if letter in "sB":  # what tells two of one name apart, what stood before
            rest = rest.partition("_")[2]
            continue
        digits = len(rest) - len(rest.lstrip("0123456789"))
        if not digits:
            root = letter == "C" or (root and letter == "s")
            rest = rest[1:]
            continue
        length = int(rest[: min(digits, _LONGEST)])
        word = rest[digits:].removeprefix("_")[:length]
        rest = rest[digits + (rest[digits : digits + 1] == "_") + length :]
        if root and found:  # the crate that it was made for
            break
        found.append(word)
        root = False
    return "::".join(found)


def readable(name: str) -> str:
    """A Rust name without its mangling's frame: `core::panicking::panic` of `_ZN4core9panicking5panic17h..E`."""
    if name.startswith("_R"):
        return _newer(name[2:]) or name
    if not name.startswith("_ZN"):
        return name
    parts: list[str] = []
    rest = name[3:]
    while rest[:1].isdigit():
        digits = len(rest) - len(rest.lstrip("0123456789"))
        length = int(rest[: min(digits, _LONGEST)])
        parts.append(rest[digits : digits + length])
        rest = rest[digits + length :]
    if len(parts) > 1 and len(parts[-1]) == 17 and parts[-1].startswith("h"):
        parts.pop()
    return "::".join(parts) or name


def rust(trace: Trace) -> bool:
    """Whether the program is written in Rust, as its source lines and names tell."""
    if trace.program is not None and any(path.endswith(".rs") for path in trace.program.files()):
        return True
    for slot in trace.log.insns:
        told_of = trace.log.source(slot)
        if told_of is not None and told_of[0]:
            return str(told_of[0]).endswith(".rs")
        if told_of is not None and any(word in told_of[2] for word in _RUST):
            return True
    return any(name and name.startswith(("_ZN", "_R")) for _, _, name in trace.log.functions)


_RUST = (
    "fn ",
    "let ",
    "unsafe {",
    "loop {}",
    "#[",
    "::",
    "match ",
    "Some(",
    " as u",
    "&mut ",
)  # older kernels: no file


def reaches(trace: Trace, start: int, goals: Iterable[int], avoid: Iterable[int] = (), most: int = 20_000) -> bool:
    """Whether some way through the known instructions leads from `start` to one of `goals` without `avoid`."""
    wanted, seen = set(goals), set(avoid)
    if not wanted or start in seen:
        return False
    waiting = [start]
    seen.add(start)
    while waiting and most:
        most -= 1
        slot = waiting.pop()
        if slot in wanted:
            return True
        for next_slot in trace.successors(slot):
            if next_slot not in seen:
                seen.add(next_slot)
                waiting.append(next_slot)
    return False


def call_of(trace: Trace, name: str) -> int | None:
    """The slot of the only call of a helper or kernel function; None where there are several, or none."""
    found = [
        slot
        for slot, insn in trace.cfg.items()
        if code.is_call(insn) and insn.call and insn.call.partition("#")[0] == name
    ]
    return found[0] if len(found) == 1 else None


def called(step: Step | None) -> str:
    """The helper or kernel function that a step calls, "" for everything else."""
    insn = step.insn if step is not None else None
    if insn is None or not code.is_call(insn) or code.is_subprogram_call(insn):
        return ""
    return (insn.call or "").partition("#")[0]


# ---------------------------------------------------------------- source text


def _lines(trace: Trace, path: str | None) -> tuple[str, ...] | None:
    """All lines of a source file that is on this machine and is the one that was compiled, else None."""
    if path is None or trace.program is None:
        return None
    kept: dict[str, tuple[str, ...] | None] = trace.kept.setdefault("whole", {})
    if path not in kept:
        from bpfsmith.verify.cause.places import lines

        known = lines(trace, path)
        last = max(known, default=0)
        whole = last > 0 and len(known) == last and 1 in known
        kept[path] = tuple(known[at] for at in range(1, last + 1)) if whole else None
    return kept[path]


def text_of(trace: Trace, path: str, line: int) -> str | None:
    """A line of a source file: read from the file, else as the object carries it."""
    lines = _lines(trace, path)
    if lines is not None and 0 < line <= len(lines):
        return lines[line - 1].strip()
    for slot in trace.cfg:
        here = trace.place(slot)
        if here is not None and here.line == line and here.path == path:
            return here.text
    return None


def upward(trace: Trace, place: Place | None, words: Iterable[str], far: int = 120) -> Place | None:
    """The nearest line at or above `place` that has one of `words`, read from the source file; None without one."""
    if place is None or place.line is None:
        return None
    lines = _lines(trace, place.path)
    if lines is None:
        return None
    wanted = tuple(words)
    for at in range(min(place.line, len(lines)), max(0, place.line - far), -1):
        text = lines[at - 1]
        if any(one in text for one in wanted):
            return Place(place.path, at, 0, text.strip(), place.function, place.own)
    return None


def downward(trace: Trace, place: Place, word: str, also: str = "", far: int = 8) -> Place | None:
    """The only line below `place` that has `word`, or of several the only one that has `also` too; None else."""
    lines = _lines(trace, place.path)
    if lines is None or place.line is None:
        return None
    found = [
        Place(place.path, at, 0, lines[at - 1].strip(), place.function, place.own)
        for at in range(place.line + 1, min(place.line + far, len(lines)) + 1)
        if word in lines[at - 1]
    ]
    exact = [one for one in found if one.text is not None and also and _has_word(one.text, also)]
    return exact[0] if len(exact) == 1 else found[0] if len(found) == 1 else None


def _has_word(text: str, word: str) -> bool:
    at = text.find(word)
    before, behind = text[max(0, at - 1) : at], text[at + len(word) : at + len(word) + 1]
    return at >= 0 and not before.isalnum() and not behind.isalnum()


def declaration(trace: Trace, place: Place | None, name: str) -> Place | None:
    """The line that declares a local variable, at or above `place`."""
    if place is None or place.line is None or not name.isidentifier():
        return None
    known = _known(trace, place, name)
    lines = _lines(trace, place.path) if known is None else None
    if lines is None:
        return known
    for at in range(min(place.line, len(lines)), max(0, place.line - 200), -1):
        text = lines[at - 1]
        if _declares(text, name):
            return Place(place.path, at, 0, text.strip(), place.function, place.own)
        if text.startswith(("fn ", "pub fn ")) and at < place.line:
            return None
    return None


def _known(trace: Trace, place: Place, name: str) -> Place | None:
    """The same from DWARF."""
    from bpfsmith.verify.cause import locals as known

    rows = [one for one in known.variables(trace) if one.name == name and not one.parameter and one.line]
    rows = [one for one in rows if place.line is not None and one.line <= place.line and _same(one.path, place.path)]
    if not rows:
        return None
    return known.place(trace, max(rows, key=lambda one: one.line))


def _same(one: str, other: str | None) -> bool:
    """Two spellings of one file: `./x.c`, `/src/./x.c`."""
    return other is not None and one.replace("/./", "/").endswith(other.removeprefix("./"))


def _declares(text: str, name: str) -> bool:
    bare = text.strip()
    if bare.startswith(("//", "*", "return", "#", "else", "goto")):
        return False
    if bare.startswith("let "):
        left = bare[4:].removeprefix("mut ").partition("=")[0].partition(":")[0].strip()
        return left == name or f"({name})" in left or left.endswith(f"mut {name}")
    head = bare.partition("=")[0].partition(";")[0]
    words = head.replace("*", " ").replace("[", " [").replace(",", " ").split()
    if len(words) < 2 or name not in words[1:] or "(" in head or "." in head or "->" in head:
        return False
    return words[0].replace("_", "a").isalnum()


def arguments(text: str | None, helper: str) -> list[str]:
    """The arguments of a call as they stand in a source line, where all of the call stands in it: `bpf_f(a, &b)`, and
    `MAP.insert(&key, &value, 0)` with the receiver first."""
    if not text:
        return []
    bare = helper.removeprefix("bpf_")
    for name in (helper, bare):
        at = text.find(f"{name}(")
        if at >= 0 and (at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_")):
            return _split(text[at + len(name) + 1 :])
    for method in _METHODS.get(bare, ()):
        at = text.find(f".{method}(")
        if at > 0:
            start = at
            while start > 0 and (text[start - 1].isalnum() or text[start - 1] in "_.:"):
                start -= 1
            return [text[start:at], *_split(text[at + len(method) + 2 :])]
    return []


_METHODS = {
    "map_lookup_elem": ("get", "get_ptr", "get_ptr_mut"),
    "map_update_elem": ("insert", "set"),
    "map_delete_elem": ("remove",),
    "map_push_elem": ("push",),
    "perf_event_output": ("output",),
    "ringbuf_output": ("output",),
    "ringbuf_reserve": ("reserve",),
    "redirect_map": ("redirect",),
    "tail_call": ("tail_call",),
}


def _split(text: str) -> list[str]:
    parts: list[str] = []
    depth = start = 0
    for at, letter in enumerate(text):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            if depth == 0:
                last = text[start:at].strip()
                return [*parts, last] if last or parts else parts
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    rest = text[start:].strip()  # the call goes on in the next line
    return [*parts, rest] if rest and depth == 0 else parts


def argument(text: str | None, helper: str, position: int) -> str | None:
    """The expression of argument `position` (from 1) in a source line."""
    found = arguments(text, helper)
    return found[position - 1] if 0 < position <= len(found) else None


def identifier(expression: str | None) -> str | None:
    """The variable an expression is about: `key` of `&key`, `(void *)&key`, `&mut key as *mut _`, `key.as_ptr()`."""
    if not expression:
        return None
    text = expression.strip()
    while text.startswith("("):
        head, closed, rest = text[1:].partition(")")
        if not closed or not rest:
            break
        text = rest.strip() if head.rstrip().endswith("*") or head.replace(" ", "").isidentifier() else head
    text = text.lstrip("&*").removeprefix("mut ").removeprefix("raw ").partition(" as ")[0].strip()
    end = 0
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    name, rest = text[:end], text[end:]
    return name if name.isidentifier() and not rest.startswith(("(", "::", "!")) else None


# ---------------------------------------------------------------- results


def cause(
    trace: Trace,
    cls: str,
    confidence: str,
    headline: str,
    *,
    step: Step | None = None,
    slot: int | None = None,
    place: Place | None = None,
    because: Iterable[Fact | None] = (),
    variables: Iterable[str | None] = (),
    advice: Iterable[Advice | None] = (),
) -> Cause:
    """A `Cause` at `place`, else at the user's own line of `step`, else of `slot`."""
    if step is not None:
        slot = step.slot if slot is None else slot
        place = trace.own_place(step) if place is None else place
    elif place is None and slot is not None:
        place = trace.own_place(slot)
    names = list(dict.fromkeys(name for name in variables if name))
    facts = [fact for fact in because if fact is not None]
    tips = [tip for tip in advice if tip is not None]
    return Cause(
        cls, confidence, headline, place=place, slot=slot, because=facts, symptom=trace.symptom, variables=names,
        advice=tips,
    )  # fmt: skip

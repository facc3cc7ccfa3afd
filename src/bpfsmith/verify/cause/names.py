"""What the source calls a value: read from the line that made it, or from the one that uses it, where it is certain."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.result import Place
    from bpfsmith.verify.cause.trace import Step, Trace

__all__ = [
    "argument",
    "assigned",
    "compares",
    "followed",
    "follows",
    "index",
    "literal",
    "located",
    "masks",
    "name",
    "words",
]

# Names that say nothing of what they hold.
_NOBODY = frozenset(("self", "args", "_", "this"))
_MADE = ("call", "load", "add", "sub", "shift", "math", "and-mask", "narrow")
# Words before a variable that are none.
_KEYWORDS = frozenset((
    "if", "else", "while", "for", "return", "match", "let", "mut", "unsafe", "struct", "const", "static", "sizeof",
    "as", "in", "union", "enum", "unsigned", "signed", "int", "char", "short", "long", "void", "u8", "u16", "u32",
    "u64", "i32", "i64", "usize", "isize", "bool", "true", "false", "fn", "ref", "volatile",
    "__u8", "__u16", "__u32", "__u64",
))  # fmt: skip


def name(trace: Trace, step: Step, where: str) -> str | None:
    """As `Trace.name`: the variable that debug information has there, else the one that the statement which made the
    value assigns to."""
    here = trace.own_place(step)
    told = located(trace, step.slot, where, here)
    if told is not None:
        return told
    for link in trace.origin(step, where):
        if link.how in _MADE and link.step.next is not None and link.step.frame == step.frame:
            told = located(trace, link.step.next.slot, link.where, trace.own_place(link.step))
            if told is not None:
                return told
        if link.how not in _MADE:
            continue
        place = trace.own_place(link.step)
        if place is None or place.text is None or place.same_line(here):
            continue
        insn = link.step.insn
        found = assigned(place.text, insn.call if link.how == "call" else None)
        if found is not None:
            return found
        if link.how in ("call", "load"):
            return None
    return None


def located(trace: Trace, slot: int, where: str, here: Place | None) -> str | None:
    """The user's own variable that debug information says is in a register before an instruction; of several the one
    that is declared nearest before the line."""
    if trace.program is None or not where.startswith("r"):
        return None
    rows = trace.kept.get("variables")
    if rows is None:
        from bpfsmith.verify.cause.places import library

        rows = {}
        for _, word, (path, line), _, _, spans in getattr(trace.program.native, "variables", list)():
            if library(path) or not word.isidentifier() or word in _NOBODY:
                continue
            for first, end, kind, register in spans:
                if kind == "reg":
                    rows.setdefault(register, []).append((first, end, path, line, word))
        trace.kept["variables"] = rows
    found = [row for row in rows.get(int(where[1:]), ()) if row[0] <= slot < row[1]]
    if not found:
        return None
    line = here.line if here is not None and here.line is not None else 0
    known = [row for row in found if here is not None and _same_file(row[2], here.path) and row[3] <= line]
    if not known:  # of one declared further down nothing is known here
        known = [row for row in found if here is None or not line or not _same_file(row[2], here.path)]
    if not known:
        return None
    best: tuple[int, int, str, int, str] = max(known, key=lambda row: row[3])
    return best[4]


def _same_file(one: str, other: str | None) -> bool:
    """Two spellings of a path: debug information and line information differ in what they are relative to."""
    return other is not None and (one.endswith(other) or other.endswith(one))


def assigned(text: str, call: str | None = None) -> str | None:
    """The variable a line of C or Rust gives a value: `value` of `let Some(value) = MAP.get(&key) else {`. With several
    assignments in the line the one of what `call` (a function named in it) gives; else None. Comparisons, compound
    assignments and fields are none."""
    line = text.strip()
    for start in ("} else if ", "else if ", "if ", "while "):
        if line.startswith(start):
            line = line[len(start) :].lstrip("( ")
    parts = _assignments(line)
    if not parts:
        return None
    if call and call in line:
        before = [part for part in parts if len(part) <= line.find(call)]
        left = before[-1] if before else ""
    elif len(parts) == 1 or line.startswith("let "):
        left = parts[0]
    else:
        return None
    return _variable(left)


def _assignments(line: str) -> list[str]:
    """What stands before each `=` that assigns."""
    found = []
    for at, letter in enumerate(line):
        if letter != "=":
            continue
        around = line[at - 1 : at] + line[at + 1 : at + 2]
        if "=" in around or around[:1] in ("!", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^") or ">" in around[1:]:
            continue
        found.append(line[:at])
    return found


def _variable(left: str) -> str | None:
    left = left.strip()
    if left.startswith("let "):
        left = left[4:].strip().removeprefix("mut ").partition(":")[0].strip()
        for wrapper in ("Some(", "Ok("):
            if left.startswith(wrapper) and left.endswith(")"):
                left = left[len(wrapper) : -1].strip().lstrip("&")
        left = left.removeprefix("mut ").strip()
    else:
        left = left.rpartition(",")[2].rpartition("(")[2].strip()
        pointer = left.rpartition(" ")
        if left.startswith("*") and not pointer[1]:
            return None  # `*p = ..` writes through it
        left = pointer[2].lstrip("*")
    return left if left.isidentifier() and left not in _KEYWORDS and left != "_" else None


def words(text: str) -> list[str]:
    """The identifiers of a line, in its order."""
    word, found = "", []
    for letter in f"{text} ":
        if letter.isalnum() or letter == "_":
            word += letter
        else:
            if word and not word[0].isdigit() and word not in found:
                found.append(word)
            word = ""
    return found


def followed(text: str) -> str | None:
    """The one variable a line reads or writes through: `v` of `v->hits++`, `(*v).hits += 1`, `*v = 1`; None when there
    are several."""
    found = [word for word in words(text) if word not in _KEYWORDS and follows(text, word)]
    return found[0] if len(found) == 1 else None


def follows(text: str, word: str) -> bool:
    """Whether a line reads or writes through a variable."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        alone = not (text[at - 1 : at].isalnum() or text[at - 1 : at] == "_") and not (
            text[end : end + 1].isalnum() or text[end : end + 1] == "_"
        )
        if alone and (text.startswith("->", end) or (text[at - 1 : at] == "*" and _unary(text, at - 1))):
            return True
        at = text.find(word, end)
    return False


def _unary(text: str, at: int) -> bool:
    """The `*` at `at` is no multiplication, and no part of a type or of a declaration."""
    before = text[:at].rstrip()
    return not before or (before[-1] in "({=;!,&|+-<>" and not before.endswith("as"))


def index(text: str) -> str | None:
    """The one variable a line indexes with: `cpu` of `hits->slots[cpu]++`, `id` of `p.add(id as usize)`."""
    found: list[str] = []
    for opening in ("[", ".add(", ".offset(", "get_unchecked(", "get_unchecked_mut("):
        at = text.find(opening)
        while at >= 0:
            start = at + len(opening)
            if opening != "[" or (at > 0 and (text[at - 1].isalnum() or text[at - 1] in ")]_")):
                one = _single(_inside(text, start))
                if one is not None and one not in found:
                    found.append(one)
            at = text.find(opening, start)
    return found[0] if len(found) == 1 else None


def argument(text: str, call: str, number: int) -> str | None:
    """The variable a line passes as argument `number` (from 0) of `call`, when it is one alone."""
    at = text.find(f"{call}(")
    if at < 0:
        return None
    parts, depth, start = [], 0, at + len(call) + 1
    inside = _inside(text, start)
    last = 0
    for place, letter in enumerate(inside):
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "," and depth == 0:
            parts.append(inside[last:place])
            last = place + 1
    parts.append(inside[last:])
    return _single(parts[number]) if number < len(parts) else None


def _inside(text: str, start: int) -> str:
    """From behind an opening bracket up to the closing one."""
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth == 0:
            return text[start:at]
    return text[start:]


def _single(text: str) -> str | None:
    """The only variable of an expression without calls; constants in capitals do not count."""
    if "(" in text.replace("(int)", "").replace("(long)", ""):
        return None
    found = [word for word in words(text) if word not in _KEYWORDS and not word.isupper() and word[0] != "_"]
    return found[0] if len(found) == 1 and f"*{found[0]}" not in text else None  # what it points to has no name


def compares(text: str, variable: str) -> bool:
    """The line compares something with the variable in it."""
    if variable not in words(text):
        return False
    plain = text.replace("->", "").replace("=>", "").replace("<<", "").replace(">>", "")
    while "::<" in plain:  # generic arguments
        before, _, rest = plain.partition("::<")
        plain = before + rest.partition(">")[2]
    signs = ("<", ">", "==", "!=", "contains(", ".min(", "min(", "is_null", "clamp(", "is_some", "is_none")
    return any(sign in plain for sign in signs)


def masks(text: str, mask: int) -> bool:
    """A line that masks with these bits, or with these moved: `i & 0x1f`, `i & (SIZE - 1)`, `INDEX_MASK(i)`."""
    rest, found = text.replace("&&", ""), False
    while "&" in rest:
        before, _, rest = rest.partition("&")
        if not before[-1:].isspace() and not before[-1:].isalnum() and before[-1:] not in (")", "]"):
            continue  # the address of something
        digits = ""
        for letter in rest.lstrip("= "):
            if not letter.isalnum() and letter != "_":
                break
            digits += letter
        if not digits[:1].isdigit():
            found = found or bool(digits) or rest.lstrip("= ")[:1] == "("
            continue
        number = literal(digits)
        found = found or number is None or any(number << by == mask for by in range(16))
    return found or any("mask" in name.lower() or (len(name) > 1 and name.isupper()) for name in _called(text))


def literal(text: str) -> int | None:
    """The number a literal of C or Rust is: `0x1fUL`, `63u32`, `0b1_1111`; None of C's octal ones, which Rust reads in
    another way."""
    bare = text.lower().replace("_", "").rstrip("ul")
    for suffix in ("usize", "isize", "u64", "i64", "u32", "i32", "u16", "i16", "u8", "i8"):
        bare = bare.removesuffix(suffix)
    try:
        return int(bare, 0)
    except ValueError:
        return None


def _called(text: str) -> list[str]:
    """Names before an opening bracket."""
    name, found = "", []
    for letter in text:
        if letter.isalnum() or letter == "_":
            name += letter
            continue
        if letter == "(" and name:
            found.append(name)
        name = ""
    return found

"""Null checks and packet bounds in C."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import after, before, checked, closing, fresh, functions, replace, split, visible
from bpfsmith.repair.c.ways import elsewhere, first_use, given, guarded, joined
from bpfsmith.repair.failures import BOUNDS, NULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Failing, Function
    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate

__all__ = ["candidates", "end_of", "used"]

_INDEX = r"\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]"
_PATH = rf"[A-Za-z_]\w*(?:\s*(?:->|\.)\s*[A-Za-z_]\w*|{_INDEX})*"
_CHAIN = re.compile(rf"(?<![\w.>]){_PATH}")
_THROUGH = re.compile(r"\s*->")
_STAR = re.compile(rf"\*\s*\(?\s*({_PATH})(?![\w\s]*[(*])")
_CAST = r"(?:const\s+|volatile\s+|unsigned\s+|signed\s+|struct\s+|union\s+)*[A-Za-z_]\w*(?:\s+const|\s+volatile)?"
_SEEN_AS = re.compile(rf"\(\s*({_CAST})\s*\*\s*\)\s*")
_ARGUMENT = re.compile(rf"[(,]\s*({_PATH})\s*(?=[,)])")
_OTHER = 99
_WORDS = frozenset(
    {"sizeof", "return", "if", "struct", "int", "char", "void", "long", "unsigned", "const", "ctx", "skb", "while"}
)
_COPIES = frozenset({"__builtin_memcpy", "memcpy", "__builtin_memcmp", "memcmp", "__builtin_memmove", "memmove"})


def used(function: Function) -> list[str]:
    """What the line's statements use as pointers, as it stands there: that of the cause first."""
    text = function.shown
    found: list[str] = []
    for one in _CHAIN.finditer(text):
        path = one[0]
        # Each part before an arrow, and before an index, is a pointer; the whole is one where it is followed by them.
        for cut in re.finditer(r"\s*->|\[", path):
            found.append(path[: cut.start()])
        if _THROUGH.match(text, one.end()):
            found.append(path)
    found += [one[1] for one in _STAR.finditer(text)]
    found += [one[1] for one in re.finditer(rf"\)\s*({_PATH})\s*\)\s*->", text)]
    found += [one[1] for one in _ARGUMENT.finditer(text)]
    found = [" ".join(one.split()) for one in found]
    found = [one for one in dict.fromkeys(found) if one not in _WORDS and not one.isupper()]
    wanted = [*function.ground.cause.variables]
    line = _line(function)
    found.sort(key=lambda one: (_rank(one, wanted), one not in line))
    return found


def _rank(name: str, wanted: list[str]) -> int:
    plain = name.replace("->", ".")
    for at, one in enumerate(wanted):
        if one is not None and one.replace("->", ".") == plain:
            return at
    return _OTHER


def _line(function: Function) -> str:
    last = function.lines[function.line] if function.line < len(function.lines) else len(function.plain)
    return function.plain[function.lines[function.line - 1] : last]


def candidates(ground: Ground) -> Iterator[Candidate]:
    """Tests right before the use: of the pointer itself where it may be null, of the packet's end where that counts."""
    told = f"{ground.why.message} {ground.cause.headline}"
    packet = ground.why.family == "V08" or "pkt" in told or (ground.why.family == "V12" and "packet" in told)
    for function in functions(ground):
        found = used(function)
        names = [one for one in found if visible(function, one, function.statement(name=one))]
        if packet:
            yield from _ends(function, names, function.failing(BOUNDS))
            yield from _elsewhere(function, names)
        if ground.cause.cls == "pointer-arithmetic":
            continue  # no test of a pointer makes arithmetic on it right
        if ground.why.family in ("V06", "V20", "") or not packet:
            named = [one for one in names if _rank(one, [*ground.cause.variables]) < _OTHER]
            # A local that the line only takes the address of is no pointer.
            taken = rf"&\s*(?:{'|'.join(re.escape(one) for one in names) or '-'})\b(?!\s*(?:->|\[))"
            others = {one[0].lstrip("& \t") for one in re.finditer(taken, function.shown)}
            for name in named[:3] or [one for one in names if one not in others][:4]:
                at = function.statement(name=name)
                fails = function.failing(NULL, name)
                edit = joined(function, at, name, name, f"!{name}")
                if edit:
                    yield checked("conjunct", edit, f"go on only where `{name}` is not null", fails)
                said = f"return when `{name}` is null"
                yield from _earlier(function, at, name, said)
                yield checked("null-check", guarded(function, at, [f"!{name}"], fails, name=name), said, fails)
            yield from _unnamed(function)


def _earlier(function: Function, at: int, name: str, said: str) -> Iterator[Candidate]:
    """Before the first of several uses, as the compiler may have another one come first; behind what made the pointer,
    as it may make one instruction of uses on several ways."""
    first = first_use(function, at, name)
    if first != at:
        fails = function.failing_at(first, NULL, name)
        yield checked("null-check", guarded(function, first, [f"!{name}"], fails), said, fails)
    origin = given(function, at, name)
    if origin is None or origin.bare or not function.plain[origin.end : first].strip():
        return
    if not elsewhere(function, at, name, origin):
        return
    fails = function.failing_at(origin.start, NULL, name)
    lines = [f"if (!{name})", f"{function.tab}{fails.statement}"]
    yield checked("null-check", [after(function, origin.start, lines)], said, fails)


def _unnamed(function: Function) -> Iterator[Candidate]:
    """`*(T *)lookup(..)`, `lookup(..)->field`: what a call gives is used at once; it gets a name."""
    text, first = function.shown, function.first
    for one in re.finditer(r"(?<![\w.>])([A-Za-z_]\w*)\s*\(", text):
        if one[1] in ("sizeof", "if", "while", "for", "switch", "return", "__typeof__", "typeof"):
            continue
        close = closing(text, one.end() - 1) + 1
        start, end = one.start(), close
        cast = re.search(rf"\(\s*(?:{_CAST})\s*\*\s*\)\s*$", text[:start])
        if cast is not None:
            start = cast.start()
        behind = text[end:].lstrip()
        wrapped = text[:start].rstrip().endswith("(") and behind.startswith(")")  # ((T *)call(..))->field
        behind = behind[1:] if wrapped else text[end:]
        star = re.search(r"(?:^|[=(,+\-!<>&|?:;{]|return)\s*\*\s*$", text[:start])
        if star is None and not re.match(r"\s*->|\s*\[", behind):
            continue
        node = function.holder(first + start)
        if node.kind in ("for", "while", "do", "loop") or re.search(r"&&|\|\||\?", text[:start]):
            continue  # it is called in each round, or on some ways only
        name = fresh(function, "found")
        at = node.start
        value = " ".join(function.text[first + start : first + end].split())
        fails = function.failing(NULL, given=one[1])
        edits = [
            *before(
                function, at, [f"__auto_type {name} = {value};", f"if (!{name})", f"{function.tab}{fails.statement}"]
            ),
            replace(function, first + start, first + end, name),
        ]
        yield checked("null-check", edits, f"return when `{one[1]}` gives null", fails)


def _ends(function: Function, names: list[str], fails: Failing) -> Iterator[Candidate]:
    end = end_of(function)
    if end is None:
        return
    text, first = function.shown, function.first
    stop = end if _is_void(function, end) else f"(void *){end}"
    done = set()

    def made(condition: str, name: str, what: str) -> Iterator[Candidate]:
        if condition not in done:
            done.add(condition)
            at = function.statement(name=name)
            said = f"compare what is read through `{what}` with the end of the packet first"
            edits = joined(function, at, name, condition.replace(" > ", " <= "), condition)
            if edits:
                yield checked("conjunct", edits, said, fails)
            yield checked("bounds-check", guarded(function, at, [condition], fails, name=name), said, fails)

    for name in names[:4]:
        if (
            name == end
            or name.endswith("end")
            or re.search(rf"\b{re.escape(name)}\s*=(?!=)[^;,]*->data_end", function.body)
        ):
            continue
        for where in re.finditer(rf"(?<![\w.>]){re.escape(name)}\s*\[", text):
            close = closing(text, where.end() - 1)
            index = " ".join(text[where.end() : close].split())
            if "++" not in index:
                yield from made(f"(void *)(&{name}[{index}] + 1) > {stop}", name, f"{name}[{index}]")
        for condition in _cast(text, name, stop):
            yield from made(condition, name, name)
        for size in _copied(text, name):
            yield from made(f"(void *){name} + {size} > {stop}", name, name)
        yield from made(f"(void *)({name} + 1) > {stop}", name, name)
    # An address that is computed where it is used: `*(T *)(..)`, `((T *)(..))->field`.
    for one in _SEEN_AS.finditer(text):
        if one[1] in ("void", "char"):
            continue
        taken = re.compile(rf"&\s*{_PATH}").match(text, one.end())
        if taken is None and text[one.end() : one.end() + 1] != "(":
            continue
        close = taken.end() if taken is not None else closing(text, one.end()) + 1
        if close > len(text) or not (
            text[: one.start()].rstrip().endswith("*") or re.match(r"\s*\)\s*->", text[close:])
        ):
            continue
        address = " ".join(function.text[first + one.end() : first + close].split())
        yield from made(f"(void *){address} + sizeof({one[1]}) > {stop}", address, address)
    need = function.ground.operand("need")
    start = start_of(function)
    # Only right before the use, and where the statement always comes to it: other ways would end too.
    symptom = function.ground.cause.symptom
    here = symptom is not None and symptom.place is not None and symptom.place.line == function.line
    sometimes = not here or re.search(r"&&|\|\||\?", text) is not None
    if isinstance(need, int) and 0 < need < 1 << 15 and start is not None and not sometimes:
        yield from made(f"{start} + {need} > {stop}", names[0] if names else "", start)


def _elsewhere(function: Function, names: list[str]) -> Iterator[Candidate]:
    """The same pointer on other ways: the compiler makes one instruction of what several say, and that has one line."""
    end = end_of(function)
    named = [one for one in names if _rank(one, [*function.ground.cause.variables]) < _OTHER][:1]
    if end is None or not named:
        return
    stop = end if _is_void(function, end) else f"(void *){end}"
    word = re.compile(rf"(?<![\w.>]){re.escape(named[0])}\s*->")
    here = {one.start for one in function.own()}
    found = 0
    for node in function.top.walk():
        if node.kind != "plain" or node.start in here or not word.search(function.plain, node.start, node.end):
            continue
        own = node.parent.parts if node.parent is not None else []
        former = own[: own.index(node)]
        # Only the first use behind a label or an opening brace.
        while former and former[-1].kind != "label" and not word.search(
            function.plain, former[-1].start, former[-1].end
        ):  # fmt: skip
            former = former[:-1]
        if (former and former[-1].kind != "label") or found > 3:
            continue
        found += 1
        fails = function.failing_at(node.start, BOUNDS)
        condition = f"(void *)({named[0]} + 1) > {stop}"
        said = f"compare what is read through `{named[0]}` with the end of the packet on this way too"
        yield checked("bounds-check", guarded(function, node.start, [condition], fails, name=named[0]), said, fails)


def _is_void(function: Function, end: str) -> bool:
    """Whether a name is declared as `void *`: the same kind of pointer as what it is compared with."""
    if end.startswith("(void *)"):
        return True
    found = re.search(
        rf"\bvoid\s*\*\s*(?:const\s+)?(?:\w+\s*(?:=[^;,]*)?,\s*\*\s*)*{re.escape(end)}\b", function.head + function.body
    )
    return end.isidentifier() and found is not None


def _cast(text: str, name: str, stop: str) -> Iterator[str]:
    """Of a `void *` or `char *` that is read as another type: with the size of that."""
    for one in re.finditer(rf"\(\s*({_CAST})\s*\*\s*\)\s*\(?\s*{re.escape(name)}\b\s*(\+\s*\w+(?=\s*\)))?", text):
        if one[1] in ("void", "char"):
            continue
        step = f"{one[2]} " if one[2] else ""
        yield f"(void *){name} {' '.join(step.split())}{' ' if step else ''}+ sizeof({one[1]}) > {stop}"


def _copied(text: str, name: str) -> Iterator[str]:
    """Bytes that a call takes from a pointer."""
    for one in re.finditer(r"\b([A-Za-z_]\w*)\s*\(", text):
        if one[1] not in _COPIES and not one[1].startswith("bpf_"):
            continue
        given = split(text[one.end() : closing(text, one.end() - 1)])
        for at, word in enumerate(given[:-1]):
            if re.fullmatch(rf"(?:\([^()]*\*\)\s*)?{re.escape(name)}", word):
                size = given[2] if one[1] in _COPIES and len(given) > 2 else given[at + 1]
                if re.fullmatch(r"sizeof\s*\(.*\)|\d+|0[xX][0-9a-fA-F]+|[A-Z][A-Z0-9_]*", size):
                    yield size


def start_of(function: Function) -> str | None:
    """Where the packet begins, as bytes."""
    word = "data_meta" if "data_meta" in function.body and "meta" in function.ground.cause.headline else "data"
    cast = r"(?:\(\s*(?:const\s+|unsigned\s+|struct\s+)*\w+\s*\**\s*\)\s*)*"
    found = re.search(rf"(?<![\w.>])({_PATH})\s*=\s*{cast}\(?\s*{cast}\w+->{word}\s*[;,)]", function.body)
    if found is not None and not re.search(
        rf"(?<![\w.>]){re.escape(found[1])}\s*(?:\+=|\+\+|=(?!=))", function.body[found.end() :]
    ):
        number = re.search(
            rf"\b(?:__u64|u64|long|size_t|__u32|int)\s+(?:[^;]*,\s*)?{re.escape(found[1])}\b", function.body
        )
        return f"(void *)(long){found[1]}" if number is not None else f"(void *){found[1]}"
    context = re.search(r"\bstruct\s+(?:xdp_md|__sk_buff|sk_msg_md|sk_reuseport_md)\s*\*\s*(\w+)", function.head)
    return f"(void *)(long){context[1]}->{word}" if context else None


def end_of(function: Function) -> str | None:
    """What the packet's end is called in the function: a local, a field of a cursor, else the context's field."""
    meta = "data_meta" in function.shown or "meta" in function.ground.cause.headline
    word = "data" if meta else "data_end"
    cast = r"(?:\(\s*(?:const\s+|unsigned\s+|struct\s+)*\w+\s*\**\s*\)\s*)*"
    found = re.search(rf"(?<![\w.>])({_PATH})\s*=\s*{cast}\(?\s*{cast}\w+->{word}\b", function.body)
    if found:
        name = found[1]
        number = re.search(rf"\b(?:__u64|u64|long|size_t|__u32|int)\s+(?:[^;]*,\s*)?{re.escape(name)}\b", function.body)
        return f"(long){name}" if number is not None else name
    param = re.search(r"\*\s*(?:const\s+)?(\w*end)\b", function.head)
    if param:
        return param[1]
    compared = re.search(r"[<>]=?\s*(?:\([^()]*\)\s*)?((?:\w+(?:->|\.))+\w*end)\b", function.body)
    if compared:
        return compared[1]
    for one in re.finditer(r"\bstruct\s+(\w+)\s*\*\s*(\w+)", function.head):
        fields = re.search(rf"\bstruct\s+{one[1]}\s*\{{([^{{}}]*)\}}", function.plain)
        field = re.search(r"\*\s*(\w*end)\s*;", fields[1]) if fields is not None else None
        if field is not None:
            return f"{one[2]}->{field[1]}"
    context = re.search(r"\bstruct\s+(?:xdp_md|__sk_buff|sk_msg_md|sk_reuseport_md)\s*\*\s*(\w+)", function.head)
    return f"(void *)(long){context[1]}->{word}" if context else None

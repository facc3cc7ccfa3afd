"""Indices and lengths in C that are not limited before they are used, or in another copy."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import checked, closing, fresh, functions, replace, split, visible
from bpfsmith.repair.c.ways import guarded
from bpfsmith.repair.report import NO_NEW_PATH, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Failing, Function
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]

_NAME = r"[A-Za-z_]\w*(?:(?:->|\.)\w+)*"
_FAR = 0x7FFF


def candidates(ground: Ground) -> Iterator[Candidate]:
    """`if (index >= N)` before the use, on the copy that is used."""
    for function in functions(ground):
        fails = function.failing()
        yield from _reserved(function)
        yield from _parts(function, fails)
        yield from _made(ground, function, fails)
        yield from _indices(ground, function, fails)
        yield from _lengths(ground, function, fails)
        yield from _steps(ground, function, fails)


def _reserved(function: Function) -> Iterator[Candidate]:
    """`sizeof(p)` of a pointer where the size of what it points to was meant."""
    for one in re.finditer(r"\bsizeof\s*\(\s*(\w+)\s*\)", function.body):
        if re.search(rf"\*\s*{one[1]}\b", function.head + function.body[: one.start()]):
            start, end = function.start + one.start(), function.start + one.end()
            said = f"the size of what `{one[1]}` points to, not of the pointer"
            yield Candidate("size", [replace(function, start, end, f"sizeof(*{one[1]})")], said, NO_NEW_PATH)


def _parts(function: Function, fails: Failing) -> Iterator[Candidate]:
    """`call(.., buffer + at, 16, ..)`: all of what is asked for must lie in the buffer."""
    first = function.first
    for call in re.finditer(r"\b(bpf_\w+)\s*\(", function.shown):
        close = closing(function.plain, first + call.end() - 1)
        given = split(function.text[first + call.end() : close])
        for number, word in enumerate(given[:-1]):
            part = re.fullmatch(rf"&?\s*({_NAME})\s*(?:\+\s*({_NAME})|\[\s*({_NAME})\s*\])", word)
            size = given[number + 1] if part is not None else ""
            if part is None or not re.fullmatch(r"\d+|[A-Z_0-9]+|sizeof\s*\(.*\)", size):
                continue
            index = part[2] or part[3]
            if not re.search(rf"\b{re.escape(part[1])}\s*\[", function.head + function.body):
                continue
            at = function.statement()
            said = f"go on only where {size} bytes from `{word}` lie in `{part[1]}`"
            condition = f"(unsigned long){index} > sizeof({part[1]}) - {size}"
            yield checked("bounds-check", guarded(function, at, [condition], fails, name=index), said, fails)
            edit = guarded(function, at, [condition], fails, [_barrier(index)], index)
            yield checked("bounds-check", edit, f"{said}, in the copy that is used", fails)


def _made(ground: Ground, function: Function, fails: Failing) -> Iterator[Candidate]:
    """A number that a pointer was made with, limited before it is added."""
    if ground.why.family not in ("V08", "V09", "V12"):
        return
    packet = _packet(ground)
    upto = function.first - function.start + len(function.shown)
    for pointer in dict.fromkeys(re.findall(r"\b[a-z_]\w*\b", function.shown)):
        for one in re.finditer(rf"(?<![\w.>]){pointer}\s*=[^=;]([^;]*?)\+\s*({_NAME})\s*[;,]", function.body[:upto]):
            name = one[2]
            if not _simple(name) or _pointer(function, name) or "." in name or "->" in name:
                continue
            at = function.holder(function.start + one.start()).start
            fails = function.failing_at(at)
            for limit in [str(_FAR)] if packet else _room(ground, function, one[1]):
                said = f"go on only while `{name}` is below {limit}, which packets can have"
                said = said if packet else f"go on only while `{name}` is below {limit}"
                condition = f"(unsigned long){name} >= {limit}"
                edit = guarded(function, at, [condition], fails, [_barrier(name)])
                if not packet:
                    yield checked("bounds-check", guarded(function, at, [condition], fails), said, fails)
                yield checked("bounds-check", edit, f"{said}, in the copy that is used", fails)
                # A number of 32 bits is compared as one: what is added has 64.
                whole = fresh(function, "whole")
                ahead = [f"unsigned long {whole} = {name};", _barrier(whole)]
                edit = guarded(function, at, [f"{whole} >= {limit}"], fails, ahead)
                put = replace(function, function.start + one.start(2), function.start + one.end(2), whole)
                yield checked("bounds-check", [*edit, put], f"{said}, as the number of 64 bits that is added", fails)


def _packet(ground: Ground) -> bool:
    """Whether it is the packet that is read."""
    told = f"{ground.why.message} {ground.cause.headline}"
    return ground.why.family == "V08" or (ground.why.family == "V12" and ("pkt" in told or "packet" in told))


def _room(ground: Ground, function: Function, made: str) -> list[str]:
    """How many bytes there are where a pointer is made from: an array's, a map value's."""
    found = re.findall(_NAME, made)
    out = []
    if found:
        base = found[-1]
        last = re.escape(re.split(r"->|\.", base)[-1])
        if re.search(rf"\b(?:char|__u8|u8)\s+{last}\s*\[", function.plain):
            out.append(f"sizeof({base})")
        value = looked_up(function.plain, base)
        out += [value] if value else []
    told = ground.operand("limit", "size", "value_size")
    return out or ([str(told)] if isinstance(told, int) and told > 0 else [])


def _simple(text: str) -> bool:
    return re.fullmatch(_NAME, text.strip()) is not None and not text.strip().isupper()


def _indices(ground: Ground, function: Function, fails: Failing) -> Iterator[Candidate]:
    """`a[i]`: N is what the array says of itself."""
    text, first = function.shown, function.first
    for one in re.finditer(rf"({_NAME}(?:\[[^\[\]]*\])?)\s*\[", text):
        close = closing(text, one.end() - 1)
        index = " ".join(text[one.end() : close].split())
        base = one[1]
        index = re.sub(r"^(\w+)\s*(?:\+\+|--)$", r"\1", index)
        if re.fullmatch(r"\d+|[A-Z_0-9]+|", index) or re.search(r"\+\+|--|[^=!<>]=(?!=)|\w\s*\(", index):
            continue
        at = function.statement(name=index)
        if not visible(function, index, at):
            continue
        said = f"go on only when `{index}` is below the number of `{base}`"
        simple = _simple(index)
        for limit in _counts(ground, function, base):
            wide = f"(unsigned long){index}" if simple else f"(unsigned long)({index})"
            conditions = [f"{index} >= {limit}", f"{wide} >= {limit}"] if simple else [f"{wide} >= {limit}"]
            if simple and re.search(rf"(?<![\w.>]){re.escape(index)}\s*>=?\s*\w", function.body):
                edit = guarded(function, at, [f"{index} < 0"], fails, name=index)
                yield checked("bounds-check", edit, f"go on only where `{index}` is not negative", fails)
            for condition in conditions:
                yield checked("bounds-check", guarded(function, at, [condition], fails, name=index), said, fails)
            copied = f"{said}, in the copy that is used"
            if simple and "." not in index and "->" not in index:
                edit = guarded(function, at, conditions[:1], fails, [_barrier(index)], index)
                yield checked("bounds-check", edit, copied, fails)
                edit = guarded(function, at, conditions[1:], fails, [_barrier(index)], index)
                yield checked("bounds-check", edit, copied, fails)
            if re.search(r"\+\+|--", text[one.end() : close]):
                continue
            local = fresh(function, "index")
            ahead = [f"unsigned long {local} = {index};", _barrier(local)]
            edit = guarded(function, at, [f"{local} >= {limit}"], fails, ahead, index)
            put = replace(function, first + one.end(), first + close, local)
            yield checked("bounds-check", [*edit, put], copied, fails)


def _counts(ground: Ground, function: Function, base: str) -> list[str]:
    """How many elements an array has: what is known of it, what it says of itself, what the map says of its value."""
    out = []
    told = ground.operand("count", "limit", "elements")
    if isinstance(told, int):
        out.append(str(told))
    if re.search(rf"\*\s*{re.escape(base)}\b", function.head + function.body):
        value = looked_up(function.plain, base)
        if value:
            out.append(value if value.isdigit() else f"{value} / sizeof({base}[0])")
    if not out or not re.search(rf"\*\s*{re.escape(base)}\b", function.head + function.body):
        out.append(f"sizeof({base}) / sizeof({base}[0])")
    return list(dict.fromkeys(out))


def _barrier(name: str) -> str:
    return f'asm volatile("" : "+r"({name}));'


def _lengths(ground: Ground, function: Function, fails: Failing) -> Iterator[Candidate]:
    """Arguments of the helper calls of a line that are numbers."""
    text = function.shown
    first = function.first
    at = function.statement()
    zero = "zero" in f"{ground.why.message} {ground.cause.headline}".lower()
    for one in re.finditer(r"\b(bpf_\w+)\s*\(", text):
        close = closing(function.plain, first + one.end() - 1)
        given = split(function.text[first + one.end() : close])
        numbers = [word for word in given if _simple(word) and not _pointer(function, word)]
        numbers = [word for word in numbers if visible(function, word, at)]
        wanted = ground.cause.variables
        numbers.sort(key=lambda word: word not in wanted)
        yield from _computed(ground, function, one[1], (first + one.end(), close), fails)
        for name in numbers[:2]:
            at = function.holder(first + one.start()).start
            for limit in _sizes(ground, function, [word for word in given if word != name]):
                said = f"call `{one[1]}` only with a length of at most {limit}"
                upper = f"{name} > {limit}"
                unsigned = f"(unsigned long){name} > {limit}"
                empty = f"{name} == 0"
                if zero:
                    yield checked(
                        "bounds-check", guarded(function, at, [empty], fails, name=name), f"{said}, above 0", fails
                    )
                yield checked("bounds-check", guarded(function, at, [unsigned], fails, name=name), said, fails)
                yield checked(
                    "bounds-check",
                    guarded(function, at, [f"{name} <= 0 || {upper}"], fails, name=name),
                    f"{said}, above 0",
                    fails,
                )
                for condition in (f"{name} <= 0 || {upper}", unsigned) if zero else (unsigned,):
                    edit = guarded(function, at, [condition], fails, [_barrier(name)], name)
                    yield checked("bounds-check", edit, f"{said}, in the copy that is used", fails)


def _computed(
    ground: Ground, function: Function, helper: str, where: tuple[int, int], fails: Failing
) -> Iterator[Candidate]:
    """A length that is computed where it is passed: it gets a name, and a limit."""
    given = split(function.plain[where[0] : where[1]])
    at = where[0]
    for word in given:
        start = function.plain.index(word, at)
        at = start + len(word)
        if not re.search(r"[-+*/%<>|]|\[|^\(", word) or re.search(
            r"\w\s*\(|&\s*\w|\+\+|--|^\(.*\*\)|->\w+$|sizeof", word
        ):
            continue
        if not re.search(r"[a-z]", word):
            continue
        for limit in _sizes(ground, function, [other for other in given if other != word]):
            local = fresh(function, "size")
            ahead = [f"unsigned long {local} = {' '.join(word.split())};", _barrier(local)]
            place = function.holder(where[0]).start
            said = f"call `{helper}` only with a length of at most {limit}"
            for condition in (f"{local} > {limit}", f"{local} == 0 || {local} > {limit}"):
                edit = guarded(function, place, [condition], fails, ahead)
                yield checked("bounds-check", [*edit, replace(function, start, at, local)], said, fails)


def looked_up(text: str, pointer: str) -> str:
    """The size of the map value that a pointer was looked up to; "" where it was not, or not in one map."""
    maps = set(re.findall(rf"\b{re.escape(pointer)}\s*=\s*bpf_map_lookup_elem\s*\(\s*&\s*(\w+)", text))
    if len(maps) != 1:
        return ""
    found = re.search(rf"\bstruct\s*\w*\s*\{{([^{{}}]*)\}}\s*{maps.pop()}\b", text)
    value = re.search(r"__type\s*\(\s*value\s*,\s*([^()]+?)\s*\)", found[1]) if found is not None else None
    if value is None:
        return ""
    count = re.fullmatch(r"(?:unsigned\s+)?(?:char|__u8|u8)\s*\[\s*(\w+)\s*\]", value[1])
    return count[1] if count is not None else f"sizeof({value[1]})"


def _sizes(ground: Ground, function: Function, buffers: list[str]) -> list[str]:
    out: list[str] = []
    told = ground.operand("limit", "size", "value_size", "mem_size", "max")
    if isinstance(told, int) and 0 < told < 1 << 29:
        out.append(str(told))
    for one in buffers:
        plain = one.strip()
        if re.fullmatch(_NAME, plain):
            last = re.escape(re.split(r"->|\.", plain)[-1])
            array = re.search(rf"\b\w+[ \t]+{last}\s*\[", function.plain)
            pointed = re.search(rf"\bstruct\s+\w+\s*\*\s*{re.escape(plain)}\b", function.body)
            if array:
                out.append(f"sizeof({plain})")
            elif pointed:
                out.append(f"sizeof(*{plain})")
            else:
                value = looked_up(function.plain, plain)
                out += [value] if value else []
    return list(dict.fromkeys(out))[:2]


def _steps(ground: Ground, function: Function, fails: Failing) -> Iterator[Candidate]:
    """A number that is added to a pointer: not huge, and not negative."""
    if ground.why.family not in ("V08", "V09", "V12", "V03"):
        return
    at = function.statement()
    told = ground.operand("limit", "count", "value_size", "size")
    limit = told if isinstance(told, int) and 0 < told < 1 << 29 else _FAR
    packet = _packet(ground)
    names = [one for one in re.findall(rf"[+]=?\s*({_NAME})\b(?!\s*[(\[])", function.shown) if _simple(one)]
    names += [one for one in ground.cause.variables if _simple(one) and not _pointer(function, one)]
    for name in dict.fromkeys(names):
        if _pointer(function, name) or not visible(function, name, at):
            continue
        if limit == _FAR and not packet:
            # No limit is known: what is compared with one already may still be negative.
            if re.search(rf"(?<![\w.>]){re.escape(name)}\s*>=?\s*\w", function.body):
                said = f"go on only where `{name}` is not negative"
                edit = guarded(function, at, [f"{name} < 0"], fails, name=name)
                yield checked("bounds-check", edit, said, fails)
            continue
        said = f"go on only while `{name}` is below {limit}"
        condition = f"(unsigned long){name} >= {limit}"
        yield checked("bounds-check", guarded(function, at, [condition], fails, name=name), said, fails)
        if "." not in name and "->" not in name:
            edit = guarded(function, at, [condition], fails, [_barrier(name)], name)
            yield checked("bounds-check", edit, f"{said}, in the copy that is used", fails)


def _pointer(function: Function, name: str) -> bool:
    """Whether a name is declared as a pointer or array, in the function or as its parameter."""
    last = re.escape(re.split(r"->|\.", name)[-1])
    # A field is declared where its struct is; a local of that name elsewhere says nothing of it.
    where = function.head + function.body if last == name else function.plain
    return re.search(rf"\*\s*{last}\b|\b{last}\s*\[", where) is not None or name in (
        "ctx",
        "skb",
    )

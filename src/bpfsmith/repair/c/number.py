"""Indices and lengths in C that are not limited before they are used, or in another copy."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import checked, closing, functions, guarded, replace, visible
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
        if fails is None:
            continue
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
    first = function.lines[function.line - 1]
    for call in re.finditer(r"\b(bpf_\w+)\s*\(", function.shown):
        close = closing(function.plain, first + call.end() - 1)
        given = _split(function.text[first + call.end() : close])
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
            yield checked("bounds-check", [guarded(function, at, [condition], fails)], said, fails)
            edit = guarded(function, at, [condition], fails, [_barrier(index)])
            yield checked("bounds-check", [edit], f"{said}, in the copy that is used", fails)


def _made(ground: Ground, function: Function, fails: Failing) -> Iterator[Candidate]:
    """A number that a packet pointer was made with, limited before it is added."""
    if ground.why.family not in ("V08", "V12"):
        return
    upto = function.lines[function.line - 1] - function.start
    for pointer in dict.fromkeys(re.findall(r"\b[a-z_]\w*\b", function.shown)):
        for one in re.finditer(rf"(?<![\w.>]){pointer}\s*=[^=;][^;]*?\+\s*({_NAME})\s*;", function.body[:upto]):
            name = one[1]
            if not _simple(name) or _pointer(function, name) or "." in name or "->" in name:
                continue
            line = function.text.count("\n", 0, function.start + one.start()) + 1
            at = function.statement(line)
            said = f"go on only while `{name}` is below {_FAR}, which packets can have"
            condition = f"(unsigned long){name} >= {_FAR}"
            edit = guarded(function, at, [condition], fails, [_barrier(name)])
            yield checked("bounds-check", [edit], f"{said}, in the copy that is used", fails)
            # A number of 32 bits is compared as one: what is added has 64.
            whole = "whole"
            if not re.search(rf"\b{whole}\b", function.text):
                ahead = [f"unsigned long {whole} = {name};", _barrier(whole)]
                edit = guarded(function, at, [f"{whole} >= {_FAR}"], fails, ahead)
                put = replace(function, function.start + one.start(1), function.start + one.end(1), whole)
                yield checked("bounds-check", [edit, put], f"{said}, as the number of 64 bits that is added", fails)


def _simple(text: str) -> bool:
    return re.fullmatch(_NAME, text.strip()) is not None and not text.strip().isupper()


def _indices(ground: Ground, function: Function, fails: Failing) -> Iterator[Candidate]:
    """`a[i]`: N is what the array says of itself."""
    text = function.shown
    first = function.lines[function.line - 1]
    at = function.statement()
    for one in re.finditer(rf"({_NAME})\s*\[", text):
        close = closing(function.plain, first + one.end() - 1)
        index = function.text[first + one.end() : close].strip()
        base = one[1]
        if re.fullmatch(r"\d+|[A-Z_0-9]+", index) or "++" in index or "(" in index:
            continue
        if not visible(function, index, at):
            continue
        limits = [f"sizeof({base}) / sizeof({base}[0])"]
        told = ground.operand("count", "limit", "elements")
        if isinstance(told, int):
            limits.insert(0, str(told))
        said = f"go on only when `{index}` is below the number of `{base}`"
        for limit in limits:
            condition = f"(unsigned long)({index}) >= {limit}" if not _simple(index) else f"{index} >= {limit}"
            yield checked("bounds-check", [guarded(function, at, [condition], fails)], said, fails)
            if _simple(index):
                signed = f"(unsigned long){index} >= {limit}"
                yield checked("bounds-check", [guarded(function, at, [signed], fails)], said, fails)
                if "." not in index and "->" not in index:
                    edit = guarded(function, at, [condition], fails, [_barrier(index)])
                    yield checked("bounds-check", [edit], f"{said}, in the copy that is used", fails)


def _barrier(name: str) -> str:
    return f'asm volatile("" : "+r"({name}));'


def _lengths(ground: Ground, function: Function, fails: Failing) -> Iterator[Candidate]:
    """Arguments of the helper calls of a line that are numbers."""
    text = function.shown
    first = function.lines[function.line - 1]
    at = function.statement()
    zero = "zero" in f"{ground.why.message} {ground.cause.headline}".lower()
    for one in re.finditer(r"\b(bpf_\w+)\s*\(", text):
        close = closing(function.plain, first + one.end() - 1)
        given = _split(function.text[first + one.end() : close])
        numbers = [word for word in given if _simple(word) and not _pointer(function, word)]
        numbers = [word for word in numbers if visible(function, word, at)]
        buffers = [word for word in given if word not in numbers]
        wanted = ground.cause.variables
        numbers.sort(key=lambda word: word not in wanted)
        for name in numbers[:2]:
            for limit in _sizes(ground, function, buffers):
                said = f"call `{one[1]}` only with a length of at most {limit}"
                upper = f"{name} > {limit}"
                unsigned = f"(unsigned long){name} > {limit}"
                empty = f"{name} == 0"
                if zero:
                    yield checked("bounds-check", [guarded(function, at, [empty], fails)], f"{said}, above 0", fails)
                yield checked("bounds-check", [guarded(function, at, [unsigned], fails)], said, fails)
                yield checked(
                    "bounds-check",
                    [guarded(function, at, [f"{name} <= 0 || {upper}"], fails)],
                    f"{said}, above 0",
                    fails,
                )
                for condition in (f"{name} <= 0 || {upper}", unsigned) if zero else (unsigned,):
                    edit = guarded(function, at, [condition], fails, [_barrier(name)])
                    yield checked("bounds-check", [edit], f"{said}, in the copy that is used", fails)


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
    names = [one for one in re.findall(rf"[+]=?\s*({_NAME})\b(?!\s*[(\[])", function.shown) if _simple(one)]
    names += [one for one in ground.cause.variables if _simple(one) and not _pointer(function, one)]
    for name in dict.fromkeys(names):
        if _pointer(function, name) or not visible(function, name, at):
            continue
        said = f"go on only while `{name}` is below {limit}"
        condition = f"(unsigned long){name} >= {limit}"
        yield checked("bounds-check", [guarded(function, at, [condition], fails)], said, fails)
        if "." not in name and "->" not in name:
            edit = guarded(function, at, [condition], fails, [_barrier(name)])
            yield checked("bounds-check", [edit], f"{said}, in the copy that is used", fails)


def _pointer(function: Function, name: str) -> bool:
    """Whether a name is declared as a pointer or array, in the function or as its parameter."""
    last = re.escape(re.split(r"->|\.", name)[-1])
    return re.search(rf"\*\s*{last}\b|\b{last}\s*\[", function.head + function.body) is not None or name in (
        "ctx",
        "skb",
    )


def _split(text: str) -> list[str]:
    out, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            out.append(text[start:at].strip())
            start = at + 1
    return [*out, text[start:].strip()]

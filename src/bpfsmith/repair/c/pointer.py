"""Null checks and packet bounds in C."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import checked, functions, guarded, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Failing, Function
    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate

__all__ = ["candidates", "end_of", "used"]

_USED = (
    re.compile(r"([A-Za-z_]\w*(?:(?:->|\.)\w+)*?)\s*->"),
    re.compile(r"\*\s*([A-Za-z_]\w*)\b(?!\s*[\)\*])"),
    re.compile(r"\*\s*\(\s*(?:const\s+|volatile\s+)*(?:struct\s+)?\w+\s*\*\s*\)\s*\(?\s*([A-Za-z_]\w*)\b"),
    re.compile(r"\b([A-Za-z_]\w*)\s*\["),
    re.compile(r"[(,]\s*&?\s*([A-Za-z_]\w*)\s*(?=[,)])"),
)
_WORDS = frozenset(
    {"sizeof", "return", "if", "struct", "int", "char", "void", "long", "unsigned", "const", "ctx", "skb"}
)


def used(function: Function) -> list[str]:
    """Names the line uses as pointers, those of the cause first."""
    text = function.shown
    found = [one[1] for pattern in _USED for one in pattern.finditer(text) if one[1] not in _WORDS]
    found = [one for one in dict.fromkeys(found) if "(" not in one and not one.isupper()]
    wanted = function.ground.cause.variables
    return sorted(found, key=lambda one: (one not in wanted, found.index(one)))


def candidates(ground: Ground) -> Iterator[Candidate]:
    """Tests right before the use: of the pointer itself where it may be null, of the packet's end where that counts."""
    packet = ground.why.family in ("V08", "V12") or "pkt" in _types(ground)
    for function in functions(ground):
        fails = function.failing()
        if fails is None:
            continue
        names = [one for one in used(function) if visible(function, one, function.statement())]
        if packet:
            yield from _ends(function, names, fails)
        if ground.why.family in ("V06", "V20", "") or not packet:
            for name in names[:3]:
                at = function.statement()
                edit = guarded(function, at, [f"!{name}"], fails)
                yield checked("null-check", [edit], f"return when `{name}` is null", fails)


def _types(ground: Ground) -> str:
    """The words of the message and headline: whether a packet is meant."""
    return f"{ground.why.message} {ground.cause.headline}"


def _ends(function: Function, names: list[str], fails: Failing) -> Iterator[Candidate]:
    end = end_of(function)
    if end is None:
        return
    at = function.statement()
    for name in names[:3]:
        if name == end:
            continue
        width = _width(function, name)
        indexed = re.search(rf"\b{re.escape(name)}\s*\[([^\[\]]+)\]", function.shown)
        if indexed is not None:
            condition = f"(void *)(&{name}[{indexed[1]}] + 1) > (void *){end}"
            said = f"compare the end of `{name}[{indexed[1]}]` with the end of the packet first"
            yield checked("bounds-check", [guarded(function, at, [condition], fails)], said, fails)
        condition = f"(void *)({name} + 1) > {end}" if width is None else f"(void *){name} + {width} > {end}"
        said = f"compare what is read through `{name}` with the end of the packet first"
        yield checked("bounds-check", [guarded(function, at, [condition], fails)], said, fails)


def _width(function: Function, name: str) -> str | None:
    """Of a `void *` or `char *`: the size of the type it is cast to on the line; None where its own type tells."""
    match = re.search(
        rf"\*\s*\(\s*((?:const\s+|volatile\s+)*(?:struct\s+)?\w+)\s*\*\s*\)\s*\(?\s*{re.escape(name)}\b([^;]*)",
        function.shown,
    )
    if match is None:
        return None
    step = re.match(r"\s*\+\s*(\w+)\s*\)", match[2])
    return f"{step[1]} + sizeof({match[1]})" if step else f"sizeof({match[1]})"


def end_of(function: Function) -> str | None:
    """What the packet's end is called in the function: a local, else the context's field."""
    meta = "data_meta" in function.shown or "meta" in function.ground.cause.headline
    word = "data" if meta else "data_end"
    found = re.search(
        rf"\b(\w+)\s*=\s*\(\s*(?:const\s+)?(?:void|char|__u8|unsigned char)\s*\*\s*\)\s*\(\s*\w+\s*\)\s*\w+->{word}\b",
        function.body,
    )
    if found:
        return found[1]
    param = re.search(r"\b(?:void|char)\s*\*\s*(\w*end)\b", function.head)
    if param:
        return param[1]
    context = re.search(r"\bstruct\s+(?:xdp_md|__sk_buff)\s*\*\s*(\w+)", function.head)
    return f"(void *)(long){context[1]}->{word}" if context else None

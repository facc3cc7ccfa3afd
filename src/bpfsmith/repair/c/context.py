"""Fields in C that this hook has under another name, is written as a whole, or that only helpers may touch."""

from __future__ import annotations

import re

from bpfsmith.repair.c.reader import closing, split
from bpfsmith.repair.c.text import fresh, functions, replace
from bpfsmith.repair.report import SAME_WORK, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Function
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]

# The address of a connection: a hook for one family has it in that family's field alone.
_FOUR = {"user_ip6[3]": "user_ip4", "msg_src_ip6[3]": "msg_src_ip4"}
_SIX = {"user_ip4": "user_ip6[3]", "msg_src_ip4": "msg_src_ip6[3]"}
_SMALL = {
    "__u8": 8,
    "u8": 8,
    "unsigned char": 8,
    "char": 8,
    "uint8_t": 8,
    "__u16": 16,
    "u16": 16,
    "__be16": 16,
    "uint16_t": 16,
}
# Fields of values that only helpers may touch.
_OWNED = re.compile(r"\bstruct\s+bpf_(?:timer|spin_lock|res_spin_lock|wq|list_head|rb_root|refcount|task_work)\b")


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The same bytes, as the hook lets them be accessed."""
    for function in functions(ground):
        yield from _family(ground, function)
        yield from _whole(function)
        yield from _around(function)


def _family(ground: Ground, function: Function) -> Iterator[Candidate]:
    section = re.match(r"cgroup/\w+?([46])$", ground.program.section)
    if section is None:
        return
    table = _FOUR if section[1] == "4" else _SIX
    first = function.first
    for field, other in table.items():
        pattern = re.escape(field).replace(r"\[", r"\s*\[\s*").replace(r"\]", r"\s*\]")
        for one in re.finditer(rf"->\s*({pattern})(?!\s*(?:=[^=]|\w))", function.shown):
            edit = replace(function, first + one.start(1), first + one.end(1), other)
            said = f"read `{other}`, the address in hooks for IPv{section[1]}"
            why = f"only what was refused is another: the one address of IPv{section[1]} there is, instead of `{field}`"
            yield Candidate("context", [edit], said, SAME_WORK, why=why)


def _whole(function: Function) -> Iterator[Candidate]:
    """Some bytes of a field that is written as a whole only: read, changed, and written back."""
    for node in function.own():
        text = function.plain[node.start : node.end]
        kinds = "|".join(re.escape(one) for one in _SMALL)
        direct = re.fullmatch(rf"\*\s*\(\s*({kinds})\s*\*\s*\)\s*&\s*(\w+->\w+)\s*=(?!=)\s*([^;]*);", text)
        indexed = re.fullmatch(r"(?:\*\s*(\w+)|(\w+)\s*\[\s*(\d+)\s*\])\s*=(?!=)\s*([^;]*);", text)
        kind = field = value = ""
        at = 0
        if direct is not None:
            kind, field, value = direct[1], direct[2], direct[3]
        elif indexed is not None:
            name = indexed[1] or indexed[2]
            made = re.search(
                rf"\b({kinds})\s*\*\s*{name}\s*=\s*\(\s*(?:{kinds})\s*\*\s*\)\s*&\s*(\w+->\w+)\s*;", function.body
            )
            if made is None:
                continue
            kind, field, value, at = made[1], made[2], indexed[4], int(indexed[3] or 0)
        bits = _SMALL.get(kind, 0)
        shift = at * bits
        if not bits or shift + bits > 32 or node.bare:
            continue
        whole = fresh(function, "whole")
        space = function.indent(node.start)
        mask = f"0x{((1 << bits) - 1) << shift:x}U"
        put = f"(__u32)({kind})({value.strip()})" + (f" << {shift}" if shift else "")
        lines = [
            f"__u32 {whole} = {field};",
            f'asm volatile("" : "+r"({whole}));',
            f"{field} = ({whole} & ~{mask}) | {put};",
        ]
        edit = replace(function, node.start, node.end, f"{function.eol}{space}".join(lines))
        said = f"write `{field}` as a whole, its other bytes as they were"
        yield Candidate(
            "split-write", [edit], said, SAME_WORK, why="the same bytes are written, the others as they were"
        )


_TYPED = re.compile(r"\s*(?:[A-Za-z_]\w*\s+)*[A-Za-z_]\w*(?:\s+|\s*(?=\*))(\**\s*\w+\s*(?:\[[^\]]*\]\s*)*)")
_MEMBER = re.compile(r"\**\s*(\w+)\s*(?:\[[^\]]*\]\s*)*")


def _members(fields: str) -> list[str]:
    """The names of a struct's fields, without those that only helpers may touch; none where one declaration is of a
    form that is not read here: leaving it out would leave its bytes as they were."""
    found = []
    for one in filter(str.strip, fields.split(";")):
        if _OWNED.search(one):
            continue
        first, *more = one.split(",")
        typed = _TYPED.fullmatch(first)
        names = [_MEMBER.fullmatch(part.strip()) for part in ([typed[1]] if typed else [""]) + more]
        if any(name is None for name in names):
            return []
        found += [name[1] for name in names if name is not None]
    return found


def _around(function: Function) -> Iterator[Candidate]:
    """A value that is cleared with what only helpers may touch in it: each other field by itself."""
    for node in function.own():
        text = function.plain[node.start : node.end]
        found = re.match(r"(?:__builtin_)?memset\s*\(", text)
        if found is None:
            continue
        given = split(text[found.end() : closing(text, found.end() - 1)])
        if len(given) != 3 or given[1] != "0" or not re.fullmatch(r"\w+", given[0]):
            continue
        name = given[0]
        typed = re.search(rf"\bstruct\s+(\w+)\s*\*\s*{name}\b", function.head + function.body)
        fields = re.search(rf"\bstruct\s+{typed[1]}\s*\{{([^{{}}]*)\}}", function.plain) if typed is not None else None
        if typed is None or fields is None or not _OWNED.search(fields[1]):
            continue
        if not re.fullmatch(rf"sizeof\s*\(?\s*(?:\*\s*{name}|struct\s+{typed[1]})\s*\)?", given[2]):
            continue
        words = _members(fields[1])
        lines = [f"__builtin_memset(&{name}->{word}, 0, sizeof({name}->{word}));" for word in words]
        if not lines or (node.bare and len(lines) > 1):
            continue
        space = function.indent(node.start)
        edit = replace(function, node.start, node.end, f"{function.eol}{space}".join(lines))
        said = f"clear the fields of `{name}` one by one, without what only helpers may touch"
        why = "the same bytes are cleared, but for those that no program may write"
        yield Candidate("split-write", [edit], said, SAME_WORK, why=why)

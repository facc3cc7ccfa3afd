"""A big local of C in a map instead of on the stack."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import fresh, functions, replace
from bpfsmith.repair.report import SAME_WORK, UNSURE_BRANCH, Candidate
from bpfsmith.verify.cause.names import literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Function
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]

_LEAST = 64  # bytes: a smaller local is none of the trouble
_LOCAL = re.compile(
    r"((?:(?:struct|union)\s+)?[A-Za-z_]\w*(?:\s+(?:char|int|long))?)\s+([A-Za-z_]\w*)\s*((?:\[[^\]]*\]\s*)*)(=\s*\{[^;]*\}|)\s*;"
)
_WIDTHS = {"char": 1, "__u8": 1, "u8": 1, "__u16": 2, "u16": 2, "short": 2, "int": 4, "__u32": 4, "u32": 4}


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The biggest locals of the functions on the way, in a per-CPU array of one element."""
    found: list[tuple[int, Function, re.Match[str], int]] = []
    seen = set()
    for function in functions(ground):
        if function.start in seen:
            continue
        seen.add(function.start)
        for node in function.top.walk():
            if node.kind != "plain":
                continue
            one = _LOCAL.fullmatch(function.plain[node.start : node.end])
            size = _bytes(function, one[1], one[3]) if one is not None else 0
            if one is not None and size >= _LEAST and "static" not in one[1]:
                found.append((size, function, one, node.start))
    found.sort(key=lambda row: -row[0])
    for _, function, one, start in found[:3]:
        made = _moved(function, one, start)
        if made is not None:
            yield made


def _bytes(function: Function, kind: str, dimensions: str) -> int:
    """About how large it is; 0 where that cannot be told."""
    size = _WIDTHS.get(kind.rsplit(maxsplit=1)[-1], 8)
    made = re.fullmatch(r"(struct|union)\s+(\w+)", kind)
    if made is not None:
        fields = re.search(rf"\b{made[1]}\s+{made[2]}\s*\{{([^{{}}]*)\}}", function.plain)
        size = 8
        if fields is not None:
            size = 0
            for field in fields[1].split(";"):
                one = re.match(r"\s*(.*?)(\s+|\s*\*[\s*]*)\w+\s*((?:\[[^\]]*\])*)\s*$", field, re.DOTALL)
                if one is not None and one[1]:
                    size += _bytes(function, "void" if "*" in one[2] else one[1].strip(), one[3])
    for one in re.findall(r"\[([^\]]*)\]", dimensions):
        size *= _number(function, one)
    return size


def _number(function: Function, text: str) -> int:
    word = text.strip()
    if word and not word[0].isdigit():
        found = re.search(rf"#[ \t]*define[ \t]+{re.escape(word)}[ \t]+\(?(0[xX][0-9a-fA-F]+|\d+)", function.text)
        word = found[1] if found is not None else ""
    number = literal(word)
    return 1 if number is None else number


def _moved(function: Function, one: re.Match[str], start: int) -> Candidate | None:
    kind, name, dimensions, value = one[1], one[2], one[3].strip(), one[4]
    fails = function.leaving()
    if value and not re.fullmatch(r"=\s*\{\s*0?\s*\}", value):
        return None
    if re.search(rf"\bstatic\b[^;]*\b{function.name}\b", function.head) and re.search(
        r"\bstruct\s+\w+\s*\*$", function.head
    ):
        return None
    held = fresh(function, f"{name}_room")
    table = fresh(function, f"{name}_rooms")
    local, key = fresh(function, "room"), fresh(function, "only")
    eol, space, tab = function.eol, function.indent(start), function.tab
    top = _top(function)
    before = (
        f"struct {held} {{{eol}{tab}{kind} {name}{dimensions};{eol}}};{eol}{eol}struct {{{eol}"
        f"{tab}__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);{eol}{tab}__uint(max_entries, 1);{eol}"
        f"{tab}__type(key, __u32);{eol}"
        f'{tab}__type(value, struct {held});{eol}}} {table} SEC(".maps");{eol}{eol}'
    )
    lines = [
        f"__u32 {key} = 0;",
        f"struct {held} *{local} = bpf_map_lookup_elem(&{table}, &{key});",
        f"if (!{local})",
        f"{tab}{fails.statement}",
    ]
    if value:
        lines.append(f"__builtin_memset(&{local}->{name}, 0, sizeof({local}->{name}));")
    edits = [
        replace(function, top, top, before),
        replace(function, start, start + len(one[0]), f"{eol}{space}".join(lines)),
    ]
    for use in re.finditer(rf"(?<![\w.>]){re.escape(name)}\b", function.body):
        at = function.start + use.start()
        if not start <= at < start + len(one[0]):
            edits.append(replace(function, at, at + len(name), f"{local}->{name}"))
    said = f"keep `{name}` in a per-CPU array of one element instead of on the stack"
    why = f"`{name}` has its room in a map of each processor; the only new way is the one where that is missing"
    shape = SAME_WORK if fails.certain else UNSURE_BRANCH
    return Candidate("per-cpu-scratch", edits, said, shape, fails.text, why)


def _top(function: Function) -> int:
    """Where what stands before a function is put: before its section too."""
    at = function.start - len(function.head)
    return function.lines[function.line_of(at) - 1]

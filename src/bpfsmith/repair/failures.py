"""Which branches of a C function tell what a check that fails returns there, by what they test.

A new test of null does as the tests of what the same helper gave, then as any other test of null; a new test of the
packet's end as the others of that end. A comparison of a field or number with a constant decides something; it is no
failure: `if (ip->protocol != IPPROTO_TCP) return XDP_PASS;` says nothing of a lookup that found nothing.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfsmith.repair.c.reader import Node

__all__ = [
    "BOUNDS",
    "ERROR",
    "FILTER",
    "LIMIT",
    "NULL",
    "TRIED",
    "Way",
    "agree",
    "deciding",
    "giver",
    "sorts",
    "value_of",
    "ways",
]  # fmt: skip

ERROR = "return -error"
NULL, BOUNDS, TRIED, LIMIT, FILTER = "null", "bounds", "tried", "limit", "filter"

# Calls whose result is 0 where they did what they should.
_TRIES = re.compile(
    r"\(?\s*bpf_(?:skb_(?:load|store|pull|change|adjust|vlan)\w*|xdp_(?:load|store|adjust)\w*|probe_read\w*"
    r"|get_current_comm|map_\w+_elem|dynptr_\w+|sock_ops_\w+|l[34]_csum_replace|clone_redirect|msg_\w+_data"
    r"|copy_from_user\w*)\s*\(.*",
    re.DOTALL,
)
_NAME = r"[A-Za-z_]\w*(?:\s*(?:->|\.)\s*\w+|\[[^\[\]]*\])*"
_LEAVES = ("return", "goto", "break", "continue")
_NEGATIVE = re.compile(r"return \(?-\s*\w+\)?")


class Way:
    """A branch that leaves: `sorts` of what it tests, the `givers` of the pointers it tests, `said` as it is written,
    `value` that is returned in the end; `node` is the statement that leaves."""

    __slots__ = ("givers", "node", "said", "sorts", "value")

    def __init__(self, node: Node, sorts: frozenset[str], givers: frozenset[str], said: str, value: str) -> None:
        self.node = node
        self.sorts = sorts
        self.givers = givers
        self.said = said
        self.value = value


def ways(
    top: Node, plain: str, start: int, end: int, *, but: Node | None = None, errors: bool = True
) -> list[Way]:  # fmt: skip
    """The branches in a part of a function that do nothing of weight but leave. `start`, `end`: of the function's body;
    `errors`: negative numbers all mean that something failed."""
    out = []
    for node in top.walk():
        if node.kind != "if" or node is but or node.head is None or not node.parts:
            continue
        leave = _last(node.parts[0])
        if leave is None or re.search(r"\bbpf_map_update_elem\s*\(", plain[node.parts[0].start : leave.start]):
            continue  # what is new is put in: nothing failed
        condition = plain[node.head[0] : node.head[1]]
        found, givers = sorts(condition, plain, start, node.start)
        if found:
            said = " ".join(plain[leave.start : leave.end].rstrip(";").split())
            value = value_of(said, plain, start, end, leave.start, errors=errors)
            out.append(Way(leave, found, givers, said, value))
    return out


def _last(node: Node) -> Node | None:
    if node.kind == "block":
        if not node.parts or len(node.parts) > 4:
            return None
        node = node.parts[-1]
    return node if node.kind in _LEAVES else None


def value_of(said: str, plain: str, start: int, end: int, at: int, *, errors: bool = True) -> str:
    """What leaving so returns in the end: behind a label too; as it is written where that cannot be told."""
    if said.startswith("goto "):
        label = said.partition(" ")[2]
        behind = re.search(rf"\b{re.escape(label)}\s*:(.*)", plain[start:end], re.DOTALL)
        told = re.search(r"\breturn\s+([^;]+);", behind[1]) if behind is not None else None
        if told is None:
            return said
        said = f"return {' '.join(told[1].split())}"
    name = re.fullmatch(r"return ([a-z_]\w*)", said)
    if name is not None:
        found = re.findall(rf"(?<![\w.>]){name[1]}\s*=(?!=)\s*([^;,]+)[;,]", plain[start:at])
        said = f"return {' '.join(found[-1].split())}" if found else said
    return ERROR if errors and _NEGATIVE.fullmatch(said) else said


def _split(condition: str) -> list[str]:
    """The parts of a condition between `&&` and `||`, each bare."""
    condition = condition.strip()
    out, depth, start, at = [], 0, 0, 0
    while at < len(condition):
        letter = condition[at]
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and condition.startswith(("&&", "||"), at):
            out.append(condition[start:at])
            start = at = at + 2
            continue
        at += 1
    out.append(condition[start:])
    if len(out) > 1:
        return [inner for one in out for inner in _split(one)]
    inner = re.fullmatch(r"(?:(?:un)?likely|__builtin_expect)?\s*\((.*)\)", condition, re.DOTALL)
    if inner is not None and _closed(inner[1]):
        return _split(inner[1])
    return [condition]


def _closed(text: str) -> bool:
    depth = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            return False
    return True


def sorts(condition: str, plain: str, start: int, at: int) -> tuple[frozenset[str], frozenset[str]]:
    """(what a condition tests, which functions gave the pointers among that)."""
    found: set[str] = set()
    givers: set[str] = set()
    for part in _split(condition):
        one, name = _sort(part, plain, start, at)
        if one:
            found.add(one)
        if one == NULL:
            givers.add(giver(name, plain, start, at))
    if len(found) > 1 or "&&" in condition:
        found.discard(FILTER)
    return frozenset(found), frozenset(givers - {""})


def _sort(part: str, plain: str, start: int, at: int) -> tuple[str, str]:  # noqa: PLR0911 - one return a form
    null = re.fullmatch(rf"!\s*\(?\s*({_NAME})\s*\)?|({_NAME})\s*==\s*(?:NULL|\(void\s*\*\)\s*0)", part)
    if null is not None:
        name = "".join((null[1] or null[2]).split())
        return (NULL if null[2] or _pointer(name, plain, start, at) else FILTER), name
    set_here = re.fullmatch(rf"!\s*\(\s*({_NAME})\s*=(?!=)(.*)\)", part, re.DOTALL)
    if set_here is not None:
        return NULL, "".join(set_here[1].split())
    filled = re.fullmatch(r"\w+\s*\(.*,\s*sizeof\s*\(?[^()]*\)?\s*\)", part, re.DOTALL)
    if filled is not None or (_TRIES.fullmatch(part) and "==" not in part):
        return TRIED, ""
    if re.match(r"!\s*\w+\s*\(", part):
        return TRIED, ""  # a function that looks said no
    compared = re.fullmatch(r"(.+?)\s*(==|!=|>=|<=|(?<!-)>(?!>)|<(?!<))\s*(.+)", part, re.DOTALL)
    if compared is None:
        return "", ""
    left, op, right = compared[1].strip(), compared[2], compared[3].strip()
    if op in ("==", "!="):
        if re.fullmatch(r"err\w*|ret|rc|res", left) and (op, right) == ("!=", "0"):
            return TRIED, ""
        return (FILTER if op == "!=" else ""), ""
    if any(re.search(r"\b(?:\w*_)?end\b|\b\w*end\b", one) for one in (left, right)):
        return BOUNDS, ""
    if op in ("<", "<=") and re.fullmatch(r"0|-\s*\w+", right):
        return TRIED, ""
    if op in ("<", "<=") and re.search(r"\bsizeof\b", right):
        return BOUNDS, ""
    if re.fullmatch(r"(?:\([\w\s]+\)\s*)?[A-Za-z_]\w*(?:\s*[-+*]\s*\w+)?", left) and (
        re.fullmatch(r"\d\w*|[A-Z_][A-Z0-9_]+", right) or "sizeof" in right
    ):
        return LIMIT, left
    return "", ""


def _pointer(name: str, plain: str, start: int, at: int) -> bool:
    """Whether a name is one of a pointer: given by a helper that gives pointers, or a local that is declared as no
    number; a field has to be declared as a pointer."""
    head = plain.rfind("}", 0, plain.rfind("{", 0, start + 1)) + 1
    said = plain[max(head, 0) : at]
    word = re.escape(name)
    if re.search(rf"\b{word}\s*=(?!=)[^;]*\b\w*(?:lookup|reserve|storage_get|sk_fullsock)\w*\s*\(", said):
        return True
    last = re.escape(re.split(r"->|\.", name)[-1])
    if last != word:
        return re.search(rf"\*\s*(?:const\s+)?{last}\s*[;,]", plain) is not None
    if re.search(rf"\*\s*(?:(?:const|volatile)\s+)?{word}\s*(?:[=;,)]|__attr)", said):
        return True
    number = r"\b(?:int|bool|_Bool|char|short|long|unsigned|signed|size_t|__?[usbl]e?\d+|[us]\d+)"
    return re.search(rf"{number}\s+(?:[^;{{}}*()]*,\s*)?{word}\b", said) is None


def giver(name: str, plain: str, start: int, at: int) -> str:
    """The function that gave a pointer last, before an offset."""
    found = re.findall(
        rf"(?<![\w.>]){re.escape(name)}\s*=(?!=)\s*(?:\([^()]*\*\s*\)\s*)?([A-Za-z_]\w*)\s*\(", plain[start:at]
    )
    return found[-1] if found else ""


def deciding(found: Sequence[Way], wanted: frozenset[str], givers: frozenset[str]) -> list[Way]:
    """Those that tell what a test of these sorts does when it fails: of the nearest kind that the function has."""
    if NULL in wanted:
        steps: tuple[tuple[str, ...], ...] = ((NULL,), (BOUNDS, TRIED))
        same = [one for one in found if one.givers & givers]
        if same:
            return same
    elif BOUNDS in wanted:
        steps = ((BOUNDS,), (NULL, TRIED))
    elif TRIED in wanted:
        steps = ((TRIED,), (NULL, BOUNDS))
    elif LIMIT in wanted:
        steps = ((LIMIT, BOUNDS), (NULL, TRIED))
    else:
        steps = ((NULL, BOUNDS, TRIED),)
    for step in steps:
        near = [one for one in found if one.sorts.intersection(step)]
        if near:
            return near
    return [one for one in found if one.value == ERROR]


def agree(found: Sequence[Way]) -> bool:
    """Whether all of them return the same."""
    return len({one.value for one in found}) <= 1

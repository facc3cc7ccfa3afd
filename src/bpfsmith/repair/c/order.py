"""Statements of C in another order: what is used before it is given back, what is called before a lock is taken."""

from __future__ import annotations

import re

from bpfsmith.repair.c.reader import closing
from bpfsmith.repair.c.text import before, fresh, functions, replace
from bpfsmith.repair.report import SAME_WORK, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Edit
    from bpfsmith.repair.c.reader import Node
    from bpfsmith.repair.c.text import Function
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]

_GIVES = re.compile(r"(bpf_\w*(?:submit|release|discard|drop|(?<!out)put|destroy)\w*)\s*\(\s*(&?\s*\w+)\s*[,)]")
_SECTION = re.compile(r"bpf_(?:rcu_read_unlock|spin_unlock|preempt_enable|local_irq_restore)\s*\(")
# Helpers that only look: what they give does not depend on whether a lock is held.
_LOOKS = re.compile(
    r"\bbpf_(?:ktime_get_\w+|get_current_\w+|get_smp_processor_id|jiffies64|get_prandom_u32|get_numa_node_id)\s*\(\s*\)"
)


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The release behind the last use; a clock that is read before the lock is taken; one release too many."""
    listed = list(functions(ground))
    done = set()
    for function in listed:
        yield from _locked(function)
        yield from _section(function)
        if function.start not in done:
            done.add(function.start)
            for node in function.top.walk():
                if node.kind == "plain":
                    yield from _used(function, node)
    for function in listed:
        yield from _twice(function)


def _gives(function: Function, node: Node) -> re.Match[str] | None:
    """The call of a statement that does nothing else than give something back."""
    text = function.plain[node.start : node.end]
    found = _GIVES.match(text)
    return found if found is not None and text[closing(text, text.index("(")) + 1 :].strip() == ";" else None


def _siblings(node: Node) -> list[Node]:
    if node.parent is None:
        return []
    own = node.parent.parts
    return own[own.index(node) + 1 :]


def _derived(function: Function, name: str) -> list[str]:
    """A name, and those that were made of it by a call or as a part of it."""
    out = [name]
    for one in re.finditer(r"(?<![\w.>])([A-Za-z_]\w*)\s*=(?!=)([^;]*);", function.body):
        word = rf"\b{re.escape(name)}\b"
        if one[1] not in out and re.search(word, one[2]) and re.search(rf"\*\s*{one[1]}\b", function.body):
            out.append(one[1])
    return out


def _used(function: Function, node: Node) -> Iterator[Candidate]:
    given = _gives(function, node)
    if given is None:
        return
    names = "|".join(re.escape(one) for one in _derived(function, given[2].lstrip("& ")))
    word = re.compile(rf"(?<![\w.>])(?:{names})\b")
    last: Node | None = None
    for one in _siblings(node):
        text = function.plain[one.start : one.end]
        if one.kind != "plain" or _GIVES.match(text):
            break
        last = one if word.search(text) else last
    said = f"use `{given[2]}` before `{given[1]}` gives it away"
    if last is not None:
        why = f"the same statements, `{given[1]}` after the last use of `{given[2]}`, with no way out between"
        yield Candidate("order", _behind(function, node, last), said, SAME_WORK, why=why)
    yield from _read(function, node, names, said, given[1])


def _behind(function: Function, node: Node, last: Node) -> list[Edit]:
    """A statement moved behind another of its block."""
    start = node.start
    end = node.end
    line = function.text.rfind("\n", 0, start) + 1
    if not function.text[line:start].strip() and function.text[end : end + len(function.eol)] == function.eol:
        start, end = line, end + len(function.eol)
    text = function.text[node.start : node.end]
    put = f"{function.eol}{function.indent(node.start)}{text}"
    return [replace(function, start, end, ""), replace(function, last.end, last.end, put)]


def _read(function: Function, node: Node, names: str, said: str, helper: str) -> Iterator[Candidate]:
    """What is only read of it later: read before."""
    reads: dict[str, list[tuple[int, int]]] = {}
    for one in _siblings(node):
        text = function.plain[one.start : one.end]
        if _GIVES.match(text):
            break
        for found in re.finditer(rf"(?<![\w.>&])(?:{names})\b(?:\s*(?:->|\.)\s*\w+)*", text):
            behind = text[found.end() :].lstrip()
            front = text[: found.start()].rstrip()
            if (
                "->" not in found[0]
                or re.match(r"=(?!=)|\+\+|--|[-+|&^*/%]=|\[|\(", behind)
                or front.endswith(("&", "++", "--"))
            ):
                return
            reads.setdefault("".join(found[0].split()), []).append((one.start + found.start(), one.start + found.end()))
    if not reads or len(reads) > 3:
        return
    lines, edits = [], []
    taken: set[str] = set()
    for path, places in reads.items():
        local = fresh(function, re.split(r"->|\.", path)[-1])
        while local in taken:
            local += "_"
        taken.add(local)
        lines.append(f"__auto_type {local} = {path};")
        edits += [replace(function, start, end, local) for start, end in places]
    why = f"what is read of it is read before `{helper}`, while it is there; nothing between changes it"
    yield Candidate("order", [*before(function, node.start, lines), *edits], said, SAME_WORK, why=why)


def _section(function: Function) -> Iterator[Candidate]:
    """A use right behind the end of the section it needs: the section ends behind it."""
    for node in function.own():
        if node.kind != "plain" or node.parent is None:
            continue
        own = node.parent.parts
        at = own.index(node)
        former = own[at - 1] if at else None
        if former is None or former.kind != "plain":
            continue
        text = function.plain[former.start : former.end]
        if _SECTION.match(text):
            helper = text[: text.index("(")].strip()
            said = f"end the section by `{helper}` behind this use"
            why = f"the same statements, `{helper}` after the one that needs the section"
            yield Candidate("order", _behind(function, former, node), said, SAME_WORK, why=why)


def _twice(function: Function) -> Iterator[Candidate]:
    """A release of what was given away before: taken out, here or where it was too early."""
    for node in function.own():
        text = function.plain[node.start : node.end]
        given = _gives(function, node) if node.kind == "plain" else None
        if given is None:
            continue
        name = given[2].lstrip("& ")
        said = f"give `{name}` back once"
        why = f"what `{name}` was had been given away already: one release of it is left on each way"
        yield Candidate("released-twice", [_out(function, node)], said, SAME_WORK, why=why)
        for other in function.top.walk():
            early = _gives(function, other) if other.kind == "plain" and other is not node else None
            if early is not None and early[1] == given[1] and early[2] == given[2] and "".join(text.split()):
                yield Candidate("released-twice", [_out(function, other)], said, SAME_WORK, why=why)


def _out(function: Function, node: Node) -> Edit:
    """Takes a statement out, with the branch that held nothing else."""
    whole = node
    while whole.parent is not None and (
        (whole.parent.kind == "if" and len(whole.parent.parts) == 1)
        or (whole.parent.kind == "block" and len(whole.parent.parts) == 1 and whole.parent.parent is not None
            and whole.parent.parent.kind == "if")
    ):  # fmt: skip
        if whole.parent.kind == "if" and whole.parent.head is not None:
            head = function.plain[slice(*whole.parent.head)]
            if re.search(r"\w\s*\(|(?<![=!<>])=(?!=)|\+\+|--", head):
                return replace(function, node.start, node.end, ";" if node.bare else "")
        whole = whole.parent
    if whole.kind == "block":
        whole = node
    start, end = whole.start, whole.end
    line = function.text.rfind("\n", 0, start) + 1
    if not function.text[line:start].strip() and function.text[end : end + len(function.eol)] == function.eol:
        start, end = line, end + len(function.eol)
    return replace(function, start, end, ";" if whole.bare else "")


def _locked(function: Function) -> Iterator[Candidate]:
    first = function.first
    lock = None
    for one in re.finditer(r"\bbpf_(?:res_)?spin_lock\s*\(", function.body):
        if function.start + one.start() < first:
            lock = one
    if lock is None:
        return
    for one in _LOOKS.finditer(function.shown):
        name = fresh(function, "now" if "ktime" in one[0] else "seen")
        place = function.holder(function.start + lock.start()).start
        if function.plain[place : place + len(lock[0])] != lock[0]:
            continue
        edits = [
            *before(function, place, [f"__u64 {name} = {one[0]};"]),
            replace(function, first + one.start(), first + one.end(), name),
        ]
        said = f"call `{one[0]}` before the lock is taken"
        why = f"`{one[0]}` only looks: taken a moment before the lock it is as right as a moment after"
        yield Candidate("order", edits, said, SAME_WORK, why=why)

"""References in C that are not given back on some way out."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import Function, before, functions
from bpfsmith.repair.report import NO_NEW_PATH, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Edit
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]

# What acquires -> what gives back on a failing way.
_PAIRS = {
    "bpf_ringbuf_reserve": "bpf_ringbuf_discard({0}, 0);",
    "bpf_sk_lookup_tcp": "bpf_sk_release({0});",
    "bpf_sk_lookup_udp": "bpf_sk_release({0});",
    "bpf_skc_lookup_tcp": "bpf_sk_release({0});",
    "bpf_task_from_pid": "bpf_task_release({0});",
    "bpf_task_acquire": "bpf_task_release({0});",
    "bpf_cgroup_from_id": "bpf_cgroup_release({0});",
}
# Sections: what opens one -> what closes it, on the same operand.
_SECTIONS = {
    "bpf_spin_lock": "bpf_spin_unlock",
    "bpf_rcu_read_lock": "bpf_rcu_read_unlock",
    "bpf_preempt_disable": "bpf_preempt_enable",
}


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The release before each `return` between acquiring and the next release."""
    done = set()
    for function in functions(ground):
        if function.name in done:
            continue
        done.add(function.name)
        for opens, closes in _SECTIONS.items():
            for one in re.finditer(rf"\b{opens}\s*\(([^()]*)\)", function.body):
                yield from _returns(function, one[1].strip() or opens, one.end(), f"{closes}({one[1].strip()});")
        yield from _twice(function)
        for helper, text in _PAIRS.items():
            for one in re.finditer(rf"\b([A-Za-z_]\w*)\s*=\s*(?:\([^()]*\)\s*)?{helper}\s*\(", function.body):
                yield from _returns(function, one[1], one.end(), text.format(one[1]))


def _twice(function: Function) -> Iterator[Candidate]:
    """An iterator that is begun again before it was ended: ended first."""
    begun: dict[str, str] = {}
    for one in re.finditer(r"\bbpf_iter_(\w+?)_(new|destroy)\s*\(\s*(&?\s*\w+)", function.body):
        name = one[3]
        if one[2] == "destroy":
            begun.pop(name, None)
        elif name in begun and f"bpf_iter_{one[1]}_destroy" in function.plain:
            line = function.text.count("\n", 0, function.start + one.start()) + 1
            edit = before(function, function.statement(line), [f"bpf_iter_{one[1]}_destroy({name});"])
            said = f"end the iterator `{name}` before it is begun again"
            yield Candidate("release", [edit], said, NO_NEW_PATH)
        else:
            begun[name] = one[1]


def _returns(function: Function, name: str, start: int, release: str) -> Iterator[Candidate]:
    helper = release.partition("(")[0]
    found = []
    for one in re.finditer(r"\breturn\b[^;]*;", function.body):
        if one.start() < start:
            continue
        # The null check's own way out has nothing to give back.
        head = function.body[max(0, one.start() - 200) : one.start()]
        plain = re.escape(name)
        if re.search(rf"if\s*\(\s*(?:!\s*{plain}|{plain}\s*==\s*NULL)\s*\)\s*\{{?\s*$", head):
            continue
        given = re.search(rf"\b(?:\w*(?:release|discard|submit)\w*\s*\(\s*{plain}|{helper}\s*\()[^;]*;\s*$", head)
        if not given:
            found.append(one)
    said = f"give `{name}` back by `{helper}` before the way out that forgets it"
    for chosen in [*([one] for one in found), found] if len(found) > 1 else [found]:
        if chosen:
            edits = [_put(function, one.start(), release) for one in chosen]
            yield Candidate("release", edits, said, NO_NEW_PATH)


def _put(function: Function, at: int, release: str) -> Edit:
    """Before a `return`; with braces where it is the only statement of a branch."""
    from bpfsmith.repair.c.text import replace

    offset = function.start + at
    head = function.plain[:offset].rstrip()
    if head.endswith((")", "else")):
        end = function.plain.find(";", offset) + 1
        space = function.indent(offset)
        outer = space[:-1] if space.endswith("\t") else space[: max(0, len(space) - 4)]
        text = f"{{\n{space}{release}\n{space}{function.text[offset:end]}\n{outer}}}"
        start = len(head) + 1 if function.text[len(head) : len(head) + 1].isspace() else len(head)
        return replace(function, start - 1 if function.text[start - 1].isspace() else start, end, f" {text}")
    return before(function, offset, [release])

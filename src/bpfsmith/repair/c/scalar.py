"""Kernel and user memory in C is read by helpers, not directly."""

from __future__ import annotations

import re

from bpfsmith.repair.c.text import before, checked, fresh, functions, replace
from bpfsmith.repair.c.ways import reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Failing, Function
    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate

__all__ = ["candidates"]

_NONE = frozenset({"xdp", "sched_cls", "sched_act", "socket_filter", "cgroup_skb", "sk_msg", "sk_skb"})
_READS = (
    re.compile(r"(?<![\w&>.])([A-Za-z_]\w*->\w+\b(?:\.\w+\b)*)(?!\s*(?:\(|\[|\.|=[^=]|\+\+|--|[-+|&^]=))"),
    re.compile(r"(?<![\w)])(\*\s*[A-Za-z_]\w*)\b(?!\s*(?:[)*,]|=[^=]|\w))"),
    re.compile(r"(?<![\w&>.])([A-Za-z_]\w*\[[^\[\]]+\])(?!\s*(?:=[^=]|\+\+|--|[-+|&^]=))"),
)
_CONTEXTS = ("ctx", "skb", "xdp")


def candidates(ground: Ground) -> Iterator[Candidate]:
    """`bpf_probe_read_kernel` (or `_user`) into a local, which is used instead."""
    if (ground.program.type or "") in _NONE:
        return
    section = ground.program.section
    user = any(word in section for word in ("uprobe", "uretprobe", "usdt", "syscalls/sys_enter"))
    helper = "bpf_probe_read_user" if user else "bpf_probe_read_kernel"
    for function in functions(ground):
        fails = function.failing()
        yield from _read(function, helper, fails)


def _read(function: Function, helper: str, fails: Failing) -> Iterator[Candidate]:
    first = function.first
    at = function.statement()
    if re.match(r"\s*(?:const\s+|struct\s+)*\w+[\s*]+\w+(?:\s*\[\w*\])?\s*;", function.plain[at:]):
        return
    for pattern in _READS:
        for one in pattern.finditer(function.shown):
            text = one[1]
            if (
                text.startswith(_CONTEXTS)
                or "*" in function.shown[: one.start(1)].split("=")[0].rpartition(";")[2][-2:]
            ):
                continue
            name = fresh(function, "value")
            pointer = text[1:].strip() if text.startswith("*") else f"&{text}"
            reach = reached(function, at, text.lstrip("* ").split("->")[0].split("[")[0])
            lines = [f"__typeof__({text}) {name};", f"if ({helper}(&{name}, sizeof({name}), {pointer}))"]
            if reach:
                lines = [f"__typeof__({text}) {name} = 0;", f"if ({reach} && {lines[1][4:-1]})"]
            edits = [
                *before(function, at, [*lines, f"{function.tab}{fails.statement}"]),
                replace(function, first + one.start(1), first + one.end(1), name),
            ]
            yield checked("probe-read", edits, f"read `{text}` by `{helper}`", fails)

"""Which functions of a kernel crate run for every packet, or for every event of a busy hook."""

from __future__ import annotations

import re

from bpfsmith.source.calls import graph
from bpfsmith.source.rust import Expr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.calls import Program
    from bpfsmith.source.rust import Item

__all__ = ["PACKET", "Hot", "always", "hot", "main_path"]

# Macros whose programs the network stack runs once a packet or message.
PACKET = frozenset(
    {
        *("xdp", "classifier", "cgroup_skb", "socket_filter", "sk_skb", "stream_parser", "stream_verdict", "sk_msg"),
        *("flow_dissector", "sk_lookup"),
    }
)
# Tracepoints that fire from thousands to millions of times a second on any machine that does something.
_BUSY = frozenset(
    {
        *("sched_switch", "sched_wakeup", "sched_waking", "sched_stat_runtime", "sys_enter", "sys_exit"),
        *("net_dev_queue", "net_dev_xmit", "net_dev_start_xmit", "netif_receive_skb", "napi_poll", "kfree_skb"),
        *("consume_skb", "kmalloc", "kfree", "kmem_cache_alloc", "kmem_cache_free", "mm_page_alloc", "mm_page_free"),
        *("page_fault_user", "page_fault_kernel", "irq_handler_entry", "irq_handler_exit", "softirq_entry"),
        *("softirq_exit", "softirq_raise", "timer_start", "hrtimer_start", "tcp_probe", "lock_acquire"),
    }
)
_TRACING = frozenset({"raw_tracepoint", "btf_tracepoint", "tracepoint"})
_NAME = re.compile(r'\b(?:tracepoint|function|name)\s*=\s*"(\w+)"')


class Hot:
    """`program` runs `what`: `for every packet`, `at every sched_switch`."""

    __slots__ = ("packet", "program", "what")

    def __init__(self, program: Program, what: str, packet: bool) -> None:
        self.program = program
        self.what = what
        self.packet = packet

    @property
    def name(self) -> str:
        return str(self.program.item.name)


def hot(item: Item | None) -> Hot | None:
    """How often a function runs, when a program that runs for every packet or busy event certainly calls it."""
    if item is None or item.kind != "fn" or item.file.crate is None:
        return None
    for program in graph(item.file.crate, item.file).programs_of(item):
        if program.macro in PACKET:
            return Hot(program, "for every packet", packet=True)
        if program.macro in _TRACING:
            found = _NAME.search(program.attr.args)
            if found is not None and found[1] in _BUSY:
                return Hot(program, f"at every {found[1]}", packet=False)
    return None


def main_path(expr: Expr) -> bool:
    """Whether a function evaluates this whenever it gets that far: in no branch, loop or closure of its own."""
    child = expr
    for at in expr.ancestors():
        if at.kind in ("closure", "loop", "while", "for"):
            return False
        if at.kind in ("if", "match") and at.file.expr(at.fields[0]) != child:
            return False
        if at.kind == "binary" and at.op in ("&&", "||") and at.operands[1] == child:
            return False
        if at.kind == "block":
            for let in at.lets:  # `let .. else { here }`
                if let.other is not None and let.other == child:
                    return False
        child = at
    return True


# Conditions that most packets pass: long enough, IPv4, TCP, and what was asked for is there.
_USUAL = re.compile(r"\b(?:data_)?end\b|_end\b|\blen|eth|ETH_|(?i:tcp)|is_null|is_none|is_err")


def _filtered(expr: Expr) -> bool:
    """Whether an earlier statement of the function lets packets go: `if port != 53 { return .. }`."""
    for above in expr.ancestors():
        if above.kind != "block":
            continue
        for before in above.statements:
            if before.start >= expr.start:
                break
            if isinstance(before, Expr) and before.kind == "if" and _lets_go(before):
                return True
    return False


def _lets_go(expr: Expr) -> bool:
    condition = expr.file.expr(expr.fields[0])
    if condition is None or _USUAL.search(condition.text):
        return False
    return any(one.kind == "return" for one in expr.within())


def always(expr: Expr) -> Hot | None:
    """As `hot`, when the program gets to the expression on its main path, through calls that are on theirs."""
    item = expr.item
    if item is None or item.kind != "fn" or item.file.crate is None or not main_path(expr) or _filtered(expr):
        return None
    calls = graph(item.file.crate, item.file)
    seen = set()
    todo = [item]
    while todo:
        at = todo.pop()
        place = (at.file.path, at.id)
        if place in seen:
            continue
        seen.add(place)
        for program in calls.programs:
            if program.item is at or (program.item.id == at.id and program.item.file is at.file):
                return hot(at)
        todo.extend(call.caller for call in calls.calls_to(at) if main_path(call.expr) and not _filtered(call.expr))
    return None

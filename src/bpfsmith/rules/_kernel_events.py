"""The fields of a tracepoint's record: from the format file of the running kernel, else from the struct in BTF."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.rules._kernel_types import Types

__all__ = ["Field", "Record", "record"]

_FORMAT = re.compile(r"field:(?P<text>[^;]+);\s*offset:(?P<at>\d+);\s*size:(?P<size>\d+);\s*signed:(?P<signed>\d)")
_COMMON = 8  # what each record begins with
# Class -> its events: a record is that of the class (DECLARE_EVENT_CLASS, DEFINE_EVENT in include/trace/events).
_CLASSES = {
    "sched_wakeup_template": ("sched_waking", "sched_wakeup", "sched_wakeup_new"),
    "sched_process_template": ("sched_process_free", "sched_process_exit", "sched_wait_task"),
    "sched_stat_template": ("sched_stat_wait", "sched_stat_sleep", "sched_stat_iowait", "sched_stat_blocked"),
    "block_rq": ("block_rq_insert", "block_rq_issue", "block_rq_merge"),
    "block_rq_completion": ("block_rq_complete", "block_rq_error"),
    "block_bio": ("block_bio_bounce", "block_bio_backmerge", "block_bio_frontmerge", "block_bio_queue", "block_getrq"),
    "net_dev_template": ("net_dev_queue", "netif_receive_skb", "netif_rx"),
    "net_dev_rx_verbose_template": ("napi_gro_frags_entry", "napi_gro_receive_entry", "netif_receive_skb_entry"),
    "tcp_event_sk": ("tcp_destroy_sock", "tcp_rcv_space_adjust", "tcp_receive_reset"),
    "tcp_event_sk_skb": ("tcp_retransmit_skb", "tcp_send_reset"),
    "softirq": ("softirq_entry", "softirq_exit", "softirq_raise"),
    "cpu": ("cpu_idle", "cpu_frequency"),
    "kmem_alloc": ("kmalloc", "kmem_cache_alloc"),
    "kmem_alloc_node": ("kmalloc_node", "kmem_cache_alloc_node"),
    "x86_exceptions": ("page_fault_user", "page_fault_kernel"),
    "exceptions": ("page_fault_user", "page_fault_kernel"),
}


class Field:
    """`dynamic` for what holds only where the data is (`__data_loc`), `element` the size of one of an array."""

    __slots__ = ("dynamic", "element", "name", "offset", "size", "text")

    def __init__(self, name: str, offset: int, size: int, text: str, element: int = 0, dynamic: bool = False) -> None:
        self.name = name
        self.offset = offset
        self.size = size
        self.text = text
        self.element = element or size
        self.dynamic = dynamic

    @property
    def end(self) -> int:
        return self.offset + self.size


class Record:
    """`fields` without the common ones, in order; `end` is where what is known ends, `open` says that data follows."""

    __slots__ = ("fields", "open", "types")

    def __init__(self, types: Types, fields: list[Field], open_: bool) -> None:
        self.types = types
        self.fields = sorted(fields, key=lambda one: one.offset)
        self.open = open_

    @property
    def end(self) -> int:
        return max((one.end for one in self.fields), default=_COMMON)

    def at(self, offset: int) -> Field | None:
        """The field that covers an offset."""
        return next((one for one in self.fields if one.offset <= offset < one.end), None)

    def named(self, name: str) -> Field | None:
        return next((one for one in self.fields if one.name == name), None)


def record(types: Types, category: str, event: str) -> Record | None:
    """The record of a tracepoint; None where the kernel has none of the name, or it cannot be told which it is."""
    if types.live:
        told = _format(category, event)
        if told is not None:
            return Record(types, told, any(one.dynamic for one in told))
    if category == "syscalls":
        return _syscall(types, event)
    for name in (event, *(of for of, events in _CLASSES.items() if event in events)):
        found = types.struct(f"trace_event_raw_{name}")
        if found is not None:
            return _of_struct(types, found)
    return None


def _syscall(types: Types, event: str) -> Record | None:
    """System calls have records of their own: each argument takes 8 bytes, whatever its type."""
    number = Field("__syscall_nr", 8, 8, "long __syscall_nr")
    if event.startswith("sys_enter_"):
        args = [Field(f"args[{at}]", 16 + 8 * at, 8, f"unsigned long args[{at}]") for at in range(6)]
        return Record(types, [number, *args], False)
    if event.startswith("sys_exit_"):
        return Record(types, [number, Field("ret", 16, 8, "long ret")], False)
    return None


def _of_struct(types: Types, found: int) -> Record | None:
    fields = []
    rest = False
    for name, offset, size, at in types.members(found):
        if name == "ent":
            if size != _COMMON:
                return None
            continue
        if name == "__data":
            rest = True
            continue
        if not size or not name:
            return None
        dynamic = name.startswith(("__data_loc_", "__rel_loc_"))
        fields.append(Field(name, offset, size, types.declared(at, name), types.element_size(at), dynamic))
    return Record(types, fields, rest and any(one.dynamic for one in fields))


def _format(category: str, event: str) -> list[Field] | None:
    """The format file, which root may read."""
    if not (category.replace("-", "_").isidentifier() and event.replace("-", "_").isidentifier()):
        return None
    for base in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
        try:
            with open(f"{base}/events/{category}/{event}/format", encoding="utf-8", errors="replace") as file:
                return _parsed(file.read())
        except OSError:
            continue
    return None


def _parsed(text: str) -> list[Field]:
    """The fields after the common ones: `field:char comm[16]; offset:8; size:16; signed:0;`."""
    out = []
    for match in _FORMAT.finditer(text):
        declared, size = match["text"].strip(), int(match["size"])
        if int(match["at"]) < _COMMON:
            continue
        dynamic = declared.startswith(("__data_loc", "__rel_loc"))
        head, bracket, count = declared.partition("[")
        name = head.split()[-1].lstrip("*")
        if dynamic:
            name = f"__data_loc_{declared.split()[-1]}"
        elements = count.partition("]")[0]
        element = size // int(elements) if bracket and elements.isdigit() and int(elements) else size
        out.append(Field(name, int(match["at"]), size, declared, element, dynamic))
    return out

"""Kernel side, gone or changed with aya-ebpf 0.3."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import borrow, display
from bpfsmith.rules.moves._match import Call, FieldOf
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import by_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ROWS"]

_KEYED = {"insert": (0, 1), "get": (0,), "get_ptr": (0,), "get_ptr_mut": (0,), "remove": (0,)}
# Map type -> method -> which arguments are references now.
_BY_REFERENCE: dict[str, dict[str, tuple[int, ...]]] = {
    **dict.fromkeys(("HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap", "LpmTrie"), _KEYED),
    "Array": {"set": (1,)},
    "Queue": {"push": (0,)},
    "Stack": {"push": (0,)},
    "BloomFilter": {"insert": (0,), "contains": (0,)},
}
_OUTPUT: dict[str, dict[str, tuple[int, ...]]] = {
    "RingBuf": {"output": (0,)},
    "PerfEventArray": {"output": (1,), "output_at_index": (2,)},
}


def _maps(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"aya_ebpf::{module}::{name}" for module in ("maps", "btf_maps") for name in names)


ROWS = (
    Row(
        "AYA301",
        "kernel-map-argument-by-value",
        "Kernel-side maps take keys and values by reference since aya-ebpf 0.3.",
        item="kernel map arguments by value",
        side="kernel",
        crate="aya-ebpf",
        last="0.2.1",
        first="0.3.0",
        replacement="references",
        match=Call(
            "insert",
            "get",
            "get_ptr",
            "get_ptr_mut",
            "remove",
            "set",
            "push",
            "contains",
            on=_maps(_BY_REFERENCE),
            more=by_values(_BY_REFERENCE),
        ),
        edits=(borrow("pass references"),),
        message="`{type}::{name}` takes its key and value by reference since aya-ebpf 0.3",
        found="Finds `insert`, `get`, `get_ptr`, `get_ptr_mut`, `remove`, `set`, `push` and `contains` on a map of "
        "aya-ebpf 0.3.0 or newer whose key or value is certainly no reference.",
        why="It does not compile (E0308). aya-ebpf 0.2 took anything that borrows, earlier and later ones take "
        "references.",
        old="FLOWS.insert(key, 1, 0)?;",
        new="FLOWS.insert(&key, &1, 0)?;",
        fix="Safe: adds `&`; the form with references compiles with older releases too.",
        source="aya-ebpf 0.3.0, `src/maps/`, `src/btf_maps/`; compiled with 0.2.1 and 0.3.",
    ),
    Row(
        "AYA302",
        "kernel-output-by-value",
        "`RingBuf::output` and `PerfEventArray::output` take a reference since aya-ebpf 0.3.",
        item="output(value, flags) of ring buffers and perf event arrays",
        side="kernel",
        crate="aya-ebpf",
        last="0.2.1",
        first="0.3.0",
        replacement="output(&value, flags)",
        match=Call("output", "output_at_index", on=_maps(_OUTPUT), more=by_values(_OUTPUT)),
        edits=(borrow("pass a reference"),),
        message="`{type}::{name}` takes its value by reference since aya-ebpf 0.3",
        found="Finds `output` and `output_at_index` on a ring buffer or perf event array of aya-ebpf 0.3.0 or newer"
        " whose value is certainly no reference.",
        why='It does not compile: "expected `&u64`, found `u64`".',
        old="EVENTS.output(&ctx, event, 0);",
        new="EVENTS.output(&ctx, &event, 0);",
        fix="Safe: adds `&`.",
        source="aya-ebpf 0.3.0, `src/maps/ring_buf.rs`, `src/maps/perf/`; compiled with 0.2.1 and 0.3.",
    ),
    Row(
        "AYA303",
        "raw-skb-private",
        "The raw `__sk_buff` behind a context is private since aya-ebpf 0.3.",
        item="the field SkBuff::skb",
        side="kernel",
        crate="aya-ebpf",
        last="0.2.1",
        first="0.3.0",
        replacement="as_ptr().cast::<__sk_buff>()",
        match=FieldOf("skb.skb", on=("aya_ebpf::programs::TcContext", "aya_ebpf::programs::SkBuffContext")),
        edits=(display("use an accessor, or `ctx.as_ptr().cast::<__sk_buff>()` with `EbpfContext` in scope"),),
        message="the raw `__sk_buff` of a context is private since aya-ebpf 0.3",
        found="Finds `ctx.skb.skb` on a `TcContext` or `SkBuffContext` where aya-ebpf is 0.3.0 or newer.",
        why='It does not compile: "field `skb` of struct `SkBuff` is private".',
        old="let mark = unsafe { (*ctx.skb.skb).mark };",
        new="let mark = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).mark };",
        fix="Display: use an accessor, or `ctx.as_ptr().cast::<__sk_buff>()` with `EbpfContext` in scope.",
        source="aya-ebpf 0.3.0, `src/programs/sk_buff.rs`; compiled with 0.2.1 and 0.3.",
    ),
)

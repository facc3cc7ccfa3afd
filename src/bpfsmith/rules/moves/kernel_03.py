"""Kernel side, gone or changed with aya-ebpf 0.3."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import borrow, display, wrap
from bpfsmith.rules.moves._edit_items import unwrap_block
from bpfsmith.rules.moves._edit_kernel import borrow_mut, size_parameter
from bpfsmith.rules.moves._match import Any, Call, FieldOf, Name, Unsafe
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import by_values, lacks_size, raw_pointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ROWS"]

_KEYED = {"insert": (0, 1), "get": (0,), "get_ptr": (0,), "get_ptr_mut": (0,), "remove": (0,)}
# Map type -> method -> which arguments are references now.
_BY_REFERENCE: dict[str, dict[str, tuple[int, ...]]] = {
    **dict.fromkeys(("HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap", "LpmTrie"), _KEYED),
    "Array": {"set": (1,)},
    "PerCpuArray": {"set": (1,)},
    "Queue": {"push": (0,)},
    "Stack": {"push": (0,)},
    "BloomFilter": {"insert": (0,), "contains": (0,)},
}
_OUTPUT: dict[str, dict[str, tuple[int, ...]]] = {
    "RingBuf": {"output": (0,)},
    "PerfEventArray": {"output": (1,), "output_at_index": (2,)},
}

_SOCK_HASH: dict[str, dict[str, tuple[int, ...]]] = {
    "SockHash": {"update": (0,), "redirect_msg": (1,), "redirect_skb": (1,)},
}
_STORAGES = ("CgrpStorage", "InodeStorage", "SkStorage")


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
    Row(
        "AYA304",
        "context-of-raw-pointer",
        "Contexts of socket buffers are made of a `NonNull` since aya-ebpf 0.3.",
        item="TcContext::new, SkBuffContext::new, FlowDissectorContext::new(*mut __sk_buff)",
        side="kernel",
        crate="aya-ebpf",
        last="0.2.1",
        first="0.3.0",
        replacement="new(NonNull<__sk_buff>)",
        match=Call(
            fn=tuple(
                f"aya_ebpf::programs::{name}::new" for name in ("TcContext", "SkBuffContext", "FlowDissectorContext")
            ),
            args=1,
            where=raw_pointer,
            show=0,
        ),
        edits=(wrap(0, "unsafe { core::ptr::NonNull::new_unchecked(", ") }", "unsafe"),),
        message="`{type}::new` takes a `NonNull<__sk_buff>` since aya-ebpf 0.3, not a raw pointer",
        found="Finds `new` of `TcContext`, `SkBuffContext` and `FlowDissectorContext` given a `*mut` where aya-ebpf "
        "is 0.3.0 "
        "or newer.",
        why="It does not compile (E0308). The kernel never passes null, and the type says so now.",
        old="let ctx = TcContext::new(skb);",
        new="let ctx = TcContext::new(NonNull::new(skb)?);",
        fix="Unsafe: `new_unchecked`, which is right for what the kernel passes and for nothing else.",
        source="aya-ebpf 0.2.1 and 0.3.0, `src/programs/sk_buff.rs`, `src/programs/tc.rs`.",
    ),
    Row(
        "AYA305",
        "socket-hash-by-value",
        "`SockHash` takes its key by `&mut` since aya-ebpf 0.3, not by value.",
        item="SockHash::update, redirect_msg, redirect_skb(key)",
        side="kernel",
        crate="aya-ebpf",
        last="0.2.1",
        first="0.3.0",
        replacement="&mut key",
        match=Call("update", "redirect_msg", "redirect_skb", on=_maps(("SockHash",)), more=by_values(_SOCK_HASH)),
        edits=(borrow_mut("pass a `&mut` reference"),),
        message="`{type}::{name}` takes its key by `&mut` since aya-ebpf 0.3",
        found="Finds `update`, `redirect_msg` and `redirect_skb` of a `SockHash` whose key is certainly no reference "
        "where "
        "aya-ebpf is 0.3.0 or newer.",
        why='It does not compile: "expected `&mut u32`, found `u32`".',
        old="SOCKETS.redirect_msg(&ctx, 0u32, 0)",
        new="SOCKETS.redirect_msg(&ctx, &mut 0u32, 0)",
        fix="Safe for a literal, else unsafe: the variable has to be `mut`.",
        source="aya-ebpf 0.2.1 and 0.3.0, `src/maps/sock_hash.rs`.",
    ),
    Row(
        "AYA306",
        "map-operation-needs-no-unsafe",
        "Operations of socket maps and local storages that are safe since aya-ebpf 0.3.",
        item="unsafe fn of SockMap, CgrpStorage, InodeStorage, SkStorage",
        side="kernel",
        crate="aya-ebpf",
        last="0.2.1",
        first="0.3.0",
        replacement="fn",
        match=Any(
            Unsafe(Call("redirect_msg", "redirect_skb", on=_maps(("SockMap",)))),
            Unsafe(Call("get_ptr_mut", "get_or_insert_ptr_mut", "delete", on=_maps(_STORAGES))),
        ),
        edits=(unwrap_block("take the call out of the block"),),
        message="`{type}::{name}` is safe since aya-ebpf 0.3, this `unsafe` is for nothing",
        found="Finds `unsafe { .. }` around a lone call of `SockMap::redirect_msg` and `redirect_skb`, and of "
        "`get_ptr_mut`, "
        "`get_or_insert_ptr_mut` and `delete` of local storages, where aya-ebpf is 0.3.0 or newer.",
        why="The compiler warns of an `unsafe` block for nothing, and refuses it under `deny(unused_unsafe)`.",
        old="unsafe { SOCKETS.redirect_msg(&ctx, 0, 0) }",
        new="SOCKETS.redirect_msg(&ctx, 0, 0)",
        fix="Safe: the block goes, its value stays.",
        source="aya-ebpf 0.2.1 and 0.3.0, `src/maps/sock_map.rs`, `src/btf_maps/`.",
        severity="warning",
    ),
    Row(
        "AYA307",
        "perf-array-lacks-size-parameter",
        "`btf_maps::PerfEventArray` has a size before its flags since aya-ebpf 0.3.",
        item="btf_maps::PerfEventArray<FLAGS>",
        side="kernel",
        crate="aya-ebpf",
        last="0.2.1",
        first="0.3.0",
        replacement="PerfEventArray<MAX_ENTRIES, FLAGS>",
        match=Name(("aya_ebpf::btf_maps::PerfEventArray",), where=lacks_size, each=True),
        edits=(size_parameter,),
        message="`btf_maps::PerfEventArray` has two parameters since aya-ebpf 0.3: size (0: the loader's choice) and "
        "flags",
        found="Finds `btf_maps::PerfEventArray` as a type with one parameter or none where aya-ebpf is 0.3.0 or newer.",
        why="It does not compile (E0107).",
        old="static EVENTS: PerfEventArray = PerfEventArray::new();",
        new="static EVENTS: PerfEventArray<0, 0> = PerfEventArray::new();",
        fix="Safe: size 0 is a slot for each CPU, as before.",
        source="aya-ebpf 0.2.1 and 0.3.0, `src/btf_maps/perf_event_array.rs`.",
    ),
)

"""Kernel side, gone or changed with aya-ebpf 0.2."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import after, bare, display, rename
from bpfsmith.rules.moves._edit_items import drop_import, unwrap_block
from bpfsmith.rules.moves._edit_kernel import int_error
from bpfsmith.rules.moves._match import Any, Call, Module, Name, Unsafe
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import as_option, as_result, long_error, matched_as_option

__all__ = ["ROWS"]

_BTF_CONTEXTS = tuple(
    f"aya_ebpf::programs::{name}" for name in ("BtfTracePointContext", "FEntryContext", "FExitContext", "LsmContext")
)
_QUEUES = tuple(f"aya_ebpf::{module}::{name}" for module in ("maps", "btf_maps") for name in ("Queue", "Stack"))
_INT_METHODS = ("insert", "output", "push", "read_at", "remove")
_INT_MAPS = tuple(
    f"aya_ebpf::maps::{name}"
    for name in (
        *("BloomFilter", "HashMap", "LpmTrie", "LruHashMap", "LruPerCpuHashMap", "PerCpuHashMap", "Queue", "RingBuf"),
        "Stack",
    )
)
_INT_HELPERS = tuple(
    f"aya_ebpf::helpers::bpf_{name}"
    for name in (
        *("get_current_comm", "probe_read", "probe_read_buf", "probe_read_kernel", "probe_read_kernel_buf"),
        *("probe_read_kernel_str_bytes", "probe_read_user", "probe_read_user_buf", "probe_read_user_str_bytes"),
        "probe_write_user",
    )
)
_PROGRAM_ARRAYS = ("aya_ebpf::maps::ProgramArray", "aya_ebpf::btf_maps::ProgramArray")

ROWS = (
    Row(
        "AYA022",
        "argument-needs-no-unsafe",
        "`unsafe` around `ctx.arg(..)`, which is safe since aya-ebpf 0.2.",
        item="unsafe { ctx.arg(n) }",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.1",
        first="0.2.0",
        replacement="ctx.arg(n)",
        match=Unsafe(Call("arg", on=_BTF_CONTEXTS)),
        edits=(unwrap_block("take the call out of the block"),),
        message="`arg` is safe since aya-ebpf 0.2, this `unsafe` is for nothing",
        found="Finds `unsafe { ctx.arg(..) }` on the contexts of `lsm`, `fentry`, `fexit` and `btf_tracepoint` "
        "programs where aya-ebpf is 0.2.0 or newer.",
        why="The compiler warns of an `unsafe` block for nothing, and refuses it under `deny(unused_unsafe)`.",
        old="let file: *const file = unsafe { ctx.arg(0) };",
        new="let file: *const file = ctx.arg(0);",
        fix="Safe: the block goes, its value stays.",
        source="aya-ebpf, `CHANGELOG.md`; `src/programs/lsm.rs` of 0.1.1 and 0.2.1.",
        severity="warning",
    ),
    Row(
        "AYA023",
        "return-value-is-no-option",
        "The return value of a kretprobe used as an `Option`, which it was until aya-ebpf 0.2.",
        item="RetProbeContext::ret() -> Option",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.1",
        first="0.2.0",
        replacement="the value itself",
        match=Call(
            "ret",
            on=("aya_ebpf::programs::RetProbeContext",),
            args=0,
            where=lambda call: as_option(call) is not None,
            show="whole",
        ),
        edits=(
            bare(as_option, "use the value directly"),
            display("use the value directly"),
        ),
        message="`ret` gives the value itself since aya-ebpf 0.2, not an `Option`",
        found="Finds `ctx.ret()` of a `RetProbeContext` that is unwrapped, tested or matched as an `Option` where "
        "aya-ebpf is 0.2.0 or newer.",
        why="It does not compile: `ret` gives the value itself.",
        old="let size: i64 = ctx.ret().ok_or(0u32)?;",
        new="let size: i64 = ctx.ret();",
        fix="Safe for `ok_or`, `unwrap` and the like, which go away. Display elsewhere.",
        source="aya-ebpf 0.1.1 and 0.2.1, `src/programs/retprobe.rs`.",
    ),
    Row(
        "AYA029",
        "tail-call-result",
        "The result of a tail call used, which has none since aya-ebpf 0.2.",
        item="ProgramArray::tail_call(..) -> Result",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.1",
        first="0.2.0",
        replacement="no result",
        match=Call("tail_call", on=_PROGRAM_ARRAYS, where=as_result, show="whole"),
        edits=(display("make it a statement, and write what happens on failure behind it"),),
        message="`tail_call` has no result since aya-ebpf 0.2: if it comes back at all, it failed",
        found="Finds `tail_call(..)` of a `ProgramArray` with `?`, `is_err`, a `match` or a pattern around it where"
        " aya-ebpf is 0.2.0 or newer.",
        why="It does not compile. A tail call that succeeds does not come back, so the code after it is what runs"
        " when it failed.",
        old="""\
let result = unsafe { STAGES.tail_call(&ctx, 1) };
if result.is_err() {
    return XDP_PASS;
}
""",
        new="""\
unsafe { STAGES.tail_call(&ctx, 1) };
XDP_PASS // it failed
""",
        fix="Display: move what happens on failure behind the call.",
        source="aya, commit 8edfe49; aya-ebpf 0.2.1, `src/maps/program_array.rs`.",
    ),
    Row(
        "AYA025",
        "pop-gives-a-result",
        "`pop` of a kernel-side queue or stack gives a `Result` of an `Option` since aya-ebpf 0.2.",
        item="Queue::pop, Stack::pop -> Option<T>",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.1",
        first="0.2.0",
        replacement="Result<Option<T>, i32>",
        match=Call("pop", on=_QUEUES, args=0, where=matched_as_option, show="whole"),
        edits=(after(".unwrap_or(None)", "take an error for none: `.unwrap_or(None)`"),),
        message="`{type}::pop` gives a `Result<Option<_>, i32>` since aya-ebpf 0.2, not an `Option`",
        found="Finds `pop()` of a `Queue` or `Stack` that is matched with `Some` or `None`, or asked as an `Option`, "
        "where "
        "aya-ebpf is 0.2.0 or newer.",
        why="It does not compile. An empty queue is no error; that the kernel could not look (`EBUSY`, in an "
        "interrupt) is.",
        old="if let Some(job) = JOBS.pop() {",
        new="if let Ok(Some(job)) = JOBS.pop() {",
        fix="Safe: `.unwrap_or(None)`, which is what 0.1 did.",
        source="aya-ebpf 0.1.1 and 0.2.1, `src/maps/queue.rs`, `src/maps/stack.rs`.",
    ),
    Row(
        "AYA026",
        "helper-error-is-i32",
        "The error of helpers and map operations is an `i32` since aya-ebpf 0.2, not a `c_long`.",
        item="Result<_, c_long> of helpers and map operations",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.1",
        first="0.2.0",
        replacement="Result<_, i32>",
        match=Any(
            Call(
                *_INT_METHODS, on=(*_INT_MAPS, "aya_ebpf::programs::TracePointContext"), where=long_error, show="whole"
            ),
            Call(fn=_INT_HELPERS, where=long_error, show="whole"),
        ),
        edits=(int_error,),
        message="the error of `{name}` is an `i32` since aya-ebpf 0.2, not an `i64` (`c_long`)",
        found="Finds helpers and map operations whose error is taken for a `c_long` or `i64` where aya-ebpf is 0.2.0 "
        "or "
        "newer: by the parameter of a closure, or as the value of a function that returns `Result<_, c_long>`.",
        why="It does not compile (E0308, E0631). Errors of the kernel are 32 bits wide: until 0.1 some came with the "
        "upper "
        "half zero, so that `== -2` was never true. `?` turns the one into the other, and goes on to compile.",
        old="FLOWS.insert(&key, &1, 0).map_err(|error: c_long| error as u32)?;",
        new="FLOWS.insert(&key, &1, 0).map_err(|error: i32| error as u32)?;",
        fix="Safe: the closure's type, or `.map_err(i64::from)` where the function returns it.",
        source="aya, commit df3da54; aya-ebpf 0.1.1 and 0.2.1, `src/helpers.rs`, `src/maps/`.",
    ),
    Row(
        "AYA351",
        "registers-by-context",
        "`PtRegs` is gone: the contexts of probes read arguments themselves.",
        item="PtRegs",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.1",
        first="0.2.0",
        replacement="ProbeContext::arg, RetProbeContext::ret",
        match=Name(("aya_ebpf::PtRegs",)),
        edits=(drop_import(), display("ask the context: `ctx.arg(n)`, `ctx.ret()`")),
        message="`PtRegs` does not exist since aya-ebpf 0.2, `ProbeContext::arg` reads the registers",
        found="Finds `aya_ebpf::PtRegs` where aya-ebpf is 0.2.0 or newer.",
        why="It does not compile (E0432).",
        old="let path: *const u8 = PtRegs::new(ctx.regs).arg(0).ok_or(1u32)?;",
        new="let path: *const u8 = ctx.arg(0).ok_or(1u32)?;",
        fix="Safe for an import that nothing uses, else display.",
        source="aya-ebpf 0.1.1 and 0.2.1, `src/args.rs`.",
    ),
    Row(
        "AYA352",
        "generated-helpers-renamed",
        "`helpers::gen` became `helpers::generated`: `gen` is a keyword of Rust 2024.",
        item="helpers::gen",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.1",
        first="0.2.0",
        replacement="helpers::generated",
        match=Module("aya_ebpf::helpers::gen", "generated"),
        edits=(rename(),),
        message="`helpers::gen` is called `helpers::generated` since aya-ebpf 0.2",
        found="Finds `aya_ebpf::helpers::gen` where aya-ebpf is 0.2.0 or newer.",
        why="It does not compile.",
        old="use aya_ebpf::helpers::gen::bpf_get_smp_processor_id;",
        new="use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;",
        fix="Safe: the same module.",
        source="aya-ebpf 0.1.1 and 0.2.1, `src/helpers.rs`.",
    ),
)

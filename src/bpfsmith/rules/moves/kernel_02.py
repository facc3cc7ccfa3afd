"""Kernel side, gone or changed with aya-ebpf 0.2."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import bare, display, unwrap_block
from bpfsmith.rules.moves._match import Call, Unsafe
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import as_option, as_result

__all__ = ["ROWS"]

_BTF_CONTEXTS = tuple(
    f"aya_ebpf::programs::{name}" for name in ("BtfTracePointContext", "FEntryContext", "FExitContext", "LsmContext")
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
)

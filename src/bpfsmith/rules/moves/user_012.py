"""User side, gone or changed with aya 0.12."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import append, display, only
from bpfsmith.rules.moves._match import Call
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import in_result, questioned

__all__ = ["ROWS"]

LOADER = ("aya::EbpfLoader", "aya::BpfLoader")
EBPF = ("aya::Ebpf", "aya::Bpf")

ROWS = (
    Row(
        "AYA006",
        "set-global-without-must-exist",
        "`set_global` with two arguments: the third, whether the global must exist, is missing.",
        item="EbpfLoader::set_global(name, value)",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="set_global(name, value, must_exist)",
        match=Call("set_global", on=LOADER, args=2, show="name"),
        edits=(
            only(
                "aya 0.13.2",
                append("true", "pass `true`, so that a misspelt name is an error", "unsafe", "override_global"),
            ),
            append("true", "pass `true`, so that a misspelt name is an error", "unsafe"),
        ),
        message="`set_global` takes a third argument since aya 0.12: whether the global must exist",
        found="Finds `set_global(name, value)` on an `EbpfLoader` where aya is 0.12.0 or newer.",
        why="Since 0.12 the call takes three arguments: it does not compile. With `true` a misspelt name is an "
        "error instead of a setting that is silently ignored.",
        old='EbpfLoader::new().set_global("LIMIT", &limit)',
        new='EbpfLoader::new().override_global("LIMIT", &limit, true)',
        fix="Unsafe: `true` makes loading fail where the object has no such global.",
        source="aya, `aya/BREAKING-CHANGES.md`.",
    ),
    Row(
        "AYA012",
        "option-used-as-result",
        "`?` on what `Ebpf::map` or `program` gives, which is an `Option` since aya 0.12.",
        item="Bpf::map(name) -> Result",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="Option",
        match=Call(
            "map",
            "map_mut",
            "take_map",
            "program",
            "program_mut",
            on=EBPF,
            args=1,
            where=in_result,
            then=questioned,
            show="whole",
        ),
        edits=(display("write `.ok_or(..)?`, or `.context(..)?` with anyhow"),),
        message="`{name}` gives an `Option` since aya 0.12, `?` cannot turn it into an error",
        found="Finds `map(..)?`, `map_mut(..)?`, `take_map(..)?`, `program(..)?` and `program_mut(..)?` on an "
        "`Ebpf` in functions that return a `Result`, where aya is 0.12.0 or newer.",
        why='It does not compile: "the `?` operator can only be used on `Result`s, not `Option`s". Pages older '
        "than 2024 write it so.",
        old='let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("BLOCKED")?)?;',
        new="""\
let map = ebpf.map_mut("BLOCKED").ok_or_else(|| anyhow!("no map `BLOCKED`"))?;
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(map)?;
""",
        fix="Display: which error the function returns is yours to say (`ok_or`, or `context` of anyhow).",
        source="aya, `aya/BREAKING-CHANGES.md`.",
    ),
    Row(
        "AYA036",
        "syscall-prefix-deprecated",
        "`syscall_prefix`, which is deprecated.",
        item="util::syscall_prefix",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="tracepoints of system calls",
        match=Call(fn=("aya::util::syscall_prefix",), show="callee"),
        edits=(display("attach to the tracepoint `syscalls/sys_enter_..`, which sees all of them"),),
        message="`syscall_prefix` is deprecated: a kernel may have several functions for one system call",
        found="Finds calls of `aya::util::syscall_prefix` where aya is 0.12.0 or newer.",
        why="The compiler warns. A 64-bit kernel that also runs 32-bit programs has several functions for one "
        "system call, and a probe on the one of this prefix does not see the others.",
        old='probe.attach(format!("{}openat", syscall_prefix()?), 0)?;',
        new='tracepoint.attach("syscalls", "sys_enter_openat")?; // all of them',
        fix="Display: attach to the tracepoint, or to every name there is.",
        source="aya, `src/util.rs` (`#[deprecated]` since 0.12).",
        severity="warning",
    ),
)

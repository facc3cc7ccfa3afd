"""Kernel side, gone or changed until aya-ebpf 0.1.1."""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._rust import replace
from bpfsmith.rules.moves._edit import display, in_place, method, rename, rewrite
from bpfsmith.rules.moves._edit_items import delete_argument
from bpfsmith.rules.moves._edit_kernel import all_of_file
from bpfsmith.rules.moves._match import Any, Call, MacroArgument, Name, Parameter, Requires, Root
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import not_of_classifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._macro_args import Argument
    from bpfsmith.rules.moves._table import Hit
    from bpfsmith.source.rust import Item

__all__ = ["ROWS"]

_CRATES = {
    "aya_bpf": "aya_ebpf",
    "aya_bpf_bindings": "aya_ebpf_bindings",
    "aya_bpf_cty": "aya_ebpf_cty",
    "aya_bpf_macros": "aya_ebpf_macros",
}
_TC = "take a `TcContext`"
_MAPS = tuple(
    f"aya_ebpf::maps::{name}"
    for name in ("Array", "HashMap", "LpmTrie", "LruHashMap", "LruPerCpuHashMap", "PerCpuArray", "PerCpuHashMap")
)
_USER, _KERNEL = "`bpf_probe_read_user_str_bytes`", "`bpf_probe_read_kernel_str_bytes`"
_STRING_HELPERS = {
    "bpf_probe_read_str": f"{_USER} or {_KERNEL}",
    "bpf_probe_read_user_str": _USER,
    "bpf_probe_read_kernel_str": _KERNEL,
}
# What the same word is called now, where it named what to attach to.
_ATTACH_ARGUMENT = {
    "btf_tracepoint": "function",
    "fentry": "function",
    "fexit": "function",
    "lsm": "hook",
    "raw_tracepoint": "tracepoint",
}


def _named_program(macro: str, _: Argument, __: Item) -> dict[str, str] | None:
    return None if macro in ("tracepoint", "map", "btf_map") else {}


def _attach_type(macro: str, one: Argument, _: Item) -> dict[str, str] | None:
    fits = macro in ("cgroup_skb", "cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt")
    return {} if fits and (one.value or "").isidentifier() else None


def _name_goes(hit: Hit, ctx: CheckContext) -> Fix | None:
    item, file, value = hit.item, hit.file, hit.words["value"]
    gone = delete_argument("leave it out")(hit, ctx)
    if item is None or file is None or gone is None:
        return None
    other = _ATTACH_ARGUMENT.get(hit.words["macro"])
    if other is not None:
        return Fix("unsafe", f"write `{other}`", [replace(ctx, file, hit.start, hit.start + len("name"), other)])
    if value == item.name:
        return gone
    if value.isidentifier():
        edits = [*gone.edits, replace(ctx, file, item.name_start, item.name_end, value)]
        return Fix("unsafe", f"leave it out, and call the function `{value}`", edits)
    return Fix("unsafe", f"leave it out, and load `{item.name}`", gone.edits)


def _flag_alone(hit: Hit, ctx: CheckContext) -> Fix | None:
    name, value = hit.words["argument"], hit.words["value"]
    if value == "true" and hit.file is not None:
        return Fix("safe", f"write `{name}`", [replace(ctx, hit.file, hit.start, hit.end, name)])
    if value == "false":
        return delete_argument("leave it out")(hit, ctx)
    return Fix("display", f"write `{name}`, or leave it out")


ROWS = (
    Row(
        "AYA002",
        "aya-bpf-crate",
        "A kernel crate names `aya-bpf`, which is what `aya-ebpf` was called before its first release.",
        item="the crate aya-bpf",
        side="any",
        crate="aya-bpf",
        last="",
        first="",
        replacement="aya-ebpf",
        match=Any(Requires("aya-bpf"), Root(_CRATES, "aya-ebpf", "aya-bpf")),
        edits=(
            rename(),
            display("depend on `aya-ebpf`, and write `aya_ebpf` and `EbpfContext` in the sources"),
        ),
        message="`aya-bpf` was renamed to `aya-ebpf` before its first release and is not maintained",
        found="Finds a dependency on `aya-bpf` in a manifest; and paths that start with `aya_bpf` in crates that "
        "depend on `aya-ebpf` alone, as code from older pages does.",
        why="The crate was renamed to `aya-ebpf` in 2024. Nothing is published under the old name, a git "
        "dependency no longer finds it, and no fix will ever arrive there.",
        old='aya-bpf = { git = "https://github.com/aya-rs/aya" }',
        new='aya-ebpf = "0.1.1"',
        fix="Safe for paths: the new name at every place of the file. Display for the dependency.",
        source="aya, `ebpf/aya-ebpf/CHANGELOG.md`.",
        severity="warning",
    ),
    Row(
        "AYA011",
        "program-name-argument",
        'A program macro with `name = ".."`: programs are called like their functions.',
        item='name = ".." in program macros',
        side="kernel",
        crate="aya-ebpf",
        last="",
        first="0.1.0",
        replacement="the function's name",
        match=MacroArgument("name", where=_named_program),
        edits=(_name_goes,),
        message="`#[{macro}]` takes no `name`: the program is called like its function, `{function}`",
        found="Finds `name` in the macros of programs, but for `tracepoint`, where it is the name of the "
        "tracepoint, and `map`. For releases of aya-ebpf, not for checkouts of unknown age.",
        why="It does not compile. Pages from before 2024 write it so.",
        old="""\
#[xdp(name = "firewall")]
pub fn xdp_firewall(ctx: XdpContext) -> u32 { .. }
""",
        new="""\
#[xdp]
pub fn firewall(ctx: XdpContext) -> u32 { .. }
""",
        fix="Safe where function and name are the same; else unsafe: the function is renamed. In `lsm`, `fentry` "
        "and others the argument got a name of its own (`hook`, `function`, `tracepoint`).",
        source="aya, `aya/BREAKING-CHANGES.md`; aya-ebpf-macros, `src/args.rs`.",
    ),
    Row(
        "AYA024",
        "return-probe-context",
        "A kretprobe or uretprobe that takes a `ProbeContext`.",
        item="kretprobe and uretprobe with a ProbeContext",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.0",
        first="0.1.1",
        replacement="RetProbeContext",
        match=Parameter("kretprobe", "uretprobe", takes=("aya_ebpf::programs::ProbeContext",)),
        edits=(in_place("{aya_ebpf::programs::RetProbeContext}", "take a `RetProbeContext`", "unsafe"),),
        message="`#[{macro}]` passes a `RetProbeContext` since aya-ebpf 0.1.1",
        found="Finds functions with `#[kretprobe]` or `#[uretprobe]` whose parameter is a `ProbeContext` where "
        "aya-ebpf is 0.1.1 or newer.",
        why="It does not compile: the macro passes a `RetProbeContext`, which knows the return value and no arguments.",
        old="""\
#[kretprobe]
pub fn connected(ctx: ProbeContext) -> u32 { .. }
""",
        new="""\
#[kretprobe]
pub fn connected(ctx: RetProbeContext) -> u32 { .. }
""",
        fix="Unsafe: other functions that are given the context have to change too; arguments must be kept in a "
        "map by a kprobe.",
        source="aya-ebpf, `CHANGELOG.md` (0.1.1).",
    ),
    Row(
        "AYA028",
        "perf-event-array-with-size",
        "`PerfEventArray::with_max_entries`, which aya-ebpf 0.1.1 removed.",
        item="PerfEventArray::with_max_entries",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.0",
        first="0.1.1",
        replacement="new",
        match=Call(
            fn=(
                "aya_ebpf::maps::PerfEventArray::with_max_entries",
                "aya_ebpf::maps::PerfEventByteArray::with_max_entries",
            ),
            show="whole",
        ),
        edits=(
            rewrite("$n, $flags", "$flags", "write `new(flags)`", name="new"),
            display("write `new(flags)`"),
        ),
        message="a perf event array takes no size since aya-ebpf 0.1.1: the loader gives it a slot for each CPU",
        found="Finds `PerfEventArray::with_max_entries(n, flags)` and that of `PerfEventByteArray` in kernel crates"
        " where aya-ebpf is 0.1.1 or newer.",
        why="It does not compile. The loader makes the array as long as there are CPUs, whatever was written.",
        old="""\
#[map]
static EVENTS: PerfEventArray<Event> = PerfEventArray::with_max_entries(1024, 0);
""",
        new="""\
#[map]
static EVENTS: PerfEventArray<Event> = PerfEventArray::new(0);
""",
        fix="Safe: the number had no effect.",
        source="aya-ebpf, `CHANGELOG.md` (0.1.1).",
    ),
    Row(
        "AYA033",
        "macro-flag-with-value",
        "A flag of a program macro written with a value.",
        item="frags, sleepable, multi with a value",
        side="kernel",
        crate="aya-ebpf",
        last="",
        first="0.1.0",
        replacement="flags",
        match=MacroArgument(
            "frags", "sleepable", "multi", where=lambda _, one, __: {} if one.value is not None else None
        ),
        edits=(_flag_alone,),
        message="`{argument}` of `#[{macro}]` is a flag without a value",
        found='Finds `frags = ".."`, `sleepable = ".."` and `multi = ".."` in program macros. For releases of '
        "aya-ebpf, not for checkouts of unknown age.",
        why='It does not compile: "invalid argument". Until 2023 a value was wanted.',
        old='#[xdp(frags = "true")]',
        new="#[xdp(frags)]",
        fix='Safe: the flag alone for `"true"`, nothing for `"false"`.',
        source="aya, commits 376c4864 and c72aab5f.",
    ),
    Row(
        "AYA034",
        "string-helper-deprecated",
        "A helper that reads a string and says only its length; it is deprecated.",
        item="bpf_probe_read_str and its user and kernel forms",
        side="kernel",
        crate="aya-ebpf",
        last="",
        first="",
        replacement="bpf_probe_read_{user,kernel}_str_bytes",
        match=Call(
            fn=tuple(f"aya_ebpf::helpers::{name}" for name in _STRING_HELPERS),
            more=lambda call: {"new": _STRING_HELPERS[(call.callee or call).path.rpartition("::")[2]]},
            show="callee",
        ),
        edits=(display("use {new}"),),
        message="`{name}` is deprecated, {new} gives the bytes it read",
        found="Finds calls of `bpf_probe_read_str`, `bpf_probe_read_user_str` and `bpf_probe_read_kernel_str` of "
        "`aya_ebpf::helpers`.",
        why="The compiler warns. The length it gives counts the terminating zero, and using it as an index is one"
        " more check for the verifier; `bpf_probe_read_str` does not even say which memory it reads, and "
        "fails on machines where user and kernel addresses overlap.",
        old="let length = unsafe { bpf_probe_read_user_str(name, &mut buffer)? };",
        new="let name: &[u8] = unsafe { bpf_probe_read_user_str_bytes(name, &mut buffer)? };",
        fix="Display: the new helpers give the bytes, not their number.",
        source="aya-ebpf, `src/helpers.rs` (`#[deprecated]`).",
        kernels="All; the `user` and `kernel` forms came with Linux 5.5.",
        severity="warning",
    ),
    Row(
        "AYA350",
        "bpf-context-renamed",
        "`BpfContext` became `EbpfContext` when the crate was renamed.",
        item="BpfContext",
        side="kernel",
        crate="aya-ebpf",
        last="",
        first="0.1.0",
        replacement="EbpfContext",
        match=Name({"aya_ebpf::BpfContext": "EbpfContext"}),
        edits=(rename(),),
        message="`{old}` is called `{new}` since aya-ebpf 0.1",
        found="Finds `BpfContext` of `aya_ebpf` (or of `aya_bpf`, where only `aya-ebpf` is a dependency).",
        why="It does not compile: no release has the old name.",
        old="use aya_bpf::BpfContext;",
        new="use aya_ebpf::EbpfContext;",
        fix="Safe: the same trait.",
        source="aya-ebpf, `CHANGELOG.md`; 0.1.0, `src/lib.rs`.",
    ),
    Row(
        "AYA353",
        "perf-map-renamed",
        "`PerfMap` is what `PerfEventArray` was called in 2021.",
        item="PerfMap",
        side="kernel",
        crate="aya-ebpf",
        last="",
        first="0.1.0",
        replacement="PerfEventArray",
        match=Name({"aya_ebpf::maps::PerfMap": "PerfEventArray", "aya_ebpf::maps::PerfByteMap": "PerfEventByteArray"}),
        edits=(rename(),),
        message="`{old}` is called `{new}` in all releases",
        found="Finds `PerfMap` and `PerfByteMap` of `aya_ebpf::maps`.",
        why="It does not compile: no release has the old names, which pages of 2021 use.",
        old="static EVENTS: PerfMap<Event> = PerfMap::new(0);",
        new="static EVENTS: PerfEventArray<Event> = PerfEventArray::new(0);",
        fix="Safe: the same map.",
        source="aya-ebpf 0.1.0, `src/maps/perf/`.",
    ),
    Row(
        "AYA354",
        "classifier-context",
        "A `classifier` takes a `TcContext`, not the context of other socket programs.",
        item="classifier(ctx: SkBuffContext)",
        side="kernel",
        crate="aya-ebpf",
        last="",
        first="0.1.0",
        replacement="classifier(ctx: TcContext)",
        match=Any(
            Parameter("classifier", takes=("aya_ebpf::programs::SkBuffContext", "aya_ebpf::programs::SkSkbContext")),
            Name({"aya_ebpf::programs::SkSkbContext": "SkBuffContext"}, where=not_of_classifier),
        ),
        edits=(
            all_of_file("TcContext", "classifier"),
            rename(),
            in_place("{aya_ebpf::programs::TcContext}", _TC, "unsafe"),
        ),
        message="`#[classifier]` passes a `TcContext`, which is not the context of socket filters and cgroups",
        found="Finds functions with `#[classifier]` that take a `SkBuffContext`, or a `SkSkbContext`, its name until "
        "2022.",
        why='It does not compile: "expected `SkBuffContext`, found `TcContext`". Pages older than the end of 2022 '
        "have it.",
        old="#[classifier]\npub fn limit(ctx: SkBuffContext) -> i32 { .. }",
        new="#[classifier]\npub fn limit(ctx: TcContext) -> i32 { .. }",
        fix="Unsafe: functions that are given the context change with it, in one file.",
        source="aya-ebpf-macros 0.1.0, `src/tc.rs`; aya-ebpf 0.1.0, `src/programs/tc.rs`.",
    ),
    Row(
        "AYA355",
        "map-get-mut-renamed",
        "`get_mut` of kernel-side maps became `get_ptr_mut`, which gives a raw pointer.",
        item="get_mut of HashMap, PerCpuArray and their kin",
        side="kernel",
        crate="aya-ebpf",
        last="",
        first="0.1.0",
        replacement="get_ptr_mut",
        match=Call("get_mut", on=_MAPS, args=1, show="name"),
        edits=(method("get_ptr_mut", applicability="unsafe"),),
        message="`{type}` has no `get_mut`, it is called `get_ptr_mut` and gives a raw pointer",
        found="Finds `get_mut(..)` on a map of `aya_ebpf::maps`.",
        why="It does not compile: no release has it. Any CPU may write to the value at the same time, so a `&mut` to "
        "it is a "
        "promise nobody can keep; with a pointer you say where you write.",
        old="if let Some(count) = unsafe { COUNTS.get_mut(&key) } {\n    *count += 1;\n}",
        new="if let Some(count) = COUNTS.get_ptr_mut(&key) {\n    unsafe { *count += 1 };\n}",
        fix="Unsafe: the new name; where the value is written to, `unsafe` is needed.",
        source="aya-ebpf 0.1.0, `src/maps/hash_map.rs`, `src/maps/per_cpu_array.rs`.",
    ),
    Row(
        "AYA356",
        "probe-context-has-no-return-value",
        "`ProbeContext` has no `ret` since aya-ebpf 0.1.1: `RetProbeContext` has.",
        item="ProbeContext::ret",
        side="kernel",
        crate="aya-ebpf",
        last="0.1.0",
        first="0.1.1",
        replacement="RetProbeContext::ret",
        match=Call("ret", on=("aya_ebpf::programs::ProbeContext",), args=0, show="call"),
        edits=(display("take a `RetProbeContext` in a `kretprobe` or `uretprobe`"),),
        message="`ProbeContext` has no `ret` since aya-ebpf 0.1.1, `RetProbeContext` has",
        found="Finds `ret()` of a `ProbeContext` where aya-ebpf is 0.1.1 or newer.",
        why="It does not compile (E0599). At the start of a function its return value is not known: what `ret` read "
        "was "
        "whatever the register held.",
        old="fn try_done(ctx: &ProbeContext) -> Option<i64> { ctx.ret() }",
        new="fn try_done(ctx: &RetProbeContext) -> Option<i64> { ctx.ret() }",
        fix="Display: the context's type changes in all functions it is passed to.",
        source="aya-ebpf 0.1.0 and 0.1.1, `src/programs/probe.rs`, `src/programs/retprobe.rs`.",
    ),
    Row(
        "AYA357",
        "macro-attach-argument",
        'The attach type of a cgroup program is written as a word of its own, not as `attach = ".."`.',
        item='attach = ".." in macros of cgroup programs',
        side="kernel",
        crate="aya-ebpf",
        last="",
        first="0.1.0",
        replacement="the attach type alone",
        match=MacroArgument("attach", where=_attach_type),
        edits=(in_place("{value}", "write `{value}`"),),
        message="`#[{macro}]` takes the attach type alone: `{value}`",
        found='Finds `attach = ".."` in `#[cgroup_skb]`, `#[cgroup_sock]`, `#[cgroup_sock_addr]` and '
        "`#[cgroup_sockopt]`.",
        why="It does not compile: no release takes it so.",
        old='#[cgroup_skb(attach = "egress")]',
        new="#[cgroup_skb(egress)]",
        fix="Safe.",
        source="aya-ebpf-macros 0.1.0, `src/cgroup_skb.rs` and its kin.",
    ),
    Row(
        "AYA035",
        "cgroup-storage-deprecated",
        "`CgroupStorage` maps are deprecated in favour of `CgrpStorage`.",
        item="CgroupStorage, PerCpuCgroupStorage",
        side="any",
        crate="aya or aya-ebpf",
        last="",
        first="",
        replacement="CgrpStorage",
        match=Name(
            tuple(
                f"{crate}::maps::{name}"
                for crate in ("aya", "aya_ebpf")
                for name in ("CgroupStorage", "PerCpuCgroupStorage")
            )
        ),
        edits=(display("use `CgrpStorage` of `btf_maps`, where Linux is 6.2 or newer"),),
        message="`{old}` is deprecated: since Linux 6.2 there is `CgrpStorage`, for all kinds of programs",
        found="Finds `CgroupStorage` and `PerCpuCgroupStorage` on both sides.",
        why="The compiler warns. The kernel keeps one value per cgroup *and attach type*, gives it to cgroup "
        "programs alone, "
        "and frees it with the last program; `CgrpStorage` belongs to the cgroup and every program may ask for it.",
        old="#[map]\nstatic BYTES: CgroupStorage<u64> = CgroupStorage::new();",
        new="#[btf_map]\nstatic BYTES: CgrpStorage<u64> = CgrpStorage::new();",
        fix="Display: the map is asked in another way.",
        kernels="`CgrpStorage`: 6.2 and newer.",
        source="aya 0.14.0, `src/maps/cgroup_storage.rs`; aya-ebpf 0.2.1, `src/maps/cgroup_storage.rs`.",
        severity="warning",
    ),
)

"""User side, gone or changed with aya 0.12."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import after, append, as_method, bare, borrow_receiver, display, only
from bpfsmith.rules.moves._edit_items import delete_arm, unwrap_generic
from bpfsmith.rules.moves._maps import owned_maps, where_spawned
from bpfsmith.rules.moves._match import Any, Call, Name
from bpfsmith.rules.moves._option import as_some, map_data, or_error
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import (
    argument_type,
    as_option,
    borrowed_fd,
    in_result,
    questioned,
    raw_descriptor,
    result_alone,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr

__all__ = ["ROWS"]

LOADER = ("aya::EbpfLoader", "aya::BpfLoader")
EBPF = ("aya::Ebpf", "aya::Bpf")
_PROGRAM_NAMES = (
    *("BtfTracePoint", "CgroupDevice", "CgroupSkb", "CgroupSock", "CgroupSockAddr", "CgroupSockopt", "CgroupSysctl"),
    *("Extension", "FEntry", "FExit", "KProbe", "LircMode2", "Lsm", "PerfEvent", "RawTracePoint", "SchedClassifier"),
    *("SkLookup", "SkMsg", "SkSkb", "SockOps", "SocketFilter", "TracePoint", "UProbe", "Xdp"),
)
_PROGRAMS = tuple(f"aya::programs::{name}" for name in _PROGRAM_NAMES)
_LOOKUPS = ("map", "map_mut", "take_map", "program", "program_mut")
_NO_RESULT = "`map` and `program` give an `Option` since aya 0.12, which has neither `Ok` nor `Err`"
_MAP_ERRORS = (
    *(
        "AlreadyCreated",
        "AlreadyPinned",
        "BorrowError",
        "BorrowMutError",
        "InvalidPinPath",
        "MapNotFound",
        "NotCreated",
    ),
)
_ATTACH_FD = tuple(
    f"aya::programs::{name}"
    for name in (
        *("CgroupDevice", "CgroupSkb", "CgroupSock", "CgroupSockAddr", "CgroupSockopt", "CgroupSysctl", "SockOps"),
        *("LircMode2", "SkLookup", "SocketFilter"),
    )
)


def _option_alone(call: Expr) -> bool:
    """Used in a way that only an `Option` allows: `unwrap`, `?` and the like do for a `Result` too."""
    parent = call.parent
    if parent is not None and (parent.kind == "try" or parent.name in ("unwrap", "expect", "map", "and_then")):
        return False
    return parent is not None and parent.name not in ("unwrap_or", "unwrap_or_else") and as_option(call) is not None


def _to_result(call: Expr) -> Expr | None:
    """The `ok_or(..)` behind it."""
    parent = call.parent
    return parent if parent is not None and parent.name in ("ok_or", "ok_or_else") else None


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
        match=Any(
            Call(*_LOOKUPS, on=EBPF, args=1, where=in_result, then=questioned, show="whole"),
            Call(*_LOOKUPS, on=EBPF, args=1, where=result_alone, more=lambda _: {"message": _NO_RESULT}, show="call"),
        ),
        edits=(
            as_some,
            or_error(),
            display("write `.ok_or(..)?`, or `.context(..)?` with anyhow"),
        ),
        message="`{name}` gives an `Option` since aya 0.12, `?` cannot turn it into an error",
        found="Finds `map(..)?`, `map_mut(..)?`, `take_map(..)?`, `program(..)?` and `program_mut(..)?` on an `Ebpf` "
        "in "
        "functions that return a `Result`, and the same calls with `map_err` behind them or matched with `Ok` and "
        "`Err`, "
        "where aya is 0.12.0 or newer.",
        why='It does not compile: "the `?` operator can only be used on `Result`s, not `Option`s". Pages older '
        "than 2024 write it so.",
        old='let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(ebpf.map_mut("BLOCKED")?)?;',
        new="""\
let map = ebpf.map_mut("BLOCKED").ok_or_else(|| anyhow!("no map `BLOCKED`"))?;
let mut blocked: HashMap<_, u32, u32> = HashMap::try_from(map)?;
""",
        fix="Safe where the function returns an error of anyhow or a `Box<dyn Error>`: the text says what is missing. "
        "Else display: which error it is, is yours to say.",
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
    Row(
        "AYA013",
        "program-fd-is-a-result",
        "The descriptor of a program used as an `Option`, which it was until aya 0.12.",
        item="fd() of programs -> Option<RawFd>",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="Result<&ProgramFd, ProgramError>",
        match=Call("fd", on=_PROGRAMS, args=0, where=_option_alone, show="call"),
        edits=(
            bare(_to_result, "use the `Result` as it is", "unsafe"),
            display("handle the `Result`: `program.fd()?`"),
        ),
        message="`fd` gives a `Result` since aya 0.12, not an `Option`",
        found="Finds `fd()` of a loaded program with `ok_or`, `Some(..)` or `is_some` behind or around it where aya is "
        "0.12.0 or newer.",
        why="It does not compile. The trait `ProgramFd` became a type of the same name, which owns the descriptor: a "
        "number that outlives its file is no longer handed out.",
        old='let fd = program.fd().ok_or_else(|| anyhow!("not loaded"))?;',
        new="let fd = program.fd()?;",
        fix="Unsafe for `ok_or(..)?`, which goes away: the error is another one. Else display.",
        source="aya, `aya/BREAKING-CHANGES.md`; `src/programs/mod.rs` of 0.11.0 and 0.12.0.",
    ),
    Row(
        "AYA230",
        "program-array-takes-descriptor",
        "`ProgramArray::set` takes a program's descriptor since aya 0.12, not the program.",
        item="ProgramArray::set(index, &program, flags)",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="set(index, program.fd()?, flags)",
        match=Call(
            "set",
            on=("aya::maps::ProgramArray",),
            args=3,
            where=argument_type(1, "aya::programs", *_PROGRAM_NAMES),
            show=1,
        ),
        edits=(as_method(1, "fd()?", "pass `fd()?` of the program", "unsafe"),),
        message="`ProgramArray::set` takes the program's descriptor since aya 0.12: `fd()?`",
        found="Finds `set` on a `ProgramArray` whose second argument is a program where aya is 0.12.0 or newer.",
        why='It does not compile: "expected `&ProgramFd`". A program that is not loaded has no descriptor, and the '
        "`Result` says so.",
        old="stages.set(0, &parser, 0)?;",
        new="stages.set(0, parser.fd()?, 0)?;",
        fix="Unsafe: the function has to be able to return a `ProgramError`.",
        source="aya 0.11.0 and 0.12.0, `src/maps/array/program_array.rs`.",
    ),
    Row(
        "AYA231",
        "map-references-removed",
        "`MapRef` and `MapRefMut` are gone: maps are borrowed from the loaded object, or taken out of it.",
        item="MapRef, MapRefMut",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="&MapData, &mut MapData, MapData",
        match=Name(("aya::maps::MapRef", "aya::maps::MapRefMut")),
        edits=(
            where_spawned(owned_maps),
            map_data(),
            owned_maps,
            display("use `&mut MapData` for maps of `map_mut`, `MapData` for those of `take_map`"),
        ),
        message="`{old}` does not exist since aya 0.12, maps are of `MapData` or references to it",
        found="Finds the names `MapRef` and `MapRefMut` of `aya::maps` where aya is 0.12.0 or newer.",
        why="It does not compile. Until 0.11 a lock at run time kept two users of a map apart; now the borrow checker "
        "does: `map_mut` borrows from the `Ebpf`, `take_map` moves the map out of it.",
        old="struct Filter { blocked: HashMap<MapRefMut, u32, u32> }",
        new="struct Filter { blocked: HashMap<MapData, u32, u32> } // of take_map",
        fix="Safe in the types of locals and parameters (`&mut MapData`). Unsafe in structs, and where tasks or "
        "threads are "
        "spawned: `MapData`, and `take_map` for every map that the file opens, if each is opened once; a map that is "
        "taken "
        "is closed when its owner is dropped. Else display.",
        source="aya, `aya/BREAKING-CHANGES.md`; `src/maps/map_lock.rs` of 0.11.0.",
    ),
    Row(
        "AYA232",
        "owned-link-removed",
        "`OwnedLink` is gone: `take_link` gives the link itself.",
        item="OwnedLink<T>",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="T",
        match=Name(("aya::programs::OwnedLink", "aya::programs::links::OwnedLink")),
        edits=(unwrap_generic("write the link's type alone"), display("write the link's type alone")),
        message="`OwnedLink` does not exist since aya 0.12, links are owned as they are",
        found="Finds `OwnedLink` of `aya::programs` where aya is 0.12.0 or newer.",
        why="It does not compile. Since 0.12 every link detaches when it is dropped, so the wrapper that did so is the "
        "link.",
        old="struct Attached { link: OwnedLink<XdpLink> }",
        new="struct Attached { link: XdpLink }",
        fix="Safe for `OwnedLink<..>` in types, and the import with it; else display.",
        source="aya 0.11.0 and 0.12.0, `src/programs/links.rs`.",
    ),
    Row(
        "AYA233",
        "raw-descriptor-to-attach",
        "`attach` borrows what it attaches to since aya 0.12: a number is no file.",
        item="attach(impl AsRawFd)",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="attach(impl AsFd)",
        match=Call("attach", on=_ATTACH_FD, where=raw_descriptor, show=0),
        edits=(borrow_receiver(0, "pass a reference to the file"),),
        message="`{type}::attach` takes something that owns or borrows a descriptor since aya 0.12, not its number",
        found="Finds `attach(x.as_raw_fd(), ..)` on programs of cgroups, sockets, network namespaces and infrared "
        "devices where aya is 0.12.0 or newer.",
        why='It does not compile: "the trait bound `i32: AsFd` is not satisfied".',
        old="program.attach(cgroup.as_raw_fd(), CgroupSkbAttachType::Egress)?;",
        new="program.attach(&cgroup, CgroupSkbAttachType::Egress)?;",
        fix="Unsafe: a type of your own has to implement `AsFd` too.",
        source="aya, `aya/BREAKING-CHANGES.md`; `src/programs/cgroup_skb.rs` of 0.11.0 and 0.12.0.",
    ),
    Row(
        "AYA234",
        "perf-event-without-inherit",
        "`PerfEvent::attach` says whether children inherit the event since aya 0.12.",
        item="PerfEvent::attach(type, config, scope, policy)",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        before="0.14.0",
        replacement="attach(type, config, scope, policy, inherit)",
        match=Call("attach", on=("aya::programs::PerfEvent",), args=4, show="call"),
        edits=(append("false", "pass `false`, as it was"),),
        message="`PerfEvent::attach` takes a fifth argument since aya 0.12: whether new threads inherit the event",
        found="Finds `attach` with four arguments on a `PerfEvent` where aya is 0.12 or 0.13.",
        why="It does not compile. Until 0.11 nothing was inherited, which is what `false` says.",
        old="program.attach(PerfTypeId::Software, PERF_COUNT_SW_CPU_CLOCK as u64, scope, policy)?;",
        new="program.attach(PerfTypeId::Software, PERF_COUNT_SW_CPU_CLOCK as u64, scope, policy, false)?;",
        fix="Safe.",
        source="aya 0.11.0 and 0.12.0, `src/programs/perf_event.rs`.",
    ),
    Row(
        "AYA235",
        "socket-map-descriptor",
        "`SkMsg::attach` and `SkSkb::attach` take the descriptor of a socket map since aya 0.12.",
        item="attach(&SockMap), attach(&SockHash)",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="attach(map.fd())",
        match=Call(
            "attach",
            on=("aya::programs::SkMsg", "aya::programs::SkSkb"),
            args=1,
            where=argument_type(0, "aya::maps", "SockMap", "SockHash"),
            show=0,
        ),
        edits=(as_method(0, "fd()", "pass `fd()` of the map"),),
        message="`{type}::attach` takes the map's descriptor since aya 0.12: `fd()`",
        found="Finds `attach(&map)` on `SkMsg` and `SkSkb` programs with a `SockMap` or `SockHash` where aya is 0.12.0 "
        "or newer.",
        why='It does not compile: "expected `&SockMapFd`".',
        old="redirect.attach(&sockets)?;",
        new="redirect.attach(sockets.fd())?;",
        fix="Safe.",
        source="aya 0.11.0 and 0.12.0, `src/programs/sk_msg.rs`, `src/maps/sock/`.",
    ),
    Row(
        "AYA236",
        "extension-takes-owned-descriptor",
        "`Extension::load` takes an owned descriptor of the program to extend since aya 0.12.",
        item="Extension::load(impl AsRawFd, name)",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="load(ProgramFd, name)",
        match=Call("load", on=("aya::programs::Extension",), args=2, where=borrowed_fd, show=0),
        edits=(after(".try_clone()?", "pass a copy: `try_clone()?`", "unsafe", at=0),),
        message="`Extension::load` takes an owned `ProgramFd` since aya 0.12, `fd()` only lends one",
        found="Finds `load(program.fd().., name)` on an `Extension` where aya is 0.12.0 or newer.",
        why='It does not compile: "expected `ProgramFd`, found `&ProgramFd`". The extension keeps the program open.',
        old='extension.load(dispatcher.fd().unwrap(), "prog0")?;',
        new='extension.load(dispatcher.fd()?.try_clone()?, "prog0")?;',
        fix="Unsafe: the function has to be able to return an `io::Error`.",
        source="aya 0.11.0 and 0.12.0, `src/programs/extension.rs`.",
    ),
    Row(
        "AYA237",
        "errors-of-locks-and-pins-removed",
        "Variants of aya's errors that are gone with locks on maps and with named pins.",
        item="MapError::{MapNotFound, BorrowError, NotCreated, ..}, BpfError::{NoPinPath, InvalidPath}",
        side="user",
        crate="aya",
        last="0.11.0",
        first="0.12.0",
        replacement="Option, PinError",
        match=Name(
            (
                *(f"aya::maps::MapError::{name}" for name in _MAP_ERRORS),
                *(f"aya::{bpf}Error::{name}" for bpf in ("Bpf", "Ebpf") for name in ("InvalidPath", "NoPinPath")),
                "aya::programs::ProgramError::InvalidPinPath",
            )
        ),
        edits=(delete_arm("leave the arm out"), display("leave it out")),
        message="`{old}` does not exist since aya 0.12",
        found="Finds the variants `MapNotFound`, `BorrowError`, `BorrowMutError`, `NotCreated`, `AlreadyCreated`, "
        "`AlreadyPinned` and `InvalidPinPath` of `MapError`, and `NoPinPath` and `InvalidPath` of `BpfError`, where "
        "aya is "
        "0.12.0 or newer.",
        why="It does not compile (E0599). A map that is not there is `None`, borrows are the compiler's business, "
        "and what "
        "goes wrong with pins is a `PinError`.",
        old="Err(MapError::MapNotFound { name }) => report(name),",
        new="None => report(name), // of `map(name)`",
        fix="Safe for an arm of a `match`, which goes away; else display.",
        source="aya 0.11.0 and 0.12.0, `src/maps/mod.rs`, `src/bpf.rs`.",
    ),
)

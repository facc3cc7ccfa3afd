"""User side, gone or changed with aya 0.14."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import display, members, method, only, rewrite
from bpfsmith.rules.moves._edit_items import before_name, delete_arm, drop_import
from bpfsmith.rules.moves._match import Any, Call, Exhaustive, Feature, Name, Written
from bpfsmith.rules.moves._perf import CONSTANTS, netlink_error, perf_config, perf_scope, probe_kind
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import argument_path, braced, io_error_asked, not_below, some_zero, unused_import

__all__ = ["ROWS"]

LOADER = ("aya::EbpfLoader", "aya::BpfLoader")
_SCOPE = "aya::programs::PerfEventScope"
_POINTS = (
    ("Some($lit_f), 0", "$lit_f"),
    ("Some($f), 0", "{aya::programs::uprobe::UProbeAttachLocation}::Symbol($f)"),
    ("Some($f), $o", "{aya::programs::uprobe::UProbeAttachLocation}::SymbolOffset($f, $o)"),
    ("None, $o", "{aya::programs::uprobe::UProbeAttachLocation}::AbsoluteOffset($o)"),
)
_ALL = "{aya::programs::uprobe::UProbeScope}::AllProcesses"
_ONE = "{aya::programs::uprobe::UProbeScope}::OneProcess(std::num::NonZeroU32::new(%s as u32).unwrap())"
_SCOPES = (
    ("None", _ALL, "safe"),
    ("Some(0)", "{aya::programs::uprobe::UProbeScope}::CallingProcess", "safe"),
    ("Some($pid)", _ONE % "$pid", "unsafe"),
    ("$pid.try_into()?", f"$pid.map_or({_ALL}, |pid| {_ONE % 'pid'})", "unsafe"),
    ("$pid", f"$pid.map_or({_ALL}, |pid| {_ONE % 'pid'})", "unsafe"),
)
_UPROBE = tuple(
    only(
        era,
        rewrite(
            f"{point}, $target, {pid}",
            f"{before}{location}{behind}, $target, {scope}",
            "write point, target and scope",
            kind,
        ),
    )
    for era, before, behind in (("aya 0.15.0", "[", "]"), ("aya 0.14.0", "", ""))
    for point, location in _POINTS
    for pid, scope, kind in _SCOPES
)

ROWS = (
    Row(
        "AYA009",
        "map-pin-path-old-form",
        "`map_pin_path` with one argument: since aya 0.14 it pins one map, and the folder is set by another call.",
        item="EbpfLoader::map_pin_path(folder)",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="default_map_pin_directory(folder)",
        match=Call("map_pin_path", on=LOADER, args=1, show="name"),
        edits=(method("default_map_pin_directory", "write `default_map_pin_directory`"),),
        message="`map_pin_path` takes a map and its path since aya 0.14, another call sets the folder of all maps",
        found="Finds `map_pin_path(folder)` on an `EbpfLoader` where aya is 0.14.0 or newer.",
        why="It does not compile: `map_pin_path` takes the name of a map and its path now.",
        old='EbpfLoader::new().map_pin_path("/sys/fs/bpf/app")',
        new='EbpfLoader::new().default_map_pin_directory("/sys/fs/bpf/app")',
        fix="Safe: the new name of the same setting.",
        source="aya 0.13.1 and 0.14.0, `src/bpf.rs`.",
    ),
    Row(
        "AYA014",
        "xdp-flags-removed",
        "`XdpFlags` was replaced by `XdpMode`.",
        item="XdpFlags",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="XdpMode",
        match=Name({"aya::programs::XdpFlags": "XdpMode"}),
        edits=(
            members(
                {"default": "default", "SKB_MODE": "Skb", "DRV_MODE": "Driver", "HW_MODE": "Hardware"}, "use `XdpMode`"
            ),
            display("use `XdpMode`; the other flags have no counterpart"),
        ),
        message="`XdpFlags` does not exist since aya 0.14, `attach` takes an `XdpMode`",
        found="Finds `aya::programs::XdpFlags` where aya is 0.14.0 or newer.",
        why="The type is gone since 0.14.0: the code does not compile. The published notes of that release do not"
        " mention it.",
        old='program.attach("eth0", XdpFlags::SKB_MODE)?;',
        new='program.attach("eth0", XdpMode::Skb)?;',
        fix="Safe where only `default()`, `SKB_MODE`, `DRV_MODE` and `HW_MODE` are used, else display: other "
        "flags have no counterpart.",
        source="aya, `aya/src/programs/xdp.rs` at the tags 0.13.1 and 0.14.0.",
    ),
    Row(
        "AYA015",
        "uprobe-attach-old-form",
        "`UProbe::attach` takes a point, a target and a scope since aya 0.14.",
        item="UProbe::attach(function, offset, target, pid)",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="attach(point, target, scope)",
        match=Call("attach", on=("aya::programs::UProbe",), args=4),
        edits=(
            *_UPROBE,
            display("write `attach(point, target, UProbeScope::AllProcesses)`, from 0.15 `attach([point], ..)`"),
        ),
        message="`UProbe::attach` takes three arguments since aya 0.14: point, target, scope",
        found="Finds `attach` with four arguments on a `UProbe` where aya is 0.14.0 or newer.",
        why="The form (function, offset, target, pid) of 0.13 does not compile any more.",
        old='program.attach(Some("malloc"), 0, "libc", None)?;',
        new='program.attach("malloc", "libc", UProbeScope::AllProcesses)?; // 0.14; ["malloc"] since 0.15',
        fix="Safe for `None` and for `Some(0)`, which was the calling process; unsafe for other processes, whose "
        "number must "
        "not be 0. One point for 0.14, an array of one from 0.15 on.",
        source="aya, `aya/src/programs/uprobe.rs` at the tags 0.13.1 and 0.14.0.",
    ),
    Row(
        "AYA018",
        "perf-event-attach-old-form",
        "`PerfEvent::attach` with a type and a number: since aya 0.14 they are one `PerfEventConfig`.",
        item="PerfEvent::attach(type, config, ..)",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="attach(PerfEventConfig, ..)",
        match=Any(
            Call("attach", on=("aya::programs::PerfEvent",), where=argument_path(0, "::PerfTypeId::"), show=0),
            Name(("aya::programs::PerfTypeId",), where=unused_import),
        ),
        edits=(
            perf_config,
            drop_import(),
            display("name type and number as one: `PerfEventConfig::Software(SoftwareEvent::CpuClock)`"),
        ),
        message="`PerfEvent::attach` takes a `PerfEventConfig` since aya 0.14, `PerfTypeId` is gone",
        found="Finds `attach(PerfTypeId::.., config, ..)` on a `PerfEvent` where aya is 0.14.0 or newer.",
        why="It does not compile: `PerfTypeId` is gone.",
        old="program.attach(PerfTypeId::Software, PERF_COUNT_SW_CPU_CLOCK as u64, scope, policy, true)?;",
        new="program.attach(PerfEventConfig::Software(SoftwareEvent::CpuClock), scope, policy, true)?;",
        fix="Safe where the number is one of the kernel's constants (`PERF_COUNT_SW_CPU_CLOCK as u64`), and for an "
        "import "
        "that nothing uses; else display.",
        source="aya 0.13.1 and 0.14.0, `src/programs/perf_event.rs`.",
    ),
    Row(
        "AYA020",
        "async-perf-event-array-removed",
        "`AsyncPerfEventArray` does not exist any more.",
        item="AsyncPerfEventArray, features async_tokio and async_std",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="PerfEventArray or RingBuf in an AsyncFd",
        match=Any(
            Name(("aya::maps::AsyncPerfEventArray", "aya::maps::AsyncPerfEventArrayBuffer")),
            Feature("aya", "async_tokio", "async_std"),
        ),
        edits=(display("wait on the map with your runtime's `AsyncFd` around a `RingBuf` or `PerfEventArrayBuffer`"),),
        message="`{old}` was removed, aya 0.14 has no asynchronous maps",
        found="Finds `aya::maps::AsyncPerfEventArray` (also under `maps::perf`) and the features `async_tokio` and "
        "`async_std` where aya is 0.14.0 or newer.",
        why="They were removed: the code does not compile, Cargo refuses the features.",
        old="use aya::maps::perf::AsyncPerfEventArray;",
        new="use aya::maps::RingBuf; // in a tokio::io::unix::AsyncFd of your own",
        fix="Display: put a `PerfEventArrayBuffer` or a `RingBuf` into an `AsyncFd` of your runtime.",
        source="aya, `aya/CHANGELOG.md` (listed under 0.13.2).",
    ),
    Row(
        "AYA021",
        "read-events-removed",
        "`read_events` on a perf buffer, which aya 0.14 replaced by closures.",
        item="PerfEventArrayBuffer::read_events",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="for_each, fold, try_fold",
        match=Call("read_events", on=("aya::maps::PerfEventArrayBuffer",)),
        edits=(display("handle the events in a closure: `for_each`, `fold` or `try_fold`"),),
        message="`read_events` does not exist since aya 0.14",
        found="Finds `read_events(..)` on what `PerfEventArray::open` gave, where aya is 0.14.0 or newer.",
        why="It does not compile: events are not copied into buffers of yours any more.",
        old="let events = buffer.read_events(&mut buffers)?;",
        new="buffer.for_each(|event| handle(event))?;",
        fix="Display: the loop over the buffers becomes the closure.",
        source="aya 0.14.0, `src/maps/perf/perf_event_array.rs`.",
    ),
    Row(
        "AYA250",
        "perf-event-scope-variants",
        "The scopes of perf events say process and CPU apart since aya 0.14.",
        item="PerfEventScope::CallingProcessAnyCpu and its kin",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="PerfEventScope::CallingProcess { cpu }, OneProcess { pid, cpu }",
        match=Any(
            Name((f"{_SCOPE}::CallingProcessAnyCpu",)),
            Written(
                tuple(f"{_SCOPE}::{name}" for name in ("CallingProcessOneCpu", "OneProcessAnyCpu", "OneProcessOneCpu"))
            ),
        ),
        edits=(
            perf_scope,
            display("write `CallingProcess {{ cpu }}` or `OneProcess {{ pid, cpu }}`"),
        ),
        message="`PerfEventScope::{old}` does not exist since aya 0.14",
        found="Finds `CallingProcessAnyCpu`, `CallingProcessOneCpu`, `OneProcessAnyCpu` and `OneProcessOneCpu` of "
        "`PerfEventScope` where aya is 0.14.0 or newer.",
        why="It does not compile. The CPU is an `Option` of two variants now instead of four.",
        old="let scope = PerfEventScope::OneProcessAnyCpu { pid };",
        new="let scope = PerfEventScope::OneProcess { pid, cpu: None };",
        fix="Safe.",
        source="aya 0.13.1 and 0.14.0, `src/programs/perf_event.rs`.",
    ),
    Row(
        "AYA251",
        "probe-kind-variants",
        "`ProbeKind` tells entry from return since aya 0.14, and no longer kprobe from uprobe.",
        item="ProbeKind::{KProbe, KRetProbe, UProbe, URetProbe}",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="ProbeKind::{Entry, Return}",
        match=Name(
            {
                "aya::programs::ProbeKind::KProbe": "Entry",
                "aya::programs::ProbeKind::UProbe": "Entry",
                "aya::programs::ProbeKind::KRetProbe": "Return",
                "aya::programs::ProbeKind::URetProbe": "Return",
            }
        ),
        edits=(probe_kind, display("ask the type of the program whether it is a kprobe or a uprobe")),
        message="`ProbeKind::{old}` does not exist since aya 0.14, it is `{new}`",
        found="Finds the four variants that `ProbeKind` had where aya is 0.14.0 or newer.",
        why="It does not compile. Which of the two probes it is, the type of the program says already.",
        old="let probe = KProbe::from_pin(path, ProbeKind::KProbe)?;",
        new="let probe = KProbe::from_pin(path, ProbeKind::Entry)?;",
        fix="Safe, but display where a `match` tells kprobes from uprobes by it.",
        source="aya 0.13.1 and 0.14.0, `src/programs/probe.rs`.",
    ),
    Row(
        "AYA252",
        "socket-filter-has-no-link",
        "A socket filter has no link since aya 0.14: it belongs to its socket.",
        item="SocketFilter::take_link, detach(link)",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="SocketFilter::detach(socket)",
        match=Any(
            Call("take_link", "detach", on=("aya::programs::SocketFilter",), show="call"),
            Name(
                (
                    "aya::programs::socket_filter::SocketFilterLink",
                    "aya::programs::socket_filter::SocketFilterLinkId",
                    "aya::programs::SocketFilterLink",
                    "aya::programs::SocketFilterLinkId",
                )
            ),
        ),
        edits=(drop_import(), display("keep the socket, and call `SocketFilter::detach(&socket)`")),
        message="socket filters have no links since aya 0.14: `attach` gives nothing, `detach` takes the socket",
        found="Finds `take_link` and `detach` called on a `SocketFilter`, and the names of its link, where aya is "
        "0.14.0 "
        "or newer.",
        why="It does not compile. The kernel keeps a filter with its socket until that is closed or the filter is "
        "detached; no link ever owned it.",
        old="let link = filter.attach(&socket)?;\nfilter.detach(link)?;",
        new="filter.attach(&socket)?;\nSocketFilter::detach(&socket)?;",
        fix="Safe for an import that nothing uses, else display.",
        source="aya 0.13.1 and 0.14.0, `src/programs/socket_filter.rs`.",
    ),
    Row(
        "AYA254",
        "perf-buffer-reading-removed",
        "What reading perf events into buffers of one's own needed is gone.",
        item="perf::Events, PerfBufferError::{NoBuffers, MoreSpaceNeeded}",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="closures: for_each, fold, try_fold",
        match=Name(
            (
                "aya::maps::Events",
                "aya::maps::PerfBufferError::NoBuffers",
                "aya::maps::PerfBufferError::MoreSpaceNeeded",
            )
        ),
        edits=(drop_import(), delete_arm("leave the arm out"), display("handle the events in a closure of `for_each`")),
        message="`{old}` does not exist since aya 0.14, events are handled in closures",
        found="Finds `Events` of `aya::maps::perf`, and the variants `NoBuffers` and `MoreSpaceNeeded` of its error, "
        "where "
        "aya is 0.14.0 or newer.",
        why="It does not compile. Events are no longer copied, so there are no buffers to be too few or too small.",
        old="Err(PerfBufferError::MoreSpaceNeeded { size }) => grow(size),",
        new="buffer.for_each(|event| handle(event))?;",
        fix="Safe for an arm of a `match` and for an import that nothing uses, else display.",
        source="aya 0.13.1 and 0.14.0, `src/maps/perf/perf_buffer.rs`.",
    ),
    Row(
        "AYA255",
        "attached-link-without-classid",
        "`SchedClassifierLink::attached` takes a handle type and a class since aya 0.14.",
        item="SchedClassifierLink::attached(name, type, priority, handle)",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="attached(name, type, priority, TcHandle, classid)",
        match=Call(fn=("aya::programs::tc::SchedClassifierLink::attached",), args=4, show="call"),
        edits=(
            rewrite(
                "$i, $t, $p, $h",
                "$i, $t, $p, {aya::programs::tc::TcHandle}::from($h), None",
                "pass a `TcHandle`, and no class",
                "unsafe",
            ),
        ),
        message="`SchedClassifierLink::attached` takes a `TcHandle` and a class since aya 0.14",
        found="Finds `SchedClassifierLink::attached` with four arguments where aya is 0.14.0 or newer.",
        why="It does not compile.",
        old='SchedClassifierLink::attached("eth0", TcAttachType::Ingress, priority, handle)?',
        new='SchedClassifierLink::attached("eth0", TcAttachType::Ingress, priority, TcHandle::from(handle), None)?',
        fix="Unsafe: a handle that came from aya is a `TcHandle` already, which `from` takes too.",
        source="aya 0.13.1 and 0.14.0, `src/programs/tc.rs`.",
    ),
    Row(
        "AYA256",
        "netlink-error-has-no-fields",
        "The variants `NetlinkError` carry an error instead of a field since aya 0.14.",
        item="XdpError::NetlinkError { io_error }, TcError::NetlinkError { io_error }",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="NetlinkError(error)",
        match=Name(
            (
                "aya::programs::XdpError::NetlinkError",
                "aya::programs::TcError::NetlinkError",
                "aya::programs::xdp::XdpError::NetlinkError",
                "aya::programs::tc::TcError::NetlinkError",
            ),
            where=braced,
        ),
        edits=(netlink_error, display("match `NetlinkError(error)`")),
        message="`NetlinkError` has no field `io_error` since aya 0.14, it carries one error",
        found="Finds `XdpError::NetlinkError { .. }` and `TcError::NetlinkError { .. }` where aya is 0.14.0 or newer.",
        why="It does not compile when the field is named. The error says what the kernel's message was, too.",
        old="Err(ProgramError::XdpError(XdpError::NetlinkError { io_error })) => report(io_error),",
        new="Err(ProgramError::XdpError(XdpError::NetlinkError(error))) => report(error),",
        fix="Unsafe: the error is of another type.",
        source="aya 0.13.1 and 0.14.0, `src/programs/xdp.rs`, `tc.rs`.",
    ),
    Row(
        "AYA253",
        "perf-event-names-moved",
        "`PerfEventScope` and `SamplePolicy` are found in `aya::programs::perf_event` alone since aya 0.14.",
        item="aya::programs::{PerfEventScope, SamplePolicy}",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="aya::programs::perf_event::{PerfEventScope, SamplePolicy}",
        match=Name(
            ("aya::programs::PerfEventScope", "aya::programs::SamplePolicy"), where=not_below("perf_event"), each=True
        ),
        edits=(before_name("perf_event::", "write `perf_event::{name}`"),),
        message="`{old}` is no longer in `aya::programs` since aya 0.14, but in its module `perf_event`",
        found="Finds `aya::programs::PerfEventScope` and `aya::programs::SamplePolicy` written without the module "
        "`perf_event` where aya is 0.14.0 or newer.",
        why="It does not compile (E0432). The module has had them all the time.",
        old="use aya::programs::{PerfEvent, PerfEventScope};",
        new="use aya::programs::{PerfEvent, perf_event::PerfEventScope};",
        fix="Safe.",
        source="aya 0.13.1 and 0.14.0, `src/programs/mod.rs`.",
    ),
    Row(
        "AYA258",
        "match-lacks-newer-kinds",
        "A `match` over all kinds of programs, maps or errors, of which aya 0.14 has more.",
        item="the variants of Program, Map, MapError, ProgramError, TcError, LinkError",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="new variants",
        match=Exhaustive(
            {
                "aya::programs::Program": ("Iter", "FlowDissector", "LsmCgroup", "SkReuseport"),
                "aya::maps::Map": ("ArrayOfMaps", "HashOfMaps", "SkStorage", "InodeStorage", "CgrpStorage"),
                "aya::maps::MapError": ("InvalidValueStride", "UnsupportedMapFlags", "MissingInnerMapDefinition"),
                "aya::programs::ProgramError": ("NetlinkError", "AttachCookieNotSupported"),
                "aya::programs::TcError": ("IoError", "NulError"),
                "aya::programs::links::LinkError": ("UnknownLinkType",),
            }
        ),
        edits=(display("add an arm for {new}, or `_`"),),
        message="`{type}` has more variants since aya 0.14, and this `match` has no arm for {new}",
        found="Finds a `match` without a catch-all whose arms name variants of `Program`, `Map` or one of aya's "
        "errors, "
        "where aya is 0.14.0 or newer and the variants that came with it are not among them.",
        why='It does not compile: "non-exhaustive patterns" (E0004).',
        old='match program { Program::Xdp(_) => "xdp", Program::KProbe(_) => "kprobe", .. }',
        new='match program { Program::Xdp(_) => "xdp", Program::KProbe(_) => "kprobe", .., _ => "other" }',
        fix="Display: what to do about the others is yours to say.",
        source="aya 0.13.1 and 0.14.0, `src/programs/mod.rs`, `src/maps/mod.rs`.",
    ),
    Row(
        "AYA259",
        "perf-constants-removed",
        "The kernel's constants for perf events are no longer public since aya 0.14.",
        item="perf_event::{perf_sw_ids, perf_hw_id, perf_hw_cache_id}",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="SoftwareEvent, HardwareEvent, HwCacheEvent",
        match=Name(
            (
                *(f"aya::programs::PERF_COUNT_{name}" for name in CONSTANTS),
                *(f"aya::programs::perf_event::{name}" for name in ("perf_sw_ids", "perf_hw_id", "perf_hw_cache_id")),
            )
        ),
        edits=(drop_import(), display("name the event: `SoftwareEvent::CpuClock`, `HardwareEvent::CpuCycles`")),
        message="`{old}` is private since aya 0.14, `PerfEventConfig` names events",
        found="Finds `perf_sw_ids`, `perf_hw_id`, `perf_hw_cache_id` and their constants below "
        "`aya::programs::perf_event` where aya is 0.14.0 or newer.",
        why="It does not compile (E0603). `PerfEventConfig` took the place of type and number, so that they fit.",
        old="use aya::programs::perf_event::perf_sw_ids::PERF_COUNT_SW_CPU_CLOCK;",
        new="use aya::programs::perf_event::SoftwareEvent;",
        fix="Safe for an import that nothing uses, else display.",
        source="aya 0.13.1 and 0.14.0, `src/programs/perf_event.rs`.",
    ),
    Row(
        "AYA017",
        "uprobe-of-process-zero",
        "A uprobe for process 0, which is the calling process and not all of them.",
        item="UProbe::attach(function, offset, target, Some(0))",
        side="user",
        crate="aya",
        last="0.13.1",
        first="",
        before="0.14.0",
        replacement="None",
        match=Call("attach", on=("aya::programs::UProbe",), args=4, where=some_zero(3), show=3),
        edits=(rewrite("$f, $o, $t, Some(0)", "$f, $o, $t, None", "pass `None` for all processes", "unsafe"),),
        message="process 0 is the calling process: nobody else's calls are seen, `None` means all processes",
        found="Finds `attach(.., Some(0))` on a `UProbe` where aya is older than 0.14.0.",
        why="`perf_event_open` takes process 0 for the one that calls it and -1 for all. The probe is attached and "
        "fires "
        "for your own program alone, so it seems never to fire. To see it: attach to `malloc` of libc and run `ls`.",
        old='probe.attach(Some("malloc"), 0, "libc", Some(0))?;',
        new='probe.attach(Some("malloc"), 0, "libc", None)?;',
        fix="Unsafe: other processes are traced too.",
        source="aya 0.13.1, `src/programs/uprobe.rs`; perf_event_open(2).",
        severity="warning",
        group="attach",
        phase="silent",
    ),
    Row(
        "AYA266",
        "qdisc-error-is-no-io-error",
        "The error of `tc::qdisc_add_clsact` and `qdisc_detach_program` is a `TcError` since aya 0.14.",
        item="qdisc_add_clsact, qdisc_detach_program -> io::Result<()>",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.14.0",
        replacement="Result<(), TcError>",
        match=Call(
            fn=("aya::programs::tc::qdisc_add_clsact", "aya::programs::tc::qdisc_detach_program"),
            then=io_error_asked,
            show="call",
        ),
        edits=(
            display(
                "match `TcError::NetlinkError(error)`, and compare `error.raw_os_error()` with `Some(libc::EEXIST)`"
            ),
        ),
        message="the error of `{name}` is a `TcError` since aya 0.14, which has no such method",
        found="Finds `kind()` and `raw_os_error()` of the error that `tc::qdisc_add_clsact` or "
        "`tc::qdisc_detach_program` "
        "gave, in an `if let Err(..)` or a `match`, where aya is 0.14.0 or newer.",
        why="It does not compile (E0599). An interface that is not there and what the kernel answered are told apart "
        "now.",
        old='if let Err(error) = tc::qdisc_add_clsact("eth0") {\n'
        "    if error.kind() != ErrorKind::AlreadyExists { return Err(error.into()); }\n}",
        new='match tc::qdisc_add_clsact("eth0") {\n'
        "    Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => (),\n"
        "    other => other?,\n}",
        fix="Display: the error is matched in another way.",
        source="aya 0.13.1 and 0.14.0, `src/programs/tc.rs`, `src/sys/netlink.rs`.",
    ),
)

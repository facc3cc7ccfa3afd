"""User side, gone or changed with aya 0.14."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import display, members, method, only, rewrite
from bpfsmith.rules.moves._match import Any, Call, Feature, Name
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import argument_path

__all__ = ["ROWS"]

LOADER = ("aya::EbpfLoader", "aya::BpfLoader")
_POINTS = (
    ("Some($lit_f), 0", "$lit_f"),
    ("Some($f), 0", "{aya::programs::uprobe::UProbeAttachLocation}::Symbol($f)"),
    ("Some($f), $o", "{aya::programs::uprobe::UProbeAttachLocation}::SymbolOffset($f, $o)"),
    ("None, $o", "{aya::programs::uprobe::UProbeAttachLocation}::AbsoluteOffset($o)"),
)
_SCOPES = (
    ("None", "AllProcesses", "safe"),
    ("Some(0)", "CallingProcess", "safe"),
    ("Some($pid)", "OneProcess(std::num::NonZeroU32::new($pid as u32).unwrap())", "unsafe"),
)
_UPROBE = tuple(
    only(
        era,
        rewrite(
            f"{point}, $target, {pid}",
            f"{before}{location}{behind}, $target, {{aya::programs::uprobe::UProbeScope}}::{scope}",
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
        fix="Display: 0.14 takes one point, 0.15 several in an array.",
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
        match=Call("attach", on=("aya::programs::PerfEvent",), where=argument_path(0, "::PerfTypeId::"), show="0"),
        edits=(display("name type and number as one: `PerfEventConfig::Software(SoftwareEvent::CpuClock)`"),),
        message="`PerfEvent::attach` takes a `PerfEventConfig` since aya 0.14, `PerfTypeId` is gone",
        found="Finds `attach(PerfTypeId::.., config, ..)` on a `PerfEvent` where aya is 0.14.0 or newer.",
        why="It does not compile: `PerfTypeId` is gone.",
        old="program.attach(PerfTypeId::Software, PERF_COUNT_SW_CPU_CLOCK as u64, scope, policy, true)?;",
        new="program.attach(PerfEventConfig::Software(SoftwareEvent::CpuClock), scope, policy, true)?;",
        fix="Display: the number has to be named.",
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
)

"""User side, gone or changed with aya 0.13."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import after, append, display, method, only, rename, rewrite
from bpfsmith.rules.moves._match import Any, Call, Name
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import argument_type, pair_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.rules._rust import Mention
    from bpfsmith.source.rust import Expr

__all__ = ["ROWS"]

LOADER = ("aya::EbpfLoader", "aya::BpfLoader")


def _no_mode(call: Expr) -> bool:
    """Without a mode: with one, it is a call of another type of program (AYA702)."""
    return not any("CgroupAttachMode" in one.text for one in call.args)


_CGROUP = ("CgroupDevice", "CgroupSock", "CgroupSockAddr", "CgroupSockopt", "CgroupSysctl", "SockOps")

_TC_OPTIONS = "`attach_with_options` takes `TcAttachOptions` since aya 0.13, `Netlink(..)` for options like these"


def _since_014(mention: Mention) -> bool:
    crate = mention.file.crate
    return crate is not None and crate.at_least("aya", "0.14.0")


ROWS = (
    Row(
        "AYA001",
        "bpf-names-renamed",
        "`Bpf`, `BpfLoader` and `BpfError` are old names of `Ebpf`, `EbpfLoader` and `EbpfError`.",
        item="Bpf, BpfLoader, BpfError",
        side="user",
        crate="aya",
        last="0.12.0",
        first="0.13.0",
        replacement="Ebpf, EbpfLoader, EbpfError",
        match=Name({"aya::Bpf": "Ebpf", "aya::BpfLoader": "EbpfLoader", "aya::BpfError": "EbpfError"}),
        edits=(rename(),),
        message="`{old}` is deprecated since aya 0.13.0, it is called `{new}` now",
        found="Finds the names `aya::Bpf`, `aya::BpfLoader` and `aya::BpfError` where aya is 0.13.0 or newer, "
        "through any `use`. One finding at the import; its fix edits every use in the file.",
        why="They are deprecated aliases since aya 0.13.0: each use is a compiler warning today and an error once"
        " they are removed.",
        old="""\
use aya::Bpf;
let mut bpf = Bpf::load(data)?;
""",
        new="""\
use aya::Ebpf;
let mut ebpf = Ebpf::load(data)?;
""",
        fix="Safe: the new names are the same types.",
        source='aya, `aya/src/bpf.rs` (`#[deprecated(since = "0.13.0")]`).',
        severity="warning",
    ),
    Row(
        "AYA004",
        "bpf-relocation-names-renamed",
        "`BpfRelocationError` and `BpfSectionKind` were renamed without an alias.",
        item="BpfSectionKind, BpfRelocationError",
        side="any",
        crate="aya-obj",
        last="0.1.0",
        first="0.2.0",
        replacement="EbpfSectionKind, EbpfRelocationError",
        match=Name(
            {
                "aya_obj::BpfSectionKind": "EbpfSectionKind",
                "aya_obj::obj::BpfSectionKind": "EbpfSectionKind",
                "aya_obj::relocation::BpfRelocationError": "EbpfRelocationError",
            }
        ),
        edits=(rename(),),
        message="`{old}` is renamed in aya-obj 0.2.0, it is called `{new}` now",
        found="Finds `aya_obj::BpfSectionKind`, `aya_obj::relocation::BpfRelocationError` and aya's re-exports "
        "where aya is 0.13.0 (aya-obj 0.2.0) or newer.",
        why="The names are gone since 0.13.0: the code does not compile.",
        old="use aya_obj::BpfSectionKind;",
        new="use aya_obj::EbpfSectionKind;",
        fix="Safe: the new name is the same type.",
        source="aya, `aya-obj/CHANGELOG.md` (0.2.0).",
    ),
    Row(
        "AYA005",
        "set-global-deprecated",
        "`EbpfLoader::set_global` is the old name of `override_global`.",
        item="EbpfLoader::set_global",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.13.2",
        replacement="override_global",
        match=Call("set_global", on=LOADER, args=3, show="name"),
        edits=(method("override_global"),),
        message="`set_global` is deprecated since aya 0.13.2, it is called `override_global` now",
        found="Finds `set_global` with three arguments on an `EbpfLoader` where aya is 0.13.2 or newer.",
        why="It is deprecated since 0.13.2 and will be removed.",
        old='EbpfLoader::new().set_global("LIMIT", &limit, true)',
        new='EbpfLoader::new().override_global("LIMIT", &limit, true)',
        fix="Safe: same arguments, same meaning.",
        source="aya, `aya/src/bpf.rs`.",
        severity="warning",
    ),
    Row(
        "AYA008",
        "set-max-entries-deprecated",
        "`EbpfLoader::set_max_entries` is the old name of `map_max_entries`.",
        item="EbpfLoader::set_max_entries",
        side="user",
        crate="aya",
        last="0.13.1",
        first="0.13.2",
        replacement="map_max_entries",
        match=Call("set_max_entries", on=LOADER, show="name"),
        edits=(method("map_max_entries"),),
        message="`set_max_entries` is deprecated since aya 0.13.2, it is called `map_max_entries` now",
        found="Finds `set_max_entries` on an `EbpfLoader` where aya is 0.13.2 or newer.",
        why="It is deprecated since 0.13.2 and will be removed.",
        old='EbpfLoader::new().set_max_entries("FLOWS", 65536)',
        new='EbpfLoader::new().map_max_entries("FLOWS", 65536)',
        fix="Safe: same arguments, same meaning.",
        source="aya, `aya/src/bpf.rs`.",
        severity="warning",
    ),
    Row(
        "AYA019",
        "cgroup-attach-without-mode",
        "A cgroup program attached without a mode, which aya wants since 0.13.",
        item="attach(cgroup) of cgroup programs",
        side="user",
        crate="aya",
        last="0.12.0",
        first="0.13.0",
        replacement="attach(cgroup, mode)",
        match=Any(
            Call("attach", on=("aya::programs::CgroupSkb",), args=2, where=_no_mode),
            Call("attach", on=tuple(f"aya::programs::{name}" for name in _CGROUP), args=1),
        ),
        edits=(append("{aya::programs::CgroupAttachMode}::Single", "pass `CgroupAttachMode::Single`"),),
        message="`{type}::attach` takes a `CgroupAttachMode` since aya 0.13",
        found="Finds `attach(cgroup)` on cgroup and sock_ops programs (`attach(cgroup, type)` on `CgroupSkb`) where"
        " aya is 0.13.0 or newer.",
        why="It does not compile: the last argument is a `CgroupAttachMode`.",
        old="program.attach(cgroup, CgroupSkbAttachType::Egress)?;",
        new="program.attach(cgroup, CgroupSkbAttachType::Egress, CgroupAttachMode::Single)?;",
        fix="Safe: `Single` is what the call did before.",
        source="aya, pull request 985.",
    ),
    Row(
        "AYA240",
        "cpus-error-is-a-pair",
        "The error of `online_cpus` and `nr_cpus` is a pair since aya 0.13, which `?` cannot turn into yours.",
        item="online_cpus() and nr_cpus() -> Result<_, io::Error>",
        side="user",
        crate="aya",
        last="0.12.0",
        first="0.13.0",
        replacement="Result<_, (&str, io::Error)>",
        match=Call(fn=("aya::util::online_cpus", "aya::util::nr_cpus"), args=0, where=pair_error, show="whole"),
        edits=(after(".map_err(|(_, error)| error)", "keep the error alone: `.map_err(|(_, error)| error)`"),),
        message="the error of `{name}` is a pair (file, error) since aya 0.13, `?` cannot turn it into this function's",
        found="Finds `online_cpus()?` and `nr_cpus()?`, or with `context(..)` before the `?`, in functions that "
        "return an "
        "error of anyhow, `std::io` or a `Box<dyn Error>` where aya is 0.13.0 or newer.",
        why='It does not compile: "`?` couldn\'t convert the error". A pair is no `std::error::Error`.',
        old="for cpu in online_cpus()? {",
        new="for cpu in online_cpus().map_err(|(_, error)| error)? {",
        fix="Safe: the error that 0.12 gave.",
        source="aya 0.12.0 and 0.13.1, `src/util.rs`.",
    ),
    Row(
        "AYA242",
        "tc-options-renamed",
        "`TcOptions` became `NlOptions`, inside `TcAttachOptions::Netlink`.",
        item="TcOptions",
        side="user",
        crate="aya",
        last="0.12.0",
        first="0.13.0",
        replacement="NlOptions",
        match=Any(
            Name({"aya::programs::tc::TcOptions": "NlOptions"}),
            Call(
                "attach_with_options",
                on=("aya::programs::SchedClassifier",),
                args=3,
                where=argument_type(2, "aya::programs", "TcOptions", "NlOptions"),
                more=lambda _: {"message": _TC_OPTIONS},
                show=2,
            ),
        ),
        edits=(
            rename(),
            only(
                "<aya 0.15.0",
                rewrite(
                    "$i, $t, $o",
                    "$i, $t, {aya::programs::tc::TcAttachOptions}::Netlink($o)",
                    "write `TcAttachOptions::Netlink(..)`",
                ),
            ),
            rewrite(
                "$i, $t, $o",
                "$i, {aya::programs::tc::TcAttach}::Netlink { parent: $t.into(), options: $o }",
                "call `attach` with `TcAttach::Netlink`",
                name="attach",
            ),
        ),
        message="`{old}` is called `{new}` since aya 0.13",
        found="Finds `aya::programs::tc::TcOptions`, and such options given to `attach_with_options`, where aya is "
        "0.13.0 "
        "or newer.",
        why="It does not compile. From 6.6 on programs of traffic control are attached by tcx, which knows neither "
        "priority nor handle; so options for the older way say so.",
        old='classifier.attach_with_options("eth0", TcAttachType::Ingress, TcOptions { priority: 50, handle: 3 })?;',
        new="let options = NlOptions { priority: 50, handle: 3 };\n"
        'classifier.attach_with_options("eth0", TcAttachType::Ingress, TcAttachOptions::Netlink(options))?;',
        fix="Safe.",
        source="aya 0.12.0 and 0.13.1, `src/programs/tc.rs`.",
    ),
    Row(
        "AYA243",
        "socket-filter-error-renamed",
        "`SocketFilterError::SoAttachBpfError` was renamed, and once more later.",
        item="SocketFilterError::SoAttachBpfError, SoAttachEbpfError",
        side="user",
        crate="aya",
        last="0.12.0",
        first="0.13.0",
        replacement="SoAttachEbpfError; SetsockoptError since 0.14",
        match=Any(
            Name({"aya::programs::SocketFilterError::SoAttachBpfError": "SoAttachEbpfError"}),
            Name({"aya::programs::SocketFilterError::SoAttachEbpfError": "SetsockoptError"}, where=_since_014),
        ),
        edits=(only("<aya 0.14.0", rename()), display("match `SocketFilterError::SetsockoptError {{ io_error, .. }}`")),
        message="`SocketFilterError::{old}` does not exist in this aya",
        found="Finds `SocketFilterError::SoAttachBpfError` where aya is 0.13.0 or newer, and `SoAttachEbpfError` "
        "where it "
        "is 0.14.0 or newer.",
        why="It does not compile: the variant has another name since 0.13, and a field more since 0.14.",
        old="Err(SocketFilterError::SoAttachBpfError { io_error }) => report(io_error),",
        new="Err(SocketFilterError::SoAttachEbpfError { io_error }) => report(io_error), // 0.13",
        fix="Safe for 0.13, else display.",
        source="aya 0.12.0, 0.13.1 and 0.14.0, `src/programs/socket_filter.rs`.",
    ),
)

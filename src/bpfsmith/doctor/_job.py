"""Asks everything: the checks, then a probe per type."""

from __future__ import annotations

from bpfsmith.doctor._checks import checks
from bpfsmith.doctor._clean import left_behind
from bpfsmith.doctor._lab import lab_checks
from bpfsmith.doctor.report import DoctorReport, Feature
from bpfsmith.facts import attach_types, helpers, map_types, program_types, series_key
from bpfsmith.kernel import live, privilege, probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What must have been switched on when the kernel was built, by feature.
_CONFIG = {
    "program_type:kprobe": "CONFIG_BPF_EVENTS",
    "program_type:lirc_mode2": "CONFIG_BPF_LIRC_MODE2",
    "program_type:lsm": "CONFIG_BPF_LSM",
    "program_type:lwt_in": "CONFIG_LWTUNNEL_BPF",
    "program_type:lwt_seg6local": "CONFIG_IPV6_SEG6_BPF",
    "program_type:netfilter": "CONFIG_NETFILTER_BPF_LINK",
    "program_type:sched_cls": "CONFIG_NET_CLS_BPF",
    "program_type:cgroup_skb": "CONFIG_CGROUP_BPF",
    "map_type:xskmap": "CONFIG_XDP_SOCKETS",
    "map_type:sockmap": "CONFIG_BPF_STREAM_PARSER",
    "attach_type:trace_kprobe_multi": "CONFIG_FPROBE",
    "attach_type:trace_kprobe_session": "CONFIG_FPROBE",
    "attach_type:trace_uprobe_multi": "CONFIG_UPROBES",
    "attach_type:trace_uprobe_session": "CONFIG_UPROBES",
    "attach_type:netkit_primary": "CONFIG_NETKIT",
    "attach_type:netkit_peer": "CONFIG_NETKIT",
    "attach_type:netfilter": "CONFIG_NETFILTER_BPF_LINK",
    "attach_type:lirc_mode2": "CONFIG_BPF_LIRC_MODE2",
    "attach_type:lsm_mac": "CONFIG_BPF_LSM",
    "attach_type:lsm_cgroup": "CONFIG_BPF_LSM",
    "attach_type:tcx_ingress": "CONFIG_NET_XGRESS",
    "attach_type:tcx_egress": "CONFIG_NET_XGRESS",
    "attach_type:trace_fentry": "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "attach_type:trace_fexit": "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "link_type:kprobe_multi": "CONFIG_FPROBE",
    "link_type:netkit": "CONFIG_NETKIT",
    "link_type:netfilter": "CONFIG_NETFILTER_BPF_LINK",
    "feature:kprobe_multi": "CONFIG_FPROBE",
    "feature:kprobe_session": "CONFIG_FPROBE",
    "feature:netkit": "CONFIG_NETKIT",
    "feature:tcx": "CONFIG_NET_XGRESS",
}
_LINK_SINCE = {
    "raw_tracepoint": "4.17", "tracing": "5.5", "cgroup": "5.7", "iter": "5.8", "netns": "5.8", "xdp": "5.9",
    "perf_event": "5.15", "kprobe_multi": "5.18", "struct_ops": "6.4", "netfilter": "6.4", "tcx": "6.6",
    "uprobe_multi": "6.6", "netkit": "6.7", "sockmap": "6.10",
}  # fmt: skip


def run(with_helpers: bool, clean: bool) -> DoctorReport:
    """See `bpfsmith.doctor.doctor`."""
    kernel = live()
    report = DoctorReport(kernel.version, kernel.arch)
    for family, rows in (
        ("program_type", program_types.all()),
        ("map_type", map_types.all()),
        ("attach_type", attach_types.all()),
    ):
        report.features += [_ask(family, row.name, row.since, row.number) for row in rows]
    _without_programs(report)
    report.features += [_ask("link_type", word, since) for word, since in _LINK_SINCE.items()]
    report.features += [_ask("feature", word, "") for word in probe.FEATURES]
    report.checks = [*checks(report), *lab_checks()]
    if with_helpers:
        report.helpers = {row.name: _helpers(row.number) for row in program_types.all()}
    report.left = left_behind(clean)
    return report


def _without_programs(report: DoctorReport) -> None:
    """What programs of no permitted type could be attached to is not permitted either."""
    types = {one.name: one for one in report.of("program_type")}
    for one in report.of("attach_type"):
        row = attach_types.get(one.name)
        kinds = [types[name] for name in (row.program_types if row else ()) if name in types]
        if one.status == "yes" and kinds and all(kind.status == "denied" for kind in kinds):
            one.status, one.why = "denied", kinds[0].why


def _ask(family: str, word: str, since: str, number: int = 0) -> Feature:
    feature = word if family == "feature" else f"{family}:{word}"
    status, errno = probe.outcome(feature)
    why = "" if status == "yes" else _why(f"{family}:{word}", status, errno, since, number)
    return Feature(family, word, status, since, why)


def _why(feature: str, status: str, errno: int, since: str, number: int) -> str:
    """What is in the way of it, as a part of a sentence."""
    kernel = live()
    if status == "denied":
        return _denied(_missing(feature, number))
    if since and series_key(since) > series_key(kernel.series):
        return f"since Linux {since}"
    option = _CONFIG.get(feature)
    if option and kernel.has_config and kernel.config(option) is None:
        return f"{option} is not set"
    if not since and errno in (22, 524):
        return "this kernel does not know it"
    from bpfsmith.kernel.failures import errno_name

    return f"not there; it takes {option}" if option and not kernel.has_config else f"not there ({errno_name(errno)})"


def _denied(missing: tuple[str, ...]) -> str:
    if missing:
        return f"needs {' and '.join(missing)}"
    level = privilege.lockdown()
    locked = f", on a kernel that is locked down ({level})" if level in ("integrity", "confidentiality") else ""
    return f"refused though every capability is there{locked}"


def _missing(feature: str, number: int) -> tuple[str, ...]:
    family = feature.partition(":")[0]
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "program_type": ("BPF_PROG_LOAD", {"prog_type": number}),
        "map_type": ("BPF_MAP_CREATE", {"map_type": number}),
        "attach_type": ("BPF_LINK_CREATE", {"attach_type": number}),
    }
    command, fields = asked.get(family, ("BPF_BTF_LOAD", {}))
    needed = dict.fromkeys(privilege.missing(command, fields) + privilege.missing("BPF_BTF_LOAD"))
    return tuple(needed)


def _helpers(number: int) -> list[str] | None:
    """Names of the helpers programs of that type may call; None where no such program can be asked with."""
    if not probe.can_ask_helpers(number):
        return None
    return [row.name for row in helpers.all() if probe.helper(number, row.number) == 0]

"""Edits of rows about perf events, where one variant of old is another with other fields of new."""

from __future__ import annotations

import re

from bpfsmith.model.finding import Fix
from bpfsmith.rules._rust import replace
from bpfsmith.rules.moves._edit import rename, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules.moves._table import Hit

__all__ = ["CONSTANTS", "netlink_error", "perf_config", "perf_scope", "probe_kind"]

_TYPES = {"Software": ("SW", "SoftwareEvent"), "Hardware": ("HW", "HardwareEvent")}
_EVENTS = {
    "SW": (
        *("CPU_CLOCK", "TASK_CLOCK", "PAGE_FAULTS", "CONTEXT_SWITCHES", "CPU_MIGRATIONS", "PAGE_FAULTS_MIN"),
        *("PAGE_FAULTS_MAJ", "ALIGNMENT_FAULTS", "EMULATION_FAULTS", "DUMMY", "BPF_OUTPUT", "CGROUP_SWITCHES"),
    ),
    "HW": (
        *("CPU_CYCLES", "INSTRUCTIONS", "CACHE_REFERENCES", "CACHE_MISSES", "BRANCH_INSTRUCTIONS", "BRANCH_MISSES"),
        *("BUS_CYCLES", "STALLED_CYCLES_FRONTEND", "STALLED_CYCLES_BACKEND", "REF_CPU_CYCLES"),
    ),
}
CONSTANTS = tuple(f"{kind}_{name}" for kind, names in _EVENTS.items() for name in names)


def perf_config(hit: Hit, ctx: CheckContext) -> Fix | None:
    """`PerfTypeId::Software, PERF_COUNT_SW_CPU_CLOCK as u64` becomes `PerfEventConfig::Software(..::CpuClock)`."""
    call, file = hit.expr, hit.file
    if call is None or file is None or len(call.args) < 2:
        return None
    kind = call.args[0].path.rpartition("::")[2]
    number = call.args[1]
    while number.kind in ("cast", "paren") and number.inner is not None:
        number = number.inner
    short, enum = _TYPES.get(kind, ("", ""))
    found = re.fullmatch(rf"PERF_COUNT_{short}_(\w+)", number.path.rpartition("::")[2]) if short else None
    module = "aya::programs::perf_event"
    config = visible(file, hit.item, f"{module}::PerfEventConfig")
    if found is not None and found[1] in _EVENTS[short]:
        event = "".join(part.capitalize() for part in found[1].split("_"))
        text = f"{config}::{kind}({visible(file, hit.item, f'{module}::{enum}')}::{event})"
    elif kind == "Raw":
        text = f"{config}::Raw {{ event_id: {call.args[1].text} }}"
    elif kind == "TracePoint":
        text = f"{config}::TracePoint {{ event_id: {call.args[1].text} }}"
    else:
        return None
    edits = [replace(ctx, file, call.args[0].start, call.args[1].end, text)]
    if len(call.args) == 4:  # aya 0.11: nothing was inherited
        end = call.args[-1].end
        edits.append(replace(ctx, file, end, end, ", false"))
    return Fix("safe", f"write `{text}`", edits)


_SCOPES = {
    "CallingProcessOneCpu": ("CallingProcess", ()),
    "OneProcessAnyCpu": ("OneProcess", ("cpu: None",)),
    "OneProcessOneCpu": ("OneProcess", ()),
}


def perf_scope(hit: Hit, ctx: CheckContext) -> Fix | None:
    """The variant that says the same, `cpu: Some(..)` for one CPU and `None` for any."""
    file = hit.file
    if file is None:
        return None
    if hit.words["old"] == "CallingProcessAnyCpu":
        edits = [replace(ctx, file, one.start, one.end, "CallingProcess { cpu: None }") for one in hit.places]
        return Fix("safe", "write `CallingProcess { cpu: None }`", edits) if not hit.places[0].use else None
    struct = hit.expr
    if struct is None:
        return None
    new, more = _SCOPES[hit.words["old"]]
    fields = struct.struct_fields
    if any(value is None for _, value in fields) or ".." in struct.text:
        return None
    given = [
        f"cpu: Some({value.text})" if name == "cpu" else name if value.text == name else f"{name}: {value.text}"
        for name, value in fields
        if value is not None
    ]
    head = struct.text.partition("{")[0].rstrip()
    text = f"{head.rpartition('::')[0]}::{new} {{ {', '.join([*given, *more])} }}"
    return Fix("safe", f"write `{new}`", [replace(ctx, file, struct.start, struct.end, text)])


def netlink_error(hit: Hit, ctx: CheckContext) -> Fix | None:
    """`NetlinkError { io_error }` -> `NetlinkError(io_error)`."""
    file = hit.file
    if file is None or len(hit.places) != 1:
        return None
    found = re.compile(r"\s*\{\s*(io_error)?\s*(?::\s*(\w+)\s*)?,?\s*\}").match(file.text, hit.end)
    if found is None:
        return None
    name = found[2] or found[1]
    return Fix("unsafe", f"write `NetlinkError({name})`", [replace(ctx, file, hit.end, found.end(), f"({name})")])


def probe_kind(hit: Hit, ctx: CheckContext) -> Fix | None:
    """`Entry` or `Return` at every place, but where a `match` tells kprobes from uprobes by it."""
    file = hit.file
    if file is None:
        return None
    old = {"KProbe", "KRetProbe"}, {"UProbe", "URetProbe"}
    for match in file.of_kind("match"):
        patterns = " ".join(pattern for pattern, _, _ in match.arms)
        words = set(re.findall(r"\w+", patterns))
        inside = any(arm[0] <= one.start < arm[1] for arm in match.fields[1] for one in hit.places)
        if inside and all(words & names for names in old):
            return None
    return rename()(hit, ctx)

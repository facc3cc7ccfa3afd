"""What is not in the program's lines: the kernel's own mistakes, and what loaders say before the verifier is asked."""

from __future__ import annotations

from bpfsmith.verify.cause import parts
from bpfsmith.verify.cause.classes import conventional
from bpfsmith.verify.cause.result import Advice, Cause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find"]


def find(trace: Trace, match: Match | None) -> Cause | None:
    """`kernel-bug` of V48; `environment`, `attach-target` or `loader-or-metadata` of V60 to V69."""
    if match is None:
        return None
    message = parts.said(trace, match)
    if match.family == "V48":
        if parts.called(trace.last) == "bpf_tail_call" and "misconfigured verifier" in message:
            return _no_program_array(trace)
        return _kernel(trace, message, match)
    row = _ROWS.get(match.family)
    if row is None:
        return None
    cls, confidence, headline, tip = row
    if match.family == "V62" and conventional(message, "V62") == "environment":
        cls, confidence, headline, tip = _ROWS["V69" if "MEMLOCK" in message else "V63"]
    if match.family == "V60" and parts.number(message, "#") is not None and "func" in message:
        from bpfsmith.verify.cause import available

        return available.find(trace, match)
    place = None
    if match.family == "V64":
        from bpfsmith.verify.cause.attach import program_place

        place = program_place(trace)
    name = parts.quoted(message)
    said = message.strip()
    return parts.cause(
        trace, cls, confidence, f"{headline}: {said}" if said else headline, step=trace.last, place=place,
        variables=[name if name.isidentifier() else None], advice=[Advice(*tip)],
    )  # fmt: skip


def _no_program_array(trace: Trace) -> Cause:
    """Kernels up to 6.12 at least have no better words for a tail call through a map of another type."""
    last = trace.last
    return parts.cause(
        trace, "argument-type", "medium", "`bpf_tail_call` is given a map that is no program array", step=last,
        because=[trace.fact(last, "the second argument has to be a map of type `prog_array`")] if last else [],
        variables=["bpf_tail_call"],
        advice=[Advice("map-type", "declare the map with `BPF_MAP_TYPE_PROG_ARRAY`", function="bpf_tail_call")],
    )  # fmt: skip


def _kernel(trace: Trace, message: str, match: Match) -> Cause:
    running = parts.series(trace)
    step = trace.last
    because = []
    if "misconfigured" in message:
        headline = (
            "this kernel contradicts itself about what the program may do; another version of it may take the program"
        )
        known = "see whether a newer release of the same kernel loads it"
    elif "INVARIANTS" in message:
        headline = (
            "the verifier's bounds of a value contradict one another after this comparison: a mistake of the kernel, "
            "not of "
            "the program"
        )
        known = (
            "kernels from 6.8 on check these bounds, and releases up to 6.19 are known to contradict themselves after "
            "comparisons that cannot be true; write the comparison another way, or leave BPF_F_TEST_REG_INVARIANTS out"
        )
    else:
        headline = "the verifier found a mistake of its own, not one of the program"
        known = "load it on a newer release of the kernel, or write the expression at this line another way"
    if step is not None:
        because.append(trace.fact(step, "the verifier was here when it noticed"))
    on = f" (Linux {running})" if running else ""
    return parts.cause(
        trace, "kernel-bug", "high", f"{headline}{on}", step=step, because=because,
        advice=[Advice("report", f"{known}{_span(match)}; report it with this log to bpf@vger.kernel.org")],
    )  # fmt: skip


def _span(match: Match) -> str:
    """Which kernels can say so at all, as far as the table of messages knows."""
    row = match.row
    if row is None or not row.first[:1].isdigit():
        return ""
    from bpfsmith.verify.messages._rows import rows

    known = [one.last for one in rows() if one.last[:1].isdigit()]
    newest = max(known, key=lambda word: [int(part) for part in word.split(".")])
    until = "on" if row.last == newest else f"to {row.last}"
    return f" (kernels from Linux {row.first} {until} can say this)"


_ROWS: dict[str, tuple[str, str, str, tuple[str, str]]] = {
    "V60": (
        "environment", "high", "this kernel lacks a field, type or value that the program was built for",
        ("guard-existence", "ask with `bpf_core_field_exists()` (or `bpf_core_type_exists()`) before using it, or "
                            "load it on "
         "a kernel that has it"),
    ),
    "V61": (
        "environment", "high", "this kernel does not tell its types (BTF)",
        ("config", "use a kernel with `CONFIG_DEBUG_INFO_BTF=y` (`ls /sys/kernel/btf/vmlinux`), or give the loader a "
                   "BTF file"),
    ),
    "V62": (
        "loader-or-metadata", "medium", "a map could not be created",
        ("map", "look at its type, sizes and flags; `bpfsmith verify` says which of them the kernel refuses"),
    ),
    "V63": (
        "environment", "high", "the kernel refuses the caller, not the program",
        ("capability", "load it as root, or `sudo setcap cap_bpf,cap_perfmon,cap_net_admin+ep LOADER`; `bpfsmith "
                       "doctor` says "
         "what else stands in the way (lockdown, containers)"),
    ),
    "V64": (
        "attach-target", "high", "the loader did not find what to attach to",
        ("attach-target", "look at what this kernel has: /sys/kernel/tracing/available_filter_functions, "
                          "available_events, its BTF"),
    ),
    "V65": (
        "loader-or-metadata", "high", "the loader does not understand the object",
        ("rebuild", "build it again with a current compiler and linker, and load it with a current loader"),
    ),
    "V66": (
        "loader-or-metadata", "medium", "the verifier's log did not fit into the loader's buffer, so that the load "
                                        "failed",
        ("log-buffer", "give it a bigger buffer (16 MiB), or ask for less (log level 1 or 0)"),
    ),
    "V67": (
        "unknown", "low", "the kernel refused without a word",
        ("ask-log", "load it again with the verifier's log on (`bpfsmith explain OBJECT` does)"),
    ),
    "V68": (
        "loader-or-metadata", "medium", "what is loaded is not covered by the program's signature",
        ("rebuild", "sign it again after the last change, with what it uses"),
    ),
    "V69": (
        "environment", "high", "the limit of locked memory is too low for maps and programs (kernels before 5.11 "
                               "count so)",
        ("memlock", "raise it before loading: `ulimit -l unlimited`, or `setrlimit(RLIMIT_MEMLOCK)` in the loader"),
    ),
}  # fmt: skip

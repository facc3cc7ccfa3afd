"""A verifier's log, of any kernel, in the figures a verdict needs: what it says last, where, and what it counted.

    told = parse(log)
    told.message        # R0 invalid mem access 'map_value_or_null'
    told.instruction    # 7
    told.stack          # [8, 24], by subprogram

The reading is `_native.VerifierLog`'s; all of a log, with its paths and states, is `bpfsmith.verify.log`. Kernels
differ in what surrounds the message. Up to 7.2 the depths of the stack are one line (`stack depth 8+24`); 7.3 gives
each subprogram a line of its own and, where instructions are logged, adds a report in sections (`Reason:`, `At:`,
`Causal path:`, `Suggestion:`) behind the message it always had. The message is that one, so that kernels can be
compared; the report is `told.report`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import VerifierLog

__all__ = ["Log", "parse", "slot_of"]


class Log:
    """`message`: the last line that says something, "" when none does; `instruction`: the slot it ended at, in the
    program as it was loaded; `processed`, `states`, `peak`, `limit`, `ns` (verification time) and `stack` as the kernel
    counted them, None where it did not say; `subprograms`: (name, instructions processed in it, and with those it
    calls, bytes of stack), since 7.3; `report`: section -> text, since 7.3."""

    __slots__ = (
        "instruction", "limit", "message", "ns", "peak", "processed", "report", "stack", "states", "subprograms",
    )  # fmt: skip

    def __init__(self) -> None:
        self.message = ""
        self.instruction: int | None = None
        self.processed: int | None = None
        self.limit: int | None = None
        self.states: int | None = None
        self.peak: int | None = None
        self.ns: int | None = None
        self.stack: list[int] | None = None
        self.subprograms: list[tuple[str, int, int, int]] = []
        self.report: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Log {self.message!r} at {self.instruction}, {self.processed} instructions>"


def parse(text: str) -> Log:
    """Never fails: what a log does not say stays empty."""
    from bpfsmith._native import VerifierLog

    return _told(VerifierLog(text))


def _told(log: VerifierLog) -> Log:
    found = Log()
    found.message = log.message
    if not found.message and not log.steps:
        # What a verifier also says in passing may have been its last word: whoever asks knows how it ended.
        found.message = next((text.strip() for _, text in reversed(log.told)), "")
    found.instruction = log.at if found.message else None
    counts = log.counts
    found.processed = counts.get("processed")
    found.limit = counts.get("limit")
    found.states = counts.get("total_states")
    found.peak = counts.get("peak_states")
    usec = counts.get("usec")
    found.ns = None if usec is None else usec * 1000
    found.stack = log.stack
    for one in log.subprograms:
        if one["stack"] is not None:
            own = one["insns_self"] or 0
            found.subprograms.append((one["name"], own, one["insns_total"] or own, one["stack"]))
    report = log.report
    if report is not None:
        found.report = {"Category": report.category, "Reason": report.reason, "At": report.at}
        if report.suggestion:
            found.report["Suggestion"] = report.suggestion
    return found


def slot_of(line: str) -> int | None:
    """The slot of `12: (85) call bpf_map_lookup_elem#1`, else None."""
    number, colon, rest = line.partition(": (")
    return int(number) if colon and number.isascii() and number.isdigit() and rest[2:3] == ")" else None

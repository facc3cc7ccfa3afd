"""What `bpfsmith run` saw: the answer of `bpfsmith.run`, and the document behind `--format json`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpfsmith.run.workload import Workload

__all__ = ["MapShown", "ProgramRun", "RunReport", "StreamRun", "plain"]


class ProgramRun:
    """One program. `type`: libbpf's word; `targets`: what it was attached to; `note`: why to nothing; `runs` and `ns`:
    how often and how long it ran meanwhile (5.8+, CAP_SYS_ADMIN), None where nobody counts; `missed`: runs the kernel
    left out because the program was running already."""

    __slots__ = ("missed", "name", "note", "ns", "runs", "targets", "type")

    def __init__(self, name: str, kind: str, targets: list[str], note: str = "") -> None:
        self.name = name
        self.type = kind
        self.targets = targets
        self.note = note
        self.runs: int | None = None
        self.ns: int | None = None
        self.missed: int | None = None

    @property
    def left_out(self) -> bool:
        """Whether it could not be attached and the run went on without it; `note` says why."""
        return self.note.startswith("left out: ")

    @property
    def ns_per_run(self) -> float | None:
        return self.ns / self.runs if self.runs and self.ns is not None else None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "targets": self.targets,
            "note": self.note or None,
            "runs": self.runs,
            "run_time_ns": self.ns,
            "ns_per_run": None if self.ns_per_run is None else round(self.ns_per_run, 1),
            "recursion_misses": self.missed,
        }

    def __repr__(self) -> str:
        return f"<ProgramRun {self.name}: {self.runs} runs>"


class StreamRun:
    """One ring or perf buffer. `record`: the type its records were read as, "" for bytes; `lost`: records the kernel
    had no room for, None where it does not tell (a full ring buffer refuses the program, which alone knows); `bad`:
    records that did not fit the type."""

    __slots__ = ("bad", "count", "lost", "name", "record", "type")

    def __init__(self, name: str, kind: str, record: str) -> None:
        self.name = name
        self.type = kind
        self.record = record
        self.count = 0
        self.lost: int | None = None
        self.bad = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "record": self.record or None,
            "count": self.count,
            "lost": self.lost,
            "bad": self.bad,
        }

    def __repr__(self) -> str:
        return f"<StreamRun {self.name}: {self.count} records>"


class MapShown:
    """The first entries of a map at one moment; `more`: whether there are others."""

    __slots__ = ("entries", "more", "name", "type")

    def __init__(self, name: str, kind: str, entries: list[tuple[Any, Any]], more: bool) -> None:
        self.name = name
        self.type = kind
        self.entries = entries
        self.more = more

    def to_json(self) -> dict[str, Any]:
        entries = [{"key": plain(key), "value": plain(value)} for key, value in self.entries]
        return {"name": self.name, "type": self.type, "entries": entries, "more": self.more}

    def __repr__(self) -> str:
        return f"<MapShown {self.name}: {len(self.entries)} entries{', and more' if self.more else ''}>"


class RunReport:
    """What happened from attaching to detaching. `seconds`: how long; `stopped`: `time`, `SIGINT`, `SIGTERM`, `SIGHUP`,
    `end` (nothing more could come), `workload` (it ended) or `caller`; `workload`: the command that ran meanwhile, or
    None; `exit_code`: 1 where that failed; `logs`: how many records of aya-log; `maps`, `globals`: what they held
    at the end; `notes`: sentences about what was done otherwise than the object says."""

    __slots__ = ("globals", "logs", "maps", "notes", "path", "programs", "seconds", "stopped", "streams", "workload")

    def __init__(self, path: str) -> None:
        self.path = path
        self.seconds = 0.0
        self.stopped = ""
        self.programs: list[ProgramRun] = []
        self.streams: list[StreamRun] = []
        self.maps: list[MapShown] = []
        self.globals: dict[str, Any] = {}
        self.logs = 0
        self.notes: list[str] = []
        self.workload: Workload | None = None

    @property
    def exit_code(self) -> int:
        return 1 if self.workload is not None and self.workload.status else 0

    def to_json(self) -> dict[str, Any]:
        """The last line of `bpfsmith run --format json`, described in docs/json.md."""
        return {
            "kind": "summary",
            "path": self.path,
            "seconds": round(self.seconds, 6),
            "stopped": self.stopped,
            "programs": [one.to_json() for one in self.programs],
            "streams": [one.to_json() for one in self.streams],
            "logs": self.logs,
            "maps": [one.to_json() for one in self.maps],
            "globals": {name: plain(value) for name, value in self.globals.items()},
            "notes": self.notes,
            "workload": None if self.workload is None else {
                "command": self.workload.command, "status": self.workload.status,
            },
        }  # fmt: skip

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> RunReport:
        """The report of a run somewhere else, from its `to_json`; values in maps and globals are as JSON has them."""
        report = cls(told["path"])
        for name in ("seconds", "stopped", "globals", "logs", "notes"):
            setattr(report, name, told[name])
        for row in told["programs"]:
            one = ProgramRun(row["name"], row["type"], row["targets"], row["note"] or "")
            one.runs, one.ns, one.missed = row["runs"], row["run_time_ns"], row["recursion_misses"]
            report.programs.append(one)
        for row in told["streams"]:
            stream = StreamRun(row["name"], row["type"], row["record"] or "")
            stream.count, stream.lost, stream.bad = row["count"], row["lost"], row["bad"]
            report.streams.append(stream)
        report.maps = [
            MapShown(row["name"], row["type"], [(one["key"], one["value"]) for one in row["entries"]], row["more"])
            for row in told["maps"]
        ]
        if told["workload"] is not None:
            from bpfsmith.run.workload import Workload

            report.workload = Workload(told["workload"]["command"])
            report.workload.status = told["workload"]["status"]
        return report

    def __repr__(self) -> str:
        events = sum(one.count for one in self.streams)
        return f"<RunReport {self.path}: {len(self.programs)} programs, {events} events in {self.seconds:.1f} s>"


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line per kind
    """A key, value or record as JSON takes it: records as objects, bytes as hexadecimal text, addresses as they are
    written."""
    kind = value.__class__
    if kind is int or kind is str or kind is bool or value is None:
        return value
    if kind is float:
        return value if value - value == 0 else str(value)  # JSON has no NaN
    told = getattr(value, "_asdict", None)
    if told is not None:
        return {str(name): plain(part) for name, part in told().items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {str(plain(name)): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    if isinstance(value, int):
        return int(value)
    return str(value)

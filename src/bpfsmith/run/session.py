"""`bpfsmith run`: load an object, attach it, pass on what it says, and leave nothing behind.

The loop waits for all rings at once in the main thread. SIGINT, SIGTERM and SIGHUP only end that wait: what is attached
is always detached by the one way out. After a kill -9 the kernel itself lets go of programs, maps and links; what it
would keep (clsact, XDP by netlink) is in the journal of `bpfsmith doctor --clean`.
"""

from __future__ import annotations

from itertools import islice
from posix import close
from time import monotonic

from bpfsmith.model.errors import BpfsmithError, InputError, TargetGone, Unsupported, ValueMismatch
from bpfsmith.run.aim import blame
from bpfsmith.run.arrange import arrange, short
from bpfsmith.run.attach import attach as attach_program
from bpfsmith.run.load import load
from bpfsmith.run.runreport import ProgramRun, RunReport, StreamRun
from bpfsmith.run.shown import show_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import FrameType
    from typing import Any

    from bpfsmith.run.aim import Aim
    from bpfsmith.run.arrange import Arranged
    from bpfsmith.run.loaded import Loaded
    from bpfsmith.run.runreport import MapShown
    from bpfsmith.run.workload import Workload

__all__ = ["Session", "Sink", "run_session"]

TURN = 8192  # records taken from one ring before another has its turn
FEW, SMALL = 10, 64  # entries shown of each map, and of a map that is small as a whole
LAST = 2.0  # seconds for what is left in rings; a pinned one may have other producers
STREAMS = ("ringbuf", "perf_event_array")
LOGS = "AYA_LOGS"
# Maps whose entries say nothing to a reader, or that have none of their own.
_SILENT = {
    "prog_array", "perf_event_array", "ringbuf", "user_ringbuf", "arena", "bloom_filter", "struct_ops", "insn_array",
    "cgroup_array", "reuseport_sockarray", "xskmap", "sockmap", "sockhash", "sk_storage", "inode_storage",
    "task_storage", "cgrp_storage", "array_of_maps", "hash_of_maps", "stack_trace", "queue", "stack",
}  # fmt: skip


class Sink:
    """Where a session says what happens; the base says nothing. `at`: seconds since everything was attached."""

    def started(self, report: RunReport, seconds: float) -> None:
        """Everything is loaded and attached, which took `seconds`."""

    def event(self, name: str, value: Any, at: float) -> None:
        """One record of the ring or perf buffer `name`."""

    def log(self, record: Any, at: float) -> None:
        """One record of aya-log."""

    def lost(self, name: str, count: int, at: float) -> None:
        """That many more records were lost."""

    def shown(self, entries: MapShown, at: float) -> None:
        """What a watched map holds now."""

    def text(self, name: str, text: str) -> None:
        """A line an iterator printed."""

    def flush(self) -> None:
        """Nothing more comes for the moment."""


class Calls(Sink):
    """A sink that is one function `(map, record)`."""

    def __init__(self, function: Callable[[str, Any], object]) -> None:
        self._function = function

    def event(self, name: str, value: Any, at: float) -> None:  # noqa: ARG002
        self._function(name, value)


class Signals:
    """While it is open, SIGINT, SIGTERM and SIGHUP call `stop` instead of ending the process; a second SIGINT
    interrupts. Only the main thread can catch signals; elsewhere this does nothing."""

    def __init__(self) -> None:
        self.name = ""
        self.stop: Callable[[], None] = lambda: None
        self._former: list[tuple[int, Any]] = []

    def __enter__(self) -> Signals:
        import signal

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            try:
                # A process started with `nohup` or `&` ignores some of them, and shall go on doing so.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._former.append((number, signal.signal(number, self._caught)))
            except ValueError:
                break
        return self

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        import signal

        if self.name and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name
        self.stop()

    def __exit__(self, *_: object) -> None:
        import signal

        for number, handler in self._former:
            signal.signal(number, handler)


class Session:
    """One run. `duration`, `interval` in seconds; `watch`: maps shown every `interval`; `shown`: `none`, `few` or `all`
    entries of maps in the report; `records`: map -> type of its records."""

    def __init__(
        self,
        loaded: Loaded,
        arranged: Arranged,
        sink: Sink,
        *,
        duration: float | None = None,
        watch: Iterable[str] = (),
        interval: float = 1.0,
        shown: str = "few",
        records: Mapping[str, Any] | None = None,
        workload: Workload | None = None,
    ) -> None:
        self.loaded = loaded
        self.report = RunReport(loaded.object.path)
        self.report.workload = workload
        self._arranged = arranged
        self.counted = False
        self._sink = sink
        self._duration = duration
        self._watch = tuple(watch)
        self._interval = interval
        self._shown = shown
        self._records = dict(records or {})
        self._entries = arranged.entries
        self._streams: list[tuple[Any, StreamRun]] = []
        self._texts: list[tuple[str, Any]] = []
        self._logs: Any = None
        self._links: list[Any] = []
        self._sockets: list[Any] = []
        self._stopping = False
        self._work_fd = -1
        self._poller: Any = None
        self._start = 0.0
        for name in (*self._watch, *self._records, *self._entries):
            if name not in self._records or name not in loaded.programs:  # iterators have records too
                loaded.maps[name]  # an unknown one is refused before anything is attached
        for name in self._records:
            kind = loaded.maps[name].type if name not in loaded.programs else STREAMS[0]
            if kind not in STREAMS:
                raise InputError(
                    f"`--record {name}=...`: `{name}` is no ring or perf buffer but `{kind}`",
                    hint="entries of other maps are shown by the types the object declares",
                )
        for name in self._watch:
            if loaded.maps[name].type in _SILENT:
                raise InputError(
                    f"`--watch {name}`: a map of type `{loaded.maps[name].type}` has no entries to show",
                    hint="records of ring and perf buffers are shown as they come",
                )

    # ------------------------------------------------------------ before

    def attach(self) -> None:
        """Fills maps, opens rings, attaches every program; notes in the report what is not attached, and why."""
        loaded, report = self.loaded, self.report
        report.notes += [f"{what}: {sentence}" for what, sentence in loaded.notes]
        for name, entries in self._entries.items():
            _fill(loaded, name, entries)
        self._open_streams()
        arranged = self._arranged
        report.notes += arranged.notes
        several = len(arranged.rows) + len(arranged.left) > 1
        refused: BpfsmithError | None = None
        for view, wanted, note in arranged.rows:
            program = loaded.programs.get(view.name)
            if program is None:
                continue  # left out
            shown = ProgramRun(program.name, program.type, [], note)
            report.programs.append(shown)
            for place in wanted:
                try:
                    link = _attach(program, place.args, place.options, self._sockets)
                except BpfsmithError as error:
                    refused = blame(error, program, several)
                    if not isinstance(error, Unsupported) or program.name in arranged.named:
                        raise refused from error
                    shown.note = short(error, program)
                    break
                self._links.append(link)
                shown.targets.append(link.target)
                if link.family == "iter":
                    self._texts.append((program.name, link))
        if refused is not None and not self._links:
            raise refused
        for left, why in arranged.left:
            report.programs.append(ProgramRun(left.name, left.type or "", [], short(why, left)))
        if self._texts and not self._streams and all(one.type == "tracing" or one.note for one in report.programs):
            self._stopping = True  # iterators answer once
            report.stopped = "end"

    def _open_streams(self) -> None:
        from bpfsmith.kernel import streams
        from bpfsmith.run.guess import record_type

        self._poller = streams.open_poller("the rings")
        for name, planned in self.loaded._planned.maps.items():
            if planned.type_name not in STREAMS:
                continue
            if not _is_stream(self.loaded, name, planned.type_name):
                continue
            opened = self.loaded.maps[name]
            if name == LOGS:
                self._logs = opened
            else:
                record, note = self._records.get(name), ""
                if record is None:
                    record, note = record_type(self.loaded, name)
                    if record is not None:
                        opened.record = record
                else:
                    opened.record = record
                if note:
                    self.report.notes.append(note)
                run = StreamRun(name, planned.type_name, opened._types(None, None).name)
                run.record = "" if run.record == "bytes" else run.record
                self._streams.append((opened, run))
                self.report.streams.append(run)
            for fd in opened._watched():
                streams.watch(self._poller, fd, len(self._streams), f"map `{name}`")

    # ------------------------------------------------------------ meanwhile

    def stop(self) -> None:
        """Ends the run; safe in a signal handler or another thread."""
        self._stopping = True
        if self._poller is not None:
            self._poller.wake()

    def go(self) -> None:
        """Passes on what comes until the time is up or somebody stops it."""
        self._start = monotonic()
        work = self.report.workload
        if work is not None:
            from bpfsmith.kernel import streams

            work.start()
            self._work_fd = work.fd()
            streams.watch(self._poller, self._work_fd, 0, "the workload")
        end = None if self._duration is None else self._start + self._duration
        show = self._start + self._interval if self._watch else None
        while not self._stopping:
            busy = self._drain()
            now = monotonic()
            if end is not None and now >= end:
                self.report.stopped = self.report.stopped or "time"
                break
            if work is not None and work.ended and not busy:
                self.report.stopped = self.report.stopped or "workload"
                break
            if show is not None and now >= show:
                self._show(now)
                show += self._interval * (1 + int((now - show) / self._interval))
            if not busy:
                self._sink.flush()
                until = [one for one in (end, show) if one is not None]
                # A second at most: lost records are asked for, not waited for.
                self._poller.wait(min(1.0, *(max(0.0, one - now) for one in until)) if until else 1.0)
        self.report.seconds = monotonic() - self._start

    def _drain(self) -> bool:
        """One turn of every ring; whether there may be more."""
        busy = False
        sink = self._sink
        at = monotonic() - self._start
        for opened, run in self._streams:
            count = 0
            for value in islice(opened.events(0, bad="count"), TURN):
                count += 1
                sink.event(run.name, value, at)
            run.count += count
            run.bad = opened.bad
            busy = busy or count == TURN
            lost = getattr(opened, "lost", None)
            if lost is not None and lost != run.lost:
                if lost:
                    sink.lost(run.name, lost - (run.lost or 0), at)
                run.lost = lost
        if self._logs is not None:
            from bpfsmith.run.events.aya_log import decode

            count = 0
            for data in islice(self._logs.events(0, record=bytes), TURN):
                count += 1
                sink.log(decode(data), at)
            self.report.logs += count
            busy = busy or count == TURN
        return busy

    def _show(self, now: float) -> None:
        for name in self._watch:
            self._sink.shown(show_map(self.loaded.maps[name], SMALL), now - self._start)

    # ------------------------------------------------------------ after

    def finish(self) -> RunReport:
        """Detaches, reads what is left in rings and maps, and how often programs ran."""
        report = self.report
        work = report.workload
        if work is not None:
            work.stop()
        for name, link in self._texts:
            self._iterate(name, link)
        self._mark_gone()
        for link in reversed(self._links):
            link.detach()
        end = monotonic() + LAST
        while self._drain() and monotonic() < end:
            pass
        for shown in report.programs:
            if self.counted and shown.name in self.loaded.programs:
                _count(self.loaded.programs[shown.name], shown)
        if self._shown != "none":
            most = FEW if self._shown == "few" else None
            for name, planned in self.loaded._planned.maps.items():
                # Aya's log writes into a map of its own first.
                hidden = planned.source.origin in ("data", "kconfig") or name.startswith("AYA_LOG_")
                if hidden or planned.type_name in _SILENT:
                    continue
                report.maps.append(show_map(self.loaded.maps[name], most))
            report.globals = _globals(self.loaded)
        return report

    def _iterate(self, name: str, link: Any) -> None:
        """One run of an iterator: its records where their type is known, else its lines."""
        spec = self._records.get(name)
        if spec is None:
            for line in link.lines():
                self._sink.text(name, line)
            return
        run = StreamRun(name, "iter", str(spec))
        self.report.streams.append(run)
        for run.count, record in enumerate(link.records(spec), 1):
            self._sink.event(name, record, self.report.seconds)

    def close(self) -> None:
        """Gives up what is not the loaded object's; that detaches and unloads by itself."""
        if self.report.workload is not None:
            self.report.workload.stop()
        if self._work_fd >= 0:
            close(self._work_fd)
            self._work_fd = -1
        for socket in self._sockets:
            socket.close()

    def _mark_gone(self) -> None:
        for link in self._links:
            if link.family not in ("xdp", "tc", "netkit"):
                continue
            try:
                gone = link.info().get("ifindex", 1) == 0
            except TargetGone:  # what is no `bpf_link` is gone with its interface
                gone = True
            if gone:
                self.report.notes.append(f"{link.target} went away while it was attached")


def run_session(
    path: Any,
    aim: Aim,
    sink: Sink,
    *,
    stats: bool = True,
    load_options: Mapping[str, Any] | None = None,
    entries: Mapping[str, Mapping[Any, Any]] | None = None,
    **session_options: Any,
) -> RunReport:
    """Loads, attaches, streams and leaves; see `bpfsmith.run`."""
    from bpfsmith.kernel.netlink import interface
    from bpfsmith.run.load import _read

    began = monotonic()
    obj = _read(path)
    for one in aim.iface:
        interface(one)  # before anything else is found to be missing
    arranged = arrange(obj, aim, entries, load_options or {})
    with Signals() as signals, load(obj, **arranged.options) as loaded:
        session = Session(loaded, arranged, sink, **session_options)
        signals.stop = session.stop
        try:
            with _Stats(stats, session.report) as session.counted:
                session.attach()
                sink.started(session.report, monotonic() - began)
                if signals.name:
                    session.stop()
                session.go()
                report = session.finish()
        finally:
            session.close()
        report.stopped = signals.name or report.stopped or "caller"
        return report


class _Stats:
    """Run-time statistics of programs, on while it is open and where this process may switch them on."""

    def __init__(self, wanted: bool, report: RunReport) -> None:
        self._wanted = wanted
        self._report = report
        self._fd: Any = None

    def __enter__(self) -> bool:
        from bpfsmith import kernel
        from bpfsmith.kernel.privilege import sysctl

        always = bool(sysctl("kernel/bpf_stats_enabled"))
        if not self._wanted:
            return always
        from bpfsmith.kernel.attrs import encode

        # Another process may have switched them on by sysctl; this descriptor adds to that and takes nothing away.
        fd = kernel.door().bpf_fd(*encode("BPF_ENABLE_STATS", type=0))
        if isinstance(fd, int):
            if always:
                return True
            why = "CAP_SYS_ADMIN" if fd == -1 else "Linux 5.8"
            self._report.notes.append(f"how often programs run is not known: switching that on takes {why}")
            return False
        self._fd = fd
        return True

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            self._fd.close()


# ------------------------------------------------------------ what goes where


def _attach(program: Any, args: tuple[Any, ...], options: dict[str, Any], sockets: list[Any]) -> Any:
    if "packets_of" in options:
        from bpfsmith.kernel.packets import packet_socket

        # The filter goes with the socket, and the session keeps that.
        sockets.append(packet_socket(options["packets_of"]))
        return program.attach_socket(sockets[-1])
    if program.type in ("sk_msg", "sk_skb") and args and isinstance(args[0], str):
        args = (program.owner.maps[args[0]],)
    if isinstance(options.get("map"), str):
        options = {**options, "map": program.owner.maps[options["map"]]}
    return attach_program(program, *args, **options)


def _fill(loaded: Loaded, name: str, entries: Mapping[Any, Any]) -> None:
    target = loaded.maps[name]
    for key, value in entries.items():
        if target.type == "prog_array" and isinstance(value, str):
            target[key] = loaded.programs[value]
            continue
        try:
            target[key] = value
        except ValueMismatch:
            # An address where the key is a number or bytes: the command line has no other way to write it.
            address = _address(key)
            if address is None:
                raise
            target[address] = value


def _address(key: Any) -> Any:
    from bpfsmith.run.address import ip

    try:
        return ip(key) if isinstance(key, str) else None
    except ValueMismatch:
        return None


def _is_stream(loaded: Loaded, name: str, kind: str) -> bool:
    """A perf event array is also what `bpf_perf_event_read*` reads counters from; then nothing is to be streamed."""
    if kind == "ringbuf":
        return True
    helpers = {helper for program in loaded.programs.values() for helper in _map_helpers(program.spec, name)}
    return not helpers or bool(helpers - {22, 55})


def _map_helpers(program: Any, name: str) -> set[int]:
    word = f"map:{name}"
    return {helper for _, helper, args in program.native.call_args() if word in args}


# ------------------------------------------------------------ at the end


def _globals(loaded: Loaded) -> dict[str, Any]:
    """Variables a program may have written: those of `.data` and `.bss`."""
    names = [one.name for one in loaded.object.globals if not one.section.startswith((".rodata", ".kconfig"))]
    return {name: loaded.globals[name] for name in names if name in loaded.globals}


def _count(program: Any, shown: ProgramRun) -> None:
    from bpfsmith.kernel import info

    told = info.program(program.fd)
    shown.runs, shown.ns, shown.missed = (told.get(key) for key in ("run_cnt", "run_time_ns", "recursion_misses"))

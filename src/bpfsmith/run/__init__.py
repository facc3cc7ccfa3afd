"""Floor 2: loading, links, maps and events. `bpfsmith.load` and `bpfsmith.run` come from here."""

from __future__ import annotations

from bpfsmith._verbs import make_callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike
    from typing import Any

    from bpfsmith.model.object import Object
    from bpfsmith.run.runreport import RunReport

__all__ = ["run"]


def run(
    path: str | PathLike[str] | bytes | Object,
    *,
    programs: str | Iterable[str] | None = None,
    iface: str | int | Iterable[str | int] | None = None,
    direction: str | None = None,
    pid: int | None = None,
    cgroup: str | PathLike[str] | None = None,
    func: str | None = None,
    attach: Mapping[str, Any] | None = None,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the domain
    map_sizes: Mapping[str, int] | None = None,
    kconfig: Mapping[str, Any] | None = None,
    entries: Mapping[str, Mapping[Any, Any]] | None = None,
    btf: Any = None,
    pin_path: str | PathLike[str] | None = None,
    records: Mapping[str, Any] | None = None,
    duration: float | str | None = None,
    on_event: Callable[[str, Any], object] | None = None,
    watch: str | Iterable[str] = (),
    interval: float | str = 1.0,
    maps: str = "few",
    stats: bool = True,
    log_level: int = 0,
    workload: str | Sequence[str] | None = None,
    sink: Any = None,
) -> RunReport:
    """Loads an object, attaches what its sections say, and reads its events until `duration` is over or SIGINT, SIGTERM
    or SIGHUP comes; then detaches everything and answers what it saw.

        report = bpfsmith.run("prog.o", iface="eth0", duration="10s", on_event=lambda map, event: print(event))
        for program in report.programs: print(program.name, program.runs, program.ns_per_run)

    programs: names or patterns; only these are loaded. iface, direction (`ingress`, `egress`), pid, cgroup, func:
        targets of programs whose section says none; several interfaces get each program. attach: program -> its own
        target (as `--attach` takes it, or a tuple or dict of arguments of its `attach_*` method).
    globals, map_sizes, kconfig, btf, pin_path, log_level: as in `bpfsmith.load`. entries: map -> {key: value} stored
        before anything is attached; a program's name as the value puts it into a prog array.
    records: ring or perf buffer -> type of its records, where the object does not say. Without it, the one struct of
        the size the programs write is taken, and a note says so.
    duration, interval: seconds, or text (`500ms`, `10s`, `2m`); without a duration until a signal.
    on_event: called with (map, record) in this thread; an exception of it ends the run and is passed on.
    watch: maps shown every `interval` (to a `sink`). maps: entries of maps in the report, `none`, `few` (10) or `all`.
    stats: count and time the runs of every program meanwhile (Linux 5.8+, CAP_SYS_ADMIN; a note says when it cannot).
    workload: a command (text for `sh`, or words) that runs once everything is attached; the run ends with it, or it
        with the run. Its output goes to standard error.
    sink: a `run.session.Sink`, in place of `on_event`.

    Errors are those of `bpfsmith.load` and of attaching; after one nothing stays attached or loaded. Nothing outlives a
    kill -9 either but clsact filters and XDP by netlink (old kernels), which `bpfsmith doctor --clean` removes.
    """
    from os import fspath

    from bpfsmith.model.errors import InputError
    from bpfsmith.run.aim import Aim
    from bpfsmith.run.session import Calls, Sink, run_session
    from bpfsmith.run.words import seconds_of
    from bpfsmith.run.workload import Workload

    if maps not in ("none", "few", "all"):
        raise InputError(f"`maps={maps!r}`", hint="`none`, `few` or `all`")
    every = seconds_of(interval, "interval")
    if not every:
        raise InputError(f"`interval={interval!r}`", hint="a time: `100ms`, `1s`; maps are shown that often")
    ifaces = () if iface is None else (iface,) if isinstance(iface, str | int) else tuple(iface)
    aim = Aim(ifaces, direction, pid, None if cgroup is None else fspath(cgroup), func, attach)
    told: dict[str, Any] = {
        "select": programs, "globals": globals, "map_sizes": map_sizes, "btf": btf, "pin_path": pin_path,
        "kconfig": kconfig, "log_level": log_level,
    }  # fmt: skip
    return run_session(
        path,
        aim,
        sink if sink is not None else Calls(on_event) if on_event is not None else Sink(),
        stats=stats,
        load_options=told,
        duration=None if duration is None else seconds_of(duration, "duration"),
        watch=(watch,) if isinstance(watch, str) else tuple(watch),
        interval=max(0.01, every),
        shown=maps,
        records=records,
        workload=None if workload is None else Workload(workload),
        entries=entries,
    )


make_callable(__name__)

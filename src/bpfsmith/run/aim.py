"""Where `bpfsmith run` attaches each program: what its section says, completed by what the caller said."""

from __future__ import annotations

from bpfsmith.model.errors import BpfsmithError, InputError, TargetMissing, UnknownName
from bpfsmith.model.near import did_you_mean
from bpfsmith.run.attach import family_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from bpfsmith.run.attach import Family

__all__ = ["Aim", "Place"]

_IFACE = {"xdp", "tc", "netkit"}
_CGROUP = {"cgroup", "lsm_cgroup"}
_KERNEL_FUNCTION = {"kprobe", "kprobe.multi", "kprobe.session", "ksyscall", "fentry.multi"}
_USER_FUNCTION = {"uprobe", "uprobe.multi", "uprobe.session", "usdt"}
_TRACEPOINTS = {"tracepoint", "raw_tracepoint"}
_SOCKMAP = {"sk_msg", "sk_skb"}
_UNUSED = {
    "iface": "XDP, tc and socket filter programs have interfaces: leave it out",
    "direction": "tc programs have a direction: leave it out",
    "pid": "uprobes, USDT and perf events are attached to a process; a program of any other kind sees all of them, and "
    "chooses by itself (a global variable set with `--set`)",
    "cgroup": "leave it out",
    "func": "their sections name what they are attached to; `--attach PROGRAM=TARGET` names something else",
}
_RUN_FROM_MAPS = {"xdp_devmap": "entries of a devmap", "xdp_cpumap": "entries of a cpumap"}


class Place:
    """One attachment to make: arguments of the family's method. `text`: how a plan shows it."""

    __slots__ = ("args", "options", "text")

    def __init__(self, args: tuple[Any, ...], options: dict[str, Any], text: str) -> None:
        self.args = args
        self.options = options
        self.text = text


class Aim:
    """What the caller said. `iface`: interfaces, each gets every program for interfaces; `given`: program -> target, as
    text in the family's own way of writing it, or the options of its attach method."""

    __slots__ = ("cgroup", "direction", "func", "given", "iface", "pid")

    def __init__(
        self,
        iface: tuple[str | int, ...] = (),
        direction: str | None = None,
        pid: int | None = None,
        cgroup: str | None = None,
        func: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.iface = iface
        self.direction = direction
        self.pid = pid
        self.cgroup = cgroup
        self.func = func
        self.given = dict(given or {})

    def check(self, names: list[str]) -> None:
        """Refuses targets for programs that are not there."""
        for name in self.given:
            if name not in names:
                listed = ", ".join(f"`{one}`" for one in names) or "none"
                raise UnknownName(
                    f"no program `{name}` is loaded", hint=did_you_mean(name, names, f"there are {listed}")
                )

    def check_used(self, programs: Iterable[Any]) -> None:
        """Refuses what says nothing to any of these programs: `pid` with tracepoints would look like a filter."""
        uses = set()
        for program in programs:
            name = family_of(program).name
            uses |= {"iface"} if name in _IFACE | {"socket_filter"} else set()
            uses |= {"direction"} if name == "tc" else set()
            uses |= {"cgroup"} if name in _CGROUP | {"iter"} else set()
            uses |= {"pid"} if name in _USER_FUNCTION | {"perf_event"} else set()
            functions = name in _KERNEL_FUNCTION | _USER_FUNCTION | _TRACEPOINTS
            uses |= {"func"} if name == "perf_event" or (functions and not program.attach_to) else set()
        for option in ("iface", "direction", "pid", "cgroup", "func"):
            if getattr(self, option) not in (None, ()) and option not in uses:
                raise InputError(f"`--{option}` says nothing to any of these programs", hint=_UNUSED[option])

    def places(self, program: Any, called: set[str], sockmaps: list[str]) -> tuple[list[Place], str]:
        """(attachments to make, why there are none). `called`: what tail calls reach; `sockmaps`: of the object."""
        family = family_of(program)
        told = self.given.get(program.name)
        if told is not None:
            return [_told(program, family, told, self)], ""
        if program.attach_type in _RUN_FROM_MAPS:
            return [], f"runs from {_RUN_FROM_MAPS[program.attach_type]}"
        if family.state == "none":
            return [], f"not attached: {family.note}" if family.note else "not attached"
        if program.name in called:
            return [], "reached by tail calls"
        return self._by_family(program, family, sockmaps), ""

    def _by_family(self, program: Any, family: Family, sockmaps: list[str]) -> list[Place]:
        name = family.name
        if name in _IFACE:
            return [_interface(program, family, iface, self.direction) for iface in self._ifaces(program)]
        if name in _CGROUP:
            if self.cgroup is None:
                raise _untold(program, "cgroup", "cgroup", "/sys/fs/cgroup/system.slice")
            return [Place((self.cgroup,), {}, self.cgroup)]
        if name in _SOCKMAP:
            if len(sockmaps) != 1:
                listed = ", ".join(f"`{one}`" for one in sockmaps) or "none"
                raise InputError(
                    f"`{program.name}` (section `{program.section}`) says no sockmap, and the object has {listed}",
                    hint=f"`--attach {program.name}=MAP` chooses one",
                )
            return [Place((sockmaps[0],), {}, f"map `{sockmaps[0]}`")]
        if name == "socket_filter":
            return [_packets(iface) for iface in self._ifaces(program)]
        if name == "sk_reuseport":
            raise InputError(
                f"`{program.name}` belongs to a socket of its own process",
                hint=f"load the object in that process, then `programs[{program.name!r}].attach_reuseport(socket)`",
            )
        if name == "perf_event":
            event = self.func or program.attach_to
            if not event:
                raise _untold(program, "event", "func", "cpu-clock")
            return [_event(event, self.pid)]
        return self._function(program, family)

    def _function(self, program: Any, family: Family) -> list[Place]:
        options: dict[str, Any] = {}
        if family.name == "iter" and self.cgroup is not None and "cgroup" in (program.attach_to or ""):
            return [Place((), {"cgroup": self.cgroup}, self.cgroup)]
        if family.name not in _KERNEL_FUNCTION | _USER_FUNCTION | _TRACEPOINTS:
            return [Place((), options, program.attach_to or family.target)]
        if not (program.attach_to or self.func):
            kind = "tracepoint" if "tracepoint" in family.name else "function"
            example = {"tracepoint": "sched/sched_switch", "raw_tracepoint": "sched_switch"}.get(family.name)
            user = "/usr/bin/bash:readline" if family.name in _USER_FUNCTION else "do_unlinkat"
            raise _untold(program, kind, "func", example or user)
        if family.name in _USER_FUNCTION and self.pid is not None:
            options["pid"] = self.pid
        if program.attach_to:
            return [Place((), options, program.attach_to)]
        return [_named(family, self.func or "", options)]

    def _ifaces(self, program: Any) -> tuple[str | int, ...]:
        if not self.iface:
            raise _untold(program, "interface", "iface", "eth0")
        return self.iface


def _untold(program: Any, what: str, option: str, example: str) -> TargetMissing:
    return TargetMissing(
        f"`{program.name}` (section `{program.section}`) says no {what} to attach it to",
        hint=f"pass `--{option} {example}`; `--attach {program.name}={example}` for this program alone, "
        f"`--program` to leave others out",
    )


def _interface(program: Any, family: Family, iface: str | int, direction: str | None) -> Place:
    if family.name != "tc":
        return Place((iface,), {}, f"`{iface}`")
    way = (program.attach_type or "").removeprefix("tcx_")
    if way not in ("ingress", "egress"):
        way = direction or ""
    if not way:
        raise InputError(
            f"`{program.name}` (section `{program.section}`) says no direction",
            hint="pass `--direction ingress` or `--direction egress`",
        )
    return Place((iface, way), {}, f"`{iface}` {way}")


def _packets(iface: str | int) -> Place:
    return Place((), {"packets_of": iface}, f"packets of `{iface}`")


def _event(text: str, pid: int | None) -> Place:
    """`cpu-clock`, or `cpu-clock:FREQUENCY` in samples a second."""
    event, _, frequency = text.partition(":")
    options: dict[str, Any] = {} if pid is None else {"pid": pid}
    if frequency:
        if not frequency.isdecimal():
            raise InputError(f"`{text}`: `{frequency}` is no frequency", hint="samples a second: `cpu-clock:99`")
        options["frequency"] = int(frequency)
    return Place((event,), options, text)


def _named(family: Family, text: str, options: dict[str, Any]) -> Place:
    """A function or tracepoint as it is written in sections."""
    if family.name == "tracepoint":
        category, _, name = text.replace(":", "/").partition("/")
        return Place((category, name) if name else (text,), options, text)
    if family.name in _USER_FUNCTION:
        file, colon, function = text.rpartition(":")
        if not colon:
            raise InputError(
                f"`{text}` names no function of a file", hint="write `FILE:FUNCTION`: `/usr/bin/bash:readline`"
            )
        if family.name == "usdt":
            file, _, provider = file.rpartition(":")
            return Place((file, provider, function), options, text)
        return Place((file, function), options, text)
    return Place((text,), options, text)


def _told(program: Any, family: Family, told: Any, aim: Aim) -> Place:  # noqa: PLR0911 - one line per way of writing it
    """`--attach PROGRAM=TEXT`, or what a caller in Python gives: options, arguments or one argument."""
    if isinstance(told, dict):
        return Place((), dict(told), ", ".join(f"{key}={value}" for key, value in told.items()))
    if isinstance(told, tuple):
        return Place(told, {}, " ".join(map(str, told)))
    if not isinstance(told, str):
        return Place((told,), {}, str(told))
    if family.name == "tc":
        iface, _, way = told.rpartition(":")
        if way in ("ingress", "egress"):
            return Place((iface, way), {}, f"`{iface}` {way}")
        return _interface(program, family, told, aim.direction)
    if family.name == "socket_filter":
        return _packets(told)
    if family.name == "iter":
        return Place((), {"map": told}, f"map `{told}`")
    if family.name == "perf_event":
        return _event(told, aim.pid)
    if family.name in _USER_FUNCTION | {"tracepoint"}:
        options: dict[str, Any] = {"pid": aim.pid} if aim.pid is not None and family.name in _USER_FUNCTION else {}
        return _named(family, told, options)
    return Place((told,), {}, told)


def blame(error: BpfsmithError, program: Any, several: bool) -> BpfsmithError:
    """The same error, saying which program it was about and how to go on without it."""
    if program.name not in error.message:
        error.message = f"`{program.name}`: {error.message}"
    if several and "--program" not in error.hint:
        error.hint = "; ".join(filter(None, (error.hint, "`--program` with the other names leaves it out")))
    error.args = (error.message, error.where, error.hint)
    return error

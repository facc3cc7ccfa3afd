"""Collects what is loaded: the four lists, then who refers to whom."""

from __future__ import annotations

from bpfsmith.facts import attach_types, map_types, program_types
from bpfsmith.kernel import attached, info, live
from bpfsmith.kernel.privilege import sysctl
from bpfsmith.model.errors import InputError, KernelError, UnknownName
from bpfsmith.ps.report import LoadedBtf, LoadedLink, LoadedMap, LoadedObject, LoadedProgram, Owner, PsReport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_KINDS = {"programs": "prog", "maps": "map", "links": "link", "btf": "btf"}


def run(kinds: tuple[str, ...], name: str, word: str, pid: int | None, number: int | None) -> PsReport:
    """See `bpfsmith.ps.ps`."""
    for kind in kinds:
        if kind not in _KINDS:
            from bpfsmith.model.near import did_you_mean

            known = ", ".join(f"`{one}`" for one in _KINDS)
            raise InputError(f"unknown kind `{kind}`", hint=did_you_mean(kind, list(_KINDS), f"known are {known}"))
    if word:
        _known_type(word, kinds)
    report = PsReport(live().version, bool(sysctl("kernel/bpf_stats_enabled")))
    # Asked first: without the right nothing else is worth reading.
    ids = {kind: info.ids(kind) for kind in info.KINDS}
    shared = _Shared(info.owners(), info.pins())
    report.programs = list(_programs(ids["prog"], shared))
    report.maps = list(_maps(ids["map"], shared))
    report.links = list(_links(ids["link"], shared))
    report.btf = list(_btf(ids["btf"], shared))
    _connect(report)
    _filter(report, kinds, name, word, pid, number)
    return report


def _known_type(word: str, kinds: tuple[str, ...]) -> None:
    """Refuses a word no type of these kinds has; what a newer kernel tells of is a number, which is taken."""
    rows = {
        "programs": [row.name for row in program_types.all()],
        "maps": [row.name for row in map_types.all()],
        "links": info.link_kinds(),
        "btf": ["btf"],
    }
    known = list(dict.fromkeys(name for kind in kinds for name in rows[kind]))
    if word in known or word.removeprefix("type ").isdecimal():
        return
    from bpfsmith.model.near import did_you_mean

    elsewhere = next((kind for kind, names in rows.items() if word in names), "")
    otherwise = f"it is one of {elsewhere}" if elsewhere else "`bpfsmith explain programs` and `explain maps` list them"
    raise InputError(f"there is no type `{word}`", hint=did_you_mean(word, known, otherwise))


class _Shared:
    """Owners and pins of everything, looked up once."""

    __slots__ = ("_owners", "_pins")

    def __init__(self, owners: dict[tuple[str, int], list[tuple[int, str]]], pins: dict[tuple[str, int], list[str]]):
        self._owners = owners
        self._pins = pins

    def of(self, kind: str, number: int) -> tuple[list[Owner], list[str]]:
        entry = (kind, number)
        return [Owner(pid, name) for pid, name in self._owners.get(entry, [])], self._pins.get(entry, [])


def _open(kind: str, numbers: list[int]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """(descriptor, description) of each that is still there."""
    for number in numbers:
        try:
            with info.open_id(kind, number) as fd:
                yield fd, info.program(fd, "map_ids") if kind == "prog" else info.describe(kind, fd)
        except UnknownName:
            continue  # gone between the list and now
        except KernelError as error:
            # A link whose program or device just went away has nothing to tell.
            if error.errno not in (2, 9, 19, 67):
                raise


def _programs(numbers: list[int], shared: _Shared) -> Iterator[LoadedProgram]:
    from time import CLOCK_BOOTTIME, clock_gettime_ns, time_ns

    booted = time_ns() - clock_gettime_ns(CLOCK_BOOTTIME)
    for fd, told in _open("prog", numbers):
        row = program_types.get(told["type"])
        loaded_at = (booted + told.get("load_time", 0)) // 1_000_000_000
        memory = int(info.fdinfo(fd).get("memlock", 0))
        yield LoadedProgram(
            told, row.name if row else str(told["type"]), full_name(fd, told), loaded_at, memory,
            *shared.of("prog", told["id"]),
        )  # fmt: skip


def full_name(fd: Any, told: dict[str, Any]) -> str:
    """A program's name: of 15 characters the kernel may have cut the rest, which its BTF still has."""
    name: str = told["name"]
    if len(name) < 15 or not told.get("btf_id"):
        return name
    from bpfsmith._native import Btf, ReadError

    try:
        first = info.program(fd, "func_info")["func_info"][4:8]
        with info.open_id("btf", told["btf_id"]) as types:
            btf = Btf.parse(info.btf(types, data=True)["data"])
        whole = btf.name(int.from_bytes(first, "little" if not btf.big_endian else "big"))
    except (UnknownName, KernelError, ReadError, ValueError):
        return name
    return whole if whole.startswith(name) else name


def _maps(numbers: list[int], shared: _Shared) -> Iterator[LoadedMap]:
    for fd, told in _open("map", numbers):
        row = map_types.get(told["type"])
        rows = info.fdinfo(fd)
        yield LoadedMap(
            told, row.name if row else str(told["type"]), int(rows.get("memlock", 0)), rows.get("frozen") == "1",
            *shared.of("map", told["id"]),
        )  # fmt: skip


def _links(numbers: list[int], shared: _Shared) -> Iterator[LoadedLink]:
    from bpfsmith.kernel.linked import Targets

    targets = Targets()
    for _, told in _open("link", numbers):
        row = attach_types.get(told["attach_type"]) if "attach_type" in told else None
        yield LoadedLink(told, row.name if row else None, targets.of(told), *shared.of("link", told["id"]))


def _btf(numbers: list[int], shared: _Shared) -> Iterator[LoadedBtf]:
    for _, told in _open("btf", numbers):
        yield LoadedBtf(told, *shared.of("btf", told["id"]))


def _connect(report: PsReport) -> None:
    """Links, maps and BTF of programs, from the other side too."""
    maps = {one.id: one for one in report.maps}
    types = {one.id: one for one in report.btf}
    programs = {one.id: one for one in report.programs}
    for link in report.links:
        if link.program_id in programs:
            programs[link.program_id].links.append(link.id)
            programs[link.program_id].attached.append(f"{link.type} {link.target}".rstrip())
    for places in (
        attached.by_network(),
        attached.by_perf_event(),
        attached.by_cgroup(row.number for one in report.programs if not one.links and (row := _cgroup_type(one.type))),
    ):
        for number, words in places.items():
            # What a link holds is told by the link.
            if number in programs and not programs[number].links:
                programs[number].attached += words
    for program in report.programs:
        if program.btf_id in types:
            types[program.btf_id].programs.append(program.id)
        for number in program.map_ids:
            if number in maps:
                maps[number].programs.append(program.id)
    for one in report.maps:
        if one.btf_id in types:
            types[one.btf_id].maps.append(one.id)


def _cgroup_type(word: str) -> program_types.ProgramType | None:
    row = program_types.get(word)
    return row if row is not None and (word.startswith("cgroup") or word == "sock_ops") else None


def _filter(
    report: PsReport, kinds: tuple[str, ...], name: str, word: str, pid: int | None, number: int | None
) -> None:
    from fnmatch import fnmatchcase

    def wanted(one: LoadedObject) -> bool:
        told = getattr(one, "name", getattr(one, "target", ""))
        return (
            (not name or fnmatchcase(told, name))
            and (not word or getattr(one, "type", "btf") == word)
            and (pid is None or any(owner.pid == pid for owner in one.owners))
            and (number is None or one.id == number)
        )

    for kind in _KINDS:
        rows = getattr(report, kind)
        setattr(report, kind, [one for one in rows if wanted(one)] if kind in kinds else [])

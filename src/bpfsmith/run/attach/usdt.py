"""USDT: a program at every place of a user-space static probe.

The program is built with libbpf's `usdt.bpf.h`, whose maps tell it where the arguments are: one entry for each distinct
set of places, freed when the link is detached. Needs attach cookies (5.15+).
"""

from __future__ import annotations

from functools import partial
from sys import byteorder

from bpfsmith import kernel
from bpfsmith.kernel import elfsym, perf, usdt
from bpfsmith.model.errors import InputError, Unsupported
from bpfsmith.run.link import Link, LinkFd, LinkGroup

from ._base import needs, require
from ._perf import all_or_none, attach_event
from .uprobe import MULTI, _multi, _own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPECS = "__bpf_usdt_specs"
# Numbers of entries in use, by the kernel's id of the map: programs of one object share it.
_used: dict[int, set[int]] = {}


def attach(
    program: Any, binary: str | None = None, provider: str | None = None, name: str | None = None, *, pid: int = -1,
    cookie: int = 0,
) -> Link:  # fmt: skip
    """See `AttachMethods.attach_usdt`."""
    require(program, ("kprobe",), "attach_usdt")
    binary, provider, name = _where(program, binary, provider, name)
    path = elfsym.find_binary(binary, pid)
    places = usdt.probes(path, provider, name)
    loaded = program.owner
    if SPECS not in loaded.maps:
        raise InputError(
            f"`{program.name}` was not built for static probes", program.name,
            "include <bpf/usdt.bpf.h>, and read arguments with `bpf_usdt_arg()`",
        )  # fmt: skip
    if not kernel.live().probe("perf_link"):
        raise Unsupported("this kernel passes no cookies, by which static probes are told apart", "usdt", "5.15")
    specs = loaded._fd_of(SPECS)
    map_id, limit, layout = _map(loaded, specs)
    used = _used.setdefault(map_id, set())
    entries: dict[str, int] = {}
    target = f"probe `{provider or '*'}:{name}` of `{path}`"

    def free() -> None:
        used.difference_update(entries.values())
        if not used:
            _used.pop(map_id, None)

    def enter(arguments: str) -> int:
        number = next((one for one in range(limit) if one not in used), None)
        if number is None:
            raise _full(limit, target)
        data = usdt.encode(arguments, cookie, layout=layout)
        key = number.to_bytes(4, byteorder)
        kernel.call("BPF_MAP_UPDATE_ELEM", f"map `{SPECS}`", map_fd=specs, key=key, value=data)
        used.add(number)
        return number

    try:
        for place in places:
            if place.arguments not in entries:
                entries[place.arguments] = enter(place.arguments)
        return _attach(program, path, places, entries, pid, target, free)
    except BaseException:
        free()
        raise


def _attach(
    program: Any, path: str, places: list[usdt.Probe], entries: dict[str, int], pid: int, target: str, free: Any
) -> Link:
    if program.attach_type in MULTI:
        offsets = [one.offset for one in places]
        numbers = [entries[one.arguments] for one in places]
        counters = [one.semaphore for one in places]
        link = _multi(program, path, offsets, numbers, max(_own(pid), 0), False, False, counters, "usdt", target)
        if isinstance(link, LinkFd):
            link._rest.append(free)
        return link

    def one(place: usdt.Probe) -> Link:
        event = perf.open_uprobe(path, place.offset, ret=False, pid=_own(pid), semaphore=place.semaphore)
        if isinstance(event, int):
            raise perf.refusal(event, target, uprobe=True)
        return attach_event(program, "usdt", target, event, entries[place.arguments])

    links = all_or_none([partial(one, place) for place in places])
    last = links[-1]
    if isinstance(last, LinkFd):
        last._rest.append(free)
    return links[0] if len(links) == 1 else LinkGroup(program, "usdt", target, links)


def _where(program: Any, binary: str | None, provider: str | None, name: str | None) -> tuple[str, str | None, str]:
    """From arguments, else from `usdt/PATH:PROVIDER:NAME`."""
    path, _, rest = (program.attach_to or "").partition(":")
    told_provider, _, told_name = rest.partition(":")
    binary, provider, name = binary or elfsym.from_section(path), provider or told_provider or None, name or told_name
    if not binary or not name:
        raise needs(program, "binary", '"libc.so.6", provider="libc", name="setjmp"')
    return binary, provider, name


def _map(loaded: Any, fd: Any) -> tuple[int, int, usdt.Layout]:
    """(id, entries, layout of the values) of the map of specs."""
    from bpfsmith.kernel import info

    told = info.map_(fd)
    btf, native = loaded.object.btf, loaded._planned.maps[SPECS].source.native
    if btf is not None and native.value_type:
        layout = usdt.Layout.of(btf, native.value_type, told["value_size"])
    elif told["value_size"] in usdt.LAYOUTS:
        layout = usdt.LAYOUTS[told["value_size"]]
    else:
        raise InputError(f"map `{SPECS}` has values of {told['value_size']} bytes, as no `usdt.bpf.h` makes them")
    return int(told["id"]), int(told["max_entries"]), layout


def _full(limit: int, target: str) -> InputError:
    return InputError(
        f"map `{SPECS}` has no room for {target}: it holds {limit} distinct sets of arguments", SPECS,
        "define BPF_USDT_MAX_SPEC_CNT before including `usdt.bpf.h`",
    )  # fmt: skip


def by_section(program: Any, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    return attach(program, *where, **options)


def plan(
    program: Any, binary: str | None = None, provider: str | None = None, name: str | None = None, **_: Any
) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    binary, provider, name = _where(program, binary, provider, name)
    return [
        {"command": "BPF_MAP_UPDATE_ELEM", "map": SPECS},
        {"command": "perf_event_open", "type": "uprobe", "path": binary, "probe": f"{provider or '*'}:{name}"},
        {"command": "BPF_LINK_CREATE", "attach_type": "perf_event"},
    ]

"""Pins and what is handed over: nothing is used again before it was compared with what the object declares."""

from __future__ import annotations

from contextlib import suppress
from os import fspath
from sys import byteorder as _ORDER  # noqa: N812 - a constant here

from bpfsmith import kernel
from bpfsmith.kernel import pinning
from bpfsmith.model.errors import InputError, PinMismatch, TargetMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from typing import Any

    from bpfsmith._native import Btf, Fd
    from bpfsmith.model.object import Object
    from bpfsmith.run.plan import Command
    from bpfsmith.run.planned import Options, PlannedMap
    from bpfsmith.run.planner import Planned

__all__ = ["check", "existing", "open_bpffs", "program_function", "take_back", "tidy", "wanted"]

DEFAULT = "/sys/fs/bpf"
ENOENT, ENOTDIR = 2, 20
DEVMAPS = frozenset((14, 25))
F_RDONLY_PROG, F_TOKEN_FD = 1 << 7, 1 << 16
MAP_INFO, PROG_INFO = 104, 232


def wanted(
    obj: Object, folder: str | PathLike[str] | None, pins: Mapping[str, str | PathLike[str]] | None
) -> dict[str, str]:
    """Path by map: of those pinned by name and of those the caller names."""
    root = fspath(folder or DEFAULT).rstrip("/")
    found = {one.name: f"{root}/{one.name}" for one in obj.maps if one.native.pinning == 1}
    for name, path in (pins or {}).items():
        if obj.map(name) is None:
            from bpfsmith.run.options import unknown

            raise unknown("map", name, [one.name for one in obj.maps], obj.path)
        found[name] = fspath(path)
    return found


def existing(options: Options) -> dict[str, Fd]:
    """Opens what is pinned already and puts it among the maps to use."""
    found: dict[str, Fd] = {}
    for name, path in options.pins.items():
        if name in options.given:
            continue
        fd = _get(path)
        if fd is None:
            pinning.folder(path)
        else:
            found[name] = options.given[name] = fd
    return found


def _get(path: str) -> Fd | None:
    from bpfsmith.kernel.attrs import encode

    fd = kernel.door().bpf_fd(*encode("BPF_OBJ_GET", pathname=path))
    if not isinstance(fd, int):
        return fd
    if fd == -ENOENT:
        return None
    from bpfsmith.kernel.failures import error

    raise error("BPF_OBJ_GET", -fd, f"`{path}`", {"pathname": path})


def take_back(commands: list[Command]) -> None:
    """Removes the pins that commands of a plan made before a later one failed."""
    for command in commands:
        if command.name == "BPF_OBJ_PIN":
            path = command.fields["pathname"].rstrip(b"\0").decode()
            with suppress(OSError):
                kernel.door().unlink(path)


def tidy(options: Options) -> None:
    """Removes the folders that were made for pins of a load that failed."""
    for path in options.pins.values():
        pinning.tidy(path)


# ---------------------------------------------------------------- comparing


def _info(fd: Any, size: int) -> bytearray | None:
    """The first bytes of the kernel's description; None where it gives none (a kernel before 4.13)."""
    out = bytearray(size)
    answer = kernel.try_call("BPF_OBJ_GET_INFO_BY_FD", bpf_fd=fd, info_len=size, info=out)
    return out if answer >= 0 else None


def _u32(data: bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 4], _ORDER)


def check(planned: Planned, options: Options) -> None:
    """Every map that is used again is the one the object declares, or `PinMismatch` lists how it differs."""
    for name, value in options.given.items():
        one = planned.maps.get(name)
        if one is None:
            continue
        info = _info(value, MAP_INFO)
        path = options.pins.get(name, "")
        if info is None:
            raise InputError(f"what is given for map `{name}` is no map", where=path or planned.plan.object)
        differences = _differences(one, info)
        if not differences:
            differences = _layouts(one, info, planned)
        if differences:
            where = f"`{path}`" if path else f"the map given for `{name}`"
            raise PinMismatch(
                f"{where} is not the map `{name}` that `{planned.plan.object}` declares: {'; '.join(differences)}",
                where=path,
                hint=f"remove it (`rm {path}`) or pin elsewhere with `pin_path=`" if path else "give another map",
            )


def _differences(one: PlannedMap, info: bytearray) -> list[str]:
    from bpfsmith.run.planned import MAP_TYPES

    kind = _u32(info, 0)
    flags = _u32(info, 20) & ~F_TOKEN_FD
    if kind in DEVMAPS:
        flags &= ~F_RDONLY_PROG  # the kernel adds it to every devmap
    word = MAP_TYPES[kind] if kind < len(MAP_TYPES) else f"type {kind}"
    pairs: list[tuple[str, Any, Any]] = [
        ("type", word, one.type_name),
        ("key size", _u32(info, 8), one.key_size),
        ("value size", _u32(info, 12), one.value_size),
        ("max_entries", _u32(info, 16), one.max_entries),
        ("flags", hex(flags), hex(one.flags)),
        ("map_extra", int.from_bytes(info[80:88], _ORDER), one.map_extra),
    ]
    return [f"{what} is {theirs}, not {ours}" for what, theirs, ours in pairs if theirs != ours]


def _layouts(one: PlannedMap, info: bytearray, planned: Planned) -> list[str]:
    """How the types of keys and values differ, where both sides have types."""
    local = one.source.native
    number = _u32(info, 64)
    ours = planned.object.btf
    if not number or ours is None or not (local.key_type or local.value_type):
        return []
    theirs = _btf_by_id(number)
    if theirs is None:
        return []
    found = []
    for what, mine, other in (("key", local.key_type, _u32(info, 68)), ("value", local.value_type, _u32(info, 72))):
        if mine and other:
            here, there = leaves(ours, mine), leaves(theirs, other)
            if here != there:
                spots = sorted(set(here) ^ set(there))
                bit = spots[0][0] if spots else 0
                found.append(f"the {what} is laid out otherwise from byte {bit // 8} on")
    return found


def leaves(btf: Btf, type_id: int, base: int = 0, depth: int = 0) -> list[tuple[int, int, str]]:
    """(bit offset, bits, kind) of every scalar of a type, names left out: types with equal lists are laid out alike."""
    number = btf.resolve(type_id)
    kind = btf.kind(number)
    if kind in ("STRUCT", "UNION") and depth < 16:
        out = []
        members: Any = btf.type(number).get("members", [])
        for member in members:
            at = base + int(member["bits_offset"])
            if member.get("bitfield_size"):
                out.append((at, int(member["bitfield_size"]), "bits"))
            else:
                out += leaves(btf, member["type"], at, depth + 1)
        return out
    size = (btf.size_of(number) or 0) * 8
    if kind == "ARRAY" and depth < 16:
        told: Any = btf.type(number)
        element = leaves(btf, told.get("type", told.get("type_id", 0)), 0, depth + 1)
        # Once and the whole size say as much as every element.
        return [(base, size, "array"), *((base + at, bits, word) for at, bits, word in element)]
    return [(base, size, {"ENUM": "INT", "ENUM64": "INT"}.get(kind, kind))]


def _btf_by_id(number: int) -> Btf | None:
    """Types in the kernel by their id; None where they may not be read."""
    from bpfsmith._native import Btf, ReadError
    from bpfsmith.kernel import info
    from bpfsmith.kernel.attrs import encode

    fd = kernel.door().bpf_fd(*encode("BPF_BTF_GET_FD_BY_ID", btf_id=number))
    if isinstance(fd, int):
        return None
    with fd:
        data: bytes = info.btf(fd, data=True)["data"]
    try:
        return Btf.parse(data)
    except ReadError:
        return None


# ---------------------------------------------------------------- programs and tokens


def program_function(name: str, target: Any, function: str) -> tuple[Any, int]:
    """(descriptor holder of the target program, type id of the function in its types that `name` is bound to)."""
    fd = getattr(target, "fd", target)
    info = _info(fd, PROG_INFO)
    if info is None:
        raise InputError(f"`programs[{name!r}]['attach_prog']` is no loaded program", hint="give a LoadedProgram")
    number = _u32(info, 128)
    btf = _btf_by_id(number) if number else None
    if btf is None:
        raise InputError(
            f"the program that `{name}` is bound to was loaded without types",
            hint="compile it with `-g` and load it again",
        )
    wanted_name = function or getattr(target, "name", "") or bytes(info[64:80]).rstrip(b"\0").decode()
    found = btf.find(wanted_name, "FUNC")
    if found is None:
        raise TargetMissing(
            f"the program that `{name}` is bound to has no function `{wanted_name}`",
            hint="pass its name as `attach_to`",
        )
    return fd, found


def open_bpffs(path: str) -> Fd:
    """The descriptor a token is made from."""
    fd = kernel.door().open_fd(path, 0o200000)  # O_DIRECTORY
    if isinstance(fd, int):
        raise TargetMissing(
            f"no token can be had from `{path}`: it is no folder that can be opened",
            where=path,
            hint="name the mount point of a bpffs that was mounted with `delegate_cmds=` and its like",
        )
    return fd

"""What is loaded: ids, descriptions, owners and pins of programs, maps, links and BTF.

Kinds are `prog`, `map`, `link` and `btf`. Descriptions are plain dictionaries under the kernel's own names
(`struct bpf_prog_info` and its kin); a field that this kernel does not know is absent. Listing by id needs
CAP_SYS_ADMIN (CAP_BPF is not enough); describing what one holds a descriptor of needs nothing.
"""

from __future__ import annotations

from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith._native import Fd

__all__ = [
    "KINDS",
    "btf",
    "describe",
    "fdinfo",
    "identify",
    "ids",
    "kernel_btf_ids",
    "link",
    "link_kinds",
    "map_",
    "mounts",
    "open_id",
    "owners",
    "pins",
    "program",
]  # fmt: skip

KINDS = ("prog", "map", "link", "btf")
ENOENT = 2

# fmt: off
_PROG = {
    "type": (0, 4), "id": (4, 4), "tag": (8, -8), "jited_prog_len": (16, 4), "xlated_prog_len": (20, 4),
    "load_time": (40, 8), "created_by_uid": (48, 4), "nr_map_ids": (52, 4), "name": (64, 16), "ifindex": (80, 4),
    "gpl_compatible": (84, 4), "netns_dev": (88, 8), "netns_ino": (96, 8), "nr_jited_ksyms": (104, 4),
    "nr_jited_func_lens": (108, 4), "btf_id": (128, 4), "func_info_rec_size": (132, 4), "nr_func_info": (144, 4),
    "nr_line_info": (148, 4), "nr_jited_line_info": (168, 4), "line_info_rec_size": (172, 4),
    "jited_line_info_rec_size": (176, 4), "nr_prog_tags": (180, 4), "run_time_ns": (192, 8), "run_cnt": (200, 8),
    "recursion_misses": (208, 8), "verified_insns": (216, 4), "attach_btf_obj_id": (220, 4), "attach_btf_id": (224, 4),
}
# Array -> (offset of its pointer, offset of its count, size of a record or offset of that size).
_PROG_ARRAYS = {
    "jited_prog_insns": (24, 16, 1), "xlated_prog_insns": (32, 20, 1), "map_ids": (56, 52, 4),
    "jited_ksyms": (112, 104, 8), "jited_func_lens": (120, 108, 4), "func_info": (136, 144, -132),
    "line_info": (152, 148, -172), "jited_line_info": (160, 168, -176), "prog_tags": (184, 180, 8),
}
_MAP = {
    "type": (0, 4), "id": (4, 4), "key_size": (8, 4), "value_size": (12, 4), "max_entries": (16, 4),
    "map_flags": (20, 4), "name": (24, 16), "ifindex": (40, 4), "btf_vmlinux_value_type_id": (44, 4), "netns_dev":
    (48, 8), "netns_ino": (56, 8), "btf_id": (64, 4), "btf_key_type_id": (68, 4), "btf_value_type_id": (72, 4),
    "btf_vmlinux_id": (76, 4), "map_extra": (80, 8),
}
_BTF = {"btf_size": (8, 4), "id": (12, 4), "kernel_btf": (28, 4)}
_LINK = {"type": (0, 4), "id": (4, 4), "prog_id": (8, 4)}
# By link type: its word, its fields, and its (pointer, count, size of an entry, name) arrays.
_LINKS: dict[int, tuple[str, dict[str, tuple[int, int]], tuple[tuple[int, int, int, str], ...]]] = {
    1: ("raw_tracepoint", {"cookie": (32, 8)}, ((16, 24, 0, "tp_name"),)),
    2: ("tracing", {"attach_type": (16, 4), "target_obj_id": (20, 4), "target_btf_id": (24, 4), "cookie": (32, 8)}, ()),
    3: ("cgroup", {"cgroup_id": (16, 8), "attach_type": (24, 4)}, ()),
    4: ("iter", {"map_id": (28, 4)}, ((16, 24, 0, "target_name"),)),
    5: ("netns", {"netns_ino": (16, 4), "attach_type": (20, 4)}, ()),
    6: ("xdp", {"ifindex": (16, 4)}, ()),
    7: ("perf_event", {"event_type": (16, 4)}, ()),
    8: ("kprobe_multi", {"flags": (28, 4), "missed": (32, 8)}, ((16, 24, 8, "addrs"), (40, 24, 8, "cookies"))),
    9: ("struct_ops", {"map_id": (16, 4)}, ()),
    10: ("netfilter", {"pf": (16, 4), "hooknum": (20, 4), "priority": (24, 4), "flags": (28, 4)}, ()),
    11: ("tcx", {"ifindex": (16, 4), "attach_type": (20, 4)}, ()),
    12: ("uprobe_multi", {"flags": (56, 4), "pid": (60, 4)},
         ((16, 48, 0, "path"), (24, 52, 8, "offsets"), (32, 52, 8, "ref_ctr_offsets"), (40, 52, 8, "cookies"))),
    13: ("netkit", {"ifindex": (16, 4), "attach_type": (20, 4)}, ()),
    14: ("sockmap", {"map_id": (16, 4), "attach_type": (20, 4)}, ()),
    15: ("tracing_multi", {"attach_type": (16, 4), "btf_obj_id": (24, 4)},
         ((32, 20, 4, "ids"), (40, 20, 8, "addrs"), (48, 20, 8, "cookies"))),
}
# Of a link to a perf event, by `enum bpf_perf_event_type`.
_EVENTS: dict[int, tuple[str, dict[str, tuple[int, int]], tuple[tuple[int, int, int, str], ...]]] = {
    1: ("uprobe", {"offset": (36, 4), "cookie": (40, 8), "ref_ctr_offset": (48, 8)}, ((24, 32, 0, "file_name"),)),
    2: ("uretprobe", {"offset": (36, 4), "cookie": (40, 8), "ref_ctr_offset": (48, 8)}, ((24, 32, 0, "file_name"),)),
    3: ("kprobe", {"offset": (36, 4), "addr": (40, 8), "missed": (48, 8), "cookie": (56, 8)},
        ((24, 32, 0, "func_name"),)),
    4: ("kretprobe", {"offset": (36, 4), "addr": (40, 8), "missed": (48, 8), "cookie": (56, 8)},
        ((24, 32, 0, "func_name"),)),
    5: ("tracepoint", {"cookie": (40, 8)}, ((24, 32, 0, "tp_name"),)),
    6: ("event", {"config": (24, 8), "config_type": (32, 4), "cookie": (40, 8)}, ()),
}
# fmt: on
_SIGNED = frozenset({"priority"})
_NAME_ROOM = 256


def ids(kind: str) -> list[int]:
    """Ids of everything loaded of that kind, ascending. `PermissionMissing` without CAP_SYS_ADMIN."""
    from bpfsmith import kernel

    from .attrs import encode, output
    from .failures import error

    command, at = f"BPF_{kind.upper()}_GET_NEXT_ID", 0
    found: list[int] = []
    door = kernel.door()
    while True:
        number, attr, buffers = encode(command, start_id=at)
        value = door.bpf(number, attr, buffers)
        if value == -ENOENT:
            return found
        if value < 0:
            raise error(command, -value, f"the list of {_PLURAL[kind]}")
        at = output(command, attr, "next_id")
        found.append(at)


def link_kinds() -> list[str]:
    """The words of all types of links."""
    return [word for word, _, _ in _LINKS.values()]


_PLURAL = {"prog": "programs", "map": "maps", "link": "links", "btf": "BTF objects"}
_SINGULAR = {"prog": "program", "map": "map", "link": "link", "btf": "BTF object"}


def open_id(kind: str, number: int) -> Fd:
    """A descriptor of what has that id. `UnknownName` when nothing has."""
    from bpfsmith import kernel
    from bpfsmith.model.errors import UnknownName

    from .attrs import encode
    from .failures import error

    if isinstance(number, bool) or not isinstance(number, int):
        from bpfsmith.model.errors import InputError

        raise InputError(
            f"{number!r:.60} is no id of a {_SINGULAR[kind]}", hint="ids are numbers; `bpfsmith ps` lists them"
        )
    if not 0 < number < 1 << 32:  # the kernel counts them from 1, in 32 bits
        raise UnknownName(f"no {_SINGULAR[kind]} has the id {number}", hint="`bpfsmith ps` lists what is loaded")
    command, fields = f"BPF_{kind.upper()}_GET_FD_BY_ID", {f"{kind}_id": number}
    fd = kernel.door().bpf_fd(*encode(command, **fields))
    if isinstance(fd, int):
        if fd == -ENOENT:
            raise UnknownName(f"no {_SINGULAR[kind]} has the id {number}", hint="`bpfsmith ps` lists what is loaded")
        raise error(command, -fd, f"{_SINGULAR[kind]} {number}", fields)
    return fd


def open_pin(kind: str, path: str) -> Fd:
    """A descriptor of what is pinned at `path`. `TargetMissing` when nothing is, `InputError` when it is no `kind`."""
    from bpfsmith import kernel
    from bpfsmith.model.errors import InputError, TargetMissing

    from .attrs import encode
    from .failures import error

    fd = kernel.door().bpf_fd(*encode("BPF_OBJ_GET", pathname=path))
    if isinstance(fd, int):
        if fd == -ENOENT:
            why, command = mounted_with("mount -t bpf bpf /sys/fs/bpf")
            hint = f"`bpfsmith ps` lists what is pinned; bpffs is mounted with `{command}`"
            if why:
                hint = f"bpffs is not mounted{why}; use `{command}`"
            raise TargetMissing(f"nothing is pinned at `{path}`", where=path, hint=hint)
        raise error("BPF_OBJ_GET", -fd, f"`{path}`", {"pathname": path})
    found = identify(fdinfo(fd))
    if found is None or found[0] != kind:
        fd.close()
        other = _SINGULAR.get(found[0] if found else "", "something else")
        raise InputError(f"`{path}` is no {_SINGULAR[kind]} but {'a ' if found else ''}{other}", where=path)
    return fd


def describe(kind: str, fd: Any) -> dict[str, Any]:
    """`program`, `map_`, `link` or `btf` by the kind's word."""
    return {"prog": program, "map": map_, "link": link, "btf": btf}[kind](fd)


def program(fd: Any, *arrays: str) -> dict[str, Any]:
    """`struct bpf_prog_info`. `arrays`: those wanted besides the numbers (`xlated_prog_insns`, `line_info` ...), as
    bytes; `map_ids` and `jited_ksyms` as lists of numbers. Arrays are empty where the kernel hides them."""
    info, size = _ask(fd, 232)
    found = _numbers(info, size, _PROG)
    found["gpl_compatible"] = bool(found.get("gpl_compatible", 0) & 1)
    wanted = {name: _PROG_ARRAYS[name] for name in arrays if _PROG_ARRAYS[name][1] < size}
    if not wanted:
        return found
    while True:
        places, room = {}, 232
        for name, (_, counted, record) in wanted.items():
            width = record if record > 0 else _u32(info, -record)
            length = _u32(info, counted) * width
            places[name] = (room, length, width)
            room += length + 7 & ~7
        buffer = bytearray(room)
        base = _address(fd, buffer)
        # Only what is asked for may have a count.
        for name, (at, length, width) in places.items():
            pointer, counted, record = wanted[name]
            _put(buffer, pointer, 8, base + at if length else 0)
            _put(buffer, counted, 4, length // width if width else 0)
            if record < 0:
                _put(buffer, -record, 4, width)
        size = _ask_into(fd, buffer, 232)
        if all(_u32(buffer, wanted[name][1]) * (width or 1) <= length for name, (_, length, width) in places.items()):
            break
        info = buffer  # it grew meanwhile (maps bound to it): once more
    for name, (at, length, width) in places.items():
        # A null pointer where there is something: the kernel hides it from this user.
        told = _u32(buffer, wanted[name][1]) * width if _get(buffer, wanted[name][0], 8) else 0
        data = bytes(buffer[at : at + min(told, length)])
        found[name] = _list(data, width) if name in ("map_ids", "jited_ksyms", "jited_func_lens") else data
    return found


def map_(fd: Any) -> dict[str, Any]:
    """`struct bpf_map_info`."""
    return _numbers(*_ask(fd, 104), _MAP)


def btf(fd: Any, data: bool = False) -> dict[str, Any]:
    """`struct bpf_btf_info` with `name` ("" = a program's types) and, when asked for, the `data`."""
    info, size = _ask(fd, 32)
    found = _numbers(info, size, _BTF)
    room = found["btf_size"] if data else 0
    buffer = bytearray(32 + _NAME_ROOM + room)
    base = _address(fd, buffer)
    if size >= 32:
        _put(buffer, 16, 8, base + 32)
        _put(buffer, 24, 4, _NAME_ROOM)
    if room:
        _put(buffer, 0, 8, base + 32 + _NAME_ROOM)
        _put(buffer, 8, 4, room)
    _ask_into(fd, buffer, 32)
    found["name"] = _text(buffer, 32)
    if data:
        found["data"] = bytes(buffer[32 + _NAME_ROOM :])
    return found


def link(fd: Any) -> dict[str, Any]:
    """`struct bpf_link_info`: `type` (number), `kind` (its word), `prog_id`, and the fields of that type; names as
    text, lists as lists of numbers. Of a perf event also `event` (`tracepoint`, `uprobe` ...)."""
    info, size = _ask(fd, 64)
    found = _numbers(info, size, _LINK)
    word, numbers, arrays = _LINKS.get(found["type"], (f"type {found['type']}", {}, ()))
    found["kind"] = word
    if found["type"] == 7:
        event = _EVENTS.get(_u32(info, 16))
        if event is None:
            return found
        found["event"], numbers, arrays = event
    if arrays:
        info, size = _with_arrays(fd, info, arrays, found)
    found |= _numbers(info, size, numbers)
    return found


def _with_arrays(
    fd: Any, info: bytearray, arrays: tuple[tuple[int, int, int, str], ...], found: dict[str, Any]
) -> tuple[bytearray, int]:
    places, room = {}, 64
    for pointer, counted, width, name in arrays:
        length = _u32(info, counted) * width if width else 4096
        places[name] = (room, length, pointer, counted, width)
        room += length + 7 & ~7
    buffer = bytearray(room)
    base = _address(fd, buffer)
    for at, length, pointer, counted, width in places.values():
        if length:
            _put(buffer, pointer, 8, base + at)
            _put(buffer, counted, 4, length // width if width else length)
    size = _ask_into(fd, buffer, 64)
    for name, (at, length, _, _, width) in places.items():
        found[name] = _list(bytes(buffer[at : at + length]), 8) if width else _text(buffer, at)
    return buffer, size


def fdinfo(fd: int | Fd, pid: int | str = "self") -> dict[str, str]:
    """What /proc says of a descriptor: `memlock`, `frozen`, `prog_id` ...; words are the kernel's."""
    from bpfsmith import kernel

    number = fd if isinstance(fd, int) else fd.fileno()
    rows = (line.partition(":") for line in kernel.door().read_text(f"/proc/{pid}/fdinfo/{number}").splitlines())
    return {name.strip(): value.strip() for name, _, value in rows}


def identify(rows: dict[str, str]) -> tuple[str, int] | None:
    """(kind, id) of a descriptor by its fdinfo; None for anything else."""
    # A link's fdinfo names its program too, and a map's the program that owns a prog array.
    for kind in ("link", "map", "btf", "prog"):
        number = rows.get(f"{kind}_id", "")
        if number.isdigit():
            return kind, int(number)
    return None


def owners() -> dict[tuple[str, int], list[tuple[int, str]]]:
    """(kind, id) -> [(pid, name of the process)] of the processes holding a descriptor of it, by /proc.

    Only the processes this user may look into: all with CAP_SYS_PTRACE, else the user's own."""
    from bpfsmith import kernel

    door = kernel.door()
    found: dict[tuple[str, int], list[tuple[int, str]]] = {}
    for pid in sorted(int(name) for name in door.listdir("/proc") if name.isdigit()):
        held = set(_held(pid))
        if held:
            try:
                name = door.read_text(f"/proc/{pid}/comm").rstrip("\n")
            except OSError:
                continue
            for entry in held:
                found.setdefault(entry, []).append((pid, name))
    return found


def _held(pid: int) -> Iterator[tuple[str, int]]:
    from bpfsmith import kernel

    door = kernel.door()
    try:
        numbers = door.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for number in numbers:
        try:
            target = door.readlink(f"/proc/{pid}/fd/{number}")
            # anon_inode:bpf-map, bpf-prog, bpf_link, btf
            if not target.startswith("anon_inode:") or ("bpf" not in target and "btf" not in target):
                continue
            entry = identify(fdinfo(int(number), pid))
        except OSError:
            continue
        if entry is not None:
            yield entry


def mounts(kind: str) -> list[str]:
    """Where file systems of that type (`bpf`, `tracefs`, `cgroup2`) are mounted, in order."""
    from bpfsmith import kernel

    found = []
    try:
        text = kernel.door().read_text("/proc/self/mounts")
    except OSError:
        return []
    for line in text.splitlines():
        _, where, type_, *_ = line.split(" ")
        if type_ == kind:
            found.append(where.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
    return found


def under_ip_netns() -> str:
    """Name of the network namespace when `ip netns exec` started this process, else "".

    That mounts a bare sysfs of that name over /sys: tracefs, bpffs and cgroups of the machine are out of sight."""
    from bpfsmith import kernel

    try:
        lines = kernel.door().read_text("/proc/self/mounts").splitlines()
    except OSError:
        return ""
    name = ""
    for line in lines:
        source, where, type_, *_ = line.split(" ")
        if where == "/sys":
            name = source if type_ == "sysfs" else ""
    return name if name and kernel.door().exists(f"/run/netns/{name}") else ""


def mounted_with(command: str) -> tuple[str, str]:
    """(why a file system of /sys is not there as a clause, the command that gets it): `command` mounts it, unless it is
    only out of sight."""
    name = under_ip_netns()
    if not name:
        return "", command
    return " here: `ip netns exec` put a bare /sys in its place", f"nsenter --net=/run/netns/{name} COMMAND"


def pins() -> dict[tuple[str, int], list[str]]:
    """(kind, id) -> paths it is pinned at, over every mounted bpffs."""
    from bpfsmith import kernel

    from .attrs import encode

    door = kernel.door()
    found: dict[tuple[str, int], list[str]] = {}
    for root in dict.fromkeys(mounts("bpf")):
        for path in _files(root):
            fd = door.bpf_fd(*encode("BPF_OBJ_GET", pathname=path))
            if isinstance(fd, int):
                continue
            with fd:
                entry = identify(fdinfo(fd))
            if entry is not None:
                found.setdefault(entry, []).append(path)
    return found


def _files(folder: str) -> Iterator[str]:
    from stat import S_ISDIR

    from bpfsmith import kernel

    door = kernel.door()
    try:
        names = sorted(door.listdir(folder))
    except OSError:
        return
    for name in names:
        path = f"{folder}/{name}"
        try:
            mode = door.stat(path).st_mode
        except OSError:
            continue
        if S_ISDIR(mode):
            yield from _files(path)
        else:
            yield path


def kernel_btf_ids() -> dict[str, int]:
    """`vmlinux` and each module with BTF -> id of that BTF; {} where listing is not permitted."""
    from bpfsmith.model.errors import BpfsmithError

    found: dict[str, int] = {}
    try:
        for number in ids("btf"):
            with open_id("btf", number) as fd:
                told = btf(fd)
            if told.get("kernel_btf"):
                found[told["name"]] = number
    except BpfsmithError:
        return found
    return found


# ------------------------------------------------------------ bytes


def _ask(fd: Any, length: int) -> tuple[bytearray, int]:
    """The fixed part of the info, and how much of it the kernel knows."""
    info = bytearray(length)
    return info, _ask_into(fd, info, length)


def _ask_into(fd: Any, buffer: bytearray, length: int) -> int:
    from bpfsmith import kernel

    from .attrs import encode, output
    from .failures import error

    number, attr, buffers = encode("BPF_OBJ_GET_INFO_BY_FD", bpf_fd=fd, info_len=length, info=buffer)
    value = kernel.door().bpf(number, attr, buffers)
    if value < 0:
        raise error("BPF_OBJ_GET_INFO_BY_FD", -value)
    return output("BPF_OBJ_GET_INFO_BY_FD", attr, "info_len")


def _address(fd: Any, buffer: bytearray) -> int:
    """Where the buffer lies: the door writes it into the attr. It stays there as long as its size does not change."""
    from bpfsmith import kernel

    from .attrs import encode, output

    number, attr, buffers = encode("BPF_OBJ_GET_INFO_BY_FD", bpf_fd=fd, info_len=8, info=buffer)
    kernel.door().bpf(number, attr, buffers)
    buffer[:8] = bytes(8)
    return output("BPF_OBJ_GET_INFO_BY_FD", attr, "info")


def _numbers(info: bytearray, size: int, fields: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """Fields that lie in what the kernel wrote: numbers, names (16) and bytes in hex (negative sizes)."""
    found: dict[str, Any] = {}
    for name, (at, width) in fields.items():
        if at >= size:
            continue
        if width < 0:
            found[name] = info[at : at - width].hex()
        elif width == 16:
            found[name] = _text(info, at, 16)
        else:
            found[name] = int.from_bytes(info[at : at + width], byteorder, signed=name in _SIGNED)
    return found


def _u32(info: bytearray, at: int) -> int:
    return int.from_bytes(info[at : at + 4], byteorder)


def _get(info: bytearray, at: int, width: int) -> int:
    return int.from_bytes(info[at : at + width], byteorder)


def _put(info: bytearray, at: int, width: int, value: int) -> None:
    info[at : at + width] = value.to_bytes(width, byteorder)


def _list(data: bytes, width: int) -> list[int]:
    return [int.from_bytes(data[at : at + width], byteorder) for at in range(0, len(data), width)]


def _text(data: bytearray, at: int, most: int = 4096) -> str:
    return bytes(data[at : at + most]).partition(b"\0")[0].decode("utf-8", "replace")

"""What the kernel's errno means for a command: typed errors that say what, where and the next step.

The kernel has one number for many reasons. `error` asks, in this order: is a right missing (`privilege`); does this
kernel have what was asked for at all (`probe`); do the facts say what is wrong with the arguments; and only then reads
the number by the tables below.
"""

from __future__ import annotations

from ._meanings import (
    ANYWHERE,
    ATTACHING,
    DOING,
    E2BIG,
    EACCES,
    EEXIST,
    EFAULT,
    EINVAL,
    ELEMENTS,
    ENODEV,
    ENOENT,
    ENOLINK,
    ENOMEM,
    ENOSPC,
    ENOSYS,
    ENOTDIR,
    ENOTSUPP,
    EOPNOTSUPP,
    EPERM,
    ESRCH,
    MEANING,
    THING,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpfsmith.model.errors import BpfsmithError

__all__ = ["errno_name", "error", "lacking"]


def errno_name(errno: int) -> str:
    """`EPERM` of 1; the kernel's private ENOTSUPP (524) included."""
    if errno in (EOPNOTSUPP, ENOTSUPP):  # 95 has two names
        return "EOPNOTSUPP" if errno == EOPNOTSUPP else "ENOTSUPP"
    from errno import errorcode

    return errorcode.get(errno, f"errno {errno}")


def error(command: str, errno: int, where: str = "", fields: Mapping[str, Any] | None = None) -> BpfsmithError:
    """The error to raise for `command` (`BPF_MAP_CREATE`, `perf_event_open`, `netlink` ...) that answered `-errno`.

    `where` names what it was about as a part of a sentence ("map `STATE`"), `fields` are those given to the command.
    A program the verifier refused is not for this: `VerifierRejected` needs its log."""
    given = fields or {}
    about = where or _about(command, given)
    if command == "mmap" and errno == EOPNOTSUPP and (told := _elsewhere(about)):
        return told
    if errno in (EPERM, EACCES) and (told := _forbidden(command, errno, about, given)):
        return told
    if command == "BPF_OBJ_PIN" and errno == ENOENT and (told := _in_sysfs(errno, about, given)):
        return told
    if errno in (EINVAL, EOPNOTSUPP, ENOTSUPP, ENOSYS) and (told := lacking(command, errno, about, given)):
        return told
    if command == "BPF_MAP_CREATE" and errno in (EINVAL, E2BIG, ENOMEM, ENOTSUPP):
        return _bad_map(errno, about, given)
    return _by_number(command, errno, about)


def _elsewhere(about: str) -> BpfsmithError | None:
    """Memory of a guest's kernel is not of this machine."""
    from bpfsmith import kernel
    from bpfsmith.model.errors import Unsupported

    if kernel.door().local:
        return None
    return Unsupported(
        f"{_cannot('mmap', about)}: it is that of a guest",
        "memory of a guest",
        instead="maps are read and written by key or as a whole; `bpfsmith run --kernel` reads events inside it",
        where=about,
    )


def _about(command: str, given: Mapping[str, Any]) -> str:
    for field, word in (("map_name", "map"), ("prog_name", "program"), ("pathname", "")):
        if given.get(field):
            return f"{word} `{given[field]}`".lstrip()
    return THING.get(command.removeprefix("BPF_").partition("_")[0], "it")


def _cannot(command: str, about: str) -> str:
    doing = DOING.get(command, f"do {command} on {{}}")
    return f"cannot {doing.format(about)}"


def _by_number(command: str, errno: int, about: str) -> BpfsmithError:
    from bpfsmith.model.errors import InputError, KernelError, MapFull, TargetGone, TargetMissing, ToolError

    if errno in (E2BIG, ENOSPC) and command in ("BPF_MAP_UPDATE_ELEM", "BPF_MAP_UPDATE_BATCH"):
        return MapFull(
            f"{about} is full, or of an array the index is behind its end",
            0,
            errno,
            about,
            "`map_sizes=` of `load` makes it larger",
        )
    key = "BPF_PROG_TEST_RUN" if command == "BPF_PROG_RUN" else command
    meaning, hint = MEANING.get((key, errno)) or ANYWHERE.get(errno) or _plain(errno)
    message = f"{_cannot(command, about)}: {meaning}"
    made: BpfsmithError = KernelError(f"{message} ({errno_name(errno)})", command, errno, about, hint)
    no_target = (command, errno) in (("BPF_RAW_TRACEPOINT_OPEN", ENOENT), ("perf_event_open", ESRCH))
    if errno == EFAULT:
        made = ToolError(f"{_cannot(command, about)}: {command} was given an address the kernel cannot use")
    elif no_target or (errno == ENODEV and command in ATTACHING):
        made = TargetMissing(message, about, hint)
    elif errno == ENOLINK:
        made = TargetGone(message, command, errno, about, hint)
    elif command in ("BPF_OBJ_GET", "BPF_OBJ_PIN") and errno in (ENOENT, EEXIST, ENOTDIR):
        made = InputError(message, about, hint)
    return made


def _plain(errno: int) -> tuple[str, str]:
    from os import strerror

    return ("the kernel does not support it" if errno == ENOTSUPP else strerror(errno).lower()), ""


# ------------------------------------------------------------ rights


def _forbidden(command: str, errno: int, about: str, given: Mapping[str, Any]) -> BpfsmithError | None:
    """Why EPERM or EACCES; None where the tables know better."""
    from bpfsmith.model.errors import KernelError, PermissionMissing

    from . import privilege

    start = _cannot(command, about)
    if command == "BPF_OBJ_GET" and errno == EACCES:
        if (wrong := _no_pin(str(given.get("pathname", "")))) is not None:
            return wrong
        meaning, hint = MEANING[command, EACCES]
        return PermissionMissing(f"{start}: {meaning}; {hint}", "", about)
    if command in ELEMENTS and errno == EPERM:
        writes = "UPDATE" in command or "DELETE" in command
        how = "frozen, or read-only for user space" if writes else "write-only for user space"
        return KernelError(f"{start}: it is {how} (EPERM)", command, errno, about)
    if command == "mmap" or (command == "BPF_LINK_UPDATE" and errno == EPERM):
        return None
    missing = privilege.missing(command, given)
    if missing:
        lacks = f"{_who()} has no {' and no '.join(missing)}{_settings(command, given)}"
        return PermissionMissing(f"{start}: {lacks}", "sudo", about, missing[0])
    return _misplaced(command, errno, about, given) or _all_held(command, errno, about, given)


def _no_pin(path: str) -> BpfsmithError | None:
    """The kernel says EACCES for every path that is no pin; None where it may be one."""
    from os.path import realpath

    from bpfsmith import kernel
    from bpfsmith.model.errors import InputError

    from .info import mounts

    places = mounts("bpf")
    real = realpath(path)
    if not path or (any(real.startswith(f"{place}/") for place in places) and not kernel.door().isdir(real)):
        return None
    if any(real == place or real.startswith(f"{place}/") for place in places):
        return InputError(f"`{path}` is a folder of bpffs, not a pin", path, "`bpfsmith ps` lists what is pinned")
    where = f"; bpffs is mounted at `{places[0]}`" if places else ""
    hint = f"`bpfsmith ps` lists what is pinned{where}"
    return InputError(f"`{path}` is no pin: it does not lie in a bpffs", path, hint)


def _in_sysfs(errno: int, about: str, given: Mapping[str, Any]) -> BpfsmithError | None:
    """The folder is there, but takes no files: sysfs, where bpffs is not mounted."""
    from bpfsmith import kernel

    path = given.get("pathname", "")
    folder = (path.rstrip(b"\0").decode() if isinstance(path, bytes) else str(path)).rpartition("/")[0]
    return _misplaced("BPF_OBJ_PIN", errno, about, given) if folder and kernel.door().isdir(folder) else None


def _misplaced(command: str, errno: int, about: str, given: Mapping[str, Any]) -> BpfsmithError | None:
    """EPERM that is a matter of the target, not of rights."""
    from bpfsmith.model.errors import InputError, KernelError

    start = _cannot(command, about)
    if command == "BPF_OBJ_PIN":
        if "." in str(given.get("pathname", "")).rpartition("/")[2]:
            return InputError(f"{start}: names in bpffs have no dot", about, "use `_` instead of `.`")
        from .info import mounted_with

        why, command = mounted_with("mount -t bpf bpf /sys/fs/bpf")
        hint = f"{why.removeprefix(' here: ')}; use `{command}`" if why else f"`{command}` mounts one; pin below it"
        return InputError(f"{start}: that folder is not in a bpffs", about, hint)
    if command == "BPF_PROG_ATTACH" and errno == EPERM:
        why = "a program attached to it or above it allows no others"
        hint = "attach that one with the flag `multi`, or detach it; `bpfsmith ps` names it"
        return KernelError(f"{start}: {why} (EPERM)", command, errno, about, hint)
    return None


def _who() -> str:
    from . import privilege

    return "this process (root of a user namespace only)" if privilege.in_user_namespace() else "this process"


def _settings(command: str, given: Mapping[str, Any]) -> str:
    """Which setting would have let everyone do it."""
    from . import privilege

    free = given.get("prog_type") in (1, 8) if command == "BPF_PROG_LOAD" else command == "BPF_MAP_CREATE"
    if free and privilege.sysctl("kernel/unprivileged_bpf_disabled"):
        return ", and kernel.unprivileged_bpf_disabled lets nobody do it without"
    if command == "perf_event_open" and (level := privilege.sysctl("kernel/perf_event_paranoid")) is not None:
        return f", and kernel.perf_event_paranoid is {level}"
    return ""


def _all_held(command: str, errno: int, about: str, given: Mapping[str, Any]) -> BpfsmithError:
    """Every capability is there, and the kernel says no all the same."""
    from bpfsmith import kernel
    from bpfsmith.model.errors import PermissionMissing, Unsupported

    from . import privilege

    name, start = errno_name(errno), _cannot(command, about)
    if privilege.seccomp():
        return PermissionMissing(
            f"{start}: a seccomp filter of the container refuses {command} ({name})",
            "docker run --cap-add=BPF --cap-add=PERFMON --cap-add=NET_ADMIN --security-opt seccomp=unconfined", about,
            "seccomp",
        )  # fmt: skip
    if privilege.in_user_namespace():
        return PermissionMissing(
            f"{start}: rights inside a user namespace do not count here; a BPF token (Linux 6.9) lends them", "", about,
            "BPF token",
        )  # fmt: skip
    memory = command in ("BPF_MAP_CREATE", "BPF_PROG_LOAD", "BPF_BTF_LOAD")
    if memory and kernel.live().lacks("memcg_account"):
        return PermissionMissing(
            f"{start}: the limit of locked memory is too low, which this kernel counts maps against",
            "ulimit -l unlimited", about, "RLIMIT_MEMLOCK",
        )  # fmt: skip
    level = privilege.lockdown()
    locked = f"; it is locked down ({level})" if level in ("integrity", "confidentiality") else ""
    refused = _REFUSED.get(given.get("prog_type", 0))
    if refused:
        feature, what, instead = refused
        why = f"this kernel refuses {what} though every capability is there ({name}){locked}"
        return Unsupported(f"{start}: {why}", feature, instead=instead, where=about)
    if level == "confidentiality":
        return PermissionMissing(f"{start}: the kernel is locked down ({level})", "", about, "lockdown")
    modules = [one for one in privilege.security_modules() if one in ("selinux", "apparmor", "bpf", "smack")]
    whose = (
        f"a security module ({', '.join(modules)})" if modules else "a security module or this kernel's configuration"
    )
    return PermissionMissing(f"{start}: {whose} refuses it, not a missing capability ({name}){locked}", "", about)


# Families a kernel may refuse whatever one may: program type -> (feature, our words for it, what may do instead).
_REFUSED = {
    26: (
        "tracing",
        "tracing programs (fentry, fexit, fmod_ret)",
        "a raw tracepoint, tp_btf, tracepoint or uprobe program may see the same",
    ),
    28: ("freplace", "freplace programs", "load the program with the function you want instead of replacing it"),
    29: ("lsm", "LSM programs", "a cgroup or tracepoint program may see the same, without refusing it"),
}

# ------------------------------------------------------------ kernels without it


def lacking(command: str, errno: int, about: str, given: Mapping[str, Any]) -> BpfsmithError | None:
    """`Unsupported` when this kernel does not have what was asked for; None when it does, or nobody knows."""
    from bpfsmith.model.errors import Unsupported

    start = _cannot(command, about)
    if errno == ENOSYS:
        what = "perf events" if command == "perf_event_open" else "bpf(2)"
        return Unsupported(f"{start}: this kernel is built without {what}", what, where=about)
    if command in ("BPF_PROG_TEST_RUN", "BPF_PROG_RUN") and errno in (EOPNOTSUPP, ENOTSUPP):
        return Unsupported(f"{start}: programs of its type have no test run in this kernel", "test run", where=about)
    if command.endswith("_BATCH") and errno in (EOPNOTSUPP, ENOTSUPP, EINVAL):
        return Unsupported(
            f"{start}: this type of map has no such batch operation in this kernel", "batch operations", "5.6",
            "entry by entry works", about,
        )  # fmt: skip
    linked = (
        command == "BPF_MAP_CREATE" and given.get("map_type") == _STRUCT_OPS and given.get("map_flags", 0) & _F_LINK
    )
    if linked and not _known("struct_ops_link"):
        return Unsupported(
            f"{start}: this kernel has no links of struct_ops", "struct_ops_link", "6.4",
            "a struct in section `.struct_ops` is registered without one", about,
        )  # fmt: skip
    asked = next((one for one in _asked(command, given) if not _known(one)), None)
    if asked is None:
        return None
    since, what = _since(asked)
    return Unsupported(f"{start}: this kernel has no {what}", asked, since, _configured(since), about)


def _asked(command: str, given: Mapping[str, Any]) -> list[str]:
    """The features a command stands for, where a number may be what the kernel does not know."""
    from bpfsmith.facts import attach_types, map_types, program_types

    if command == "BPF_MAP_CREATE":
        kind = map_types.get(given.get("map_type", 0))
        return [f"map_type:{kind.name}"] if kind else []
    if command == "BPF_PROG_LOAD":
        program = program_types.get(given.get("prog_type", 0))
        attach = attach_types.get(given.get("expected_attach_type", 0)) if given.get("prog_type") in _BOUND else None
        bound = [f"attach_type:{attach.name}"] if attach else []
        frags = ["xdp_frags"] if given.get("prog_type") == _XDP and given.get("prog_flags", 0) & _F_XDP_FRAGS else []
        return [f"program_type:{program.name}", *bound, *frags] if program else []
    if command in ("BPF_LINK_CREATE", "BPF_PROG_ATTACH"):
        attach = attach_types.get(given.get("attach_type", 0))
        return [f"attach_type:{attach.name}"] if attach else []
    if command in ("BPF_TOKEN_CREATE", "BPF_PROG_STREAM_READ_BY_FD", "BPF_ITER_CREATE", "BPF_PROG_BIND_MAP",
                   "BPF_LINK_DETACH", "BPF_LINK_UPDATE", "BPF_MAP_FREEZE", "BPF_PROG_ASSOC_STRUCT_OPS"):  # fmt: skip
        return [f"command:{command}"]
    return []


_STRUCT_OPS, _F_LINK = 26, 1 << 13
_XDP, _F_XDP_FRAGS = 6, 1 << 5
# Programs whose attach type decides when they are loaded: tracing, LSM.
_BOUND = (26, 29)


def _known(feature: str) -> bool:
    from bpfsmith import kernel

    try:
        return not kernel.live().lacks(feature)
    except ValueError:
        return True


_COMMAND_SINCE = {
    "BPF_MAP_FREEZE": "5.2", "BPF_LINK_UPDATE": "5.7", "BPF_ITER_CREATE": "5.8", "BPF_LINK_DETACH": "5.9",
    "BPF_PROG_BIND_MAP": "5.10", "BPF_TOKEN_CREATE": "6.9", "BPF_PROG_STREAM_READ_BY_FD": "6.17",
    "BPF_PROG_ASSOC_STRUCT_OPS": "6.19",
}  # fmt: skip


def _since(feature: str) -> tuple[str, str]:
    """(first series, our words for it)."""
    from bpfsmith.facts import attach_types, map_types, program_types

    family, _, word = feature.partition(":")
    if family == "command":
        return _COMMAND_SINCE.get(word, ""), f"`{word}`"
    if feature == "xdp_frags":
        return "5.18", "XDP programs that take packets in fragments (`xdp.frags`)"
    row = {"map_type": map_types, "program_type": program_types, "attach_type": attach_types}[family].get(word)
    told = {"map_type": f"`{word}` maps", "program_type": f"`{word}` programs", "attach_type": f"attach type `{word}`"}
    return (row.since if row else ""), told[family]


def _configured(since: str) -> str:
    """What it is when the kernel is new enough: a matter of how it was built."""
    from bpfsmith import kernel
    from bpfsmith.facts import series_key

    if since and series_key(kernel.live().series) >= series_key(since):
        return f"this one ({kernel.live().version}) is new enough, but built without it: `bpfsmith doctor` says more"
    return ""


# ------------------------------------------------------------ maps the kernel does not create


def _bad_map(errno: int, about: str, given: Mapping[str, Any]) -> BpfsmithError:
    """What is wrong with a map, by the facts about its type."""
    from bpfsmith.facts import map_types
    from bpfsmith.model.errors import KernelError

    start = _cannot("BPF_MAP_CREATE", about)
    key, value, entries = (given.get(name, 0) for name in ("key_size", "value_size", "max_entries"))
    row = map_types.get(given.get("map_type", 0))
    size = f"keys of {key} and values of {value} bytes, {entries} entries"
    name = errno_name(errno)
    if errno in (ENOMEM, E2BIG):
        much = f"{(key + value) * entries / 2**20:.0f} MiB and more" if entries else "its size"
        per_cpu = row is not None and row.per_cpu
        hint = "" if errno == E2BIG and per_cpu else "`map_sizes=` makes it smaller"
        if errno == E2BIG and per_cpu:
            why = f"a value of a per-CPU map has at most {row.value_max if row else 32768} bytes, not {value}"
        elif errno == E2BIG:
            why = f"too large for a map: {size}"
        else:
            why = f"no memory for {much} ({size}), or the cgroup's limit is reached"
        return KernelError(f"{start}: {why} ({name})", "BPF_MAP_CREATE", errno, about, hint)
    wrong = []
    if row is not None:
        if row.key_size is not None and key != row.key_size:
            wrong.append(f"keys have {row.key_size} bytes, not {key}")
        if row.value_size is not None and value != row.value_size and (value or row.value_size):
            wrong.append(f"values have {row.value_size} bytes, not {value}")
        if not entries and row.entries not in ("0", "any") and "0" not in row.entries:
            wrong.append("the number of entries is missing")
        if row.name in ("ringbuf", "user_ringbuf"):
            from bpfsmith import kernel

            page = kernel.live().page_size
            if entries & (entries - 1) or entries < page:
                wrong.append(f"its size is a power of two of at least a page ({page}), not {entries}")
        wrong += _bad_flags(row, given.get("map_flags", 0))
    kind = f"`{row.name}` maps" if row else f"maps of type {given.get('map_type', 0)}"
    why = f"for {kind}, {'; '.join(wrong)}" if wrong else f"the kernel refuses its shape for {kind}: {size}"
    return KernelError(f"{start}: {why} ({name})", "BPF_MAP_CREATE", errno, about)


def _bad_flags(row: Any, given: int) -> list[str]:
    from bpfsmith.facts import flags

    known = {flag.name: flag.value for flag in flags.all("map")}
    wrong = [f"{name} is required" for name in row.required if not given & known.get(name, 0)]
    allowed = {name for name in known if name in row.flags} | {"BPF_F_TOKEN_FD", "BPF_F_VTYPE_BTF_OBJ_FD"}
    return wrong + [f"{name} is not for them" for name, bit in known.items() if given & bit and name not in allowed]

"""What can be attached to: tracepoints, kernel functions, cgroups, network namespaces.

Each is looked up before the kernel is asked, so that a missing one is named with its near matches. Lists are read only
to explain a miss or to match a pattern.
"""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.model.errors import EnvironmentMissing, PermissionMissing, TargetMissing
from bpfsmith.model.near import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.model.errors import BpfsmithError

__all__ = [
    "cgroup",
    "cgroup_mount",
    "function",
    "functions_like",
    "is_pattern",
    "netns",
    "raw_tracepoint_hint",
    "tracefs",
    "tracepoint",
]

_TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_MOUNT_TRACEFS = "mount -t tracefs nodev /sys/kernel/tracing"
_OPEN_TRACEFS = "mount -o remount,gid=GROUP,mode=750 /sys/kernel/tracing"
_MOUNT_CGROUP = "mount -t cgroup2 none /sys/fs/cgroup"


# ------------------------------------------------------------ tracepoints


def tracefs() -> str:
    """Where tracefs is mounted; `EnvironmentMissing` with the command that mounts it, `PermissionMissing` with the one
    that opens it."""
    door = kernel.door()
    for folder in _TRACEFS:
        if door.exists(f"{folder}/events"):
            return folder
    try:
        door.listdir(_TRACEFS[0])
    except PermissionError:
        # Mounted with mode 700: who is not root sees nothing in it, whatever the capabilities for BPF.
        raise PermissionMissing(
            "tracefs may be read by root only", _OPEN_TRACEFS, _TRACEFS[0], capability="CAP_DAC_READ_SEARCH"
        ) from None
    except OSError:
        pass
    if not door.exists(_TRACEFS[0]):
        raise EnvironmentMissing("this kernel has no tracefs (CONFIG_TRACING)", "", _TRACEFS[0])
    from .info import mounted_with

    why, command = mounted_with(_MOUNT_TRACEFS)
    raise EnvironmentMissing(f"tracefs is not mounted{why}", command, _TRACEFS[0])


def tracepoint(category: str, name: str) -> int:
    """The number perf knows a tracepoint by; `TargetMissing` with near matches."""
    root = tracefs()
    path = f"{root}/events/{category}/{name}/id"
    try:
        return int(kernel.door().read_text(path))
    except FileNotFoundError:
        raise _no_tracepoint(root, category, name) from None
    except NotADirectoryError:
        raise _no_tracepoint(root, category, name) from None
    except PermissionError:
        raise PermissionMissing(
            f"tracepoint `{category}/{name}` may not be read", "sudo", path, capability="CAP_PERFMON"
        ) from None


def _no_tracepoint(root: str, category: str, name: str) -> TargetMissing:
    events = _all_tracepoints(root)
    if category not in {one.partition(":")[0] for one in events}:
        # The name may be right: then it is the category that is meant otherwise.
        elsewhere = [one.replace(":", "/") for one in events if one.endswith(f":{name}")]
        told = f"there is no category `{category}` of tracepoints"
        if elsewhere:
            return TargetMissing(told, f"{category}/{name}", f"did you mean `{elsewhere[0]}`?")
        near = did_you_mean(category, dict.fromkeys(one.partition(":")[0] for one in events))
        return TargetMissing(told, f"{category}/{name}", near or _list_hint(root))
    here = [one.partition(":")[2] for one in events if one.startswith(f"{category}:")]
    elsewhere = [one.partition(":")[2] for one in events]
    near = did_you_mean(name, here) or did_you_mean(name, elsewhere)
    return TargetMissing(f"there is no tracepoint `{category}/{name}` in this kernel", "", near or _list_hint(root))


def _list_hint(root: str) -> str:
    return f"`{root}/available_events` lists them"


def _all_tracepoints(root: str) -> list[str]:
    """`category:name` of every tracepoint; the folders are read where the list may not be."""
    door = kernel.door()
    try:
        return door.read_text(f"{root}/available_events").split()
    except OSError:
        pass
    found = []
    try:
        for category in sorted(door.listdir(f"{root}/events")):
            if door.isdir(f"{root}/events/{category}"):
                found += [f"{category}:{name}" for name in sorted(door.listdir(f"{root}/events/{category}"))]
    except OSError:
        pass
    return found


def raw_tracepoint_hint(name: str) -> str:
    """What may have been meant by a raw tracepoint the kernel does not have."""
    if "/" in name or ":" in name:
        return f"raw tracepoints have no category: `{name.replace(':', '/').rpartition('/')[2]}`"
    if name.startswith(("sys_enter_", "sys_exit_")):
        return f"system calls share `{'_'.join(name.split('_')[:2])}`: compare the number in the program"
    try:
        known = [one.partition(":")[2] for one in _all_tracepoints(tracefs())]
    except EnvironmentMissing:
        return ""
    return did_you_mean(name, known)


# ------------------------------------------------------------ kernel functions


def is_pattern(name: str) -> bool:
    """Whether a name stands for several: `*`, `?` or `[` in it."""
    return any(sign in name for sign in "*?[")


_counts: dict[tuple[str, str | None], int] = {}


def function(name: str, module: str | None = None) -> int:
    """How many kernel functions have that name (of `module`); `TargetMissing` with near matches when none does.

    One pass over /proc/kallsyms per process and name; functions the compiler cloned (`.isra.0`) are offered."""
    if (name, module) not in _counts:
        _counts[name, module] = len(kernel.door().kernel_symbols([name], module).get(name, []))
    if _counts[name, module]:
        return _counts[name, module]
    names = [one for one in symbols() if not one.startswith("__pfx_")]
    clones = [one for one in names if one.startswith(f"{name}.")]
    if clones:
        hint = f"the compiler made `{clones[0]}` of it, and others of its calls may be inlined"
    else:
        hint = did_you_mean(name, (one for one in names if _worth(name, one)))
    where = f" in module `{module}`" if module else ""
    raise TargetMissing(
        f"there is no kernel function `{name}`{where}",
        name,
        hint or "it may be inlined, or named otherwise in this kernel",
    )


def _worth(name: str, other: str) -> bool:
    """Cheap test before similarity is computed: a hundred thousand names take seconds otherwise."""
    return abs(len(name) - len(other)) <= 6 and (name[:2] == other[:2] or name in other or other[-4:] == name[-4:])


def symbols() -> list[str]:
    """Names in /proc/kallsyms; empty where it cannot be read."""
    try:
        return [line.split(None, 3)[2] for line in kernel.door().read_text("/proc/kallsyms").splitlines()]
    except OSError:
        return []


def functions_like(pattern: str) -> list[str]:
    """Kernel functions a glob pattern matches, sorted; from the list of traceable functions where it can be read, else
    from all symbols. `TargetMissing` when there is none."""
    from fnmatch import translate
    from re import compile as compile_pattern

    names: Iterable[str] = []
    try:
        lines = kernel.door().read_text(f"{tracefs()}/available_filter_functions").splitlines()
        names = [line.partition(" ")[0] for line in lines]
    except (OSError, EnvironmentMissing):
        names = symbols()
    fits = compile_pattern(translate(pattern)).match
    found = sorted({name for name in names if fits(name)})
    if not found:
        raise TargetMissing(
            f"no kernel function matches `{pattern}`", pattern, "`*` stands for any text, `?` for a letter"
        )
    return found


# ------------------------------------------------------------ cgroups


def cgroup_mount() -> str | None:
    """Where cgroup2 is mounted, None when it is not."""
    try:
        mounts = kernel.door().read_text("/proc/self/mounts")
    except OSError:
        return None
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) > 2 and words[2] == "cgroup2":
            return words[1].replace("\\040", " ")
    return None


def cgroup(path: str) -> str:
    """The folder of a cgroup2, given by its path or by what stands behind the mount point (`system.slice`)."""
    door = kernel.door()
    path = str(path)
    mount = cgroup_mount()
    if mount is not None and not door.exists(path):
        inside = f"{mount}/{path.lstrip('/')}"
        if door.exists(inside):
            path = inside
    if not door.exists(path):
        raise _no_cgroup(path, mount)
    if not door.exists(f"{path}/cgroup.procs") or (mount is None or not door.exists(f"{path}/cgroup.controllers")):
        if mount is None:
            from .info import mounted_with

            why, command = mounted_with(_MOUNT_CGROUP)
            raise EnvironmentMissing(f"`{path}` is no cgroup2, and none is mounted{why}", command, path)
        old = door.exists(f"{path}/cgroup.procs") or door.exists(f"{path}/tasks")
        what = "belongs to cgroup version 1, which takes no programs" if old else "is no cgroup"
        raise TargetMissing(f"`{path}` {what}", path, f"cgroup2 is mounted at `{mount}`")
    return path


def _no_cgroup(path: str, mount: str | None) -> BpfsmithError:
    """Where none is. A folder made anywhere but below a mounted cgroup2 would be no cgroup."""
    from .info import mounted_with, mounts

    if mount is None:
        why, command = mounted_with(_MOUNT_CGROUP)
        return EnvironmentMissing(f"there is no cgroup `{path}`, and no cgroup2 is mounted{why}", command, path)
    door = kernel.door()
    full = path if path.startswith("/") else f"{mount}/{path}"
    if not any(full.startswith(f"{one.rstrip('/')}/") for one in mounts("cgroup2")):
        return TargetMissing(f"there is no cgroup `{path}`", path, f"cgroups are folders of `{mount}`")
    folder, _, name = full.rstrip("/").rpartition("/")
    try:
        there = [one for one in door.listdir(folder) if door.isdir(f"{folder}/{one}")]
    except OSError:
        there = []
    return TargetMissing(f"there is no cgroup `{path}`", path, did_you_mean(name, there) or f"`mkdir {full}` makes one")


# ------------------------------------------------------------ network namespaces


def netns(which: str | int | None) -> tuple[str, str]:
    """(path, what messages call it) of a network namespace: a path, a name of `ip netns`, a process id, or None for
    the calling thread's."""
    door = kernel.door()
    if which is None:
        return "/proc/thread-self/ns/net", "this network namespace"
    if isinstance(which, int):
        path = f"/proc/{which}/ns/net"
        if not door.exists(path):
            raise TargetMissing(f"there is no process {which}", path)
        return path, f"the network namespace of process {which}"
    path = which if "/" in which else f"/run/netns/{which}"
    if not door.exists(path):
        folder, _, name = path.rpartition("/")
        try:
            there = door.listdir(folder)
        except OSError:
            there = []
        hint = did_you_mean(name, there) or f"`ip netns add {name}` makes one"
        raise TargetMissing(f"there is no network namespace `{which}`", path, hint)
    return path, f"`{which}`"


# ------------------------------------------------------------ iterators


def read_from(fd: int, size: int, where: str) -> bytes:
    """Up to `size` bytes of an iterator's run, b"" at its end."""
    from bpfsmith import kernel

    from .failures import error

    door = kernel.door()
    while True:
        try:
            return door.read_fd(fd, size)
        except BlockingIOError:
            continue  # it stopped to let others run
        except OSError as problem:
            raise error("read", problem.errno or 5, where) from None

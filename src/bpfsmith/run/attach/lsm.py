"""LSM hooks: programs that may refuse what the kernel is about to do, for everyone or for the processes of a cgroup."""

from __future__ import annotations

import os

from bpfsmith import kernel
from bpfsmith.kernel import privilege, targets
from bpfsmith.model.errors import InputError, Unsupported
from bpfsmith.run.link import Link, LinkFd

from ._base import UNKNOWN, link_create, needs, refusal, require
from .trace import lacking as no_trampolines
from .trace import open_bound, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAC, _CGROUP = 27, 43
_INSTEAD = "a cgroup program decides about sockets, devices and sysctls"


def attach(program: Any, cgroup: str | None = None, *, cookie: int = 0) -> Link:
    """See `AttachMethods.attach_lsm`."""
    require(program, ("lsm",), "attach_lsm")
    if program.attach_type == "lsm_cgroup":
        return _to_cgroup(program, cgroup, cookie)
    if cgroup is not None:
        raise InputError(
            f"`{program.name}` decides for everyone; it has no cgroup", program.name,
            f"section `lsm_cgroup/{program.attach_to or 'HOOK'}` (6.0+) decides for a cgroup",
        )  # fmt: skip
    if (off := inactive("lsm", program.name)) is not None:
        raise off
    target = f"LSM hook `{program.attach_to}`"
    fd = open_bound(program, _MAC, cookie)
    if isinstance(fd, int):
        raise refused(program, "lsm", target, fd, bool(cookie))
    return LinkFd(program, "lsm", target, fd)


def _to_cgroup(program: Any, cgroup: str | None, cookie: int) -> Link:
    if cgroup is None:
        raise needs(program, "cgroup", '"/sys/fs/cgroup/web"')
    if cookie:
        raise InputError("programs of cgroups have no cookie", program.name, "leave it out")
    folder = targets.cgroup(cgroup)
    target = f"LSM hook `{program.attach_to}` of cgroup `{folder}`"
    opened = kernel.door().open_fd(folder, os.O_RDONLY | os.O_DIRECTORY)
    if isinstance(opened, int):
        raise refusal("open", opened, program, target)
    with opened:
        fd = link_create(program, _CGROUP, target_fd=opened)
    if isinstance(fd, int):
        if fd in UNKNOWN and (told := lacking("lsm_cgroup", program.name)) is not None:
            raise told
        raise refusal("BPF_LINK_CREATE", fd, program, target, "CAP_NET_ADMIN")
    return LinkFd(program, "lsm_cgroup", target, fd)


def inactive(family: str, name: str) -> Unsupported | None:
    """Where `bpf` is not among the security modules in force the kernel attaches such a program and never runs it."""
    modules = active()
    if modules is None or "bpf" in modules:
        return None
    if kernel.live().has_config and kernel.live().config("CONFIG_BPF_LSM") is None:
        return Unsupported(
            f"`{name}` cannot be attached: this kernel is built without BPF LSM (CONFIG_BPF_LSM)", family, "5.7",
            _INSTEAD,
        )  # fmt: skip
    command_line = f"lsm={','.join([*(one for one in modules if one != 'capability'), 'bpf'])}"
    return Unsupported(
        f"`{name}` would never run: `bpf` is not among the security modules in force "
        f"({','.join(modules) or 'there are none'})",
        family, "5.7", f"boot with `{command_line}` on the kernel's command line",
    )  # fmt: skip


def active() -> tuple[str, ...] | None:
    """The security modules in force; where securityfs is not mounted those that the command line or the configuration
    ask for; None where nothing tells."""
    modules = privilege.security_modules()
    if modules:
        return modules
    try:
        words = kernel.door().read_text("/proc/cmdline").split()
    except OSError:
        words = []
    for word in reversed(words):
        if word.startswith("lsm="):
            return tuple(one for one in word[4:].split(",") if one)
    told = kernel.live().config("CONFIG_LSM")
    return tuple(told.split(",")) if told else None


def lacking(family: str, name: str) -> Unsupported | None:
    """What is told where this kernel runs no such programs; None where it does."""
    if family == "lsm" and (off := inactive(family, name)) is not None:
        return off
    return no_trampolines(family, name)


def by_section(program: Any, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    return attach(program, *where, **options)


def plan(program: Any, cgroup: str | None = None, *, cookie: int = 0) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    if program.attach_type == "lsm_cgroup":
        return [{"command": "BPF_LINK_CREATE", "attach_type": "lsm_cgroup", "target": program.attach_to,
                 "target_fd": cgroup}]  # fmt: skip
    if cookie:
        return [{"command": "BPF_LINK_CREATE", "attach_type": "lsm_mac", "target": program.attach_to, "cookie": cookie}]
    return [{"command": "BPF_RAW_TRACEPOINT_OPEN", "target": program.attach_to}]

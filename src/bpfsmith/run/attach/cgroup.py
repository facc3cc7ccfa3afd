"""Cgroups: programs that decide for every process of a cgroup2 folder and below.

By `bpf_link` (5.7+), which runs beside what others attached. The older way (4.10+) has three modes: `multi` runs beside
others, `override` is replaced by a child's program, `exclusive` lets children have none; such a program stays until it
is detached or the cgroup is removed.
"""

from __future__ import annotations

import os
from sys import byteorder

from bpfsmith import kernel
from bpfsmith.kernel import privilege, targets
from bpfsmith.model.errors import InputError, TargetGone, Unsupported
from bpfsmith.run.link import Held, Link, LinkFd, duplicate, from_id, program_fd, raw_info

from ._base import (
    EBUSY,
    EEXIST,
    EINVAL,
    ENOENT,
    EPERM,
    UNKNOWN,
    choice,
    find_links,
    link_create,
    needs,
    number_of,
    own_link,
    program_id,
    refusal,
    require,
)
from ._order import order_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Fd

TYPES = (
    "cgroup_skb",
    "cgroup_sock",
    "cgroup_sock_addr",
    "cgroup_sockopt",
    "cgroup_sysctl",
    "cgroup_device",
    "sock_ops",
)
# What a program of a type is attached as when nothing says it.
DEFAULTS = {
    "cgroup_sock": "cgroup_inet_sock_create",
    "cgroup_sysctl": "cgroup_sysctl",
    "cgroup_device": "cgroup_device",
    "sock_ops": "cgroup_sock_ops",
}
# mode -> flags of BPF_PROG_ATTACH
_LINK_TYPE = 3
MODES = {"link": 0, "multi": 2, "override": 1, "exclusive": 0, "single": 0}
_REPLACE, _OVERRIDE, _MULTI = 4, 1, 2


def attach(
    program: Any, path: str, *, attach_type: str | None = None, mode: str = "link", replace: Any = None,
    before: Any = None, after: Any = None, first: bool = False, last: bool = False,
) -> Link:  # fmt: skip
    """See `AttachMethods.attach_cgroup`."""
    require(program, TYPES, "attach_cgroup")
    flags = choice("cgroup mode", mode, MODES)
    word = attach_type or program.attach_type or DEFAULTS.get(program.type, "")
    if not word:
        raise InputError(
            f"`{program.name}` (section `{program.section}`) says no attach type", program.name,
            'pass `attach_type="cgroup_inet_ingress"` or `"cgroup_inet_egress"`',
        )  # fmt: skip
    number = number_of(word)
    folder = targets.cgroup(path)
    target = f"cgroup `{folder}`"
    if replace is not None:
        ours = replace if isinstance(replace, Link) else own_link(replace, "cgroup", target)
        if ours is not None:
            ours.update(program)
            return ours
        if mode == "link" and (found := _link_here(replace, folder, number)) is not None:
            found.update(program)
            return found
    cgroup = kernel.door().open_fd(folder, os.O_RDONLY | os.O_DIRECTORY)
    if isinstance(cgroup, int):
        raise refusal("open", cgroup, program, target)
    with cgroup:
        if mode == "link" and replace is None:
            ordered = before is not None or after is not None or first or last
            before, after = (_anchor(one, target, folder, number) for one in (before, after))
            with order_fields("cgroup", before, after, first, last) as fields:
                fd = link_create(program, number, target_fd=cgroup, **fields)
            if not isinstance(fd, int):
                return LinkFd(program, "cgroup", target, fd)
            if ordered and fd in UNKNOWN:
                raise Unsupported(
                    "this kernel keeps no order of cgroup programs", "cgroup_order", "6.17", "leave it out"
                )
            if not (fd in UNKNOWN and not kernel.live().probe("cgroup_link")):
                raise _refused("BPF_LINK_CREATE", fd, program, word, target)
        return _attached(program, number, word, cgroup.dup(), target, flags if mode != "link" else _MULTI, replace)


def _anchor(other: Any, target: str, folder: str, number: int) -> Any:
    """The link that attaches a program here: the kernel finds programs of links by their links only."""
    if other is None or isinstance(other, Link):
        return other
    ours = own_link(other, "cgroup", target)
    if ours is not None:
        return ours
    return _link_here(other, folder, number) or other


def _link_here(other: Any, folder: str, number: int) -> Link | None:
    """The link of another holder that attaches that program here; None when none does, or it may not be asked."""
    for fd in find_links(_LINK_TYPE, kernel.door().stat(folder).st_ino, number, program_id(other)):
        with fd:
            return from_id(int.from_bytes(raw_info(fd)[4:8], byteorder))
    return None


def _attached(program: Any, number: int, word: str, cgroup: Fd, target: str, flags: int, replace: Any) -> Link:
    """Without a link; owns `cgroup`, which keeps the folder's identity when another of its name comes."""
    fields: dict[str, Any] = {
        "target_fd": cgroup, "attach_bpf_fd": program.fd, "attach_type": number, "attach_flags": flags,
    }  # fmt: skip
    hold = None
    if replace is not None:
        fd, hold = program_fd(replace)
        fields |= {"attach_flags": _MULTI | _REPLACE, "replace_bpf_fd": fd}
    answer = kernel.try_call("BPF_PROG_ATTACH", **fields)
    del hold
    if answer < 0:
        cgroup.close()
        raise _refused("BPF_PROG_ATTACH", answer, program, word, target)
    from bpfsmith.kernel import journal

    ours = program.fd.dup()
    key = f"{target.removeprefix('cgroup ').strip('`')}:{number}"
    journal.record("cgroup", key, program_id(ours))

    def undo() -> None:
        # A removed cgroup has let go of it.
        kernel.try_call("BPF_PROG_DETACH", target_fd=cgroup, attach_bpf_fd=ours, attach_type=number)
        cgroup.close()
        ours.close()
        journal.forget("cgroup", key)

    def replaced(new: int, old: int | None) -> None:
        nonlocal ours
        place: dict[str, Any] = {}
        if flags & _MULTI:
            place = {"attach_flags": flags | _REPLACE, "replace_bpf_fd": ours.fileno() if old is None else old}
        elif old is not None:
            raise Unsupported("only programs attached beside others can be expected", "cgroup_replace")
        else:
            place = {"attach_flags": flags}
        code = kernel.try_call("BPF_PROG_ATTACH", target_fd=cgroup, attach_bpf_fd=new, attach_type=number, **place)
        if code < 0:
            raise _refused("BPF_PROG_ATTACH", code, program, word, target)
        ours.close()
        ours = duplicate(new)
        journal.forget("cgroup", key)
        journal.record("cgroup", key, program_id(ours))

    return Held(program, "cgroup", target, undo, replaced, outlives=True)


def _refused(command: str, errno: int, program: Any, word: str, target: str) -> Exception:
    told: dict[int, Any] = {
        ENOENT: InputError(f"what it should replace or stand beside is not attached to {target}", target)
        if command == "BPF_PROG_ATTACH"
        else TargetGone(f"{target} is no longer there", command, ENOENT, target),
        19: TargetGone(f"{target} is no longer there", command, 19, target),
        EEXIST: InputError(f"`{program.name}` is attached to {target} already", target, "detach that one first"),
        EBUSY: InputError(f"{target} has a program that allows no other", target, "it was attached `exclusive`"),
        EINVAL: InputError(
            f"`{program.name}` cannot be attached to {target} as `{word}`", target,
            "the program must have been loaded for that attach type",
        ),
    }  # fmt: skip
    if abs(errno) == EPERM and privilege.has("CAP_NET_ADMIN"):
        told[EPERM] = InputError(
            f"{target} or one above it has a program that allows no other here", target,
            "attached `exclusive` or `override`: `bpftool cgroup tree` lists them",
        )  # fmt: skip
    return refusal(command, errno, program, target, "CAP_NET_ADMIN", told)


def by_section(program: Any, cgroup: str | None = None, **options: Any) -> Link:
    """Attaches as the section says."""
    if cgroup is None:
        raise needs(program, "cgroup", '"/sys/fs/cgroup/system.slice"')
    return attach(program, cgroup, **options)


def plan(
    program: Any, cgroup: str | None = None, *, attach_type: str | None = None, mode: str = "link", **_: Any
) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    word = attach_type or program.attach_type or DEFAULTS.get(program.type)
    command = "BPF_LINK_CREATE" if mode == "link" else "BPF_PROG_ATTACH"
    return [{"command": command, "attach_type": word, "target_fd": cgroup, "mode": mode}]

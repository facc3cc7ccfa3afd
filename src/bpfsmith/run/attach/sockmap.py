"""Sockmaps: `sk_msg` sees what sockets of a map send, `sk_skb` what they receive.

By a link (6.13+), or attached to the map until detached or the map is gone.
"""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.model.errors import InputError, KernelError, Unsupported
from bpfsmith.run.link import Held, Link, LinkFd, duplicate

from ._base import EBUSY, EINVAL, EOPNOTSUPP, UNKNOWN, choice, link_create, needs, number_of, refusal, require

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULTS = {"sk_msg": "sk_msg_verdict", "sk_skb": "sk_skb_verdict"}
VIA = {"": None, "link": "link", "map": "map"}


def attach(program: Any, sockets: Any, *, via: str | None = None) -> Link:
    """See `AttachMethods.attach_sockmap`."""
    require(program, tuple(DEFAULTS), "attach_sockmap")
    choice("way to attach to a sockmap", via or "", VIA)
    if isinstance(sockets, str):
        sockets = program.owner.maps[sockets]
    fd = getattr(sockets, "fd", sockets)
    if not hasattr(fd, "fileno"):
        raise InputError(f"a sockmap or its name is wanted, not {type(sockets).__name__}", program.name)
    name = getattr(sockets, "name", "") or "sockmap"
    target = f"map `{name}`"
    word = program.attach_type or DEFAULTS[program.type]
    number = number_of(word)
    if via != "map":
        made = link_create(program, number, target_fd=fd)
        if not isinstance(made, int):
            return LinkFd(program, program.type, target, made)
        linkless = made in UNKNOWN and not kernel.live().probe("sockmap_link")
        if linkless and via == "link":
            raise Unsupported(
                f"this kernel has no links to sockmaps (for {target})", "link_type:sockmap", "6.13",
                "`via=\"map\"` attaches to the map", program.name,
            )  # fmt: skip
        if not linkless:
            raise _refused("BPF_LINK_CREATE", made, program, target, word)
    answer = kernel.try_call("BPF_PROG_ATTACH", target_fd=fd, attach_bpf_fd=program.fd, attach_type=number)
    if answer < 0:
        raise _refused("BPF_PROG_ATTACH", answer, program, target, word)
    held, ours = duplicate(fd.fileno()), program.fd.dup()

    def undo() -> None:
        kernel.try_call("BPF_PROG_DETACH", target_fd=held, attach_bpf_fd=ours, attach_type=number)
        held.close()
        ours.close()

    def replace(new: int, old: int | None) -> None:
        nonlocal ours
        if old is not None:
            raise InputError("a sockmap does not tell which program it has: nothing can be expected", target)
        code = kernel.try_call("BPF_PROG_ATTACH", target_fd=held, attach_bpf_fd=new, attach_type=number)
        if code < 0:
            raise _refused("BPF_PROG_ATTACH", code, program, target, word)
        ours.close()
        ours = duplicate(new)

    return Held(program, program.type, target, undo, replace)


def _refused(command: str, errno: int, program: Any, target: str, word: str) -> Exception:
    if errno in (EINVAL, -EINVAL) and word == "sk_skb_verdict" and kernel.live().lacks(f"attach_type:{word}"):
        return Unsupported(
            f"this kernel has no `{word}` programs of sockmaps", f"attach_type:{word}", "5.13",
            "`sk_skb/stream_verdict` beside an `sk_skb/stream_parser` does the same", program.name,
        )  # fmt: skip
    told: dict[int, Any] = {
        EBUSY: KernelError(
            f"{target} has a program as `{word}` already", command, EBUSY, target, "detach that one first"
        ),
        EINVAL: InputError(f"{target} is no sockmap or sockhash, or has a program that excludes `{word}`", target),
        EOPNOTSUPP: InputError(f"{target} takes no program as `{word}`", target),
    }
    return refusal(command, errno, program, target, "CAP_NET_ADMIN", told)


def by_section(program: Any, sockets: Any = None, **options: Any) -> Link:
    """Attaches as the section says."""
    if sockets is None:
        maps = [name for name in program.owner.maps if "sock" in str(getattr(program.owner.maps[name], "type", ""))]
        if len(maps) != 1:
            raise needs(program, "sockets", f'"{maps[0] if maps else "SOCKETS"}"')
        sockets = maps[0]
    return attach(program, sockets, **options)


def plan(program: Any, sockets: Any = None, **_: Any) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    word = program.attach_type or DEFAULTS[program.type]
    return [{"command": "BPF_LINK_CREATE", "attach_type": word, "target_fd": str(getattr(sockets, "name", sockets))}]

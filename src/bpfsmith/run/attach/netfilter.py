"""Netfilter: a program at a hook of IPv4 or IPv6, beside the rules of nftables."""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.model.errors import InputError, KernelError, Unsupported
from bpfsmith.run.link import Link, LinkFd

from ._base import E2BIG, EBUSY, EINVAL, ERANGE, UNKNOWN, choice, link_create, refusal, require

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ATTACH_TYPE = 45
FAMILIES = {"ipv4": 2, "ipv6": 10}
HOOKS = {"prerouting": 0, "local_in": 1, "input": 1, "forward": 2, "local_out": 3, "output": 3, "postrouting": 4}
_DEFRAGMENT = 1
# The first and the last place are the kernel's own; connection tracking's defragmentation runs at -400.
_LOW, _HIGH, _DEFRAG_PRIORITY = -(1 << 31), (1 << 31) - 1, -400


def attach(
    program: Any, family: str = "ipv4", hook: str = "local_in", priority: int = 0, *, defragment: bool = False
) -> Link:
    """See `AttachMethods.attach_netfilter`."""
    require(program, ("netfilter",), "attach_netfilter")
    protocol = choice("netfilter family", family, FAMILIES)
    number = choice("netfilter hook", hook, HOOKS)
    if not _LOW < priority < _HIGH:
        raise InputError(f"priority {priority} is the kernel's own or does not fit", program.name)
    if defragment and priority <= _DEFRAG_PRIORITY:
        raise InputError(f"a program at priority {priority} runs before packets are put together", program.name,
                         f"`defragment=True` needs a priority above {_DEFRAG_PRIORITY}")  # fmt: skip
    target = f"netfilter {family} {hook}, priority {priority}"
    fd = link_create(
        program, ATTACH_TYPE, netfilter_pf=protocol, netfilter_hooknum=number,
        netfilter_priority=priority, netfilter_flags=_DEFRAGMENT if defragment else 0,
    )  # fmt: skip
    if not isinstance(fd, int):
        return LinkFd(program, "netfilter", target, fd)
    if fd in UNKNOWN and not kernel.live().probe("netfilter_link"):
        raise Unsupported(
            "this kernel attaches no programs to netfilter (CONFIG_NETFILTER_BPF_LINK)", "netfilter", "6.4"
        )
    told: dict[int, Any] = {
        EBUSY: KernelError(
            f"{target} is taken by another program", "BPF_LINK_CREATE", EBUSY, target, "pass another `priority`"
        ),
        E2BIG: KernelError(f"{target} has as many programs and rules as it takes", "BPF_LINK_CREATE", E2BIG, target),
        ERANGE: InputError(f"priority {priority} is the kernel's own", target),
        EINVAL: InputError(f"`{program.name}` cannot be attached to {target}", target),
    }
    if defragment:
        told[2] = Unsupported(
            "this kernel puts no packets together for programs (CONFIG_NF_DEFRAG_IPV4/6)", "defragment", "6.6"
        )
    raise refusal("BPF_LINK_CREATE", fd, program, target, "CAP_NET_ADMIN", told)


def by_section(program: Any, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    return attach(program, *where, **options)


def plan(
    _program: Any, family: str = "ipv4", hook: str = "local_in", priority: int = 0, **_: Any
) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    choice("netfilter family", family, FAMILIES)
    choice("netfilter hook", hook, HOOKS)
    return [
        {
            "command": "BPF_LINK_CREATE",
            "attach_type": "netfilter",
            "pf": family,
            "hook": hook,
            "priority": str(priority),
        }
    ]

"""tc: a program at the traffic of an interface, by TCX (6.6+), netkit, or a filter of the clsact qdisc (4.5+).

TCX programs run in an order that is kept when others come and go, and end with their link. A filter of clsact stays
until it is removed, and so does a qdisc made for it: both are recorded for `bpfsmith doctor --clean`.
"""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.kernel import netlink
from bpfsmith.model.errors import InputError, TargetGone, Unsupported
from bpfsmith.run.link import Held, Link, LinkFd, duplicate, from_id

from ._base import (
    EACCES,
    EEXIST,
    EINVAL,
    ENODEV,
    ENOENT,
    ERANGE,
    UNKNOWN,
    choice,
    link_create,
    needs,
    netns_here,
    own_link,
    program_id,
    refusal,
    require,
)
from ._order import order_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# direction -> (TCX attach type, parent of clsact filters)
DIRECTIONS = {"ingress": (46, netlink.INGRESS), "egress": (47, netlink.EGRESS)}
NETKIT = {"netkit_primary": 54, "netkit_peer": 55}
ENXIO = 6
VIA = {"": None, "tcx": "tcx", "clsact": "clsact"}


def attach(
    program: Any, iface: str | int, direction: str | None = None, *, before: Any = None, after: Any = None,
    first: bool = False, last: bool = False, replace: Any = None, via: str | None = None, handle: int = 0,
    priority: int = 0,
) -> Link:  # fmt: skip
    """See `AttachMethods.attach_tc`."""
    require(program, ("sched_cls",), "attach_tc")
    choice("way to attach to tc", via or "", VIA)
    way = direction or (program.attach_type or "").removeprefix("tcx_")
    if way not in DIRECTIONS:
        if not direction:
            raise InputError(
                f"`{program.name}` (section `{program.section}`) says no direction", program.name,
                'pass `"ingress"` or `"egress"`',
            )  # fmt: skip
        choice("direction", way, DIRECTIONS)
    attach_type, parent = DIRECTIONS[way]
    if not (0 <= priority < 1 << 16 and 0 <= handle < 1 << 32):
        raise InputError("a filter's `priority` has 16 bits and its `handle` 32", program.name)
    index, name = netlink.interface(iface)
    target = f"`{name}` {way}"
    ours = replace if isinstance(replace, Link) else own_link(replace, "tc", target, netns_here())
    if ours is not None:
        ours.update(program)
        return ours
    ordered = before is not None or after is not None or first or last
    if via == "clsact" and ordered:
        raise InputError("filters of clsact run by `priority`, not by `before` and `after`", target, 'use `via="tcx"`')
    if replace is not None and via != "clsact" and (found := _replaced_link(program, index, attach_type, replace)):
        return found
    if via != "clsact" and replace is None and not (handle or priority):
        with order_fields("tcx", before, after, first, last) as fields:
            fd = link_create(program, attach_type, target_ifindex=index, **fields)
        if not isinstance(fd, int):
            link = LinkFd(program, "tc", target, fd)
            link.place = netns_here()
            return link
        if via == "tcx" or ordered or not (fd in UNKNOWN and not kernel.live().probe("tcx")):
            raise _refused(program, target, fd)
    elif via == "tcx":
        raise InputError(
            "`handle` and `priority` belong to clsact filters", target, "order TCX with `before` and `after`"
        )
    return _by_filter(program, index, target, parent, handle, priority, replace)


def attach_netkit(
    program: Any, iface: str | int, side: str | None = None, *, before: Any = None, after: Any = None,
    first: bool = False, last: bool = False, replace: Any = None,
) -> Link:  # fmt: skip
    """See `AttachMethods.attach_netkit`."""
    require(program, ("sched_cls",), "attach_netkit")
    if side is None and program.attach_type not in NETKIT:
        raise InputError(
            f"`{program.name}` (section `{program.section}`) says no side", program.name, 'pass `"primary"` or `"peer"`'
        )
    word = str(program.attach_type) if side is None else f"netkit_{side}"
    number = choice("side of a netkit device", word, NETKIT)
    index, name = netlink.interface(iface)
    target = f"`{name}` {word.removeprefix('netkit_')}"
    ours = replace if isinstance(replace, Link) else own_link(replace, "netkit", target, netns_here())
    if ours is not None:
        ours.update(program)
        return ours
    if replace is not None and (found := _replaced_link(program, index, number, replace)):
        return found
    with order_fields("netkit", before, after, first, last, replace) as fields:
        fd = link_create(program, number, target_ifindex=index, **fields)
    if isinstance(fd, int):
        raise _netkit_refused(program, name, target, fd)
    link = LinkFd(program, "netkit", target, fd)
    link.place = netns_here()
    return link


def _netkit_refused(program: Any, name: str, target: str, errno: int) -> Exception:
    if errno in UNKNOWN and (told := lacking("netkit", program.name)) is not None:
        return told
    if errno == -EACCES:
        return InputError(f"`{name}` is the peer: programs are attached through the primary device", target,
                          "its other end is a netkit device too, perhaps in another network namespace")  # fmt: skip
    if errno in {-ENXIO, -EINVAL}:
        return InputError(f"`{name}` is no netkit device, or has no such place", target,
                          "use `attach_tc`, or make one: `ip link add NAME type netkit`")  # fmt: skip
    return _refused(program, target, errno)


def lacking(family: str, name: str) -> Unsupported | None:
    """What is told where this kernel has no netkit devices; None where it has them, and for tc."""
    if family != "netkit" or not kernel.live().lacks("netkit"):
        return None
    return Unsupported(f"`{name}` cannot be attached: this kernel has no netkit devices (CONFIG_NETKIT)", "netkit",
                       "6.7", "use `attach_tc`")  # fmt: skip


def by_section(program: Any, iface: str | int | None = None, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    if iface is None:
        raise needs(program, "iface", '"eth0"')
    if program.attach_type in NETKIT:
        return attach_netkit(program, iface, *where, **options)
    return attach(program, iface, *where, **options)


def plan(
    program: Any, iface: str | int | None = None, direction: str | None = None, **options: Any
) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    given = {key: str(value) for key, value in options.items() if value}
    if program.attach_type in NETKIT:
        return [{"command": "BPF_LINK_CREATE", "attach_type": program.attach_type, "target_ifindex": iface, **given}]
    way = direction or (program.attach_type or "").removeprefix("tcx_") or None
    if options.get("via") == "clsact":
        return [
            {"command": "RTM_NEWQDISC", "kind": "clsact", "target_ifindex": iface},
            {"command": "RTM_NEWTFILTER", "kind": "bpf", "parent": way, **given},
        ]
    return [{"command": "BPF_LINK_CREATE", "attach_type": way and f"tcx_{way}", "target_ifindex": iface, **given}]


def _refused(program: Any, target: str, errno: int) -> Exception:
    if errno in UNKNOWN and not kernel.live().probe("tcx"):
        return Unsupported("this kernel has no TCX", "tcx", "6.6", '`via="clsact"` attaches a filter')
    told: dict[int, Any] = {
        EEXIST: InputError(f"`{program.name}` is attached to {target} already", target, "detach that link first"),
        ENODEV: TargetGone(f"{target} is no longer there", "BPF_LINK_CREATE", ENODEV, target),
        ERANGE: InputError(f"{target} has 64 programs or more, or the place asked for is taken", target),
        ENOENT: InputError(f"what it should stand before or after is not attached to {target}", target),
        EINVAL: InputError(
            f"`{program.name}` cannot be placed so at {target}", target, "`replace` needs a program there"
        ),
    }
    return refusal("BPF_LINK_CREATE", errno, program, target, "CAP_NET_ADMIN", told)


def _replaced_link(program: Any, index: int, attach_type: int, replace: Any) -> Link | None:
    """The TCX link of another holder, its program replaced; None when none fits. A link keeps its place in the
    order."""
    wanted = None if replace is True else program_id(replace)
    for prog_id, number in _there(index, attach_type):
        if number and wanted in (None, prog_id):
            link = from_id(number)
            link.update(program)
            return link
    return None


def _there(index: int, attach_type: int) -> list[tuple[int, int]]:
    """(program id, link id or 0) of the TCX programs of an interface, in the order they run; empty without TCX."""
    from array import array

    from bpfsmith.kernel.attrs import encode, output

    programs, links = bytearray(4 * 64), bytearray(4 * 64)
    number, attr, buffers = encode(
        "BPF_PROG_QUERY", target_ifindex=index, attach_type=attach_type, prog_ids=programs, link_ids=links, count=64
    )
    if kernel.door().bpf(number, attr, buffers) < 0:
        return []
    count = output("BPF_PROG_QUERY", attr, "count")
    return list(zip(array("I", programs), array("I", links), strict=True))[:count]


# ------------------------------------------------------------ clsact

# (network namespace, interface) of the qdiscs this process made -> its filters there: the last to go takes the qdisc.
_made: dict[tuple[int, int], int] = {}


def _by_filter(program: Any, index: int, target: str, parent: int, handle: int, priority: int, replace: Any) -> Link:
    from bpfsmith.kernel import journal

    place = (netns_here(), index)
    if netlink.add_clsact(index):
        _made[place] = 0
        journal.record("clsact", str(index))
    try:
        if replace is not None and not (handle and priority):
            handle, priority = _place_of(index, parent, target, replace)
        handle, priority = netlink.add_filter(
            index, parent, program.fd.fileno(), program.name, handle, priority, replace=replace is not None
        )
    except netlink.NetlinkRefused as refused:
        _drop_qdisc(place)
        told: dict[int, Any] = {
            EEXIST: InputError(
                f"{target} has a filter with priority {priority} and handle {handle} already", target,
                "leave both out, or pass `replace=True`",
            ),
            EINVAL: InputError(f"the kernel takes no such filter at {target}: {refused.reason}", target),
        }  # fmt: skip
        raise refusal("RTM_NEWTFILTER", refused.errno, program, target, "CAP_NET_ADMIN", told) from None
    except BaseException:
        _drop_qdisc(place)
        raise
    _count(place, 1)
    key = f"{index}:{parent:#x}:{priority}:{handle}"
    journal.record("filter", key, program_id(program))
    ours = program.fd.dup()
    # The interface is one of this network namespace, wherever the thread that detaches it is.
    there = netlink.route()

    def undo() -> None:
        try:
            # Only what is ours is removed: another may have put its program there meanwhile.
            if _is_there(index, parent, handle, priority, ours.fileno(), there):
                netlink.delete_filter(index, parent, handle, priority, there)
            _count(place, -1)
            _drop_qdisc(place, there)
        finally:
            ours.close()
            there.close()
        journal.forget("filter", key)

    def replaced(new: int, old: int | None) -> None:
        nonlocal ours
        expected = ours.fileno() if old is None else old
        if not _is_there(index, parent, handle, priority, expected, there):
            if old is None:
                raise TargetGone(f"the filter at {target} is no longer there", "RTM_GETTFILTER", ENOENT, target)
            raise InputError(f"another program than the expected one is attached to {target}", target)
        netlink.add_filter(index, parent, new, "bpfsmith", handle, priority, replace=True, through=there)
        ours.close()
        ours = duplicate(new)
        journal.forget("filter", key)
        journal.record("filter", key, program_id(ours))

    def info() -> dict[str, Any]:
        for place, number, prog_id, name in netlink.filters(index, parent, there):
            if (place, number) == (priority, handle):
                return {"ifindex": index, "priority": place, "handle": number, "prog_id": prog_id, "name": name}
        raise TargetGone(f"the filter at {target} is no longer there", "RTM_GETTFILTER", ENOENT, target)

    link = Held(program, "tc", target, undo, replaced, info, outlives=True)
    link.place = netns_here()
    return link


def _count(place: tuple[int, int], more: int) -> None:
    if place in _made:
        _made[place] += more


def _drop_qdisc(place: tuple[int, int], there: Any = None) -> None:
    """Removes the qdisc this process made, once its own filters are gone and unless others have put theirs there."""
    if _made.get(place) != 0:
        return
    from bpfsmith.kernel import journal

    index = place[1]
    del _made[place]
    journal.forget("clsact", str(index))
    try:
        if netlink.filters(index, netlink.INGRESS, there) or netlink.filters(index, netlink.EGRESS, there):
            return  # it is theirs now
    except TargetGone:
        return
    netlink.delete_clsact(index, there)


def _place_of(index: int, parent: int, target: str, replace: Any) -> tuple[int, int]:
    """(handle, priority) of the filter whose program is to be replaced; True: the first."""
    there = netlink.filters(index, parent)
    wanted = None if replace is True else program_id(replace)
    for priority, handle, number, _ in there:
        if wanted is None or number == wanted:
            return handle, priority
    raise InputError(f"the program to replace is not attached to {target} by a filter", target)


def _is_there(index: int, parent: int, handle: int, priority: int, fd: int, there: Any = None) -> bool:
    with duplicate(fd) as one:
        number = program_id(one)
    try:
        return any(row[:3] == (priority, handle, number) for row in netlink.filters(index, parent, there))
    except TargetGone:
        return False

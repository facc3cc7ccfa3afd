"""XDP: a program at an interface, before the network stack.

By `bpf_link` (Linux 5.9+), which ends with its holder; through rtnetlink (4.8+) where there are no links or when asked
for, which stays until it is removed. An interface has one XDP program per mode: what holds it is named when it is
taken.
"""

from __future__ import annotations

from sys import byteorder

from bpfsmith import kernel
from bpfsmith.kernel import netlink
from bpfsmith.model.errors import BpfsmithError, InputError, KernelError, TargetGone, Unsupported
from bpfsmith.run.link import Held, Link, LinkFd, duplicate, from_id, program_fd, raw_info

from ._base import (
    EBUSY,
    EEXIST,
    EINVAL,
    ENOENT,
    EOPNOTSUPP,
    UNKNOWN,
    choice,
    find_links,
    link_create,
    links_are_told,
    needs,
    netns_here,
    own_link,
    program_id,
    program_name,
    refusal,
    require,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


ATTACH_TYPE = 37
MODES = {
    "": 0,
    "native": netlink.XDP_DRIVER,
    "driver": netlink.XDP_DRIVER,
    "skb": netlink.XDP_SKB,
    "generic": netlink.XDP_SKB,
    "hardware": netlink.XDP_HARDWARE,
    "offload": netlink.XDP_HARDWARE,
}
VIA = {"": None, "link": "link", "netlink": "netlink"}
# Names that libxdp and bpfman give the program that calls the others in turn.
DISPATCHERS = ("xdp_dispatcher", "xdp_dispatch")
_LINK_TYPE = 6


def attach(
    program: Any, iface: str | int, mode: str | None = None, *, replace: Any = None, via: str | None = None
) -> Link:
    """See `AttachMethods.attach_xdp`."""
    require(program, ("xdp",), "attach_xdp")
    flags = choice("XDP mode", mode or "", MODES)
    choice("way to attach XDP", via or "", VIA)
    index, name = netlink.interface(iface)
    target = f"`{name}`"
    if replace is not None:
        return _replace(program, index, target, flags, replace, via)
    if via != "netlink":
        fd = link_create(program, ATTACH_TYPE, target_ifindex=index, flags=flags)
        if not isinstance(fd, int):
            link = LinkFd(program, "xdp", target, fd)
            link.place = netns_here()
            return link
        if via == "link" or not (fd in UNKNOWN and not kernel.live().probe("xdp_link")):
            raise _refused(program, index, target, flags, -fd)
    return _by_netlink(program, index, target, flags, None)


def by_section(program: Any, iface: str | int | None = None, **options: Any) -> Link:
    """Attaches as the section says."""
    if program.attach_type in {"xdp_devmap", "xdp_cpumap"}:
        kind = program.attach_type.removeprefix("xdp_")
        raise InputError(
            f"`{program.name}` runs from a {kind}, it is attached to no interface",
            program.name,
            f'put it into an entry: `maps["..."][index] = (target, {program.name})`',
        )
    if iface is None:
        raise needs(program, "iface", '"eth0"')
    return attach(program, iface, **options)


def plan(_program: Any, iface: str | int | None = None, mode: str | None = None, **_: Any) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    flags = choice("XDP mode", mode or "", MODES)
    return [{"command": "BPF_LINK_CREATE", "attach_type": "xdp", "target_ifindex": iface, "flags": flags}]


# ------------------------------------------------------------ without a link


def _by_netlink(program: Any, index: int, target: str, flags: int, expected: int | None) -> Link:
    from bpfsmith.kernel import journal

    place = f"{index}:{flags}"
    # Recorded first: a kill between both leaves a note of what is not there, not the other way round.
    journal.record("xdp", place, program_id(program))
    try:
        netlink.set_xdp(index, program.fd.fileno(), flags, expected)
    except BpfsmithError as refused:
        journal.forget("xdp", place)
        if isinstance(refused, netlink.NetlinkRefused):
            raise _refused(program, index, target, flags, refused.errno, refused.reason) from None
        if isinstance(refused, Unsupported):
            raise _refused(program, index, target, flags, EOPNOTSUPP) from None
        raise
    ours = program.fd.dup()
    # The interface is one of this network namespace, wherever the thread that detaches it is.
    there = netlink.route()

    def undo() -> None:
        # Only what is ours is removed: another program may have been put in its place meanwhile.
        try:
            netlink.set_xdp(index, -1, flags, ours.fileno(), through=there)
        except TargetGone:
            pass
        except netlink.NetlinkRefused as refused:
            if refused.errno == EINVAL:  # before 5.7 nothing can be expected
                netlink.set_xdp(index, -1, flags, through=there)
            elif refused.errno not in {ENOENT, EEXIST}:
                raise
        finally:
            ours.close()
            there.close()
        journal.forget("xdp", place)

    def replace(new: int, old: int | None) -> None:
        nonlocal ours
        netlink.set_xdp(index, new, flags, ours.fileno() if old is None else old, through=there)
        ours.close()
        ours = duplicate(new)
        journal.forget("xdp", place)
        journal.record("xdp", place, program_id(ours))

    def info() -> dict[str, Any]:
        told, ids = netlink.xdp_state(index, there)
        return {"ifindex": index, "mode": told, "prog_id": next(iter(ids.values()), 0)}

    link = Held(program, "xdp", target, undo, replace, info, outlives=True)
    link.place = netns_here()
    return link


# ------------------------------------------------------------ replacing


def _replace(program: Any, index: int, target: str, flags: int, replace: Any, via: str | None) -> Link:
    """Puts the program in the place of `replace`: a link, a program (loaded or by id), or True for whatever is
    there."""
    if isinstance(replace, Link):
        replace.update(program)
        return replace
    if (ours := own_link(replace, "xdp", target, netns_here())) is not None:
        ours.update(program)
        return ours  # type: ignore[no-any-return]
    _, ids = netlink.xdp_state(index)
    if not ids:
        if replace is True:
            return attach(program, index, _word(flags), via=via)
        raise InputError(f"nothing is attached to {target}, so nothing can be replaced", target, "leave `replace` out")
    if replace is True:
        expected, hold = program_fd(next(iter(ids.values())))
    else:
        expected, hold = program_fd(replace)
    there = program_id(hold)
    if there in ids.values():
        if (found := _replace_behind_link(program, index, expected, there)) is not None:
            return found
    elif find_some(index, ids):
        raise _not_expected(index, target, EEXIST)
    try:
        link2 = _by_netlink(program, index, target, flags, expected)
    except KernelError as refused:
        if refused.errno == EEXIST:
            raise _not_expected(index, target, refused.errno) from None
        raise
    del hold
    return link2


def _replace_behind_link(program: Any, index: int, expected: int, there: int) -> Link | None:
    """A link keeps its interface: only the program behind it can be changed. None when no link holds it."""
    for found in find_links(_LINK_TYPE, index, None, there):
        fields = {"link_fd": found, "new_prog_fd": program.fd, "flags": 4, "old_prog_fd": expected}
        answer = kernel.try_call("BPF_LINK_UPDATE", **fields)
        if program_id(program) in netlink.xdp_state(index)[1].values():
            with found:
                return from_id(int.from_bytes(raw_info(found)[4:8], byteorder))
        if answer >= 0:
            # The same program at an interface of that number in another network namespace: it gets it back.
            fields |= {"new_prog_fd": expected, "old_prog_fd": program.fd}
            kernel.try_call("BPF_LINK_UPDATE", **fields)
    return None


def find_some(index: int, ids: dict[str, int]) -> int:
    """The number of the link by which one of these programs is attached, 0 when none may be asked or is."""
    for number in ids.values():
        for found in find_links(_LINK_TYPE, index, None, number):
            with found:
                return int.from_bytes(raw_info(found)[4:8], byteorder)
    return 0


def _word(flags: int) -> str | None:
    return next((word for word, value in MODES.items() if word and value == flags), None)


def _not_expected(index: int, target: str, errno: int) -> KernelError:
    _, ids = netlink.xdp_state(index)
    there = ", ".join(program_name(number) for number in ids.values()) or "nothing"
    return KernelError(
        f"another program than the expected one is attached to {target}: {there}", "BPF_LINK_UPDATE", errno, target,
        "pass `replace=True` to replace whatever is there",
    )  # fmt: skip


# ------------------------------------------------------------ refusals


def _refused(program: Any, index: int, target: str, flags: int, errno: int, reason: str = "") -> Exception:
    told: dict[int, Any] = {}
    if errno in {EBUSY, EEXIST}:
        told[errno] = _taken(index, target, errno)
    elif errno == EOPNOTSUPP or (errno == EINVAL and flags & (netlink.XDP_DRIVER | netlink.XDP_HARDWARE)):
        told[errno] = _unable(target, flags, reason)
    elif errno == EINVAL:
        # The only other cause here: a program made for XDP frags, a devmap or another device.
        told[errno] = InputError(
            f"`{program.name}` cannot be attached to {target}" + (f": {reason}" if reason else ""), target,
            "large MTU or receive-side aggregation need a program with `xdp.frags`; programs of a devmap or cpumap are "
            "no programs of an interface; `mode=\"skb\"` asks less of the driver",
        )  # fmt: skip
    return refusal("BPF_LINK_CREATE", errno, program, target, "CAP_NET_ADMIN", told)


def _unable(target: str, flags: int, reason: str) -> Unsupported:
    if flags & netlink.XDP_HARDWARE:
        return Unsupported(
            f"{target} cannot run XDP programs in hardware", "xdp_hardware", "4.16", 'use `mode="native"` or `"skb"`'
        )
    if flags & netlink.XDP_DRIVER:
        said = f": {reason}" if reason else ""
        return Unsupported(
            f"the driver of {target} does not run this XDP program natively{said}", "xdp_native", "", 'use `mode="skb"`'
        )
    return Unsupported(f"{target} takes no XDP program{f': {reason}' if reason else ''}", "xdp", "4.8")


def _taken(index: int, target: str, errno: int) -> KernelError:
    """The interface has a program: whose, and what can be done."""
    mode, ids = netlink.xdp_state(index)
    names = [program_name(number) for number in ids.values()]
    there = " and ".join(names) or "another program"
    if any(word in name for name in names for word in DISPATCHERS):
        return KernelError(
            f"{target} is taken by a dispatcher of libxdp, {there}: it runs several XDP programs in turn",
            "BPF_LINK_CREATE", errno, target,
            "add the program to it with `xdp-loader load`, or remove it with `xdp-loader unload --all`",
        )  # fmt: skip
    if number := find_some(index, ids):
        held = f", link {number}"
        hint = "pass `replace=` that program's id (or True) to put this one in its place, or end its owner"
    else:
        held, hint = "", "pass `replace=` the program to replace; by which link it is held CAP_SYS_ADMIN may ask"
        if links_are_told():
            name = target.strip("`")
            held = ", without a link"
            hint = f"pass `replace=` that program's id (or True), or remove it with `ip link set {name} xdp off`"
    return KernelError(
        f"{target} is taken by {there}, attached {mode or 'there'}{held}", "BPF_LINK_CREATE", errno, target, hint
    )

"""rtnetlink: interfaces by name, XDP programs without a link, the clsact qdisc and its bpf filters.

A message is asked and answered on a socket of its own in the network namespace of the calling thread. Numbers are those
of <linux/rtnetlink.h>, <linux/if_link.h>, <linux/pkt_sched.h>, <linux/pkt_cls.h>. Changing anything needs
CAP_NET_ADMIN.
"""

from __future__ import annotations

from struct import pack, unpack_from

from bpfsmith.kernel import door
from bpfsmith.model.errors import KernelError, PermissionMissing, TargetGone, TargetMissing, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = [
    "EGRESS",
    "INGRESS",
    "XDP_DRIVER",
    "XDP_HARDWARE",
    "XDP_SKB",
    "NetlinkRefused",
    "add_clsact",
    "add_filter",
    "delete_clsact",
    "delete_filter",
    "filters",
    "has_clsact",
    "interface",
    "interfaces",
    "route",
    "set_xdp",
    "xdp_state",
]

_NLM_REQUEST, _NLM_ACK, _NLM_ECHO, _NLM_DUMP = 0x1, 0x4, 0x8, 0x300
_NLM_REPLACE, _NLM_EXCL, _NLM_CREATE = 0x100, 0x200, 0x400
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 10, 11
_ACK_CAPPED, _ACK_TLVS = 0x100, 0x200
_RTM_GETLINK, _RTM_SETLINK = 18, 19
_RTM_NEWQDISC, _RTM_DELQDISC, _RTM_GETQDISC = 36, 37, 38
_RTM_NEWTFILTER, _RTM_DELTFILTER, _RTM_GETTFILTER = 44, 45, 46
_IFLA_XDP, _NESTED = 43, 0x8000
_TCA_KIND, _TCA_OPTIONS = 1, 2
_CLSACT_HANDLE, _CLSACT_PARENT = 0xFFFF0000, 0xFFFFFFF1
_ETH_P_ALL = 0x0003

INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
XDP_SKB, XDP_DRIVER, XDP_HARDWARE = 0x2, 0x4, 0x8
_XDP_IF_NOEXIST, _XDP_REPLACE = 0x1, 0x10
_XDP_MODES = {0: "", 1: "native", 2: "skb", 3: "hardware", 4: "several"}


class NetlinkRefused(KernelError):
    """The kernel refused an rtnetlink message; `reason` is its own words (extended acknowledgement), often empty."""

    def __init__(self, command: str, errno: int, reason: str, where: str) -> None:
        from os import strerror

        super().__init__(
            f"the kernel refuses {command} for {where}: {reason or strerror(errno).lower()}",
            command, errno, where,
        )  # fmt: skip
        self.reason = reason


# ------------------------------------------------------------ interfaces


def interfaces() -> list[tuple[int, str]]:
    """(index, name) of the interfaces of this network namespace."""
    return door().interfaces()


def interface(which: str | int) -> tuple[int, str]:
    """(index, name) of an interface given by either; `TargetMissing` with near matches when there is none."""
    if isinstance(which, bool) or not isinstance(which, (int, str)):
        raise TargetMissing(f"an interface is a name or an index, not {type(which).__name__}", "interface")
    if isinstance(which, int):
        for index, name in interfaces():
            if index == which:
                return index, name
        raise TargetMissing(f"there is no interface with index {which} in this network namespace", hint=_those_there())
    try:
        return door().interface_index(which), which
    except (OSError, ValueError):
        from bpfsmith.model.near import did_you_mean

        names = [name for _, name in interfaces()]
        raise TargetMissing(
            f"there is no interface `{which if which.isprintable() else ascii(which)}` in this network namespace",
            hint=did_you_mean(which, names) or _those_there(),
        ) from None


def _those_there() -> str:
    names = [name for _, name in interfaces()]
    shown = ", ".join(f"`{name}`" for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"there are {shown}; `ip link` lists them" if names else "it has none"


# ------------------------------------------------------------ messages


def _attribute(kind: int, data: bytes) -> bytes:
    return pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _attributes(data: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, bytes(data[at + 4 : at + length])
        at += (length + 3) & ~3


def route() -> Any:
    """A socket to the network namespace the calling thread is in now; through it that namespace is meant for ever. A
    caller who keeps it closes it."""
    made = door().netlink()
    for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK):
        # Before 4.12 there are no reasons, only numbers.
        try:
            made.setsockopt(_SOL_NETLINK, option, 1)
        except OSError:
            break
    made.bind((0, 0))
    return made


def exchange(kind: int, flags: int, body: bytes, through: Any | None = None) -> tuple[int, str, list[bytes]]:
    """(errno or 0, the kernel's reason, bodies of the answers) of one rtnetlink request."""
    answers: list[bytes] = []
    ask = through or route()
    try:
        dump = flags & _NLM_DUMP == _NLM_DUMP and kind in {_RTM_GETLINK, _RTM_GETQDISC, _RTM_GETTFILTER}
        ask.send(pack("=IHHII", 16 + len(body), kind, flags | _NLM_REQUEST | (0 if dump else _NLM_ACK), 1, 0) + body)
        while (done := _read(ask.recv(1 << 17), answers)) is None:
            pass
    finally:
        if through is None:
            ask.close()
    return *done, answers


def _read(data: bytes, answers: list[bytes]) -> tuple[int, str] | None:
    """What one datagram ends with, its answers put into `answers`; None while there is more to come."""
    at = 0
    while at + 16 <= len(data):
        length, kind, flags, _, _ = unpack_from("=IHHII", data, at)
        if length < 16:
            return 5, "a malformed answer"
        part = data[at + 16 : at + length]
        at += (length + 3) & ~3
        if kind == _NLMSG_DONE:
            return 0, ""
        if kind == _NLMSG_ERROR:
            return _refusal(part, flags)
        answers.append(part)
    return None


def _refusal(part: bytes, flags: int) -> tuple[int, str]:
    (number,) = unpack_from("=i", part, 0)
    if not flags & _ACK_TLVS:
        return -number, ""
    start = 20 if flags & _ACK_CAPPED else 4 + int(unpack_from("=I", part, 4)[0])
    told = dict(_attributes(part[start:])).get(1, b"")
    return -number, told.rstrip(b"\0").decode("utf-8", "replace")


def _ask(command: str, where: str, kind: int, flags: int, body: bytes, through: Any | None = None) -> list[bytes]:
    number, reason, answers = exchange(kind, flags, body, through)
    if not number:
        return answers
    if number == 1:
        raise PermissionMissing(
            f"{command} on {where} needs CAP_NET_ADMIN", "sudo -E bpfsmith ...", where, capability="CAP_NET_ADMIN"
        )
    if number == 19:
        raise TargetGone(f"{where} is no longer there", command, number, where)
    if number in {95, 93}:
        raise Unsupported(f"{where} does not take this: {reason or 'operation not supported'}", command, where=where)
    raise NetlinkRefused(command, number, reason, where)


# ------------------------------------------------------------ XDP


def xdp_state(index: int, through: Any | None = None) -> tuple[str, dict[str, int]]:
    """(mode, {mode: program id}) of the XDP programs on an interface; modes `native`, `skb`, `hardware`, `several`, "".

    `TargetGone` when it is not there. Needs no privilege; Linux 4.8+ (ids 4.15+)."""
    body = pack("=BxHiII", 0, 0, index, 0, 0)
    for answer in _ask("RTM_GETLINK", f"interface {index}", _RTM_GETLINK, 0, body, through):
        for kind, data in _attributes(answer[16:]):
            if kind == _IFLA_XDP:
                return _xdp(dict(_attributes(data)))
    return "", {}


def _xdp(told: dict[int, bytes]) -> tuple[str, dict[str, int]]:
    mode = _XDP_MODES.get(told.get(2, b"\0")[0], "")
    ids = {
        name: int(unpack_from("=I", told[kind])[0])
        for kind, name in ((5, "native"), (6, "skb"), (7, "hardware"))
        if kind in told
    }
    if not ids and mode and 4 in told:
        ids[mode] = int(unpack_from("=I", told[4])[0])
    return mode, {name: number for name, number in ids.items() if number}


def set_xdp(
    index: int,
    fd: int,
    mode: int = 0,
    expected: int | None = None,
    fresh: bool = True,
    through: Any | None = None,
) -> None:
    """Sets (or with `fd` -1 removes) the XDP program of an interface, without a link: it stays until it is removed.

    `mode`: `XDP_SKB`, `XDP_DRIVER`, `XDP_HARDWARE` or 0 (the kernel chooses); `expected`: descriptor of the program it
    must replace (5.7+); `fresh`: refuse when there is one. Linux 4.8+; CAP_NET_ADMIN."""
    flags = mode | (_XDP_IF_NOEXIST if fresh and expected is None and fd >= 0 else 0)
    inner = _attribute(1, pack("=i", fd))
    if expected is not None:
        flags |= _XDP_REPLACE
        inner += _attribute(8, pack("=i", expected))
    inner += _attribute(3, pack("=I", flags))
    body = pack("=BxHiII", 0, 0, index, 0, 0) + _attribute(_IFLA_XDP | _NESTED, inner)
    _ask("RTM_SETLINK", f"interface {index}", _RTM_SETLINK, 0, body, through)


# ------------------------------------------------------------ tc


def _tcm(index: int, handle: int, parent: int, info: int) -> bytes:
    return pack("=BxHiIII", 0, 0, index, handle, parent, info)


def has_clsact(index: int) -> bool:
    """Whether the interface has the clsact qdisc (an `ingress` qdisc does not count: it has no egress)."""
    for answer in _ask("RTM_GETQDISC", f"interface {index}", _RTM_GETQDISC, _NLM_DUMP, _tcm(index, 0, 0, 0)):
        if unpack_from("=i", answer, 4)[0] == index:
            kind = dict(_attributes(answer[20:])).get(_TCA_KIND, b"")
            if kind.rstrip(b"\0") == b"clsact":
                return True
    return False


def add_clsact(index: int) -> bool:
    """Makes the clsact qdisc; False when it was there. Linux 4.5+, CONFIG_NET_SCH_INGRESS."""
    body = _tcm(index, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + _attribute(_TCA_KIND, b"clsact\0")
    try:
        _ask("RTM_NEWQDISC", f"interface {index}", _RTM_NEWQDISC, _NLM_CREATE | _NLM_EXCL, body)
    except NetlinkRefused as refused:
        if refused.errno == 17:
            return False
        if refused.errno == 2:
            raise Unsupported("this kernel has no clsact qdisc (CONFIG_NET_SCH_INGRESS)", "clsact", "4.5") from refused
        raise
    return True


def delete_clsact(index: int, through: Any | None = None) -> None:
    """Removes the clsact qdisc and with it every filter on it; none there is no error."""
    body = _tcm(index, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + _attribute(_TCA_KIND, b"clsact\0")
    try:
        _ask("RTM_DELQDISC", f"interface {index}", _RTM_DELQDISC, 0, body, through)
    except NetlinkRefused as refused:
        if refused.errno not in {2, 22}:
            raise
    except TargetGone:
        pass


def add_filter(
    index: int,
    parent: int,
    fd: int,
    name: str,
    handle: int = 0,
    priority: int = 0,
    replace: bool = False,
    through: Any | None = None,
) -> tuple[int, int]:
    """Adds a direct-action bpf filter; (handle, priority), both chosen by the kernel where 0 was given."""
    options = _attribute(6, pack("=I", fd)) + _attribute(7, name.encode()[:63] + b"\0") + _attribute(8, pack("=I", 1))
    body = (
        _tcm(index, handle, parent, (priority << 16) | _swapped(_ETH_P_ALL))
        + _attribute(_TCA_KIND, b"bpf\0")
        + _attribute(_TCA_OPTIONS | _NESTED, options)
    )
    flags = _NLM_ECHO | _NLM_CREATE | (_NLM_REPLACE if replace else _NLM_EXCL)
    for answer in _ask("RTM_NEWTFILTER", f"interface {index}", _RTM_NEWTFILTER, flags, body, through):
        _, given, _, info = unpack_from("=iIII", answer, 4)
        return given, info >> 16
    return handle, priority


def delete_filter(index: int, parent: int, handle: int, priority: int, through: Any | None = None) -> bool:
    """Removes one bpf filter; False when it was not there any more."""
    body = _tcm(index, handle, parent, (priority << 16) | _swapped(_ETH_P_ALL)) + _attribute(_TCA_KIND, b"bpf\0")
    try:
        _ask("RTM_DELTFILTER", f"interface {index}", _RTM_DELTFILTER, 0, body, through)
    except NetlinkRefused as refused:
        if refused.errno in {2, 22}:
            return False
        raise
    except TargetGone:
        return False
    return True


def filters(index: int, parent: int, through: Any | None = None) -> list[tuple[int, int, int, str]]:
    """(priority, handle, program id, name) of the bpf filters at `INGRESS`, `EGRESS` or another parent."""
    found = []
    body = _tcm(index, 0, parent, 0)
    for answer in _ask("RTM_GETTFILTER", f"interface {index}", _RTM_GETTFILTER, _NLM_DUMP, body, through):
        handle, _, info = unpack_from("=III", answer, 8)
        told = dict(_attributes(answer[20:]))
        if told.get(_TCA_KIND, b"").rstrip(b"\0") != b"bpf" or _TCA_OPTIONS not in told or not handle:
            continue
        options = dict(_attributes(told[_TCA_OPTIONS]))
        number = int(unpack_from("=I", options[11])[0]) if 11 in options else 0
        found.append((info >> 16, handle, number, options.get(7, b"").rstrip(b"\0").decode("utf-8", "replace")))
    return found


def _swapped(value: int) -> int:
    """`value` as a 16-bit number in network byte order."""
    return int(unpack_from("=H", pack("!H", value))[0])

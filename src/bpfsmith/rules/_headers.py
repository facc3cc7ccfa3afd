"""Where kernel code reads TCP, UDP and ICMP headers, and how it finds them."""

from __future__ import annotations

from bpfsmith.rules._meaning import crate_has, crate_programs
from bpfsmith.rules._rust import kernel_files
from bpfsmith.source._typed import generic_argument, named_type, single_generic, typed
from bpfsmith.source.calls import graph
from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding, item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = ["HeaderRead", "fixed_length", "header_reads", "transport_reads"]

_RAW = frozenset({"xdp", "classifier", "tc"})  # they see packets as they come
_ACTS = (
    *("XDP_DROP", "XDP_TX", "XDP_REDIRECT", "TC_ACT_SHOT", "TC_ACT_REDIRECT", "TC_ACT_STOLEN"),
    *("bpf_redirect", "redirect"),
)

_WORDS = ("TcpHdr", "UdpHdr", "IcmpHdr", "tcphdr", "udphdr", "icmphdr")
_HEADERS = {
    "network_types::tcp::TcpHdr": "TCP",
    "network_types::udp::UdpHdr": "UDP",
    "network_types::icmp::IcmpHdr": "ICMP",
}
_LOWER = {"Ipv4Hdr": "<iphdr>", "Ipv6Hdr": "<ipv6hdr>"}
# The kernel's names, as generated bindings have them.
_KERNEL = {"tcphdr": "TCP", "udphdr": "UDP", "icmphdr": "ICMP"}


class HeaderRead:
    """One read: `name` of the protocol, the call that reads, its offset."""

    __slots__ = ("call", "name", "offset")

    def __init__(self, call: Expr, name: str, offset: Expr) -> None:
        self.call = call
        self.name = name
        self.offset = offset


def transport_reads(
    project: Project, words: tuple[tuple[str, ...], ...], handled: tuple[str, ...], ipv6: bool
) -> Iterator[HeaderRead]:
    """The first TCP or UDP header that each function reads behind an IPv6 header (or: behind none), in crates whose
    programs see raw packets, decide about them, and have none of `handled`. Files need one of each of `words`."""
    for file in kernel_files(project):
        crate = file.crate
        if crate is None or not all(file.has(*some) for some in words):
            continue
        if crate_has(crate, handled) or not crate_has(crate, _ACTS):
            continue
        kinds = crate_programs(crate)
        if not kinds or not kinds <= _RAW:
            continue
        told: set[int] = set()
        for one in header_reads(file):
            item = one.call.item
            if item is None or item.id in told or one.name == "ICMP":
                continue
            if (fixed_length(one.offset, "Ipv6Hdr") is not None) == ipv6:
                told.add(item.id)
                yield one


def header_reads(file: SourceFile) -> Iterator[HeaderRead]:
    """`ptr_at::<TcpHdr>(&ctx, offset)?`, `ctx.load(offset)?` and their kin; the type may stand at the `let`."""
    if not file.has(*_WORDS):
        return
    helpers = _helpers(file)
    for kind in ("call", "method"):
        for call in file.of_kind(kind):
            args = call.args
            if kind == "method" and (len(args) != 1 or (call.name != "load" and call.name not in helpers)):
                continue
            if kind == "call" and (len(args) != 2 or call.callee is None or call.callee.kind != "path"):
                continue
            path = _offset_of(args[-1]) or typed(call) or _given_type(call) or _annotated(call)
            name = _HEADERS.get(path) or _KERNEL.get(path.rpartition("::")[2]) if path is not None else None
            if name is not None and not file.in_test(call.item):
                yield HeaderRead(call, name, args[-1])


def _helpers(file: SourceFile) -> set[str]:
    """Names of the crate's methods that give a pointer to what the caller says: `self.ptr_at::<T>(offset)`."""
    crate = file.crate
    return {
        item.name
        for one in (crate.files if crate is not None else [file])
        for item in one.items
        if item.kind == "fn"
        and item.generic
        and len(item.params) == 2
        and item.params[0].name == "self"
        and single_generic(item)
    }


def _given_type(call: Expr) -> str | None:
    """`self.ptr_at::<TcpHdr>(offset)`."""
    if call.kind != "method" or call.fields[5] <= call.fields[4]:
        return None
    return named_type(call.file, generic_argument(call), call.item)


def _offset_of(offset: Expr) -> str | None:
    """The header of `.. + offset_of!(tcphdr, dest)`."""
    if offset.kind != "binary" or offset.op != "+":
        return None
    last = offset.operands[1]
    if last is None or last.kind != "macro" or last.path.rpartition("::")[2] != "offset_of" or not last.args:
        return None
    header = last.args[0]
    return (resolve(offset.file, header.path, offset.item) or header.path) if header.kind == "path" else None


def _annotated(call: Expr) -> str | None:
    """The type of the `let` that takes what a generic function gives."""
    at = call
    while at.parent is not None and (
        at.parent.kind in ("try", "paren", "block") or (at.parent.kind == "method" and at.parent.receiver == at)
    ):
        if at.parent.kind == "block" and at.parent.tail != at:
            break
        at = at.parent
    block = at.parent
    if block is not None and block.kind == "binary" and block.op == "=" and block.operands[1] == at:
        return typed(block.operands[0])
    if block is None or block.kind != "block":
        return None
    let = next((one for one in block.lets if one.init == at), None)
    if let is None or not let.type:
        return None
    if call.kind == "call" and not _generic(call):
        return None
    return named_type(call.file, let.type, call.item)


def _generic(call: Expr) -> bool:
    callee = call.callee
    path = resolve(call.file, callee.path, call.item) if callee is not None else None
    item = item_of(call.file, path) if path is not None and path.startswith("crate::") else None
    return item is not None and item.kind == "fn" and item.generic


def fixed_length(offset: Expr, header: str = "Ipv4Hdr", depth: int = 0) -> Expr | None:
    """`Ipv4Hdr::LEN`, or its `size_of`, in what an offset is made of, through locals and constants."""
    if depth > 8:
        return None
    found = None
    for one in offset.within():
        if one.kind == "path":
            path = resolve(one.file, one.path, one.item)
            sized = one.path.endswith("size_of") and (header in one.text or _LOWER[header] in one.text)
            if path == f"network_types::ip::{header}::LEN" or sized:
                found = one
                continue
            given = _given(one, path)
            if given is None:
                continue
            inner = fixed_length(given, header, depth + 1)
            found = found or inner
    return found


def _given(path: Expr, absolute: str | None) -> Expr | None:
    if "::" not in path.path:
        local = binding(path)
        if local is not None and local.kind == "param":
            return _argument(path)
        if local is not None:
            plain = local.kind == "let" and local.let is not None and not local.let.pattern.startswith("mut ")
            return local.let.init if plain and local.let is not None else None
    item: Item | None = None
    if absolute is not None and absolute.startswith("crate::"):
        item = item_of(path.file, absolute)
    return item.expr if item is not None and item.kind == "const" else None


def _argument(path: Expr) -> Expr | None:
    """What a parameter is given, where its function is certainly called from one place."""
    item = path.item
    if item is None or item.kind != "fn" or item.file.crate is None:
        return None
    names = [one.name for one in item.params]
    calls = graph(item.file.crate, item.file).calls_to(item)
    if len(calls) != 1 or path.path not in names or "self" in names:
        return None
    call = calls[0]
    args = call.expr.args if call.sure and call.expr.kind == "call" else []
    return args[names.index(path.path)] if len(args) == len(names) else None

"""Test runs: what each program type takes and gives, and the one command that runs it (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

from bpfsmith import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["TestRun", "run"]

EINVAL, ENOSPC, ENOSYS, EOPNOTSUPP, ENOTSUPP = 22, 28, 38, 95, 524
ON_CPU, LIVE_FRAMES = 1, 2
ETHERNET = 14
FRAME = 64
ROOM = 4096

# fmt: off
# Context a caller may hand over, by the UAPI's structure: its size, and field -> (offset, bytes, elements).
_SKB = ("__sk_buff", 192, {
    "len": (0, 4, 1), "pkt_type": (4, 4, 1), "mark": (8, 4, 1), "queue_mapping": (12, 4, 1), "protocol": (16, 4, 1),
    "vlan_present": (20, 4, 1), "vlan_tci": (24, 4, 1), "vlan_proto": (28, 4, 1), "priority": (32, 4, 1),
    "ingress_ifindex": (36, 4, 1), "ifindex": (40, 4, 1), "tc_index": (44, 4, 1), "cb": (48, 4, 5), "hash": (68, 4, 1),
    "tc_classid": (72, 4, 1), "napi_id": (84, 4, 1), "family": (88, 4, 1), "remote_ip4": (92, 4, 1),
    "local_ip4": (96, 4, 1), "remote_ip6": (100, 4, 4), "local_ip6": (116, 4, 4), "remote_port": (132, 4, 1),
    "local_port": (136, 4, 1), "tstamp": (152, 8, 1), "wire_len": (160, 4, 1), "gso_segs": (164, 4, 1),
    "gso_size": (176, 4, 1), "tstamp_type": (180, 1, 1), "hwtstamp": (184, 8, 1),
})
_XDP = ("xdp_md", 24, {
    "data": (0, 4, 1), "data_end": (4, 4, 1), "data_meta": (8, 4, 1), "ingress_ifindex": (12, 4, 1),
    "rx_queue_index": (16, 4, 1), "egress_ifindex": (20, 4, 1),
})
_SK_LOOKUP = ("bpf_sk_lookup", 72, {
    "cookie": (0, 8, 1), "family": (8, 4, 1), "protocol": (12, 4, 1), "remote_ip4": (16, 4, 1),
    "remote_ip6": (20, 4, 4), "remote_port": (36, 2, 1), "local_ip4": (40, 4, 1), "local_ip6": (44, 4, 4),
    "local_port": (60, 4, 1), "ingress_ifindex": (64, 4, 1),
})
_FLOW = ("bpf_flow_keys", 56, {
    "nhoff": (0, 2, 1), "thoff": (2, 2, 1), "addr_proto": (4, 2, 1), "is_frag": (6, 1, 1), "is_first_frag": (7, 1, 1),
    "is_encap": (8, 1, 1), "ip_proto": (9, 1, 1), "n_proto": (10, 2, 1), "sport": (12, 2, 1), "dport": (14, 2, 1),
    "ipv4_src": (16, 4, 1), "ipv4_dst": (20, 4, 1), "ipv6_src": (16, 4, 4), "ipv6_dst": (32, 4, 4),
    "flags": (48, 4, 1), "flow_label": (52, 4, 1),
})
# What the kernel lets a caller set of an `__sk_buff`; the rest must be 0 (net/bpf/test_run.c, convert___skb_to_skb()).
_SKB_SETTABLE = (
    "mark", "priority", "ingress_ifindex", "ifindex", "cb", "tstamp", "wire_len", "gso_segs", "gso_size", "hwtstamp",
)
_XDP_WORDS = ("XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT")
_TC_WORDS = (
    "TC_ACT_OK", "TC_ACT_RECLASSIFY", "TC_ACT_SHOT", "TC_ACT_PIPE", "TC_ACT_STOLEN", "TC_ACT_QUEUED", "TC_ACT_REPEAT",
    "TC_ACT_REDIRECT", "TC_ACT_TRAP",
)
_LWT_WORDS = {0: "BPF_OK", 2: "BPF_DROP", 7: "BPF_REDIRECT", 128: "BPF_LWT_REROUTE"}
_SK_WORDS = ("SK_DROP", "SK_PASS")
_NF_WORDS = ("NF_DROP", "NF_ACCEPT", "NF_STOLEN", "NF_QUEUE", "NF_REPEAT")
# Type -> (since, data: 0 none, 1 a packet; what a context may be; repeat and duration; words of the verdict).
_RUNS: dict[str, tuple[str, bool, tuple[str, int, dict[str, tuple[int, int, int]]] | None, bool, Any]] = {
    "xdp": ("4.12", True, _XDP, True, _XDP_WORDS),
    "sched_cls": ("4.12", True, _SKB, True, _TC_WORDS),
    "sched_act": ("4.12", True, _SKB, True, _TC_WORDS),
    "socket_filter": ("4.12", True, _SKB, True, ()),
    "cgroup_skb": ("4.12", True, _SKB, True, ()),
    "lwt_in": ("4.12", True, _SKB, True, _LWT_WORDS),
    "lwt_out": ("4.12", True, _SKB, True, _LWT_WORDS),
    "lwt_xmit": ("4.12", True, _SKB, True, _LWT_WORDS),
    "lwt_seg6local": ("4.18", True, _SKB, True, _LWT_WORDS),
    "flow_dissector": ("5.0", True, _FLOW, True, _LWT_WORDS),
    "netfilter": ("6.4", True, ("nf_hook_state", 0, {}), True, _NF_WORDS),
    "sk_lookup": ("5.14", False, _SK_LOOKUP, True, _SK_WORDS),
    "raw_tracepoint": ("5.10", False, ("bpf_raw_tracepoint_args", 0, {}), False, ()),
    "syscall": ("5.14", False, ("the program's own", 0, {}), False, ()),
    "tracing": ("5.7", False, None, False, ()),
}
# What to do for types whose programs only their event can run.
_INSTEAD = {
    "kprobe": "attach it and call the function",
    "tracepoint": "attach it and cause the event",
    "perf_event": "attach it to a software event of your own process",
    "raw_tracepoint_writable": "attach it and cause the event",
    "struct_ops": "register its map and use what it implements",
    "lsm": "attach it and do what the hook guards",
    "ext": "run the program it replaces a function of",
    "cgroup_sock": "attach it to a cgroup of your own and open a socket there",
    "cgroup_sock_addr": "attach it to a cgroup of your own and connect from there",
    "cgroup_sysctl": "attach it to a cgroup of your own and read the setting there",
    "cgroup_sockopt": "attach it to a cgroup of your own and set the option there",
    "cgroup_device": "attach it to a cgroup of your own and open the device there",
    "sock_ops": "attach it to a cgroup of your own and connect from there",
    "sk_msg": "attach it to a sockmap of your own and send through it",
    "sk_skb": "attach it to a sockmap of your own and send through it",
    "sk_reuseport": "attach it to sockets of your own and connect",
}
# fmt: on


_SKB_TYPES = frozenset(name for name, row in _RUNS.items() if row[2] is _SKB)
_HANDS_BACK = _SKB_TYPES | {"xdp", "sk_lookup"}
_ADVICE = {
    **dict.fromkeys(_SKB_TYPES, "packets have an Ethernet header and at most a page, some 3500 bytes"),
    "syscall": "its context must be as large as the program reads and at most 65535 bytes",
    "raw_tracepoint": "give as many arguments as the program reads, 8 bytes each",
    "sk_lookup": "`family`, `protocol`, `local_port` and the addresses must be those of a connection",
    "xdp": "of `xdp_md` only `data`, `data_end`, `ingress_ifindex` and `rx_queue_index` can be set, the interface must "
    "have that queue, and packets of more than a page are for programs in `xdp.frags`",
    "netfilter": "the packet must be IPv4 or IPv6 behind an Ethernet header",
    "flow_dissector": "of `bpf_flow_keys` only `flags` can be set",
}


class TestRun:
    """What one call of `test_run` gave.

    `retval`: what the program returned (of the last repetition; unsigned, `verdict` its word where the type has
    words); `duration`: nanoseconds per run, the mean over the repetitions, 0 where the kernel measures none;
    `data_out`: the packet afterwards (of a flow dissector its `bpf_flow_keys`), None for types without and after live
    frames; `ctx_out`: the context afterwards when one was given, by its fields or as bytes as it was given (of a flow
    dissector the fields of its `bpf_flow_keys`), else None."""

    __slots__ = ("ctx_out", "data_out", "duration", "repeat", "retval", "type")
    __test__ = False  # no test class, whatever pytest makes of the name

    def __init__(
        self, type_: str, retval: int, duration: int, repeat: int, data_out: bytes | None, ctx_out: Any
    ) -> None:
        self.type = type_
        self.retval = retval
        self.duration = duration
        self.repeat = repeat
        self.data_out = data_out
        self.ctx_out = ctx_out

    @property
    def signed(self) -> int:
        """`retval` as a 32-bit signed number: -1 rather than 4294967295."""
        return self.retval - (self.retval >> 31 << 32)

    @property
    def verdict(self) -> str | None:
        """`XDP_PASS`, `TC_ACT_SHOT`, `SK_DROP` ...; None where the type or the number has no word."""
        words = _RUNS[self.type][4] if self.type in _RUNS else ()
        if isinstance(words, dict):
            return words.get(self.retval)
        if self.type in ("sched_cls", "sched_act") and self.retval == 0xFFFFFFFF:
            return "TC_ACT_UNSPEC"
        return words[self.retval] if self.retval < len(words) else None

    def __repr__(self) -> str:
        word = f" ({self.verdict})" if self.verdict else ""
        return f"<TestRun retval={self.signed}{word}, {self.duration} ns>"


def run(program: Any, data: Any, ctx: Any, repeat: int, live_frames: bool, cpu: int | None, batch_size: int) -> TestRun:
    """`LoadedProgram.test_run`: checks what the type takes, then runs it."""
    from bpfsmith.model.errors import Unsupported

    type_, where = program.type, f"program `{program.name}`"
    row = _RUNS.get(type_)
    if row is None:
        raise Unsupported(
            f"no kernel runs `{type_}` programs by hand (`{program.name}`)",
            f"test_run of {type_}",
            instead=_INSTEAD.get(type_, "attach it and cause the event"),
        )
    _since, packet, layout, repeats, _words = row
    _check(type_, where, data, repeat, live_frames, cpu, batch_size)
    frame = _frame(data, where, type_) if packet else b""
    given = None if ctx is None else _context(ctx, layout, where, frame)
    fields: dict[str, Any] = {"prog_fd": program.fd}
    back = bytearray(len(frame) + ROOM)
    told = bytearray(layout[1]) if layout is not None and given is not None and type_ in _HANDS_BACK else None
    if packet:
        fields |= {"data_in": frame, "data_size_in": len(frame)}
    if packet and not live_frames:
        fields |= {"data_out": back, "data_size_out": len(back)}
    if given is not None:
        fields |= {"ctx_in": given, "ctx_size_in": len(given)}
    if told is not None and not live_frames:
        fields |= {"ctx_out": told, "ctx_size_out": len(told)}
    if repeats:
        fields["repeat"] = repeat
    if live_frames:
        fields |= {"flags": LIVE_FRAMES, "batch_size": batch_size}
    if cpu is not None:
        fields |= {"flags": ON_CPU, "cpu": cpu}
    outputs = _execute(type_, where, fields, ctx)
    data_out = bytes(back[: outputs["data_size_out"]]) if "data_out" in fields else None
    ctx_out: Any = None
    if type_ == "syscall" and given is not None:
        ctx_out = bytes(given)  # the kernel writes it back in its place
    elif type_ == "flow_dissector" and data_out is not None:
        ctx_out = dict(_read(data_out, _FLOW[2]))
    elif "ctx_out" in fields and told is not None and layout is not None:
        kept = bytes(told[: outputs["ctx_size_out"]])
        # Of an `__sk_buff` the kernel hands back what it lets be set; the rest would read as 0.
        names = _SKB_SETTABLE if type_ in _SKB_TYPES else layout[2]
        ctx_out = kept if _is_bytes(ctx) else dict(_read(kept, {name: layout[2][name] for name in names}))
    return TestRun(type_, outputs["retval"], outputs["duration"], repeat, data_out, ctx_out)


def _check(type_: str, where: str, data: Any, repeat: int, live_frames: bool, cpu: int | None, batch_size: int) -> None:
    """Refuses what this type does not have."""
    from bpfsmith.model.errors import InputError

    _since, packet, _layout, repeats, _words = _RUNS[type_]
    wrong, hint = "", ""
    if not 1 <= repeat < 1 << 32:
        wrong = f"`repeat` is {repeat}; it is from 1 to 4294967295"
    elif not repeats and repeat != 1:
        wrong = f"a `{type_}` program runs once per call, not {repeat} times"
    elif live_frames and type_ != "xdp":
        wrong = f"only `xdp` programs run on live frames, not `{type_}`"
    elif batch_size and not live_frames:
        wrong = "`batch_size` goes with `live_frames=True`"
    elif cpu is not None and type_ != "raw_tracepoint":
        wrong = f"only raw tracepoints run on a CPU of choice, not `{type_}`"
        hint = "bind the thread with `os.sched_setaffinity` instead"
    elif data is not None and not packet:
        wrong, hint = f"`{type_}` programs take no packet", "give what they work on as `ctx=`"
    if wrong:
        raise InputError(wrong, where, hint)


def _execute(type_: str, where: str, fields: dict[str, Any], ctx: Any) -> dict[str, int]:
    """Runs it: the numbers the kernel answers."""
    from bpfsmith.kernel.attrs import encode, output

    command = "BPF_PROG_TEST_RUN"
    number, attr, buffers = encode(command, **fields)
    answer = kernel.door().bpf(number, attr, buffers)
    if answer < 0:
        raise _refused(type_, where, -answer, fields, ctx)
    return {name: output(command, attr, name) for name in ("retval", "duration", "data_size_out", "ctx_size_out")}


def _refused(type_: str, where: str, errno: int, fields: dict[str, Any], ctx: Any) -> Exception:
    from bpfsmith.kernel.failures import error
    from bpfsmith.model.errors import InputError, Unsupported

    since = _RUNS[type_][0]
    if errno in (ENOTSUPP, ENOSYS, EOPNOTSUPP):
        return Unsupported(
            f"this kernel does not run `{type_}` programs by hand ({where})",
            f"test_run of {type_}",
            since,
            "attach it and cause the event",
        )
    if errno == EINVAL and fields.get("flags") == LIVE_FRAMES:
        return Unsupported(
            f"this kernel does not take these live frames for {where}",
            "live frames",
            "5.18",
            "the interface of the context must be up, and a frame fits its page",
        )
    if errno == EINVAL and isinstance(ctx, dict) and type_ in _SKB_TYPES:
        wrong = sorted(name for name, value in ctx.items() if value and name not in _SKB_SETTABLE)
        if wrong:
            names = ", ".join(f"`{name}`" for name in wrong)
            return InputError(f"{names} of `__sk_buff` cannot be set", where, "can be: " + ", ".join(_SKB_SETTABLE))
    if errno == ENOSPC:
        return InputError(f"the program made the packet more than {ROOM} bytes longer", where)
    if errno == EINVAL:
        made = error("BPF_PROG_TEST_RUN", errno, where, fields)
        made.hint = _ADVICE.get(type_, "")
        return made
    return error("BPF_PROG_TEST_RUN", errno, where, fields)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _frame(data: Any, where: str, type_: str) -> bytes:
    if data is None:
        return bytes(FRAME)
    from bpfsmith.model.errors import ValueMismatch

    if not _is_bytes(data):
        raise ValueMismatch(f"`data` is bytes, not {type(data).__name__}", where)
    frame = bytes(data)
    if len(frame) < ETHERNET:
        raise ValueMismatch(
            f"a packet for `{type_}` has at least the {ETHERNET} bytes of its Ethernet header, not {len(frame)}", where
        )
    return frame


def _context(ctx: Any, layout: Any, where: str, frame: bytes) -> bytearray:
    """The bytes of a context given as bytes, as fields, or as numbers."""
    from bpfsmith.model.errors import UnknownName, ValueMismatch

    if layout is None:
        raise ValueMismatch("programs of this type take no context", where)
    name, size, fields = layout
    if _is_bytes(ctx):
        return bytearray(ctx)
    if not fields:
        if isinstance(ctx, dict) or name != "bpf_raw_tracepoint_args":
            raise ValueMismatch(f"the context ({name}) is bytes, not {type(ctx).__name__}", where)
        try:
            return bytearray(b"".join((int(one) & (1 << 64) - 1).to_bytes(8, _order()) for one in ctx))
        except (TypeError, ValueError):
            raise ValueMismatch("the arguments of a raw tracepoint are numbers or bytes", where) from None
    if not isinstance(ctx, dict):
        raise ValueMismatch(f"`ctx` is bytes of `{name}` or its fields by name, not {type(ctx).__name__}", where)
    out = bytearray(size)
    if name == "xdp_md" and "data_end" not in ctx:
        out[4:8] = len(frame).to_bytes(4, _order())
    for field, value in ctx.items():
        place = fields.get(field)
        if place is None:
            from bpfsmith.model.near import did_you_mean

            raise UnknownName(f"`{name}` has no field `{field}`", where, did_you_mean(field, fields))
        at, width, count = place
        values = [value] if isinstance(value, int) else list(value)
        if len(values) > count:
            raise ValueMismatch(f"`{field}` of `{name}` has {count} elements, not {len(values)}", where)
        for index, one in enumerate(values):
            if not -(1 << width * 8 - 1) <= one < 1 << width * 8:
                raise ValueMismatch(f"`{field}` of `{name}` has {width * 8} bits: {one} does not fit", where)
            start = at + index * width
            out[start : start + width] = (one & (1 << width * 8) - 1).to_bytes(width, _order())
    return out


def _read(data: bytes, fields: Mapping[str, tuple[int, int, int]]) -> Iterator[tuple[str, Any]]:
    for name, (at, width, count) in fields.items():
        if at + width * count > len(data):
            continue
        numbers = [int.from_bytes(data[at + i * width : at + (i + 1) * width], _order()) for i in range(count)]
        yield name, numbers[0] if count == 1 else numbers


def _order() -> Any:
    from sys import byteorder

    return byteorder

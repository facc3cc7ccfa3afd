"""Asks the running kernel what it can do, one small question at a time.

A feature is a word (`array_mmap`; all of them in `FEATURES`), or one of a family: `program_type:xdp`,
`map_type:ringbuf`, `helper:xdp:bpf_loop`, `attach_type:tcx_ingress`, `link_type:netkit`, `btf_kind:enum64`,
`command:BPF_TOKEN_CREATE`, `isa:v4`. Words of program, map and attach types are those of `bpfsmith.facts`.

Every question is one that the kernel answers in microseconds and forgets: nothing is attached, nothing stays loaded.
`LiveKernel.probe` keeps the answers; nothing is cached here.
"""

from __future__ import annotations

from ._probe_attach import LINKS, attach_type, kprobe_multi, struct_ops_link, uprobe_multi
from ._tiny import (
    ADD64_IMM,
    DATASEC,
    DECL_TAG,
    END,
    ENUM64,
    FLOAT,
    FUNC,
    FUNC_PROTO,
    MOV64_IMM,
    MOV64_REG,
    PTR,
    RETURN_0,
    TYPE_TAG,
    VAR,
    ZERO,
    answers,
    attempt,
    call,
    closed,
    create,
    insn,
    int_type,
    kind_word,
    ld_imm64,
    load,
    load_btf,
    load_log,
    loads,
    with_made,
    yes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith._native import Fd

__all__ = ["FEATURES", "attach_type", "can_ask_helpers", "helper", "map_type", "outcome", "probe", "program_type"]

EPERM, EBADF, ENODEV, EINVAL, ENOTSUPP = 1, 9, 19, 22, 524

SOCKET_FILTER, KPROBE, SCHED_CLS, TRACEPOINT, XDP, CGROUP_SKB = 1, 2, 3, 5, 6, 8
CGROUP_SOCK, SK_MSG, FLOW_DISSECTOR, TRACING, STRUCT_OPS, EXT, LSM, SYSCALL, NETFILTER = (
    9,
    16,
    22,
    26,
    27,
    28,
    29,
    31,
    32,
)
HASH, ARRAY = 1, 2


def probe(feature: str) -> bool:
    """Whether the running kernel has it and lets this process use it."""
    return outcome(feature)[0] == "yes"


def outcome(feature: str) -> tuple[str, int]:
    """(`yes` | `no` | `denied`, errno of the refusal or 0). `denied`: EPERM, where the kernel may well have it.

    `ValueError` for a feature nobody knows."""
    family, _, rest = feature.partition(":")
    if rest:
        question = _FAMILIES.get(family)
        answer = question(rest) if question else None
    else:
        known = FEATURES.get(feature)
        answer = known() if known else None
    if answer is None:
        raise ValueError(f"no such feature `{feature}`")
    if answer >= 0:
        return "yes", 0
    return ("denied" if answer == -EPERM else "no"), -answer


# ------------------------------------------------------------ programs and maps in general


def _global_data() -> int:
    return with_made(
        create(ARRAY, 4, 32),
        lambda fd: loads(SOCKET_FILTER, ld_imm64(1, 2, fd.fileno(), 16) + insn(0x7A, 1, imm=42) + RETURN_0),
    )


def _full_offset() -> int:
    """Whether an offset of 1 GiB into a value is refused for the value's sake and not for its own."""

    def ask(fd: Fd) -> int:
        done, log = load_log(SOCKET_FILTER, ld_imm64(1, 2, fd.fileno(), 1 << 30) + END)
        return yes(closed(done) != 0 and b"invalid access to map value pointer" in log)

    return with_made(create(ARRAY, 4, 1), ask)


def _bind_map() -> int:
    def ask(map_fd: Fd) -> int:
        return with_made(load(SOCKET_FILTER), lambda fd: attempt("BPF_PROG_BIND_MAP", prog_fd=fd, map_fd=map_fd))

    return with_made(create(ARRAY, 4, 32), ask)


def _probe_read_kernel() -> int:
    code = insn(MOV64_REG, 1, 10) + insn(ADD64_IMM, 1, imm=-8) + insn(MOV64_IMM, 2, imm=8) + insn(MOV64_IMM, 3)
    return loads(TRACEPOINT, code + call(113) + END)


def _batch() -> int:
    def ask(fd: Fd) -> int:
        # No keys to look up: ENOENT, or 0, of a kernel that has the command.
        buffers = {"keys": bytearray(8), "values": bytearray(8), "out_batch": bytearray(8)}
        return answers(attempt("BPF_MAP_LOOKUP_BATCH", map_fd=fd, count=1, **buffers), 2)

    return with_made(create(HASH), ask)


def _percpu_array_batch() -> int:
    def ask(fd: Fd) -> int:
        from bpfsmith import kernel

        room = bytearray(8 * kernel.door().possible_cpus())
        return answers(attempt("BPF_MAP_LOOKUP_BATCH", map_fd=fd, count=1, keys=bytearray(4), values=room,
                             out_batch=bytearray(4)), 2)  # fmt: skip

    return with_made(create(6), ask)


def _memcg() -> int:
    """Memory is charged to the cgroup, not to RLIMIT_MEMLOCK, since the kernel with bpf_ktime_get_coarse_ns()."""
    return loads(SOCKET_FILTER, call(160) + END)


def _bounded_loop() -> int:
    # r0 = 10; while (r0 -= 1) != 0
    return loads(SOCKET_FILTER, insn(MOV64_IMM, imm=10) + insn(ADD64_IMM, imm=-1) + insn(0x55, off=-2) + END)


def _large_programs() -> int:
    """More than 4096 instructions (for those who may load them unlimited)."""
    return loads(SOCKET_FILTER, ZERO * 4097 + END)


def _subprogram() -> int:
    """A subprogram called by the program."""
    return loads(SOCKET_FILTER, call(1, src=1) + END + RETURN_0)


def _bpf_loop() -> int:
    """bpf_loop takes a callback of the program."""
    code = (
        insn(MOV64_IMM, 1, imm=1) + ld_imm64(2, 4, 6) + insn(MOV64_IMM, 3) + insn(MOV64_IMM, 4) + call(181) + RETURN_0
    )
    return _with_functions(SOCKET_FILTER, code + RETURN_0, (0, 8))


def _with_functions(kind: int, code: bytes, starts: tuple[int, ...], **fields: Any) -> int:
    """Loads code with function information: a callback needs it. Each function is `int f(void)`-like."""
    from struct import pack

    words: tuple[int, ...] = (*int_type(1), 0, kind_word(FUNC_PROTO), 1)
    for _ in starts:
        words += (3, kind_word(FUNC, 0), 2)

    def ask(fd: Fd) -> int:
        records = b"".join(pack("=II", start, 3 + at) for at, start in enumerate(starts))
        given = {"prog_btf_fd": fd, "func_info": records, "func_info_rec_size": 8, "func_info_cnt": len(starts)}
        return loads(kind, code, **given, **fields)

    return with_made(load_btf(words, b"i\0f"), ask)


# ------------------------------------------------------------ BTF


_X = (1, kind_word(VAR), 1, 0)  # a static variable `x` of type 1
_BTF_KINDS: dict[str, tuple[tuple[int, ...], bytes]] = {
    "int": (int_type(1), b"int"),
    "func": ((*int_type(1), 0, kind_word(FUNC_PROTO, 1), 0, 7, 1, 5, kind_word(FUNC), 2), b"int\0x\0a"),
    "func_global": ((*int_type(1), 0, kind_word(FUNC_PROTO, 1), 0, 7, 1, 5, kind_word(FUNC, 1), 2), b"int\0x\0a"),
    "var": ((*int_type(), *_X), b"x"),
    "datasec": ((*int_type(), *_X, 3, kind_word(DATASEC, 1), 4, 2, 0, 4), b"x\0.data"),
    "qmark_datasec": ((*int_type(), *_X, 3, kind_word(DATASEC, 1), 4, 2, 0, 4), b"x\0?.data"),
    "float": ((1, kind_word(FLOAT), 4), b"float"),
    "decl_tag": ((*int_type(), 3, kind_word(VAR), 1, 0, 1, kind_word(DECL_TAG), 2, -1), b"t\0x"),
    "type_tag": ((*int_type(), 1, kind_word(TYPE_TAG), 1, 0, kind_word(PTR), 2), b"tag"),
    "enum64": ((1, kind_word(ENUM64), 8), b"enum64"),
}


def _btf_kind(name: str) -> int | None:
    blob = _BTF_KINDS.get(name)
    return None if blob is None else closed(load_btf(*blob))


def _module_btf() -> int:
    """Whether the kernel tells the name of BTF: it came with the BTF of modules."""

    def ask(fd: Fd) -> int:
        from struct import pack_into

        info = bytearray(32)
        name = bytearray(16)
        # struct bpf_btf_info: btf, btf_size, id, name, name_len, kernel_btf. The name's address is what must be taken.
        pack_into("=I", info, 24, len(name))
        from bpfsmith import kernel

        from .attrs import encode

        # A null name of 16 bytes is EINVAL where names are known and ignored where they are not: both are answers.
        done = kernel.door().bpf(*encode("BPF_OBJ_GET_INFO_BY_FD", bpf_fd=fd, info_len=32, info=info))
        return yes(done == -EINVAL)

    return with_made(load_btf(*_BTF_KINDS["int"]), ask)


def _arg_ctx_tag() -> int:
    from struct import pack

    words = (
        *int_type(1), 0, kind_word(PTR), 0, 0, kind_word(FUNC_PROTO, 1), 1, 1, 2, 1, kind_word(FUNC, 1), 3,
        0, kind_word(FUNC_PROTO, 1), 1, 3, 2, 3, kind_word(FUNC, 1), 5, 5, kind_word(DECL_TAG), 6, 0,
    )  # fmt: skip
    code = call(1, src=1) + END + call(173) + END  # bpf_get_func_ip() of a subprogram needs the context

    def ask(fd: Fd) -> int:
        records = pack("=IIII", 0, 4, 2, 6)
        return loads(KPROBE, code, prog_btf_fd=fd, func_info=records, func_info_cnt=2, func_info_rec_size=8)

    return with_made(load_btf(words, b"a\0b\0arg:ctx"), ask)


# ------------------------------------------------------------ types of programs and maps


def _program_load(word: str) -> int | None:
    from bpfsmith.facts import program_types

    row = program_types.get(word)
    return None if row is None else program_type(row.number)


# libbpf's and our choice of what a program of that type needs beyond its number: fields, errnos that mean yes, text in
# the log that means yes.
_ATTACH_AT = {18: 10, 25: 21, 30: 36, 20: 16, 32: 45, 9: 2, 21: 39}


def program_type(number: int) -> int:
    """0 or `-errno`: whether programs of that type load."""
    if number in (TRACING, LSM, EXT):
        return _attached_type(number)
    if number == STRUCT_OPS:
        # It asks for a struct_ops by its type's id, and type 1 is none.
        return answers(loads(number, attach_btf_id=1), ENOTSUPP)
    fields: dict[str, Any] = {}
    if number in _ATTACH_AT:
        fields["expected_attach_type"] = _ATTACH_AT[number]
    if number == SYSCALL:
        fields["prog_flags"] = 1 << 4
    if number == KPROBE:
        from bpfsmith import kernel

        fields["kern_version"] = kernel.live().version_code
    return loads(number, **fields)


def _attached_type(number: int) -> int:
    """Types loaded for one kernel function: the message tells whether the verifier got there."""
    attach = {TRACING: 24, LSM: 27}.get(number, 0)
    done, log = load_log(number, RETURN_0, attach_btf_id=1, expected_attach_type=attach)
    said = b"is not a function" in log or b"Cannot replace kernel functions" in log
    answer = closed(done)
    if not said and number == TRACING:
        # A policy against trampolines still leaves raw tracepoints with types, and iterators.
        fields = _loadable(number)
        if fields is not None and loads(number, **fields) == 0:
            return 0
    return 0 if said else answer or -EINVAL


def _map_type(word: str) -> int | None:
    from bpfsmith.facts import map_types

    row = map_types.get(word)
    return None if row is None else map_type(row.number)


def map_type(number: int) -> int:
    """0 or `-errno`: whether a map of that type with one entry is created."""
    key, value, entries, flags = _SHAPES.get(number, (4, 4, 1, 0))
    if number in (27, 31):
        from os import sysconf

        entries = sysconf("SC_PAGE_SIZE")
    if number == 26:
        return answers(closed(create(26, 4, 4, 1, 0, btf_vmlinux_value_type_id=1)), ENOTSUPP)
    if number in (12, 13):
        return with_made(create(HASH), lambda fd: closed(create(number, inner_map_fd=fd)))
    if number in (24, 28, 29, 32):
        return with_made(
            load_btf(int_type(1), b"int"),
            lambda fd: closed(create(number, 4, 4, 0, flags, btf_fd=fd, btf_key_type_id=1, btf_value_type_id=1)),
        )
    return closed(create(number, key, value, entries, flags))


# Map type -> (key, value, entries, flags) where they are not 4, 4, 1, 0.
_SHAPES = {
    7: (4, 8, 1, 0), 11: (8, 8, 1, 1), 19: (16, 8, 0, 0), 21: (16, 8, 0, 0), 22: (0, 4, 1, 0), 23: (0, 4, 1, 0),
    24: (4, 4, 0, 1), 28: (4, 4, 0, 1), 29: (4, 4, 0, 1), 32: (4, 4, 0, 1), 27: (0, 0, 0, 0), 31: (0, 0, 0, 0),
    30: (0, 4, 1, 0), 33: (0, 0, 1, 1 << 10), 34: (4, 16, 1, 0), 35: (4, 4, 1, 1),
}  # fmt: skip


def _helper(rest: str) -> int | None:
    """`helper:xdp:bpf_loop`."""
    from bpfsmith.facts import helpers, program_types

    kind, _, name = rest.partition(":")
    row = program_types.get(kind)
    which = helpers.by_name(name)
    return None if row is None or which is None else helper(row.number, which.number)


# Spin locks and timers: which types may use them is decided at the map that holds one.
WITH_MAP = {"bpf_spin_lock": (93, 94), "bpf_timer": (169, 170, 171, 172)}


def map_with(struct: str) -> Fd | int:
    """An array whose values are one `struct bpf_spin_lock` or `struct bpf_timer`; `-errno` where there is none such."""
    size = 4 if struct == "bpf_spin_lock" else 16
    if struct == "bpf_spin_lock":
        words = (*int_type(1), 5, kind_word(4, 1), size, 1, 1, 0)
    else:  # two words of 8 bytes
        words = (*int_type(1, 8), 5, kind_word(4, 2), size, 1, 1, 0, 1, 1, 64)
    words += (1, kind_word(4, 1), size, 1, 2, 0, *int_type(1))
    types = load_btf(words, b"int\0" + struct.encode())
    if isinstance(types, int):
        return types
    with types:
        return create(ARRAY, 4, size, 1, 0, btf_fd=types, btf_key_type_id=4, btf_value_type_id=3)


def _may_hold(kind: int, number: int, fields: dict[str, Any]) -> int:
    """Whether programs of that type may use a map that holds what the helper works on; 0 for all other helpers."""
    struct = next((struct for struct, those in WITH_MAP.items() if number in those), None)
    if struct is None:
        return 0
    return with_made(map_with(struct), lambda fd: loads(kind, ld_imm64(1, 1, fd.fileno()) + RETURN_0, **fields))


def _loadable(kind: int) -> dict[str, Any] | None:
    """What a program of that type needs besides its number to be loaded; None where it takes a target that may fail."""
    fields: dict[str, Any] = {}
    if kind in (LSM, EXT, STRUCT_OPS):
        return None
    if kind == TRACING:
        from bpfsmith import kernel

        live = kernel.live()
        # As a raw tracepoint with types: the only kind of tracing program that needs no trampoline.
        found = live.btf.find("btf_trace_sched_switch", "TYPEDEF") if live.has_btf else None
        return None if found is None else {"expected_attach_type": 23, "attach_btf_id": found}
    if kind in _ATTACH_AT:
        fields["expected_attach_type"] = _ATTACH_AT[kind]
    if kind == SYSCALL:
        fields["prog_flags"] = 1 << 4
    return fields


def can_ask_helpers(kind: int) -> bool:
    """Whether `helper` has an answer for programs of that type: an empty one loads."""
    fields = _loadable(kind)
    return fields is not None and loads(kind, **fields) == 0


def helper(kind: int, number: int) -> int:
    """0 or `-errno`: whether programs of that type may call the helper of that number.

    The call has no arguments to speak of; what counts is which of the verifier's objections comes first. Types that
    need something of the kernel to be loaded for (tracing, lsm, ext, struct_ops) cannot be asked so: -EINVAL."""
    fields = _loadable(kind)
    if fields is None or _may_hold(kind, number, fields) < 0:
        return -EINVAL
    done, log = load_log(kind, call(number) + RETURN_0, 512, **fields)
    answer = closed(done)
    if answer in (0, -EPERM):
        return answer
    refused = (
        b"invalid func ", b"unknown func ", b"program of this type cannot use helper ",
        b"helper call is not allowed in probe", b"supported only for ", b"not supported for program type ",
    )  # fmt: skip
    if any(text in log for text in refused):
        return -EINVAL
    # An old kernel without the program type says nothing at all.
    return 0 if log else answer


def _attach_type(word: str) -> int | None:
    from bpfsmith.facts import attach_types

    row = attach_types.get(word)
    return None if row is None else attach_type(row.number)


# Command -> fields that make it fail after it was recognised.
_COMMANDS: dict[str, dict[str, Any]] = {
    "BPF_PROG_TEST_RUN": {"prog_fd": -1},
    "BPF_MAP_FREEZE": {"map_fd": -1},
    "BPF_MAP_LOOKUP_AND_DELETE_ELEM": {"map_fd": -1},
    "BPF_MAP_LOOKUP_BATCH": {"map_fd": -1},
    "BPF_LINK_UPDATE": {"link_fd": -1},
    "BPF_LINK_DETACH": {"link_fd": -1},
    "BPF_PROG_BIND_MAP": {"prog_fd": -1, "map_fd": -1},
    "BPF_ITER_CREATE": {"link_fd": -1},
    "BPF_TOKEN_CREATE": {"bpffs_fd": -1},
    "BPF_PROG_STREAM_READ_BY_FD": {"prog_fd": -1, "stream_id": 1},
    "BPF_PROG_ASSOC_STRUCT_OPS": {"prog_fd": -1, "map_fd": -1},
    "BPF_TASK_FD_QUERY": {"pid": 0xFFFFFFF, "fd": 0},
    "BPF_PROG_QUERY": {"target_fd": -1},
}


def _command(name: str) -> int | None:
    fields = _COMMANDS.get(name)
    if fields is None:
        return None
    return answers(attempt(name, **fields), EBADF, 2, 3)


_STORE = insn(0x7A, 10, off=-8)  # *(u64 *)(r10 - 8) = 0
_ISA: dict[str, bytes] = {
    "v1": RETURN_0,
    "v2": ZERO + insn(0xA5, off=0, imm=1) + END,  # a comparison "less than"
    "v3": ZERO + insn(0x16, off=0) + END,  # a 32-bit comparison
    "v4": ZERO + insn(MOV64_REG, 1, 0, 8) + insn(0xD7, 1, imm=16) + insn(0x06, imm=0) + END,  # movsx, bswap, gotol
    "atomics": ZERO + _STORE + insn(0xDB, 10, 0, -8, 1) + RETURN_0,  # fetch and add
    "load_acquire": _STORE + insn(0xDB, 0, 10, -8, 0x100) + RETURN_0,
    "may_goto": insn(0xE5) + RETURN_0,
}


def _isa(name: str) -> int | None:
    code = _ISA.get(name)
    return None if code is None else loads(SOCKET_FILTER, code)


_FAMILIES: dict[str, Callable[[str], int | None]] = {
    "program_type": _program_load,
    "map_type": _map_type,
    "helper": _helper,
    "attach_type": _attach_type,
    "link_type": lambda word: LINKS[word]() if word in LINKS else None,
    "btf_kind": _btf_kind,
    "command": _command,
    "isa": _isa,
}

FEATURES: dict[str, Callable[[], int]] = {
    # What a loader degrades by, under libbpf's names.
    "prog_name": lambda: loads(SOCKET_FILTER, prog_name="bpfsmith"),
    "global_data": _global_data,
    "btf": lambda: _btf_kind("int") or 0,
    "btf_func": lambda: _btf_kind("func") or 0,
    "btf_global_func": lambda: _btf_kind("func_global") or 0,
    "btf_datasec": lambda: _btf_kind("datasec") or 0,
    "btf_qmark_datasec": lambda: _btf_kind("qmark_datasec") or 0,
    "btf_float": lambda: _btf_kind("float") or 0,
    "btf_decl_tag": lambda: _btf_kind("decl_tag") or 0,
    "btf_type_tag": lambda: _btf_kind("type_tag") or 0,
    "btf_enum64": lambda: _btf_kind("enum64") or 0,
    "array_mmap": lambda: closed(create(ARRAY, flags=1 << 10)),
    "exp_attach_type": lambda: loads(CGROUP_SOCK, expected_attach_type=2),
    "probe_read_kern": _probe_read_kernel,
    "prog_bind_map": _bind_map,
    "module_btf": _module_btf,
    "perf_link": LINKS["perf_event"],
    "bpf_cookie": lambda: loads(TRACEPOINT, call(174) + END),
    "memcg_account": _memcg,
    "ldimm64_full_range_off": _full_offset,
    "arg_ctx_tag": _arg_ctx_tag,
    "uprobe_multi_link": uprobe_multi,
    "devmap_prog": lambda: closed(create(14, 4, 8)),
    "cpumap_prog": lambda: closed(create(16, 4, 8)),
    "kprobe_multi": kprobe_multi,
    "kprobe_session": lambda: kprobe_multi(56),
    "uprobe_session": lambda: uprobe_multi(57),
    # What bpfsmith itself chooses by.
    "map_batch": _batch,
    "percpu_array_batch": _percpu_array_batch,
    "ringbuf": lambda: map_type(27),
    "user_ringbuf": lambda: map_type(31),
    "arena": lambda: map_type(33),
    "map_freeze": lambda: answers(attempt("BPF_MAP_FREEZE", map_fd=-1), EBADF),
    "rdonly_prog": lambda: closed(create(ARRAY, flags=1 << 7)),
    "inner_map_flag": lambda: closed(create(ARRAY, flags=1 << 12)),
    "token": lambda: _command("BPF_TOKEN_CREATE") or 0,
    "streams": lambda: _command("BPF_PROG_STREAM_READ_BY_FD") or 0,
    "link_detach": lambda: _command("BPF_LINK_DETACH") or 0,
    "tcx": LINKS["tcx"],
    "netkit": LINKS["netkit"],
    "xdp_link": LINKS["xdp"],
    "cgroup_link": LINKS["cgroup"],
    "netns_link": LINKS["netns"],
    "netfilter_link": LINKS["netfilter"],
    "struct_ops_link": struct_ops_link,
    "sockmap_link": LINKS["sockmap"],
    "sleepable": lambda: loads(SYSCALL, prog_flags=1 << 4),
    "xdp_frags": lambda: loads(XDP, prog_flags=1 << 5),
    "bounded_loops": _bounded_loop,
    "large_programs": _large_programs,
    "bpf2bpf": _subprogram,
    "bpf_loop": _bpf_loop,
    "isa_v2": lambda: _isa("v2") or 0,
    "isa_v3": lambda: _isa("v3") or 0,
    "isa_v4": lambda: _isa("v4") or 0,
    "atomics": lambda: _isa("atomics") or 0,
}

"""Questions about instructions, flags and maps: one small program or map each, through the door one by one."""

from __future__ import annotations

from struct import pack
from typing import Any

from asking import LOG_LEVEL, LOG_SIZE, creation, each, last_line
from probes import Unclear
from variants import SLEEPABLE, Variant

from bpfsmith import facts, kernel
from bpfsmith.kernel import probe
from bpfsmith.kernel._tiny import (
    END,
    FUNC,
    FUNC_PROTO,
    MOV64_IMM,
    MOV64_REG,
    PTR,
    RETURN_0,
    ZERO,
    attempt_fd,
    call,
    closed,
    create,
    insn,
    int_type,
    kind_word,
    ld_imm64,
    load,
    load_btf,
    with_made,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EBADF, EINVAL, EOPNOTSUPP = 9, 22, 95
SOCKET_FILTER, KPROBE, SCHED_CLS, XDP, SYSCALL = 1, 2, 3, 6, 31
STORE = insn(0x7A, 10, off=-8)  # *(u64 *)(r10 - 8) = 0


def said(kind: int, code: bytes, **fields: Any) -> tuple[int, str]:
    """(0 or `-errno`, the verifier's last line)."""
    log = bytearray(LOG_SIZE)
    done = closed(load(kind, code, log_level=LOG_LEVEL, log_size=LOG_SIZE, log_buf=log, **fields))
    return done, last_line(bytes(log).partition(b"\0")[0].decode("utf-8", "replace"))


def loads(code: bytes, kind: int = SOCKET_FILTER, **fields: Any) -> bool:
    return said(kind, code, **fields)[0] == 0


def objects_to(text: str, code: bytes, kind: int = SOCKET_FILTER, **fields: Any) -> bool:
    """Whether the verifier knows the instruction well enough to object to what it is used for."""
    return text in said(kind, code, **fields)[1]


def functions(kind: int, code: bytes, starts: tuple[int, ...], linkage: int = 0, pointer: bool = False) -> bool:
    """Loads a program with function information; each function takes nothing, or a pointer to an int."""
    words: tuple[int, ...] = (*int_type(1), 0, kind_word(PTR), 1)
    words += (0, kind_word(FUNC_PROTO, 1), 1, 3, 2) if pointer else (0, kind_word(FUNC_PROTO), 1)
    words += (3, kind_word(FUNC, 1 if linkage else 0), 3) * len(starts)

    def ask(fd: Any) -> int:
        records = b"".join(pack("=II", start, 4 + at) for at, start in enumerate(starts))
        given = {"prog_btf_fd": fd, "func_info": records, "func_info_rec_size": 8, "func_info_cnt": len(starts)}
        return closed(load(kind, code, **given))

    return with_made(load_btf(words, b"i\0f"), ask) == 0


def _tail_call() -> bool:
    def ask(fd: Any) -> int:
        code = call(1, src=1) + END + ld_imm64(2, 1, fd.fileno()) + insn(MOV64_IMM, 3) + call(12) + RETURN_0
        return 0 if functions(SCHED_CLS, code, (0, 2)) else -EINVAL

    return with_made(create(3), ask) == 0


def _callback() -> bool:
    def ask(fd: Any) -> int:
        code = (
            ld_imm64(1, 1, fd.fileno()) + ld_imm64(2, 4, 6) + insn(MOV64_IMM, 3) + insn(MOV64_IMM, 4) + call(164)
            + RETURN_0 + RETURN_0
        )  # fmt: skip
        return 0 if functions(SOCKET_FILTER, code, (0, 9)) else -EINVAL

    return with_made(create(2), ask) == 0


def _kernel_variable() -> bool | None:
    """None where the kernel's types tell of no variables."""
    btf = kernel.live().btf
    names = ("runqueues", "cpu_number", "bpf_prog_active", "cpu_info")
    found = next((i for name in names if (i := btf.find(name, "VAR"))), None)
    return None if found is None else loads(ld_imm64(1, 3, found) + RETURN_0)


def _throw() -> bool:
    found = kernel.live().btf.find("bpf_throw", "FUNC")
    return found is not None and loads(insn(MOV64_IMM, 1) + call(found, src=2) + END, SCHED_CLS)


def _cast() -> bool:
    def ask(fd: Any) -> int:
        code = ld_imm64(2, 1, fd.fileno()) + insn(MOV64_IMM, 1) + insn(MOV64_REG, 1, 1, 1, 1) + RETURN_0
        return closed(load(SCHED_CLS, code))

    return with_made(create(33, 0, 0, 1, 1 << 10, map_extra=1 << 44), ask) == 0


def _private_stack() -> bool:
    """Two functions whose stacks are more than 512 bytes together, in a program that needs no common stack."""
    deep = insn(0x7A, 10, off=-320)
    code = deep + call(2, src=1) + ZERO + END + deep + RETURN_0
    return loads(code, KPROBE, kern_version=kernel.live().version_code)


def _sleepable() -> bool:
    """As a security hook: the first that could."""
    btf = kernel.live().btf
    found = btf.find("bpf_lsm_bprm_committed_creds", "FUNC")
    return found is not None and loads(RETURN_0, 29, expected_attach_type=27, attach_btf_id=found, prog_flags=SLEEPABLE)


def _stack_argument() -> bool:
    """A store through r11, which no older kernel knows."""
    answer, line = said(SOCKET_FILTER, insn(MOV64_IMM, 1) + insn(0x7B, 11, 1, -8) + RETURN_0)
    return answer == 0 or "R11 is invalid" not in line


def _kfunc(off: int) -> bool:
    """Whether the instruction is one: type 1 of a kernel is an integer, and no function."""
    return _known(insn(0x85, src=2, off=off, imm=1) + RETURN_0)


def _known(code: bytes) -> bool:
    """Whether it is refused for more than its shape, if at all."""
    answer, line = said(SOCKET_FILTER, code)
    return answer == 0 or not (not line or "reserved fields" in line or "unknown opcode" in line)


FEATURES: dict[str, Callable[[], bool | None]] = {
    "alu32": lambda: loads(insn(0xB4) + END),
    "jlt": lambda: loads(ZERO + insn(0xA5, imm=1) + END),
    "bpf2bpf": lambda: probe.probe("bpf2bpf"),
    "jmp32": lambda: loads(ZERO + insn(0x16) + END),
    "map_value": lambda: probe.probe("global_data"),
    "large_program": lambda: probe.probe("large_programs"),
    "bounded_loop": lambda: probe.probe("bounded_loops"),
    # Verified by itself: what it is called with is of no account.
    "global_function": lambda: functions(
        SCHED_CLS, insn(MOV64_IMM, 1) + call(1, src=1) + END + RETURN_0, (0, 3), linkage=1, pointer=False
    ),
    "tail_call_bpf2bpf": _tail_call,
    "atomic_fetch": lambda: loads(ZERO + STORE + insn(0xDB, 10, 0, -8, 1) + RETURN_0),
    "atomic_xchg": lambda: loads(ZERO + STORE + insn(0xDB, 10, 0, -8, 0xE1) + RETURN_0),
    "atomic_cmpxchg": lambda: loads(ZERO + STORE + insn(MOV64_IMM, 1) + insn(0xDB, 10, 1, -8, 0xF1) + RETURN_0),
    "atomic_bitwise": lambda: loads(ZERO + STORE + insn(0xDB, 10, 0, -8, 0x50) + RETURN_0),
    "callback": _callback,
    "kfunc": lambda: _kfunc(0),
    "kfunc_module": lambda: _kfunc(1),
    "ksym": _kernel_variable,
    "map_index": lambda: objects_to("fd_array", ld_imm64(1, 5) + RETURN_0),
    "sdiv": lambda: loads(ZERO + insn(0x37, off=1, imm=1) + END),
    "movsx": lambda: loads(ZERO + insn(MOV64_REG, 0, 0, 8) + END),
    "memsx": lambda: loads(STORE + insn(0x81, 0, 10, -8) + RETURN_0),
    "bswap": lambda: loads(ZERO + insn(0xD7, imm=16) + END),
    # Whoever does not follow the 32-bit offset ends without a result.
    "gotol": lambda: loads(insn(0x06, imm=1) + END + ZERO + insn(0x15, off=-3, imm=1) + END),
    "exceptions": _throw,
    "may_goto": lambda: loads(insn(0xE5, off=1) + ZERO + RETURN_0),
    "addr_space_cast": _cast,
    "arena": lambda: probe.probe("map_type:arena"),
    "private_stack": _private_stack,
    "load_acquire": lambda: loads(STORE + insn(0xDB, 0, 10, -8, 0x100) + RETURN_0),
    "store_release": lambda: loads(ZERO + STORE + insn(0xDB, 10, 0, -8, 0x110) + RETURN_0),
    "gotox": lambda: _known(ZERO + insn(0x0D, 0) + END),
    "sleepable": _sleepable,
    "xdp_frags": lambda: probe.probe("xdp_frags"),
    "stack_args": _stack_argument,
}


def features() -> dict[str, bool | None]:
    """By the words of `facts.insn_features`; None: this kernel cannot be asked."""
    return {row.name: FEATURES[row.name]() for row in facts.insn_features.all()}


# ---------------------------------------------------------------- flags

OF_TYPE = {"BPF_F_XDP_HAS_FRAGS": XDP}


def program_flags() -> dict[str, bool]:
    out = {}
    for row in facts.flags.all("prog"):
        fields: dict[str, Any] = {"prog_flags": row.value}
        if row.name == "BPF_F_XDP_DEV_BOUND_ONLY":
            # The loopback device runs no XDP (EOPNOTSUPP): who does not know the flag says EINVAL.
            out[row.name] = said(XDP, RETURN_0, prog_ifindex=1, **fields)[0] == -EOPNOTSUPP
            continue
        if row.name == "BPF_F_SLEEPABLE":
            out[row.name] = _sleepable()
            continue
        out[row.name] = loads(RETURN_0, OF_TYPE.get(row.name, SOCKET_FILTER), **fields)
    return out


def creation_flags() -> dict[str, bool]:
    """Those of no map type in particular."""
    return {
        "BPF_F_PATH_FD": attempt_fd("BPF_OBJ_GET", pathname="none", file_flags=1 << 14, path_fd=-1) == -EBADF,
        "BPF_F_TOKEN_FD": closed(create(2, flags=1 << 16, map_token_fd=-1)) == -EBADF,
    }


def map_flags() -> dict[str, list[str]]:
    """map type -> the creation flags it takes, each with those it needs."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        inner, types = create(1), load_btf(int_type(1), b"int")
        if isinstance(inner, int) or isinstance(types, int):
            raise Unclear("neither a map nor types can be made")
        stack.enter_context(inner)
        stack.enter_context(types)
        jobs = [
            (row.name, flag.name, _map(row.number, _needed(row) | flag.value, inner, types, flag.name))
            for row in facts.map_types.all()
            for flag in facts.flags.all("map")
            if flag.name not in ("BPF_F_PATH_FD", "BPF_F_TOKEN_FD")
        ]
        answers = each([made for _, _, made in jobs])
    out: dict[str, list[str]] = {row.name: [] for row in facts.map_types.all()}
    for (word, flag, _), (answer, _) in zip(jobs, answers, strict=True):
        if answer == 0 or (flag == "BPF_F_VTYPE_BTF_OBJ_FD" and answer == -EBADF):
            out[word].append(flag)
    return out


def _needed(row: Any) -> int:
    return sum(flag.value for name in row.required if (flag := facts.flags.get(name)) is not None)


def _map(number: int, flags: int, inner: Any, types: Any, flag: str) -> Any:
    key, value, entries, _ = probe._SHAPES.get(number, (4, 4, 1, 0))
    fields: dict[str, Any] = {}
    if number in (27, 31):
        entries = kernel.live().page_size
    if number == 7 and flag == "BPF_F_STACK_BUILD_ID":
        value = 32
    if number in (12, 13):
        fields["inner_map_fd"] = inner
    if number in (24, 28, 29, 32):
        fields |= {"btf_fd": types, "btf_key_type_id": 1, "btf_value_type_id": 1}
    if number == 26:
        btf = kernel.live().btf
        found = btf.find("bpf_struct_ops_tcp_congestion_ops", "STRUCT")
        fields |= {"btf_vmlinux_value_type_id": found or 1, "btf_fd": types}
        value = btf.size_of(found) or 4 if found else 4
        if flag == "BPF_F_VTYPE_BTF_OBJ_FD":
            fields["value_type_btf_obj_fd"] = -1
    return creation(number, key, value, entries, flags, **fields)


def types(words: Sequence[Any], family: str) -> dict[str, int]:
    """word -> 0 or the errno of the refusal, as `bpfsmith.kernel.probe` asks."""
    return {row.name: probe.outcome(f"{family}:{row.name}")[1] for row in words}


__all__ = ["Variant", "creation_flags", "features", "map_flags", "program_flags", "types"]

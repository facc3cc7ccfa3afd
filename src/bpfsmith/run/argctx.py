"""`__arg_ctx` for kernels before 6.8, which know the tag only as a word: libbpf's way of making it true there.

A global function whose argument carries the tag gets, per program that calls it, a copy of its type in which that
argument points to the struct the verifier takes for that kind of program's context.
"""

from __future__ import annotations

from struct import pack, unpack_from
from sys import byteorder as _ORDER  # noqa: N812 - a constant here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bpfsmith._native import Btf

__all__ = ["TAG", "clones", "functions_of", "renumbered", "tagged"]

TAG = b"arg:ctx"

_KPROBE, _PERF_EVENT, _RAW_TP, _RAW_TP_WRITABLE = 2, 7, 17, 24
_SKB = "__sk_buff"
# Program type -> the struct its context is called by; the other types have none with a name.
_CONTEXT = {
    1: _SKB, 2: "bpf_user_pt_regs_t", 3: _SKB, 4: _SKB, 6: "xdp_md", 7: "bpf_perf_event_data", 8: _SKB, 9: "bpf_sock",
    10: _SKB, 11: _SKB, 12: _SKB, 13: "bpf_sock_ops", 14: _SKB, 15: "bpf_cgroup_dev_ctx", 16: "sk_msg_md",
    17: "bpf_raw_tracepoint_args", 18: "bpf_sock_addr", 19: _SKB, 21: "sk_reuseport_md", 22: _SKB, 23: "bpf_sysctl",
    24: "bpf_raw_tracepoint_args", 25: "bpf_sockopt", 30: "bpf_sk_lookup", 32: "bpf_nf_ctx",
}  # fmt: skip
# What `bpf_user_pt_regs_t` is on each machine.
_REGISTERS = {"x86_64": "pt_regs", "aarch64": "user_pt_regs", "s390x": "user_pt_regs", "riscv64": "user_regs_struct"}

_INT, _PTR, _STRUCT, _FUNC, _PROTO, _DECL_TAG = 1, 2, 4, 12, 13, 17
_GLOBAL = 1
# Words a record has beyond its three: (always, per element).
_TAIL = {1: (1, 0), 3: (3, 0), 4: (0, 3), 5: (0, 3), 6: (0, 2), 13: (0, 2), 14: (1, 0), 15: (0, 3), 17: (1, 0),
         19: (0, 3)}  # fmt: skip


def tagged(btf: Btf) -> list[tuple[int, int]]:
    """(FUNC, number of the argument) of every global function's argument with the tag, in the order of the tags."""
    found = []
    for number in btf.find_all(TAG.decode(), "DECL_TAG"):
        tag: dict[str, Any] = btf.type(number)
        function, at = int(tag["type"]), int(tag["component_idx"])
        if at >= 0 and btf.kind(function) == "FUNC" and btf.type(function)["linkage"] == "global":
            found.append((function, at))
    return found


def clones(
    btf: Btf, data: bytes, programs: Sequence[tuple[str, int, Sequence[int]]], arch: str, tags: bool
) -> tuple[bytes, list[dict[int, int]]]:
    """(types with the copies at their end, per program: FUNC -> its copy).

    btf: the object's own types. data: the same as a kernel is given them (ids agree). programs: (name, program type,
    FUNCs of its `func_info`). tags: whether the kernel knows declaration tags."""
    wanted = tagged(btf)
    draft = _Draft(data)
    maps = []
    for _, kind, functions in programs:
        context = _CONTEXT.get(kind)
        made: dict[int, int] = {}
        pointer = 0
        for function, at in wanted if context else ():
            proto: dict[str, Any] = btf.type(int(btf.type(function)["type"]))  # type: ignore[call-overload]
            parameters = proto.get("params", [])
            if function not in functions or at >= len(parameters):
                continue
            if not _differs(btf, int(parameters[at]["type"]), kind, context or "", arch):
                continue
            if function not in made:
                made[function] = draft.copy(function)
            if not pointer:
                pointer = draft.add((draft.string((context or "").encode()), _STRUCT << 24, 0))
                pointer = draft.add((0, _PTR << 24, pointer))
            name = draft.string(TAG)
            draft.add((name, _DECL_TAG << 24, made[function], at) if tags else (name, _INT << 24, 1, 8))
            draft.set_parameter(made[function], at, pointer)
        maps.append(made)
    return draft.finish(), maps


def functions_of(records: bytes) -> list[int]:
    """The FUNCs that `func_info` names."""
    return [int.from_bytes(records[at + 4 : at + 8], _ORDER) for at in range(0, len(records), 8)]


def renumbered(records: bytes, copies: dict[int, int]) -> bytes:
    """`func_info` that names the copies."""
    out = bytearray(records)
    for at, function in enumerate(functions_of(records)):
        out[8 * at + 4 : 8 * at + 8] = copies.get(function, function).to_bytes(4, _ORDER)
    return bytes(out)


def _differs(btf: Btf, parameter: int, kind: int, context: str, arch: str) -> bool:
    """Whether the argument needs another type; what is neither the context nor may stand for it stays as it is."""
    number = btf.resolve(parameter)
    if btf.kind(number) != "PTR":
        return False
    number = int(btf.type(number)["type"])  # type: ignore[call-overload]
    number = btf.resolve(number) if number else 0
    if not number:
        return True
    told: dict[str, Any] = btf.type(number)
    if told["kind"] == "STRUCT":
        if told.get("name") == context:
            return False
        if kind == _KPROBE:
            return bool(told.get("name") == "pt_regs")
        return kind == _PERF_EVENT and told.get("name") == _REGISTERS.get(arch)
    return told["kind"] == "INT" and told.get("size") == 8 and kind in (_RAW_TP, _RAW_TP_WRITABLE)


class _Draft:
    """Raw types that grow at their end."""

    def __init__(self, data: bytes) -> None:
        self._mark = "<" if _ORDER == "little" else ">"
        length, types, types_size, strings, strings_size = unpack_from(f"{self._mark}5I", data, 4)
        self._head = data[:4]
        start = length + types
        self._types = bytearray(data[start : start + types_size])
        start = length + strings
        self._strings = bytearray(data[start : start + strings_size])
        self._known: dict[bytes, int] = {}
        self._places = [0]
        at = 0
        while at + 12 <= len(self._types):
            self._places.append(at)
            info = unpack_from(f"{self._mark}I", self._types, at + 4)[0]
            always, each = _TAIL.get(info >> 24 & 0x7F, (0, 0))
            at += 12 + 4 * (always + each * (info & 0xFFFFFF))

    def string(self, text: bytes) -> int:
        at = self._known.get(text)
        if at is None:
            at = self._known[text] = len(self._strings)
            self._strings += text + b"\0"
        return at

    def add(self, words: Sequence[int]) -> int:
        self._places.append(len(self._types))
        self._types += pack(f"{self._mark}{len(words)}I", *words)
        return len(self._places) - 1

    def copy(self, function: int) -> int:
        """A FUNC and its prototype once more; answers the FUNC."""
        name, info, proto = unpack_from(f"{self._mark}3I", self._types, self._places[function])
        start = self._places[proto]
        count = unpack_from(f"{self._mark}I", self._types, start + 4)[0] & 0xFFFFFF
        words = unpack_from(f"{self._mark}{3 + 2 * count}I", self._types, start)
        # A hidden function counts as static, but for its copies libbpf leaves that out.
        return self.add((name, info & ~0xFFFF | _GLOBAL, self.add(words)))

    def set_parameter(self, function: int, at: int, number: int) -> None:
        proto = unpack_from(f"{self._mark}I", self._types, self._places[function] + 8)[0]
        place = self._places[proto] + 12 + 8 * at + 4
        self._types[place : place + 4] = number.to_bytes(4, _ORDER)

    def finish(self) -> bytes:
        types, strings = len(self._types), len(self._strings)
        return self._head + pack(f"{self._mark}5I", 24, 0, types, types, strings) + self._types + self._strings

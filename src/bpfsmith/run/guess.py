"""The type of a stream's records where its map declares none: from the size its programs write, when one type fits.

What a program reserves or outputs has a size the instructions tell; when exactly one named struct of the object has
that size, it is taken, and said so. A wrong guess is worse than bytes: where two fit, none is taken.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Btf
    from bpfsmith.run.loaded import Loaded

__all__ = ["record_type", "sizes_written"]

# Helper -> (argument that is the map, argument that is the size): bpf_perf_event_output, bpf_skb_output,
# bpf_xdp_output, bpf_ringbuf_output, bpf_ringbuf_reserve, bpf_ringbuf_reserve_dynptr.
_WRITERS = {25: (1, 4), 111: (1, 4), 121: (1, 4), 130: (0, 2), 131: (0, 1), 198: (0, 1)}
# Structs of the kernel's own interface, which every object has that takes one as its context.
_CONTEXTS = {
    "__sk_buff", "bpf_cgroup_dev_ctx", "bpf_iter_meta", "bpf_perf_event_data", "bpf_raw_tracepoint_args",
    "bpf_sk_lookup", "bpf_sock", "bpf_sock_addr", "bpf_sock_ops", "bpf_sockopt", "bpf_sysctl", "bpf_user_pt_regs_t",
    "pt_regs", "sk_msg_md", "sk_reuseport_md", "trace_event_raw_sys_enter", "trace_event_raw_sys_exit",
    "trace_entry", "xdp_md",
}  # fmt: skip


def record_type(loaded: Loaded, name: str) -> tuple[Any, str]:
    """(type of the records of map `name`, a sentence that says how it was found); (None, "") when it declares one, and
    (None, sentence) when nothing fits: then records are bytes."""
    spec = loaded.maps[name].spec
    btf = spec.btf
    if btf is None or (spec.value_type and spec.type != "perf_event_array"):
        return None, ""
    if spec.value_type and (btf.kind(btf.resolve(spec.value_type)) in ("STRUCT", "UNION")):
        return None, ""  # Aya's PerfEventArray<T>
    sizes = sizes_written(loaded, name)
    if not sizes:
        return (bytes, "") if spec.value_type else (None, "")
    hint = f"`--record {name}=TYPE` says what its records are"
    found: dict[int, int] = {}
    for size in sorted(sizes):
        fitting = _structs(btf, size, _relocated(loaded))
        if len(fitting) != 1:
            names = ", ".join(f"`{btf.name(one)}`" for one in fitting[:6]) or "none"
            note = f"records of `{name}` are shown as bytes: of {size} bytes the object has {names}; {hint}"
            return bytes, note
        found[size] = fitting[0]
    shown = " or ".join(f"`struct {btf.name(one)}`" for one in found.values())
    note = f"records of `{name}` are read as {shown}, by their size; {hint}"
    if len(found) == 1:
        return next(iter(found.values())), note
    return None, f"records of `{name}` have {len(found)} sizes and are shown as bytes; {hint}"


def sizes_written(loaded: Loaded, name: str) -> set[int]:
    """The sizes its programs write to map `name`; empty when one of them is not known."""
    word = f"map:{name}"
    sizes: set[int] = set()
    for program in loaded.programs.values():
        for _, helper, args in program.spec.native.call_args():
            where = _WRITERS.get(helper)
            if where is None or len(args) <= max(where) or args[where[0]] != word:
                continue
            size = args[where[1]]
            if not isinstance(size, int):
                return set()
            sizes.add(size)
    return sizes


def _structs(btf: Btf, size: int, without: set[str]) -> list[int]:
    """Named structs of that size; of several with one name the first."""
    found: dict[str, int] = {}
    for number in range(btf.first_id, len(btf)):
        if btf.kind(number) == "STRUCT" and btf.size_of(number) == size:
            name = btf.name(number)
            if name and name not in _CONTEXTS and name not in without:
                found.setdefault(name, number)
    return list(found.values())


def _relocated(loaded: Loaded) -> set[str]:
    """Names of structs of the kernel the programs look into (CO-RE)."""
    names = set()
    for program in loaded.programs.values():
        if program.spec.native.core_relocations:
            names |= {str(row["type"]) for row in program.spec.native.core(())}
    return names

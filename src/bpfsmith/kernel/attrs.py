"""`union bpf_attr`: where each field of each command lies.

Numbers and offsets are part of the kernel's stable interface (`include/uapi/linux/bpf.h`, Linux 7.0); a test compares
them with what a C compiler says. Fields of nested structures carry their prefix (`uprobe_multi.path` is
`uprobe_multi_path`), except where the structure is the whole command (`batch`, `test`, `info`, `query` ...).
"""

from __future__ import annotations

from sys import byteorder as _ORDER  # noqa: N812 - a constant here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["COMMANDS", "NUMBERS", "Fields", "decode", "encode", "fields_of", "name_of", "offset", "output", "size_of"]

# Field -> (offset, size) in bytes. Size 16 is a name, stored in place; a buffer or text for a field of 8 is a pointer.
Fields = dict[str, tuple[int, int]]

# fmt: off
_ELEM: Fields = {
    "map_fd": (0, 4), "key": (8, 8), "value": (16, 8), "flags": (24, 8),
}
_NEXT: Fields = {
    "map_fd": (0, 4), "key": (8, 8), "next_key": (16, 8),
}
_BATCH: Fields = {
    "in_batch": (0, 8), "out_batch": (8, 8), "keys": (16, 8), "values": (24, 8), "count": (32, 4), "map_fd": (36, 4),
    "elem_flags": (40, 8), "flags": (48, 8),
}
_OBJ: Fields = {
    "pathname": (0, 8), "bpf_fd": (8, 4), "file_flags": (12, 4), "path_fd": (16, 4),
}
_ATTACH: Fields = {
    "target_fd": (0, 4), "target_ifindex": (0, 4), "attach_bpf_fd": (4, 4), "attach_type": (8, 4),
    "attach_flags": (12, 4), "replace_bpf_fd": (16, 4), "relative_fd": (20, 4), "relative_id": (20, 4),
    "expected_revision": (24, 8),
}
_TEST: Fields = {
    "prog_fd": (0, 4), "retval": (4, 4), "data_size_in": (8, 4), "data_size_out": (12, 4), "data_in": (16, 8),
    "data_out": (24, 8), "repeat": (32, 4), "duration": (36, 4), "ctx_size_in": (40, 4), "ctx_size_out": (44, 4),
    "ctx_in": (48, 8), "ctx_out": (56, 8), "flags": (64, 4), "cpu": (68, 4), "batch_size": (72, 4),
}
_ID: Fields = {
    "start_id": (0, 4), "next_id": (4, 4), "open_flags": (8, 4),
}
_FDID: Fields = {
    "prog_id": (0, 4), "map_id": (0, 4), "btf_id": (0, 4), "link_id": (0, 4), "open_flags": (8, 4),
    "fd_by_id_token_fd": (12, 4),
}
_INFO: Fields = {
    "bpf_fd": (0, 4), "info_len": (4, 4), "info": (8, 8),
}
_QUERY: Fields = {
    "target_fd": (0, 4), "target_ifindex": (0, 4), "attach_type": (4, 4), "query_flags": (8, 4),
    "attach_flags": (12, 4), "prog_ids": (16, 8), "prog_cnt": (24, 4), "count": (24, 4), "prog_attach_flags": (32, 8),
    "link_ids": (40, 8), "link_attach_flags": (48, 8), "revision": (56, 8),
}
_RAWTP: Fields = {
    "name": (0, 8), "prog_fd": (8, 4), "cookie": (16, 8),
}
_BTF: Fields = {
    "btf": (0, 8), "btf_log_buf": (8, 8), "btf_size": (16, 4), "btf_log_size": (20, 4), "btf_log_level": (24, 4),
    "btf_log_true_size": (28, 4), "btf_flags": (32, 4), "btf_token_fd": (36, 4),
}
_TASK: Fields = {
    "pid": (0, 4), "fd": (4, 4), "flags": (8, 4), "buf_len": (12, 4), "buf": (16, 8), "prog_id": (24, 4),
    "fd_type": (28, 4), "probe_offset": (32, 8), "probe_addr": (40, 8),
}
_LINK: Fields = {
    "prog_fd": (0, 4), "map_fd": (0, 4), "target_fd": (4, 4), "target_ifindex": (4, 4), "attach_type": (8, 4),
    "flags": (12, 4), "target_btf_id": (16, 4), "iter_info": (16, 8), "iter_info_len": (24, 4),
    "perf_event_bpf_cookie": (16, 8), "kprobe_multi_flags": (16, 4), "kprobe_multi_cnt": (20, 4),
    "kprobe_multi_syms": (24, 8), "kprobe_multi_addrs": (32, 8), "kprobe_multi_cookies": (40, 8),
    "tracing_target_btf_id": (16, 4), "tracing_cookie": (24, 8), "netfilter_pf": (16, 4),
    "netfilter_hooknum": (20, 4), "netfilter_priority": (24, 4), "netfilter_flags": (28, 4),
    "tcx_relative_fd": (16, 4), "tcx_relative_id": (16, 4), "tcx_expected_revision": (24, 8),
    "uprobe_multi_path": (16, 8), "uprobe_multi_offsets": (24, 8), "uprobe_multi_ref_ctr_offsets": (32, 8),
    "uprobe_multi_cookies": (40, 8), "uprobe_multi_cnt": (48, 4), "uprobe_multi_flags": (52, 4),
    "uprobe_multi_pid": (56, 4), "netkit_relative_fd": (16, 4), "netkit_relative_id": (16, 4),
    "netkit_expected_revision": (24, 8), "cgroup_relative_fd": (16, 4), "cgroup_relative_id": (16, 4),
    "cgroup_expected_revision": (24, 8), "tracing_multi_ids": (16, 8), "tracing_multi_cookies": (24, 8),
    "tracing_multi_cnt": (32, 4),
}
_UPDATE: Fields = {
    "link_fd": (0, 4), "new_prog_fd": (4, 4), "new_map_fd": (4, 4), "flags": (8, 4), "old_prog_fd": (12, 4),
    "old_map_fd": (12, 4),
}
_DETACH: Fields = {
    "link_fd": (0, 4),
}
_STATS: Fields = {
    "type": (0, 4),
}
_ITER: Fields = {
    "link_fd": (0, 4), "flags": (4, 4),
}
_BIND: Fields = {
    "prog_fd": (0, 4), "map_fd": (4, 4), "flags": (8, 4),
}
_TOKEN: Fields = {
    "flags": (0, 4), "bpffs_fd": (4, 4),
}
_STREAM: Fields = {
    "stream_buf": (0, 8), "stream_buf_len": (8, 4), "stream_id": (12, 4), "prog_fd": (16, 4),
}
_ASSOC: Fields = {
    "map_fd": (0, 4), "prog_fd": (4, 4), "flags": (8, 4),
}
_MAP_CREATE: Fields = {
    "map_type": (0, 4), "key_size": (4, 4), "value_size": (8, 4), "max_entries": (12, 4), "map_flags": (16, 4),
    "inner_map_fd": (20, 4), "numa_node": (24, 4), "map_name": (28, 16), "map_ifindex": (44, 4), "btf_fd": (48, 4),
    "btf_key_type_id": (52, 4), "btf_value_type_id": (56, 4), "btf_vmlinux_value_type_id": (60, 4),
    "map_extra": (64, 8), "value_type_btf_obj_fd": (72, 4), "map_token_fd": (76, 4), "excl_prog_hash": (80, 8),
    "excl_prog_hash_size": (88, 4),
}
_PROG_LOAD: Fields = {
    "prog_type": (0, 4), "insn_cnt": (4, 4), "insns": (8, 8), "license": (16, 8), "log_level": (24, 4),
    "log_size": (28, 4), "log_buf": (32, 8), "kern_version": (40, 4), "prog_flags": (44, 4), "prog_name": (48, 16),
    "prog_ifindex": (64, 4), "expected_attach_type": (68, 4), "prog_btf_fd": (72, 4), "func_info_rec_size": (76, 4),
    "func_info": (80, 8), "func_info_cnt": (88, 4), "line_info_rec_size": (92, 4), "line_info": (96, 8),
    "line_info_cnt": (104, 4), "attach_btf_id": (108, 4), "attach_prog_fd": (112, 4), "attach_btf_obj_fd": (112, 4),
    "core_relo_cnt": (116, 4), "fd_array": (120, 8), "core_relos": (128, 8), "core_relo_rec_size": (136, 4),
    "log_true_size": (140, 4), "prog_token_fd": (144, 4), "fd_array_cnt": (148, 4), "signature": (152, 8),
    "signature_size": (160, 4), "keyring_id": (164, 4),
}

# In the order of `enum bpf_cmd`: the position is the number.
COMMANDS: tuple[tuple[str, Fields], ...] = (
    ("BPF_MAP_CREATE", _MAP_CREATE),
    ("BPF_MAP_LOOKUP_ELEM", _ELEM),
    ("BPF_MAP_UPDATE_ELEM", _ELEM),
    ("BPF_MAP_DELETE_ELEM", _ELEM),
    ("BPF_MAP_GET_NEXT_KEY", _NEXT),
    ("BPF_PROG_LOAD", _PROG_LOAD),
    ("BPF_OBJ_PIN", _OBJ),
    ("BPF_OBJ_GET", _OBJ),
    ("BPF_PROG_ATTACH", _ATTACH),
    ("BPF_PROG_DETACH", _ATTACH),
    ("BPF_PROG_TEST_RUN", _TEST),
    ("BPF_PROG_GET_NEXT_ID", _ID),
    ("BPF_MAP_GET_NEXT_ID", _ID),
    ("BPF_PROG_GET_FD_BY_ID", _FDID),
    ("BPF_MAP_GET_FD_BY_ID", _FDID),
    ("BPF_OBJ_GET_INFO_BY_FD", _INFO),
    ("BPF_PROG_QUERY", _QUERY),
    ("BPF_RAW_TRACEPOINT_OPEN", _RAWTP),
    ("BPF_BTF_LOAD", _BTF),
    ("BPF_BTF_GET_FD_BY_ID", _FDID),
    ("BPF_TASK_FD_QUERY", _TASK),
    ("BPF_MAP_LOOKUP_AND_DELETE_ELEM", _ELEM),
    ("BPF_MAP_FREEZE", _ELEM),
    ("BPF_BTF_GET_NEXT_ID", _ID),
    ("BPF_MAP_LOOKUP_BATCH", _BATCH),
    ("BPF_MAP_LOOKUP_AND_DELETE_BATCH", _BATCH),
    ("BPF_MAP_UPDATE_BATCH", _BATCH),
    ("BPF_MAP_DELETE_BATCH", _BATCH),
    ("BPF_LINK_CREATE", _LINK),
    ("BPF_LINK_UPDATE", _UPDATE),
    ("BPF_LINK_GET_FD_BY_ID", _FDID),
    ("BPF_LINK_GET_NEXT_ID", _ID),
    ("BPF_ENABLE_STATS", _STATS),
    ("BPF_ITER_CREATE", _ITER),
    ("BPF_LINK_DETACH", _DETACH),
    ("BPF_PROG_BIND_MAP", _BIND),
    ("BPF_TOKEN_CREATE", _TOKEN),
    ("BPF_PROG_STREAM_READ_BY_FD", _STREAM),
    ("BPF_PROG_ASSOC_STRUCT_OPS", _ASSOC),
)
# fmt: on

NUMBERS: dict[str, int] = {command: number for number, (command, _) in enumerate(COMMANDS)}
NUMBERS["BPF_PROG_RUN"] = NUMBERS["BPF_PROG_TEST_RUN"]

# A kernel takes a longer attr than it knows when the rest is zero, and answers only in what was passed: so the whole.
_SIZES = tuple(max(at + size for at, size in fields.values()) for _, fields in COMMANDS)


def name_of(number: int) -> str:
    """`BPF_MAP_CREATE` of 0; `bpf command 99` of an unknown one."""
    return COMMANDS[number][0] if 0 <= number < len(COMMANDS) else f"bpf command {number}"


def fields_of(command: str) -> Fields:
    """The fields of a command: name -> (offset, size)."""
    return COMMANDS[NUMBERS[command]][1]


def offset(command: str, field: str) -> int:
    """Byte offset of a field in the command's attr."""
    return COMMANDS[NUMBERS[command]][1][field][0]


def size_of(command: str) -> int:
    """Bytes of the command's attr, up to the end of its last field."""
    return _SIZES[NUMBERS[command]]


def encode(command: str, **values: Any) -> tuple[int, bytearray, list[tuple[int, Any]]]:
    """(number, attr, buffers) as `Door.bpf` takes them.

    Values: an int, something with `fileno()`, text (names are cut to 15 bytes, pointers get their NUL), a buffer for a
    pointer, or None for zero. `ValueError` names a field the command does not have or a number that does not fit.
    """
    number = NUMBERS[command]
    fields = COMMANDS[number][1]
    attr = bytearray(_SIZES[number])
    buffers: list[tuple[int, Any]] = []
    for field, given in values.items():
        value = given
        place = fields.get(field)
        if place is None:
            raise ValueError(f"`{command}` has no field `{field}`")
        at, size = place
        if value.__class__ is not int:
            if value is None:
                continue
            if size == 16:
                text = value.encode("utf-8", "replace") if isinstance(value, str) else bytes(value)
                text = text[:15]
                attr[at : at + len(text)] = text
                continue
            fileno = getattr(value, "fileno", None)
            if fileno is not None:
                value = fileno()
            elif isinstance(value, int):
                value = int(value)
            elif size != 8:
                raise ValueError(f"`{field}` of `{command}` is a number, not {type(value).__name__}")
            else:
                buffers.append((at, value.encode() + b"\0" if isinstance(value, str) else value))
                continue
        bits = size * 8
        if not -(1 << (bits - 1)) <= value < 1 << bits:
            raise ValueError(f"`{field}` of `{command}` has {bits} bits: {value} does not fit")
        attr[at : at + size] = (value & ((1 << bits) - 1)).to_bytes(size, _ORDER)
    return number, attr, buffers


def output(command: str, attr: bytearray | bytes, field: str) -> int:
    """What the kernel wrote into a field: unsigned."""
    at, size = COMMANDS[NUMBERS[command]][1][field]
    return int.from_bytes(attr[at : at + size], _ORDER)


def decode(number: int, attr: bytes | bytearray, buffers: Any = ()) -> dict[str, Any]:
    """The fields that are not zero, by name; of those that share a place the first. For fakes, plans, messages."""
    given = dict(buffers)
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for field, (at, size) in COMMANDS[number][1].items() if number < len(COMMANDS) else ():
        if at in seen or at >= len(attr):
            continue
        value: Any = given.get(at)
        if value is None:
            raw = bytes(attr[at : at + size])
            if not any(raw):
                continue
            value = raw.rstrip(b"\0").decode("utf-8", "replace") if size == 16 else int.from_bytes(raw, _ORDER)
        seen.add(at)
        found[field] = value
    return found

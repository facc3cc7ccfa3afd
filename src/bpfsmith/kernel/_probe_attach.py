"""Questions of `probe` about attaching: links and attach types, by commands that cannot succeed."""

from __future__ import annotations

from ._tiny import answers, attempt, attempt_fd, closed, create, load, loads, with_made

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith._native import Fd

__all__ = ["LINKS", "attach_type", "kprobe_multi", "struct_ops_link", "uprobe_multi"]

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


def _link(kind: int, attach: int, *wanted: int, load_as: int = 0, **fields: Any) -> int:
    """Creates a link with an impossible target: yes when the kernel complains about the target."""
    return with_made(
        load(kind, expected_attach_type=load_as or attach),
        lambda fd: answers(attempt_fd("BPF_LINK_CREATE", prog_fd=fd, attach_type=attach, **fields), *wanted),
    )


def uprobe_multi(attach: int = 48) -> int:
    # EBADF: "/" holds no code. A process number of -1 is refused first where process filtering is right.
    place: dict[str, Any] = {"uprobe_multi_path": "/", "uprobe_multi_offsets": bytes(8), "uprobe_multi_cnt": 1}
    has = _link(KPROBE, attach, EBADF, **place)
    if has < 0:
        return has
    return _link(KPROBE, attach, EINVAL, uprobe_multi_pid=0xFFFFFFFF, **place)


def kprobe_multi(attach: int = 42) -> int:
    """ESRCH: it looked for the function. EOPNOTSUPP: built without fprobe."""
    from bpfsmith import kernel

    from .attrs import encode

    def ask(fd: Fd) -> int:
        names = kernel.door().pointers([b"bpfsmith_no_such_function"])
        given = encode("BPF_LINK_CREATE", prog_fd=fd, attach_type=attach, kprobe_multi_cnt=1, kprobe_multi_syms=names)
        return answers(closed(kernel.door().bpf_fd(*given)), 3, 2)

    return with_made(load(KPROBE, expected_attach_type=attach), ask)


def _xdp_link() -> int:
    # The loopback device has no driver that could run XDP (EOPNOTSUPP); a device that does not exist is EINVAL here.
    return _link(XDP, 37, 95, target_ifindex=1, flags=1 << 2)


def struct_ops_link() -> int:
    # BPF_F_LINK is refused before the type is looked for where it is not known.
    return answers(closed(create(26, 4, 4, 1, 1 << 13, btf_vmlinux_value_type_id=1)), ENOTSUPP)


# Attach types of BPF_PROG_ATTACH: an impossible program is looked at after the attach type was understood.
_PLAIN = frozenset({*range(16), *range(17, 23), *range(29, 33), 34, 38, *range(49, 54)})


def attach_type(number: int) -> int:
    """0 or `-errno`: whether something can be attached so, by a command that cannot succeed."""
    if number in _PLAIN:
        return answers(attempt("BPF_PROG_ATTACH", target_fd=-1, attach_bpf_fd=-1, attach_type=number), EBADF)
    special = _SPECIAL.get(number)
    return special() if special else -EINVAL


def _tracing(attach: int, name: str, kind: int = TRACING, prefix: str = "") -> int:
    """Loads an empty program for a function of the kernel by its BTF id."""
    from bpfsmith import kernel
    from bpfsmith.model.errors import EnvironmentMissing

    try:
        found = kernel.live().btf.find(prefix + name, "TYPEDEF" if prefix == "btf_trace_" else "FUNC")
    except EnvironmentMissing:
        return -95
    if found is None:
        return -2
    return loads(kind, expected_attach_type=attach, attach_btf_id=found)


def _checked(kind: int, attach: int) -> int:
    """A type whose attach type older kernels did not look at: then it is none."""
    return -EINVAL if loads(kind, expected_attach_type=0xFF) == 0 else loads(kind, expected_attach_type=attach)


def _lirc() -> int:
    return loads(20, expected_attach_type=16)


def _netfilter() -> int:
    return _link(NETFILTER, 45, 97, EINVAL, 93, target_fd=0, netfilter_pf=255)


_SPECIAL: dict[int, Callable[[], int]] = {
    16: _lirc,
    23: lambda: _tracing(23, "sched_switch", prefix="btf_trace_"),
    24: lambda: _tracing(24, "vfs_read"),
    25: lambda: _tracing(25, "vfs_read"),
    26: lambda: _tracing(26, "security_file_open"),
    27: lambda: _tracing(27, "file_open", LSM, "bpf_lsm_"),
    28: lambda: _tracing(28, "task", prefix="bpf_iter_"),
    33: lambda: loads(XDP, expected_attach_type=33),
    35: lambda: loads(XDP, expected_attach_type=35),
    36: lambda: _link(30, 36, EBADF, target_fd=-1),
    37: _xdp_link,
    39: lambda: _checked(21, 39),
    40: lambda: _checked(21, 40),
    41: lambda: _link(TRACEPOINT, 41, EBADF, target_fd=-1),
    42: kprobe_multi,
    43: lambda: _tracing(43, "socket_bind", LSM, "bpf_lsm_"),
    44: struct_ops_link,
    45: _netfilter,
    46: lambda: _link(SCHED_CLS, 46, ENODEV, target_ifindex=0x7FFFFFFF),
    47: lambda: _link(SCHED_CLS, 47, ENODEV, target_ifindex=0x7FFFFFFF),
    48: uprobe_multi,
    54: lambda: _link(SCHED_CLS, 54, ENODEV, target_ifindex=0x7FFFFFFF),
    55: lambda: _link(SCHED_CLS, 55, ENODEV, target_ifindex=0x7FFFFFFF),
    56: lambda: kprobe_multi(56),
    57: lambda: uprobe_multi(57),
    58: lambda: _tracing(58, "vfs_read"),
    # Of several functions: none is named when the program is loaded.
    59: lambda: loads(TRACING, expected_attach_type=59),
    60: lambda: loads(TRACING, expected_attach_type=60),
    61: lambda: loads(TRACING, expected_attach_type=61),
}

LINKS: dict[str, Callable[[], int]] = {
    "raw_tracepoint": lambda: answers(attempt_fd("BPF_RAW_TRACEPOINT_OPEN", prog_fd=-1), EBADF),
    "tracing": lambda: _tracing(24, "vfs_read"),
    "cgroup": lambda: _link(CGROUP_SKB, 0, EBADF, target_fd=-1),
    "iter": lambda: answers(attempt_fd("BPF_ITER_CREATE", link_fd=-1), EBADF),
    "netns": lambda: _link(FLOW_DISSECTOR, 17, EBADF, EINVAL, target_fd=-1),
    "xdp": _xdp_link,
    "perf_event": lambda: _link(TRACEPOINT, 41, EBADF, target_fd=-1),
    "kprobe_multi": kprobe_multi,
    "struct_ops": struct_ops_link,
    "netfilter": _netfilter,
    "tcx": lambda: _link(SCHED_CLS, 46, ENODEV, target_ifindex=0x7FFFFFFF),
    "uprobe_multi": uprobe_multi,
    "netkit": lambda: _link(SCHED_CLS, 54, ENODEV, target_ifindex=0x7FFFFFFF),
    "sockmap": lambda: _link(SK_MSG, 7, EBADF, target_fd=-1),
}

"""The programs questions are asked of: every program type, as each of its attach types, sleeping or not.

What a type may do depends on more than its number: on the attach type (`cgroup_sock_addr`), on the flag that lets it
sleep, on the kernel function or table it is made for (`lsm`, `tracing`, `struct_ops`)."""

from __future__ import annotations

from typing import Any

from asking import each, last_line, program, returning

from bpfsmith import kernel
from bpfsmith.facts import attach_types, program_types

SLEEPABLE = 1 << 4
# Return values an empty program is tried with, in this order.
RETURNS = (0, 1, 2)
# Types whose attach type is given when they are loaded; others are told it when they are attached.
DECLARED = {
    "cgroup_skb", "cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt", "sk_lookup", "sk_reuseport", "netfilter", "xdp",
    "kprobe", "sk_skb", "sched_cls", "cgroup_sysctl", "cgroup_device", "sock_ops", "sk_msg", "lirc_mode2",
    "flow_dissector",
}  # fmt: skip
# Tracing programs: attach type -> the function (or typedef) of the kernel they are loaded for: one that all kernels
# have, and that is on the list of those where paths may be asked for (`bpf_d_path`).
TRACED = {
    "trace_raw_tp": ("btf_trace_sched_switch", "TYPEDEF"),
    "trace_fentry": ("vfs_getattr", "FUNC"),
    "trace_fexit": ("vfs_getattr", "FUNC"),
    "modify_return": ("security_file_open", "FUNC"),
    "trace_fsession": ("vfs_getattr", "FUNC"),
}
ITERATORS = ("task", "task_file", "tcp", "unix", "bpf_map_elem", "cgroup", "task_vma", "sockmap", "bpf_sk_storage_map")
HOOKS = ("file_open", "bprm_committed_creds", "socket_bind", "task_free", "inode_free_security")
CGROUP_HOOKS = ("socket_bind", "socket_post_create", "sk_alloc_security", "sk_clone_security", "inet_conn_request")
# Operations tables: the members asked of, `.s` = also as a sleeping program.
TABLES = {
    "tcp_congestion_ops": ("init", "release", "ssthresh", "cong_avoid", "cong_control", "min_tso_segs"),
    "sched_ext_ops": (
        "select_cpu", "enqueue", "dispatch", "running", "init.s", "exit.s", "init_task.s", "cpu_release",
        "cgroup_init.s",
    ),
    "hid_bpf_ops": ("hid_device_event", "hid_rdesc_fixup.s", "hid_hw_request.s"),
    "Qdisc_ops": ("init", "reset", "destroy"),
    "bpf_dummy_ops": ("test_1", "test_2", "test_sleepable.s"),
    "smc_hs_ctrl": ("syn_option", "synack_option"),
}  # fmt: skip


class Variant:
    """One way to load a program. `word`: the program type; `attach`: the attach type's word or ""; `target`: what of
    the kernel it is for; `result`: what an empty one returns (None: it does not load, and `why` says so)."""

    __slots__ = ("attach", "fields", "number", "result", "sleepable", "target", "why", "word")

    def __init__(self, word: str, attach: str = "", target: str = "", sleepable: bool = False, **fields: Any) -> None:
        row = program_types.get(word)
        assert row is not None
        self.word = word
        self.number = row.number
        self.attach = attach
        self.target = target
        self.sleepable = sleepable
        self.fields = fields
        if sleepable:
            self.fields["prog_flags"] = SLEEPABLE
        self.result: int | None = None
        self.why = ""

    @property
    def name(self) -> str:
        text = self.word + (f" {self.attach}" if self.attach else "") + (f" {self.target}" if self.target else "")
        return text + (" sleepable" if self.sleepable else "")

    def load(self, code: bytes, licence: str = "GPL", **fields: Any) -> Any:
        return program(self.number, code, licence, **self.fields, **fields)

    def __repr__(self) -> str:
        return f"<Variant {self.name}>"


def _found(name: str, kind: str) -> int | None:
    return kernel.live().btf.find(name, kind)


def _typed(word: str, attach: str, target: str, found: int | None, sleepable: bool = False) -> list[Variant]:
    row = attach_types.get(attach)
    if found is None or row is None:
        return []
    return [Variant(word, attach, target, sleepable, expected_attach_type=row.number, attach_btf_id=found)]


def _tracing() -> list[Variant]:
    out: list[Variant] = []
    for attach, (name, kind) in TRACED.items():
        for sleepable in (False, True):
            out += _typed("tracing", attach, "", _found(name, kind), sleepable)
    for target in ITERATORS:
        for sleepable in (False, True):
            out += _typed("tracing", "trace_iter", target, _found(f"bpf_iter_{target}", "FUNC"), sleepable)
    return out


def _lsm() -> list[Variant]:
    out: list[Variant] = []
    for hook in HOOKS:
        for sleepable in (False, True):
            out += _typed("lsm", "lsm_mac", hook, _found(f"bpf_lsm_{hook}", "FUNC"), sleepable)
    for hook in CGROUP_HOOKS:
        out += _typed("lsm", "lsm_cgroup", hook, _found(f"bpf_lsm_{hook}", "FUNC"))
    return out


def _tables() -> list[Variant]:
    out: list[Variant] = []
    btf = kernel.live().btf
    for table, members in TABLES.items():
        found = btf.find(table, "STRUCT")
        if found is None or btf.find(f"bpf_struct_ops_{table}", "STRUCT") is None:
            continue
        names = [member["name"] for member in btf.type(found)["members"]]  # type: ignore[attr-defined]
        for member in members:
            bare = member.removesuffix(".s")
            if bare in names:
                out += [
                    Variant("struct_ops", "struct_ops", f"{table}.{bare}", sleepable,
                            expected_attach_type=names.index(bare), attach_btf_id=found)
                    for sleepable in ((False, True) if member != bare else (False,))
                ]  # fmt: skip
    return out


def all_variants() -> list[Variant]:
    """Every variant this kernel's types can be named for; nothing is asked."""
    out: list[Variant] = []
    for row in program_types.all():
        if row.name == "tracing":
            out += _tracing()
        elif row.name == "lsm":
            out += _lsm()
        elif row.name == "struct_ops":
            out += _tables()
        elif row.name == "ext":
            continue  # it takes what its target takes
        elif row.name == "syscall":
            out.append(Variant("syscall", sleepable=True))
        else:
            version: dict[str, Any] = {"kern_version": kernel.live().version_code} if row.name == "kprobe" else {}
            out.append(Variant(row.name, **version))
            if row.name in DECLARED:
                for word in row.attach_types:
                    found = attach_types.get(word)
                    assert found is not None
                    out.append(Variant(row.name, word, expected_attach_type=found.number, **version))
            if row.name == "kprobe":
                out.append(Variant(row.name, sleepable=True, **version))
    return out


def settle(variants: list[Variant]) -> list[Variant]:
    """Finds out which load, and with which result; answers those that do."""
    for value in RETURNS:
        left = [one for one in variants if one.result is None]
        for one, (answer, log) in zip(left, each([one.load(returning(value)) for one in left]), strict=True):
            if answer == 0:
                one.result, one.why = value, ""
            elif not one.why or "R0" not in log:
                one.why = f"{-answer} {last_line(log)}".strip()
    return [one for one in variants if one.result is not None]

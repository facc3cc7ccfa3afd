"""The table of families, fall-backs for kernels that lack something, and what is told: no root, a fake door."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from
from typing import Any

import pytest

from bpfsmith.facts import program_types
from bpfsmith.facts._load import table
from bpfsmith.kernel import elfsym, fake, netlink, targets, usdt
from bpfsmith.model.errors import (
    BpfsmithError,
    EnvironmentMissing,
    InputError,
    KernelError,
    PermissionMissing,
    TargetMissing,
    Unsupported,
)
from bpfsmith.run import attach as families_of
from bpfsmith.run.attach.methods import AttachMethods
from bpfsmith.run.link import Link, LinkGroup

ROOT = Path(__file__).parents[2]
EPERM, EINVAL, ENOENT, EBUSY, EEXIST, EACCES = 1, 22, 2, 16, 17, 13
FILES = {
    "/proc/self/mounts": "tmpfs /tmp tmpfs rw 0 0\nnone /cg cgroup2 rw 0 0\n",
    "/cg/cgroup.procs": "",
    "/cg/cgroup.controllers": "",
    "/cg/web/cgroup.procs": "",
    "/cg/web/cgroup.controllers": "",
    "/sys/kernel/tracing/events/sched/sched_switch/id": "316\n",
    "/sys/kernel/tracing/available_events": "sched:sched_switch\nsched:sched_waking\nsyscalls:sys_enter_openat\n",
    "/sys/bus/event_source/devices/uprobe/type": "9\n",
    "/sys/bus/event_source/devices/uprobe/format/retprobe": "config:0\n",
    "/sys/devices/system/cpu/online": "0-1,3\n",
    "/proc/thread-self/ns/net": "",
    "/proc/kallsyms": "0 t do_unlinkat\n0 t do_unlink_one\n0 T tcp_v4_connect\n0 t __x64_sys_unlinkat\n",
}


class Owner:
    def __init__(self) -> None:
        self.links: list[Link] = []
        self.maps: dict[str, Any] = {}


class Program(AttachMethods):
    """As much of a loaded program as attaching looks at."""

    def __init__(self, kind: str, attach_type: str | None = None, section: str = "", to: str | None = None) -> None:
        from bpfsmith._native import Fd

        self.name = "prog"
        self.type, self.attach_type, self.section, self.attach_to = kind, attach_type, section or kind, to
        self.fd = Fd(os.open(os.devnull, os.O_RDONLY))
        self.links: list[Link] = []
        self.owner = Owner()


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[fake.FakeDoor]:
    from bpfsmith.kernel import journal

    monkeypatch.setattr(journal, "SYSTEM", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(netlink, "interface", lambda which: (7, str(which)))
    made = fake.FakeDoor(files=FILES)
    made.symbols = {"do_unlinkat": [(0, "")], "twice": [(0, ""), (0, "")], "__x64_sys_unlinkat": [(0, "")]}
    with fake.installed(made):
        yield made


# ------------------------------------------------------------ the table


def test_every_section_and_program_type_has_a_family() -> None:
    from bpfsmith.facts import sections

    for pattern, *_ in table("sections")["libbpf"]:
        name = pattern.rstrip("+/")
        row = sections.match(pattern.replace("+", "/x") if pattern.endswith("+") else name)
        assert row is not None
        program = Program(row.program_type, row.attach_type, name)
        family = families_of.family_of(program)
        assert family.load().by_section and family.load().plan, name
    assert {kind.name for kind in program_types.all()} == {kind for row in families_of.families() for kind in row.types}


def test_sections_choose_among_programs_of_one_type() -> None:
    cases = {
        ("kprobe", None, "kprobe/f"): "kprobe", ("kprobe", None, "kretprobe/f"): "kprobe",
        ("kprobe", None, "uprobe.s/x:y"): "uprobe", ("kprobe", None, "uretprobe"): "uprobe",
        ("kprobe", "trace_uprobe_multi", "uprobe.multi/x:y"): "uprobe.multi",
        ("kprobe", "trace_uprobe_multi", "usdt/x:a:b"): "usdt", ("kprobe", None, "usdt"): "usdt",
        ("kprobe", "trace_kprobe_session", "kprobe.session/f"): "kprobe.session",
        ("kprobe", None, "ksyscall/openat"): "ksyscall", ("tracing", "trace_raw_tp", "tp_btf/x"): "tp_btf",
        ("tracing", "modify_return", "fmod_ret/x"): "fmod_ret", ("lsm", "lsm_cgroup", "lsm_cgroup/x"): "lsm_cgroup",
        ("sched_cls", "netkit_peer", "netkit/peer"): "netkit", ("sched_cls", None, "classifier"): "tc",
        ("sock_ops", "cgroup_sock_ops", "sockops"): "cgroup",
    }  # fmt: skip
    for (kind, attach_type, section), wanted in cases.items():
        assert families_of.family_of(Program(kind, attach_type, section)).name == wanted, section


def test_rows_name_methods_that_exist() -> None:
    names = [row.name for row in families_of.families()]
    assert len(names) == len(set(names))
    for row in families_of.families():
        assert hasattr(AttachMethods, row.method), row.name
        assert row.state in {"fires", "untried", "none"}
        for kind in row.types:
            assert program_types.get(kind) is not None, kind


def test_rows_are_as_old_as_the_facts_say() -> None:
    from bpfsmith.facts import attach_types, series_key

    for row in families_of.families():
        if row.attach_types:
            known = [attach_types.get(word) for word in row.attach_types]
            assert row.since == min((one.since for one in known if one is not None), key=series_key), row.name
        for kind in row.types:
            fact = program_types.get(kind)
            assert fact is not None and (len(row.types) > 1 or series_key(row.since) >= series_key(fact.since)), (
                row.name
            )
        assert not row.link or series_key(row.link) >= series_key(row.since)


def test_the_page_is_what_the_table_says() -> None:
    script = ROOT / "tools/docs/attach_families.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_unknown_programs_and_families_are_named() -> None:
    with pytest.raises(InputError, match="belongs to no family"):
        families_of.family_of(Program("no_such_type"))
    with pytest.raises(InputError, match="did you mean `kprobe`"):
        families_of.family("kprob")


# ------------------------------------------------------------ XDP and tc without links


class Calls(list[tuple[Any, ...]]):
    """What was asked of rtnetlink."""

    refuse: int = 0

    def note(self, *given: Any, **_: Any) -> None:
        self.append(given)
        if self.refuse and len(given) > 1 and given[1] != -1:
            raise netlink.NetlinkRefused("RTM_SETLINK", self.refuse, "", "interface 7")


def test_xdp_goes_by_rtnetlink_where_there_are_no_links(door: fake.FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls()
    monkeypatch.setattr(netlink, "set_xdp", calls.note)
    door.features["xdp_link"] = False
    door.fail("BPF_LINK_CREATE", EINVAL)
    program = Program("xdp", "xdp")
    link = program.attach_xdp("eth0", "skb")
    assert link.outlives and calls[0][:3] == (7, program.fd.fileno(), netlink.XDP_SKB)
    link.detach()
    assert calls[-1][:3] == (7, -1, netlink.XDP_SKB) and not program.links and door.open_fds() == []


def test_xdp_asks_rtnetlink_nothing_where_links_are(door: fake.FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "set_xdp", lambda *_, **__: pytest.fail("rtnetlink was asked"))
    door.features["xdp_link"] = True
    door.fail("BPF_LINK_CREATE", EINVAL)
    program = Program("xdp", "xdp")
    with pytest.raises(InputError, match=r"xdp\.frags"):
        program.attach_xdp("eth0")
    assert door.of("BPF_LINK_CREATE")[0]["target_fd"] == 7 and program.links == []


def test_xdp_without_rights(door: fake.FakeDoor) -> None:
    door.fail("BPF_LINK_CREATE", EPERM)
    with pytest.raises(PermissionMissing) as caught:
        Program("xdp", "xdp").attach_xdp("eth0")
    assert caught.value.capability == "CAP_NET_ADMIN"


def test_a_filter_that_fails_takes_its_qdisc_along(door: fake.FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    door.features["tcx"] = False
    door.fail("BPF_LINK_CREATE", EINVAL)
    made: list[str] = []
    monkeypatch.setattr(netlink, "add_clsact", lambda _: made.append("+") or True)
    monkeypatch.setattr(netlink, "delete_clsact", lambda *_: made.append("-"))
    monkeypatch.setattr(netlink, "filters", lambda *_: [])

    def refuse(*_: Any, **__: Any) -> None:
        raise netlink.NetlinkRefused("RTM_NEWTFILTER", EINVAL, "odd", "interface 7")

    monkeypatch.setattr(netlink, "add_filter", refuse)
    program = Program("sched_cls", "tcx_ingress", "tc/ingress")
    with pytest.raises(InputError, match="odd"):
        program.attach("eth0")
    assert made == ["+", "-"] and program.links == []
    with pytest.raises(Unsupported) as caught:
        program.attach_tc("eth0", via="tcx")
    assert caught.value.since == "6.6"


# ------------------------------------------------------------ perf events without links


def test_perf_events_without_links(door: fake.FakeDoor) -> None:
    door.features["perf_link"] = False
    door.fail("BPF_LINK_CREATE", EINVAL)
    program = Program("tracepoint", None, "tracepoint/sched/sched_switch", "sched/sched_switch")
    link = program.attach()
    assert [hex(call["request"]) for call in door.of("ioctl")] == ["0x40042408", "0x2400"]
    assert unpack_from("=IIQ", door.of("perf_event_open")[0]["attr"]) == (2, 128, 316)
    link.detach()
    assert door.open_fds() == []
    with pytest.raises(Unsupported) as caught:
        program.attach_tracepoint(cookie=1)
    assert caught.value.since == "5.15" and door.open_fds() == []


def test_what_fails_half_way_leaves_nothing(door: fake.FakeDoor) -> None:
    opened = iter(range(10))
    door.answer("perf_event_open", lambda _: -ENOENT if next(opened) == 2 else None)
    program = Program("perf_event")
    with pytest.raises(Unsupported, match="does not count"):
        program.attach_perf_event("cycles")
    assert len(door.of("perf_event_open")) == 3 and door.open_fds() == [] and program.links == []
    assert [call["cpu"] for call in door.of("perf_event_open")] == [0, 1, 3]


def test_a_group_is_one_link(door: fake.FakeDoor) -> None:
    program = Program("perf_event")
    link = program.attach()
    assert isinstance(link, LinkGroup) and len(link) == 3 and program.links == program.owner.links == [link]
    link.detach()
    assert all(one.closed for one in link) and door.open_fds() == [] and program.owner.links == []


def test_uprobes_without_their_pmu(door: fake.FakeDoor) -> None:
    del door.files["/sys/bus/event_source/devices/uprobe/type"]
    with pytest.raises(Unsupported, match="CONFIG_UPROBE_EVENTS"):
        Program("kprobe", None, "uprobe").attach_uprobe(sys.executable, offset=code_of(sys.executable))
    door.features["uprobe_multi_link"] = False
    door.fail("BPF_LINK_CREATE", EINVAL)
    multi = Program("kprobe", "trace_uprobe_multi", "uprobe.multi")
    with pytest.raises(Unsupported) as caught:
        multi.attach_uprobe_multi(sys.executable, offsets=[4096])
    assert caught.value.since == "6.6"


def code_of(path: str) -> int:
    with elfsym.ElfFile(os.path.realpath(path)) as elf:
        return next(offset for kind, flags, offset, _, _ in elf.segments if kind == 1 and flags & 1)


# ------------------------------------------------------------ cgroups, namespaces, maps without links


def test_cgroups_without_links(door: fake.FakeDoor) -> None:
    door.features["cgroup_link"] = False
    door.fail("BPF_LINK_CREATE", EINVAL)
    program = Program("cgroup_skb", "cgroup_inet_egress", "cgroup_skb/egress")
    link = program.attach("/cg/web")
    asked = door.of("BPF_PROG_ATTACH")[0]
    assert (asked["attach_type"], asked["attach_flags"]) == (1, 2) and link.outlives
    link.detach()
    assert "BPF_PROG_DETACH" in door.commands() and door.open_fds() == []
    with pytest.raises(TargetMissing, match=r"no cgroup `/cg/wbe` \(did you mean `web`"):
        program.attach("/cg/wbe")
    with pytest.raises(Unsupported) as caught:
        program.attach("web", first=True)
    assert caught.value.since == "6.17"


def test_without_cgroup2(door: fake.FakeDoor) -> None:
    door.files["/proc/self/mounts"] = ""
    with pytest.raises(EnvironmentMissing, match="mount -t cgroup2"):
        Program("cgroup_skb", "cgroup_inet_egress").attach("/cg/web")


def test_namespaces_without_links(door: fake.FakeDoor) -> None:
    door.features["netns_link"] = False
    door.fail("BPF_LINK_CREATE", EINVAL)
    with pytest.raises(Unsupported) as caught:
        Program("sk_lookup", "sk_lookup").attach()
    assert caught.value.since == "5.9"
    with Program("flow_dissector", "flow_dissector").attach():
        assert door.of("BPF_PROG_ATTACH")[0]["attach_type"] == 17
    assert "BPF_PROG_DETACH" in door.commands() and door.open_fds() == []


def test_sockmaps_and_netfilter_without_links(door: fake.FakeDoor) -> None:
    door.features["sockmap_link"] = door.features["netfilter_link"] = False
    door.fail("BPF_LINK_CREATE", EINVAL)
    program = Program("sk_msg", "sk_msg_verdict")
    with program.attach_sockmap(program.fd):
        assert door.of("BPF_PROG_ATTACH")[0]["attach_type"] == 7
    assert "BPF_PROG_DETACH" in door.commands()
    with pytest.raises(Unsupported, match="CONFIG_NETFILTER_BPF_LINK"):
        Program("netfilter", "netfilter").attach()
    door.fail("BPF_PROG_ATTACH", EBUSY)
    with pytest.raises(KernelError, match="has a program as"):
        program.attach_sockmap(program.fd)


def test_cookies_of_raw_tracepoints(door: fake.FakeDoor) -> None:
    door.fail("BPF_RAW_TRACEPOINT_OPEN", EINVAL, when=lambda fields: fields.get("cookie", 0) != 0)
    program = Program("raw_tracepoint", None, "raw_tp/sched_switch", "sched_switch")
    with program.attach():
        assert "cookie" not in door.of("BPF_RAW_TRACEPOINT_OPEN")[0]
    with pytest.raises(Unsupported) as caught:
        program.attach(cookie=3)
    assert caught.value.since == "6.10"


# ------------------------------------------------------------ targets


def test_without_tracefs(door: fake.FakeDoor) -> None:
    for path in list(door.files):
        if path.startswith("/sys/kernel/tracing"):
            del door.files[path]
    door.files["/sys/kernel/tracing/.keep"] = ""
    with pytest.raises(EnvironmentMissing, match="mount -t tracefs"):
        Program("tracepoint").attach_tracepoint("sched", "sched_switch")


def test_tracefs_that_only_root_may_read(door: fake.FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounted with mode 700, as it is by default: not the same as not mounted."""
    for path in list(door.files):
        if path.startswith("/sys/kernel/tracing"):
            del door.files[path]
    door.files["/sys/kernel/tracing/.keep"] = ""

    def refused(_door: fake.FakeDoor, path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(fake.FakeDoor, "listdir", refused)
    with pytest.raises(PermissionMissing, match=r"root only.*remount,gid="):
        Program("tracepoint").attach_tracepoint("sched", "sched_switch")


def test_kernel_functions_are_found_without_the_list_of_traceable_ones(door: fake.FakeDoor) -> None:
    assert targets.functions_like("do_unlink*") == ["do_unlink_one", "do_unlinkat"]
    door.files["/sys/kernel/tracing/available_filter_functions"] = "do_unlinkat\ntcp_v4_connect [tcp]\n"
    assert targets.functions_like("*") == ["do_unlinkat", "tcp_v4_connect"]
    with pytest.raises(TargetMissing, match="matches `nothing"):
        targets.functions_like("nothing_*")
    assert targets.function("twice") == 2
    with pytest.raises(TargetMissing, match=r"`do_unlinkt` \(did you mean `do_unlinkat`"):
        targets.function("do_unlinkt")


KPROBES = {"/sys/bus/event_source/devices/kprobe/type": "6\n",
           "/sys/bus/event_source/devices/kprobe/format/retprobe": "config:0\n"}  # fmt: skip


def test_kprobes_are_checked_before_the_kernel_is_asked(door: fake.FakeDoor) -> None:
    program = Program("kprobe", None, "kprobe/do_unlinkat", "do_unlinkat")
    with pytest.raises(Unsupported, match="CONFIG_KPROBES"):
        program.attach()
    door.files |= KPROBES
    with pytest.raises(TargetMissing):
        program.attach("do_unlinkt")
    far = Program("kprobe", None, "kprobe/do_unlinkat+0x8", "do_unlinkat+0x8")
    assert far.attach_plan()["commands"][0]["offset"] == 8
    with pytest.raises(InputError, match="ends with no offset"):
        program.attach("do_unlinkat+x")
    with pytest.raises(InputError, match="offset 8 has no meaning"):
        Program("kprobe", None, "kretprobe/do_unlinkat+0x8", "do_unlinkat+0x8").attach()
    door.symbols["twice"] = [(0xFF10, ""), (0xFF20, "nf_tables")]
    with pytest.raises(
        InputError, match=r"2 kernel functions are called `twice`.*`nf_tables:twice` or `address=0xff10`"
    ):
        program.attach("twice")
    with pytest.raises(TargetMissing, match=r"no system call `unlinkta`.*`unlinkat`"):
        Program("kprobe", None, "ksyscall/unlinkta", "unlinkta").attach()
    door.files["/proc/kallsyms"] = "ff00 t far\nff40 t next\nff80 t last\n"
    door.symbols["far"] = [(0xFF00, "")]
    with pytest.raises(InputError, match="0x40 lies outside of `far`, which has 64 bytes"):
        program.attach("far+0x40")
    with pytest.raises(InputError, match="offset -1 lies before"):
        program.attach_kprobe("far", offset=-1)
    assert [call for call in door.commands() if call.startswith(("BPF_LINK", "perf_event"))] == []


def test_what_perf_is_asked_for_a_kprobe(door: fake.FakeDoor) -> None:
    door.files |= KPROBES
    link = Program("kprobe", None, "kretprobe/do_unlinkat", "do_unlinkat").attach()
    call = door.of("perf_event_open")[0]
    assert unpack_from("=IIQ", call["attr"]) == (6, 128, 1) and call["buffers"] == {56: b"do_unlinkat\0"}
    assert (call["pid"], call["cpu"]) == (-1, 0) and link.target == "kretprobe `do_unlinkat`"
    link.detach()
    Program("kprobe", None, "kprobe").attach_kprobe(address=0xFFFF0000, offset=0).detach()
    assert unpack_from("=QQ", door.of("perf_event_open")[1]["attr"], 56) == (0, 0xFFFF0000)
    Program("kprobe", None, "ksyscall/unlinkat", "unlinkat").attach().detach()
    assert door.of("perf_event_open")[2]["buffers"] == {56: b"__x64_sys_unlinkat\0"}
    assert door.open_fds() == []


@pytest.mark.parametrize(
    ("errno", "kind", "message"),
    [
        (EINVAL, InputError, "the kernel sets no kprobe `do_unlinkat`"),
        (ENOENT, InputError, "the kernel sets no kprobe"),
        (84, InputError, "is not the start of an instruction"),
        (EACCES, PermissionMissing, "CAP_PERFMON"),
        (99, InputError, "kernel functions are called `do_unlinkat`"),
    ],
)
def test_kprobes_the_kernel_refuses(door: fake.FakeDoor, errno: int, kind: type, message: str) -> None:
    door.files |= KPROBES
    door.fail("perf_event_open", errno)
    with pytest.raises(kind, match=message):
        Program("kprobe", None, "kprobe/do_unlinkat", "do_unlinkat").attach()
    assert door.open_fds() == []


def test_a_kprobe_by_tracefs_where_perf_has_none(door: fake.FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfsmith.kernel import journal

    door.files["/sys/kernel/tracing/kprobe_events"] = ""
    written: list[str] = []

    def write(_door: fake.FakeDoor, path: str, text: str, append: bool = False) -> None:
        assert path.endswith("/kprobe_events") and append
        written.append(text.strip())
        if not text.startswith("-"):
            name = text.split(maxsplit=1)[0].partition(":")[2]
            door.files[f"/sys/kernel/tracing/events/{name}/id"] = "1700\n"

    monkeypatch.setattr(fake.FakeDoor, "write_text", write)
    link = Program("kprobe", None, "kretprobe/do_unlinkat", "do_unlinkat").attach()
    assert written[0].startswith("r:bpfsmith/probe_") and written[0].endswith(" do_unlinkat")
    assert unpack_from("=IIQ", door.of("perf_event_open")[0]["attr"]) == (2, 128, 1700)
    assert [line for line in journal._Own.lines if line.startswith("kprobe")]
    link.detach()
    assert written[1].startswith("-:bpfsmith/probe_") and not journal._Own.lines and door.open_fds() == []
    door.fail("perf_event_open", EACCES)
    with pytest.raises(PermissionMissing):
        Program("kprobe", None, "kprobe/do_unlinkat", "do_unlinkat").attach()
    assert written[-1].startswith("-:") and not journal._Own.lines


def test_many_functions_go_by_address_or_by_name(door: fake.FakeDoor) -> None:
    door.files["/sys/kernel/tracing/available_filter_functions_addrs"] = (
        "ffffffff81000020 tcp_v4_rcv\nffffffff81000010 tcp_v4_connect\nffffffffc0000010 tcp_v4_x [mod]\n"
    )
    many = Program("kprobe", "trace_kprobe_multi", "kprobe.multi/tcp_v4_*", "tcp_v4_*")
    assert many.attach().target == "3 functions like `tcp_v4_*`"
    asked = door.of("BPF_LINK_CREATE")[0]
    assert unpack_from("=QQQ", asked["kprobe_multi_addrs"]) == (
        0xFFFFFFFF81000010, 0xFFFFFFFF81000020, 0xFFFFFFFFC0000010,
    )  # fmt: skip
    assert many.attach("mod:tcp_*").target == "`tcp_v4_x`"
    many.attach(symbols=["do_unlinkat"], cookies=[5], ret=True)
    asked = door.of("BPF_LINK_CREATE")[2]
    assert "kprobe_multi_addrs" not in asked, "its address is hidden"
    assert asked["target_btf_id"] == 1, "the flags lie there"
    assert unpack_from("=Q", asked["kprobe_multi_cookies"]) == (5,)
    for link in list(many.links):
        link.detach()
    with pytest.raises(InputError, match="loaded for single kprobes"):
        Program("kprobe").attach_kprobe_multi("tcp_*")
    door.fail("BPF_LINK_CREATE", 95)
    door.features["kprobe_multi"] = False
    with pytest.raises(Unsupported, match=r"fprobe|sets no probes many at once"):
        many.attach()


def test_trampolines(door: fake.FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfsmith.kernel import privilege

    entry = Program("tracing", "trace_fentry", "fentry/do_unlinkat", "do_unlinkat")
    with entry.attach() as link:
        assert (link.family, link.target) == ("fentry", "fentry `do_unlinkat`")
    with entry.attach(cookie=7):
        assert 7 in door.of("BPF_LINK_CREATE")[0].values()
    for errno, message in ((EBUSY, "is taken"), (7, "as many programs as fit"), (524, "no trampolines")):
        door.fail("BPF_RAW_TRACEPOINT_OPEN", errno)
        with pytest.raises(BpfsmithError, match=message):
            entry.attach()
    hook = Program("lsm", "lsm_mac", "lsm/file_open", "file_open")
    monkeypatch.setattr(privilege, "security_modules", lambda: ("lockdown", "capability", "yama"))
    with pytest.raises(Unsupported, match=r"would never run.*boot with `lsm=lockdown,yama,bpf`"):
        hook.attach()
    with pytest.raises(InputError, match="it has no cgroup"):
        hook.attach("/cg")
    group = Program("lsm", "lsm_cgroup", "lsm_cgroup/socket_bind", "socket_bind")
    with pytest.raises(InputError, match="pass `cgroup=`"):
        group.attach()
    with group.attach("/cg/web") as link:
        assert link.target == "LSM hook `socket_bind` of cgroup `/cg/web`"
    with pytest.raises(InputError, match="is at no function"):
        Program("tracing", "trace_iter", "iter/task").attach_trace()
    assert door.open_fds() == []


def test_lsm_modules_are_known_without_securityfs(door: fake.FakeDoor) -> None:
    from bpfsmith.run.attach import lsm

    assert lsm.active() is None
    door.files["/proc/cmdline"] = "quiet lsm=lockdown,bpf\n"
    assert lsm.active() == ("lockdown", "bpf")
    door.files["/sys/kernel/security/lsm"] = "capability,yama"
    assert lsm.active() == ("capability", "yama")


def test_infrared_receivers(door: fake.FakeDoor) -> None:
    program = Program("lirc_mode2", "lirc_mode2", "lirc_mode2")
    with pytest.raises(TargetMissing, match="modprobe rc-loopback"):
        program.attach("/dev/lirc0")
    door.files["/dev/lirc0"] = ""
    with program.attach("lirc0") as link:  # of /dev
        assert link.outlives and door.of("BPF_PROG_ATTACH")[0]["attach_type"] == 16
    assert door.of("BPF_PROG_DETACH")[0]["attach_type"] == 16
    with pytest.raises(TargetMissing, match="did you mean `/dev/lirc0`"):
        program.attach("/dev/lirc00")
    with pytest.raises(InputError, match="pass `device=`"):
        program.attach()


def test_plans_of_every_family(door: fake.FakeDoor) -> None:
    given = {
        "xdp": ("eth0",), "tc": ("eth0", "ingress"), "netkit": ("eth0",), "tracepoint": ("a", "b"),
        "raw_tracepoint": ("a",), "uprobe": ("x", "y"), "uprobe.multi": ("x", "y"), "uprobe.session": ("x", "y"),
        "usdt": ("x", "y", "z"), "kprobe": ("f",), "ksyscall": ("f",), "kprobe.multi": ("f*",),
        "kprobe.session": ("f",), "cgroup": ("/cg",), "sk_msg": ("M",), "sk_skb": ("M",), "struct_ops": ("OPS",),
        "socket_filter": (3,), "sk_reuseport": (3,),
    }  # fmt: skip
    for row in families_of.families():
        attach_type = row.attach_types[0] if row.attach_types else None
        section = f"{row.sections[0]}/x" if row.sections else row.name
        program = Program(row.types[0], attach_type, section)
        told = families_of.plan(program, *given.get(row.name, ()))
        assert told["family"] == row.name and (told["commands"] or row.state == "none")
        assert families_of.describe(program, *given.get(row.name, ())).startswith(f"prog: {row.name}, Linux ")
    assert door.commands() == []


# ------------------------------------------------------------ links


def test_update_tells_what_is_wrong(door: fake.FakeDoor) -> None:
    program = Program("xdp", "xdp")
    link = program.attach_xdp("eth0")
    door.fail("BPF_LINK_UPDATE", 67)
    with pytest.raises(KernelError, match="no longer there"):
        link.update(program)
    door.fail("BPF_LINK_UPDATE", EPERM)
    with pytest.raises(InputError, match="another program than the expected"):
        link.update(program, expected=program)
    with pytest.raises(InputError, match="a program is a loaded program"):
        link.update("prog")
    link.detach()


def test_a_pinned_link_stays_when_closed(door: fake.FakeDoor) -> None:
    program = Program("xdp", "xdp")
    link = program.attach_xdp("eth0")
    link.pin("/sys/fs/bpf/x")
    link.close()
    assert link.closed and "BPF_LINK_DETACH" not in door.commands() and program.links == []


# ------------------------------------------------------------ static probes and ELF files


@pytest.mark.parametrize(
    ("text", "machine", "wanted"),
    [
        ("-4@%edi", "x86_64", (1, 0, 112, True, 4, 0, 0)),
        ("8@%rax", "x86_64", (1, 0, 80, False, 8, 0, 0)),
        ("1@%al", "x86_64", (1, 0, 80, False, 1, 0, 0)),
        ("2@%r10w", "x86_64", (1, 0, 56, False, 2, 0, 0)),
        ("1@%sil", "x86_64", (1, 0, 104, False, 1, 0, 0)),
        ("-4@-20(%rbp)", "x86_64", (2, -20, 32, True, 4, 0, 0)),
        ("8@(%rsp)", "x86_64", (2, 0, 152, False, 8, 0, 0)),
        ("-2@$-7", "x86_64", (0, -7, 0, True, 2, 0, 0)),
        ("8@$0x10", "x86_64", (0, 16, 0, False, 8, 0, 0)),
        ("1@8(%rax,%rdx,4)", "x86_64", (3, 8, 80, False, 1, 96, 2)),
        ("1@(%rax,%rdx)", "x86_64", (3, 0, 80, False, 1, 96, 0)),
        ("-4@[sp, 60]", "aarch64", (2, 60, 248, True, 4, 0, 0)),
        ("8@[x0]", "aarch64", (2, 0, 0, False, 8, 0, 0)),
        ("-8@x4", "aarch64", (1, 0, 32, True, 8, 0, 0)),
        ("4@w3", "aarch64", (1, 0, 24, False, 4, 0, 0)),
        ("4@5", "aarch64", (0, 5, 0, False, 4, 0, 0)),
        ("-8@-88(s0)", "riscv64", (2, -88, 64, True, 8, 0, 0)),
        ("8@a1", "riscv64", (1, 0, 88, False, 8, 0, 0)),
    ],
)
def test_arguments_of_static_probes(text: str, machine: str, wanted: tuple[int, ...]) -> None:
    assert usdt.parse_argument(text, machine) == wanted


@pytest.mark.parametrize("text", ["8f@%xmm0", "3@%rax", "8@", "@%rax", "8@counter(%rip)", "8@%ah", "x@%rax", ""])
def test_arguments_no_program_can_read(text: str) -> None:
    with pytest.raises(Unsupported, match="static probe"):
        usdt.parse_argument(text, "x86_64")


def test_specs_are_laid_out_as_libbpf_reads_them() -> None:
    data = usdt.encode("-4@%edi 8@[sp, 8] -2@$-7".replace("[sp, 8]", "8(%rsp)"), cookie=5, machine="x86_64")
    assert len(data) == 208
    assert unpack_from("=QIhBb", data, 0) == (0, 1, 112, 1, 32)
    assert unpack_from("=QIhBb", data, 16) == (8, 2, 152, 0, 0)
    assert unpack_from("=qIhBb", data, 32) == (-7, 0, 0, 1, 48)
    assert unpack_from("=Qh", data, 192) == (5, 3)
    assert usdt.split_arguments("-4@[sp, 60] 8@x0") == ["-4@[sp,60]", "8@x0"]
    new = usdt.encode("1@8(%rax,%rdx,4)", machine="x86_64", layout=usdt.LAYOUTS[304])
    assert unpack_from("=QBxH2xhBb", new, 0) == (8, 3, 96 | 2 << 12, 80, 0, 56)
    with pytest.raises(Unsupported, match=r"libbpf 1\.7"):
        usdt.encode("1@8(%rax,%rdx,4)", machine="x86_64")
    with pytest.raises(Unsupported, match="13 arguments"):
        usdt.encode(["8@%rax"] * 13, machine="x86_64")


def test_functions_are_found_as_nm_sees_them() -> None:
    path = elfsym.find_binary("libc.so.6")
    done = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no `nm`: `apt-get install binutils` gets it")
    wanted = {line.split()[2].partition("@")[0]: int(line.split()[0], 16) for line in done.stdout.splitlines()
              if line.split()[1] in "TW"}  # fmt: skip
    with elfsym.ElfFile(path) as elf:
        found: dict[str, set[int]] = {}
        for one in elf.functions():
            found.setdefault(one.name, set()).add(one.address)
    assert {name for name, address in wanted.items() if address not in found.get(name, ())} == set()
    assert elfsym.offset_of(path, "malloc") == next(iter(elfsym.functions(path, "malloc"))).offset


@pytest.mark.parametrize(
    ("mangled", "path", "same"),
    [
        ("_ZN7counter5parse4head17h0123456789abcdefE", "counter::parse::head", True),
        ("_ZN7counter5parse4head3one17h0123456789abcdefE", "counter::parse::head", False),
        ("_ZN3old7counter5parse4head17h0123456789abcdefE", "counter::parse::head", False),
        ("_ZN7counter5parseEv", "counter::parse", True),
        ("_RNvNtCs1234_7counter5parse4head", "counter::parse::head", True),
        ("_RINvNtCs1234_7counter5parse4headmE", "counter::parse::head", True),
        ("_RNvNtNtCs1234_7counter5parse4head3one", "counter::parse::head", False),
        ("counter_parse_head", "counter::parse::head", False),
    ],
)
def test_mangled_names(mangled: str, path: str, same: bool) -> None:
    assert elfsym.spells(mangled, path) is same


def test_functions_by_their_path(tmp_path: Path) -> None:
    import shutil

    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no compiler for user space: `apt-get install gcc` gets it")
    source, out = tmp_path / "a.c", tmp_path / "a.so"
    names = ["_ZN7counter4head17h0123456789abcdefE", "_ZN7counter4head17hfedcba9876543210E", "_ZN7counter4tail17h0E"]
    source.write_text("".join(f'int f{n}(void) __asm__("{name}");int f{n}(void){{return {n};}}\n'
                              for n, name in enumerate(names)))  # fmt: skip
    subprocess.run([compiler, "-shared", "-fPIC", "-o", out, source], check=True)
    assert {one.name for one in elfsym.functions(str(out), "counter::head")} == set(names[:2])
    assert elfsym.offset_of(str(out), "counter::tail")
    with pytest.raises(InputError, match="2 functions"):
        elfsym.offset_of(str(out), "counter::head")
    with pytest.raises(TargetMissing, match="no function `counter::tial`"):
        elfsym.functions(str(out), "counter::tial")


def test_damaged_files_are_refused_by_type(tmp_path: Path) -> None:
    from random import Random

    whole = bytearray(Path(elfsym.find_binary("true")).read_bytes())
    chance, out = Random(7), tmp_path / "damaged"
    for turn in range(300):
        data = bytearray(whole[: chance.randrange(len(whole))] if turn % 3 == 0 else whole)
        for _ in range(chance.randrange(1, 8)):
            if data:
                data[chance.randrange(min(len(data), 64 if turn % 2 else len(data)))] = chance.randrange(256)
        out.write_bytes(data)
        try:
            with elfsym.ElfFile(str(out)) as elf:
                list(elf.functions())
            usdt.probes(str(out))
            elfsym.functions(str(out), "main")
        except BpfsmithError as error:
            assert isinstance(error, InputError), error

"""Kernel functions, LSM hooks, trampolines, infrared receivers: what is asked of the kernel, and what is told."""

from __future__ import annotations

from struct import unpack_from

import pytest

from bpfsmith.kernel import fake, targets
from bpfsmith.model.errors import BpfsmithError, InputError, PermissionMissing, TargetMissing, Unsupported
from unit.attach_fakes import Program, attach_door  # noqa: F401 - a fixture

EINVAL, ENOENT, EBUSY, EACCES = 22, 2, 16, 13
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

    def recorded() -> list[str]:
        return [line for line in journal._Own.lines if line.startswith("kprobe")]

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
    assert recorded()
    link.detach()
    assert written[1].startswith("-:bpfsmith/probe_") and not recorded() and door.open_fds() == []
    door.fail("perf_event_open", EACCES)
    with pytest.raises(PermissionMissing):
        Program("kprobe", None, "kprobe/do_unlinkat", "do_unlinkat").attach()
    assert written[-1].startswith("-:") and not recorded()


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


def test_kernel_functions_are_found_without_the_list_of_traceable_ones(door: fake.FakeDoor) -> None:
    assert targets.functions_like("do_unlink*") == ["do_unlink_one", "do_unlinkat"]
    door.files["/sys/kernel/tracing/available_filter_functions"] = "do_unlinkat\ntcp_v4_connect [tcp]\n"
    assert targets.functions_like("*") == ["do_unlinkat", "tcp_v4_connect"]
    with pytest.raises(TargetMissing, match="matches `nothing"):
        targets.functions_like("nothing_*")
    assert targets.function("twice") == 2
    with pytest.raises(TargetMissing, match=r"`do_unlinkt` \(did you mean `do_unlinkat`"):
        targets.function("do_unlinkt")

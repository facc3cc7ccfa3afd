"""The table of families, fall-backs for kernels that lack something, and what is told: no root, a fake door."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from struct import unpack_from
from typing import Any

import pytest

from bpfsmith.facts import program_types
from bpfsmith.facts._load import table
from bpfsmith.kernel import elfsym, fake, netlink, usdt
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
from bpfsmith.run.link import LinkGroup
from unit.attach_fakes import FILES, Owner, Program, attach_door  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
EPERM, EINVAL, ENOENT, EBUSY, EEXIST, EACCES = 1, 22, 2, 16, 17, 13
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

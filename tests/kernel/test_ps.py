"""`ps` lists what bpftool lists, and says who holds it, where it is pinned and what it is attached to."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from toolchain import bpftool

import bpfsmith
from bpfsmith import kernel
from bpfsmith.kernel import _tiny as tiny
from bpfsmith.kernel import info

pytestmark = pytest.mark.root


def _tool(*words: str) -> list[dict[str, Any]]:
    home = Path(os.path.expanduser("~/.cache/bpfsmith/corpus"))
    done = subprocess.run([bpftool(home), "-j", *words], capture_output=True, text=True, check=True)
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def _named(rows: list[dict[str, Any]], start: str) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in rows if row.get("name", "").startswith(start)}


@pytest.fixture
def loaded(bpffs: Path) -> Any:
    """A program with types, two maps (one frozen and pinned) and a link to a raw tracepoint."""
    mark = f"ps{os.getpid() % 10**6}"
    btf = kernel.call_fd("BPF_BTF_LOAD", btf=(blob := tiny.btf_blob(tiny.int_type(1), b"int")), btf_size=len(blob))
    first = kernel.call_fd("BPF_MAP_CREATE", map_type=2, key_size=4, value_size=4, max_entries=3, map_name=f"{mark}_a",
                           btf_fd=btf, btf_key_type_id=1, btf_value_type_id=1)  # fmt: skip
    kernel.call("BPF_MAP_FREEZE", map_fd=first)
    kernel.call("BPF_OBJ_PIN", pathname=str(bpffs / "kept"), bpf_fd=first)
    second = kernel.call_fd("BPF_MAP_CREATE", map_type=27, max_entries=4096, map_name=f"{mark}_b")
    code = tiny.ld_imm64(1, 1, first.fileno()) + tiny.ld_imm64(2, 1, second.fileno()) + tiny.RETURN_0
    program = kernel.call_fd("BPF_PROG_LOAD", prog_type=17, insn_cnt=len(code) // 8, insns=code, license="GPL",
                             prog_name=f"{mark}_p")  # fmt: skip
    link = kernel.call_fd("BPF_RAW_TRACEPOINT_OPEN", name="sched_switch", prog_fd=program)
    yield mark
    for fd in (link, program, first, second, btf):
        fd.close()


def test_programs_and_maps_are_those_of_bpftool(loaded: str) -> None:
    ours, theirs = bpfsmith.ps(name=f"{loaded}_*"), _named(_tool("prog", "show"), loaded)
    assert [one.id for one in ours.programs] == sorted(theirs)
    for one in ours.programs:
        row = theirs[one.id]
        assert (one.type, one.name, one.tag, one.gpl) == (row["type"], row["name"], row["tag"], row["gpl_compatible"])
        assert (one.xlated, one.jited, one.memory) == (row["bytes_xlated"], row["bytes_jited"], row["bytes_memlock"])
        assert one.uid == row["uid"]
        assert abs(one.loaded_at - row["loaded_at"]) <= 1  # both compute it from two clocks
        assert sorted(one.map_ids) == sorted(row.get("map_ids", []))
    maps = _named(_tool("map", "show"), loaded)
    assert [one.id for one in ours.maps] == sorted(maps)
    for one in ours.maps:
        row = maps[one.id]
        assert (one.type, one.name, one.flags) == (row["type"], row["name"], row["flags"])
        shape = (row["bytes_key"], row["bytes_value"], row["max_entries"])
        assert (one.key_size, one.value_size, one.max_entries) == shape
        assert (one.memory, int(one.frozen)) == (row["bytes_memlock"], row["frozen"])
        # Old versions of bpftool repeat the previous map's BTF for a map that has none.
        assert one.btf_id in (0, row.get("btf_id", 0))


def test_links_and_btf_are_those_of_bpftool(loaded: str) -> None:
    report = bpfsmith.ps()
    ours = next(one for one in report.programs if one.name == f"{loaded}_p")
    link = next(one for one in report.links if one.program_id == ours.id)
    row = next(row for row in _tool("link", "show") if row["id"] == link.id)
    assert (link.type, link.program_id, link.target) == (row["type"], row["prog_id"], row["tp_name"])
    assert ours.links == [link.id]
    table = next(one for one in report.maps if one.name == f"{loaded}_a")
    types = next(one for one in report.btf if one.id == table.btf_id)
    told = next(row for row in _tool("btf", "show") if row["id"] == types.id)
    assert (types.size, types.kernel, types.maps) == (told["size"], told["kernel"], told["map_ids"])


def test_owners_pins_and_users(loaded: str, bpffs: Path) -> None:
    report = bpfsmith.ps(name=f"{loaded}_*")
    program, table = report.programs[0], report.maps[0]
    for one in (program, *report.maps):
        assert [(owner.pid, bool(owner.name)) for owner in one.owners] == [(os.getpid(), True)]
    assert table.pins == [str(bpffs / "kept")]
    assert all(one.programs == [program.id] for one in report.maps)
    assert bpfsmith.ps("programs", pid=os.getpid(), id=program.id).programs[0].name == program.name
    assert not bpfsmith.ps("programs", type="xdp", id=program.id).programs


def test_the_whole_lists_are_those_of_bpftool(loaded: str) -> None:
    """Others load and unload meanwhile: what one saw before and after must be in what the other saw between."""

    def ours() -> dict[str, set[int]]:
        report = bpfsmith.ps()
        lists = {"prog": report.programs, "map": report.maps, "link": report.links, "btf": report.btf}
        return {kind: {one.id for one in rows} for kind, rows in lists.items()}

    def theirs() -> dict[str, set[int]]:
        return {kind: {row["id"] for row in _tool(kind, "show")} for kind in info.KINDS}

    looks = [ours(), theirs(), ours(), theirs()]
    for kind in info.KINDS:
        for before, between, after in (looks[:3], looks[1:]):
            assert before[kind] & after[kind] <= between[kind]
            assert before[kind] & after[kind]


def test_text_and_json(loaded: str, run_cli: Any) -> None:
    from bpfsmith.ps.schema import schema

    done = run_cli("ps", "--name", f"{loaded}_*", "--format", "json")
    assert done.code == 0, done.stderr
    document = json.loads(done.stdout)
    properties = schema()["$defs"]
    for kind, name in (("programs", "program"), ("maps", "map"), ("links", "link"), ("btf", "btf")):
        assert all(sorted(row) == sorted(properties[name]["required"]) for row in document[kind])
    text = run_cli("ps", "programs", "maps", "--name", f"{loaded}_*").stdout
    assert f"{loaded}_p" in text
    assert "frozen" in text
    assert "sched_switch" in run_cli("ps", "--type", "raw_tracepoint").stdout


def test_a_name_longer_than_the_kernel_keeps(bpf_object: Any) -> None:
    source = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int a_name_of_more_than_fifteen(struct xdp_md *ctx) { return XDP_PASS; }
char LICENSE[] SEC("license") = "GPL";
"""
    with bpfsmith.load(bpf_object(source)) as bpf:
        fd = bpf.programs["a_name_of_more_than_fifteen"].fd
        number = info.program(fd)["id"]
        assert bpfsmith.ps("programs", id=number).programs[0].name == "a_name_of_more_than_fifteen"


def test_without_rights(unprivileged: Any) -> None:
    done = unprivileged("-m", "bpfsmith", "ps")
    assert done.returncode == 3
    assert "has no CAP_SYS_ADMIN" in done.stderr
    assert done.stdout == ""


def test_places_without_a_link_are_told(netns: Any, cgroup: Any) -> None:
    from bpfsmith.kernel import netlink

    xdp, cls, skb = tiny.load(6, tiny.insn(tiny.MOV64_IMM, imm=2) + tiny.END), tiny.load(3), tiny.load(8)
    assert not isinstance(xdp, int)
    assert not isinstance(cls, int)
    assert not isinstance(skb, int)
    with xdp, cls, skb:
        netlink.set_xdp(netns.ifindex, xdp.fileno(), 2)
        netlink.add_clsact(netns.ifindex)
        netlink.add_filter(netns.ifindex, netlink.INGRESS, cls.fileno(), "mine", priority=3)
        folder = kernel.door().open_fd(str(cgroup.path))
        assert not isinstance(folder, int)
        with folder:
            kernel.call("BPF_PROG_ATTACH", target_fd=folder, attach_bpf_fd=skb, attach_type=1)
            told = {one.id: one.attached for one in bpfsmith.ps("programs").programs}
            kernel.call("BPF_PROG_DETACH", target_fd=folder, attach_bpf_fd=skb, attach_type=1)
        assert told[info.program(xdp)["id"]] == ["xdp veth0 (skb)"]
        assert told[info.program(cls)["id"]] == ["tc veth0 ingress, priority 3"]
        assert told[info.program(skb)["id"]] == [f"cgroup {cgroup.path} (cgroup_inet_egress)"]
        netlink.set_xdp(netns.ifindex, -1, 2)
        netlink.delete_clsact(netns.ifindex)


def test_a_program_on_a_perf_event(bpf_object: Any) -> None:
    from bpfsmith.kernel import perf

    program = tiny.load(5)
    assert not isinstance(program, int)
    number = int(kernel.door().read_text("/sys/kernel/tracing/events/sched/sched_switch/id"))
    event = kernel.door().perf_event_open(b"".join([(2).to_bytes(4, "little"), (64).to_bytes(4, "little"),
                                                    number.to_bytes(8, "little")]).ljust(64, b"\0"), -1, 0)  # fmt: skip
    assert not isinstance(event, int), perf
    with program, event:
        assert kernel.door().ioctl(event.fileno(), 0x40042408, program.fileno()) == 0
        told = {one.id: one.attached for one in bpfsmith.ps("programs").programs}
        assert told[info.program(program)["id"]] == ["tracepoint sched_switch"]


def test_an_interface_is_named_in_its_own_network_namespace_only(netns: Any, bpf_object: Any) -> None:
    source = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int ps_here(struct xdp_md *ctx) { return XDP_PASS; }
SEC("tcx/ingress") int ps_tc(struct __sk_buff *skb) { return -1; }
char LICENSE[] SEC("license") = "GPL";
"""
    with (
        bpfsmith.load(bpf_object(source)) as bpf,
        bpf.programs["ps_here"].attach_xdp(netns.device, mode="skb"),
        bpf.programs["ps_tc"].attach_tc(netns.device, via="tcx"),
    ):
        own = {info.program(program.fd)["id"] for program in bpf.programs.values()}
        here = {one.target for one in bpfsmith.ps("links").links if one.program_id in own}
        assert here == {"veth0", "veth0 ingress"}
        with netns.peer():
            there = {one.target for one in bpfsmith.ps("links").links if one.program_id in own}
        assert all("network namespace" in target for target in there)

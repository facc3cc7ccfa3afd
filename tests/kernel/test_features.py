"""What no other test sees: the rest of the matrix of `docs/guide/features.md`."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith import kernel
from waiting import comes_true

pytestmark = [pytest.mark.root, pytest.mark.toolchain]

HEAD = """
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
"""


def test_what_a_program_prints(bpf_object: Callable[..., Path]) -> None:
    code = """
extern int PRINT(int stream, const char *form, const void *args, __u32 size, void *aux) __ksym;
SEC("syscall") int say(void *ctx)
{
	static const char form[] = "%d of %d\\n";
	__u64 args[2] = { 3, 7 };
	int error = PRINT(1, form, args, sizeof(args), 0);

	args[0] = 4;
	return error ?: PRINT(2, form, args, sizeof(args), 0);
}
"""
    names = ("bpf_stream_vprintk_impl", "bpf_stream_vprintk")
    name = next((one for one in names if kernel.live().btf.find(one, "FUNC")), None)
    if name is None:
        pytest.skip("kernel: no streams of programs (Linux 6.17)")
    with bpfsmith.load(str(bpf_object(HEAD + code.replace("PRINT", name)))) as bpf:
        program = bpf.programs["say"]
        if program.test_run().signed == -12:
            assert program.streams() == {"stdout": "", "stderr": ""}
            pytest.skip("kernel: it has no memory for what programs print (ENOMEM)")
        assert program.streams() == {"stdout": "3 of 7\n", "stderr": "4 of 7\n"}
        assert program.streams() == {"stdout": "", "stderr": ""}


def test_types_of_another_file(bpf_object: Callable[..., Path]) -> None:
    layout = "struct placed { %s int field; } __attribute__((preserve_access_index));\n__u32 found;\n"
    look = 'SEC("xdp") int look(void *ctx) { found = bpf_core_field_offset(struct placed, field); return 2; }\n'
    theirs = bpf_object(HEAD + layout % "long before[3];" + look)
    for btf in (str(theirs), theirs):
        with bpfsmith.load(str(bpf_object(HEAD + layout % "" + look)), btf=btf) as bpf:
            bpf.programs["look"].test_run(bytes(64))
            assert bpf.globals["found"] == 24


def test_functions_of_every_kind(bpf_object: Callable[..., Path]) -> None:
    code = """
__u64 sum;
static long add(__u32 index, void *step) { sum += *(__u64 *)step; return 0; }
static __attribute__((noinline)) __u64 local(__u64 n) { return n + sum; }
__attribute__((noinline)) int global(__u32 n) { return n * 2; }
SEC("xdp") int run(void *ctx)
{
	__u64 step = 3;
	bpf_loop(5, add, &step, 0);
	sum = local(global(10));
	return 2;
}
"""
    if not kernel.live().probe("helper:xdp:bpf_loop"):
        pytest.skip("kernel: no `bpf_loop` (Linux 5.17)")
    with bpfsmith.load(str(bpf_object(HEAD + code))) as bpf:
        bpf.programs["run"].test_run(bytes(64))
        assert bpf.globals["sum"] == 35


REDIRECT = """
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 1); __type(key, __u32);
	__type(value, struct bpf_devmap_val); } devices SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(max_entries, 1); __type(key, __u32);
	__type(value, struct bpf_cpumap_val); } cpus SEC(".maps");
__u32 by_device, by_cpu;
SEC("xdp") int to_device(void *ctx) { return bpf_redirect_map(&devices, 0, 0); }
SEC("xdp") int to_cpu(void *ctx) { return bpf_redirect_map(&cpus, 0, 0); }
SEC("xdp/devmap") int at_device(void *ctx) { __sync_fetch_and_add(&by_device, 1); return XDP_DROP; }
SEC("xdp/cpumap") int at_cpu(void *ctx) { __sync_fetch_and_add(&by_cpu, 1); return XDP_DROP; }
"""


@pytest.mark.parametrize(("table", "kind"), [("devices", "device"), ("cpus", "cpu")])
def test_programs_of_devmap_and_cpumap_entries(
    netns: Any, bpf_object: Callable[..., Path], table: str, kind: str
) -> None:
    with bpfsmith.load(str(bpf_object(HEAD + REDIRECT))) as bpf:
        first = netns.ifindex if kind == "device" else 192
        bpf.maps[table][0] = (first, bpf.programs[f"at_{kind}"].fileno())
        with bpf.programs[f"to_{kind}"].attach_xdp(netns.device, "skb"):
            netns.udp(3)
            assert comes_true(lambda: bpf.globals[f"by_{kind}"] >= 3)


def test_packets_of_many_pages(netns: Any, bpf_object: Callable[..., Path]) -> None:
    code = """
__u32 longest;
#define AT(section, name) SEC(section) int name(struct xdp_md *ctx) \\
	{ __u64 n = bpf_xdp_get_buff_len(ctx); if (n > longest) longest = n; return XDP_PASS; }
AT("xdp.frags", whole)
AT("xdp", linear)
"""
    subprocess.run(["ip", "link", "set", netns.device, "mtu", "9000"], check=True)
    with netns.peer():
        subprocess.run(["ip", "link", "set", netns.peer_device, "mtu", "9000"], check=True)
    with bpfsmith.load(str(bpf_object(HEAD + code))) as bpf:
        with bpf.programs["whole"].attach_xdp(netns.device, "native"):
            netns.udp(1, payload=bytes(8000))
        assert bpf.globals["longest"] == 8000 + 42
        with pytest.raises(bpfsmith.BpfsmithError):
            bpf.programs["linear"].attach_xdp(netns.device, "native")


def test_bound_to_a_device(netns: Any, bpf_object: Callable[..., Path]) -> None:
    code = 'int seen; SEC("xdp") int here(void *ctx) { seen = 1; return XDP_PASS; }'
    settings = {"here": {"flags": ["dev_bound"], "ifindex": netns.ifindex}}
    with bpfsmith.load(str(bpf_object(HEAD + code)), programs=settings) as bpf:
        with pytest.raises(bpfsmith.BpfsmithError):
            bpf.programs["here"].attach_xdp("lo")
        with bpf.programs["here"].attach_xdp(netns.device, "native"):
            netns.udp()
        assert bpf.globals["seen"] == 1


def test_a_socket_of_express_data_path(bpf_object: Callable[..., Path]) -> None:
    code = """
struct { __uint(type, BPF_MAP_TYPE_XSKMAP); __uint(max_entries, 2); __type(key, __u32); __type(value, __u32); }
	xsks SEC(".maps");
SEC("xdp") int there(void *ctx) { __u32 key = 1; return bpf_map_lookup_elem(&xsks, &key) ? XDP_PASS : XDP_DROP; }
"""
    try:
        sock = socket.socket(44, socket.SOCK_RAW, 0)  # AF_XDP
    except OSError as error:
        pytest.skip(f"kernel: no AF_XDP: {error}")
    with sock, bpfsmith.load(str(bpf_object(HEAD + code))) as bpf:
        assert bpf.programs["there"].test_run(bytes(64)).verdict == "XDP_DROP"
        bpf.maps["xsks"][1] = sock
        assert bpf.programs["there"].test_run(bytes(64)).verdict == "XDP_PASS"
        del bpf.maps["xsks"][1]
        assert bpf.programs["there"].test_run(bytes(64)).verdict == "XDP_DROP"


def test_a_value_of_a_cgroup_for_each_cpu(bpf_object: Callable[..., Path], cgroup: Any) -> None:
    code = """
struct { __uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE); __type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64); } kept SEC(".maps");
SEC("cgroup_skb/egress") int count(void *ctx) { *(__u64 *)bpf_get_local_storage(&kept, 0) += 1; return 1; }
"""
    with bpfsmith.load(str(bpf_object(HEAD + code))) as bpf:
        kept, cpus = bpf.maps["kept"], kernel.live().possible_cpus
        with bpf.programs["count"].attach_cgroup(str(cgroup.path)):
            ((key, value),) = kept.items()
            assert value == (0,) * cpus
            kept[key] = range(cpus)
            assert kept[str(cgroup.path), 1] == tuple(range(cpus))

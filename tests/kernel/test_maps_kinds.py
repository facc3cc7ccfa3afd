"""Every other kind of map on the real kernel."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith import InputError, KernelError, MapFull, TargetMissing, Unsupported, ValueMismatch
from bpfsmith.model.errors import KeyMissing
from bpfsmith.run.codec import parse_type
from bpfsmith.run.maps import Map, MapSpec, open_map

pytestmark = [pytest.mark.root, pytest.mark.toolchain]


@pytest.fixture
def bpf(bpf_object: Callable[..., Path]) -> Iterator[Any]:
    with bpfsmith.load(str(bpf_object("maps"))) as loaded:
        yield loaded


def test_tries_match_the_longest_prefix(bpf: Any) -> None:
    routes = bpf.maps["routes"]
    routes["10.0.0.0/8"] = 8
    routes[bpfsmith.prefix("10.1.0.0", 16)] = 16
    routes[ipaddress.ip_network("10.1.2.0/24")] = 24
    routes.update({"0.0.0.0/0": 0, (32, bytes((10, 1, 2, 3))): 32})
    assert [routes[f"10.{end}"] for end in ("9.9.9", "1.9.9", "1.2.9", "1.2.3")] == [8, 16, 24, 32]
    assert routes["192.0.2.1"] == 0 and routes.match(bpfsmith.ip("10.1.2.7")) == 24
    assert routes["10.1.0.0/12"] == 8 and routes.exact("10.1.0.0/12") is None and routes.exact("10.1.0.0/16") == 16
    assert {str(key): value for key, value in routes.items()} == {
        "0.0.0.0/0": 0, "10.0.0.0/8": 8, "10.1.0.0/16": 16, "10.1.2.0/24": 24, "10.1.2.3/32": 32,
    }  # fmt: skip
    assert sorted(routes.to_numpy()["key"]["prefixlen"].tolist()) == [0, 8, 16, 24, 32]
    for key in routes:
        if key.length > 8:
            del routes[key]
    assert len(routes) == 2 and routes.pop("0.0.0.0/0") == 0 and list(routes) == ["10.0.0.0/8"]
    with pytest.raises(KeyMissing):
        routes["192.0.2.1"]
    with pytest.raises(KeyMissing):
        routes.pop("10.0.0.0/9")
    for wrong in ("10.0.0.0/33", "fe80::/10", "x/8", 5, (40, b"1234"), b"12"):
        with pytest.raises(ValueMismatch, match="expected a prefix of at most 32 bits"):
            routes[wrong] = 1


def test_queue_and_stack(bpf: Any) -> None:
    todo, pile = bpf.maps["todo"], bpf.maps["pile"]
    for number in range(4):
        todo.push({"packets": number, "bytes": 1})
        pile.push(number)
    with pytest.raises(MapFull, match="map `todo` is full: it holds 4 entries"):
        todo.push((9, 9))
    pile.push(4, replace=True)
    assert todo.peek().packets == 0 and [one.packets for one in todo.drain()] == [0, 1, 2, 3]
    assert pile.peek() == 4 and pile.pop() == 4
    assert list(pile.drain()) == [3, 2, 1]
    assert pile.pop(None) is None
    with pytest.raises(KeyMissing, match="is empty"):
        pile.peek()
    with pytest.raises(MapFull) as caught:
        pile.extend(range(6))
    assert caught.value.stored == 4
    with pytest.raises(ValueMismatch):
        pile.push(-1)
    pile.clear()
    assert pile.pop("none") == "none"


def test_bloom_filters_never_say_no_wrongly(bpf: Any) -> None:
    seen = bpf.maps["seen"]
    seen.add(5)
    seen.update(range(100, 600))
    assert 5 in seen and all(number in seen for number in range(100, 600))
    assert sum(number in seen for number in range(10_000, 20_000)) < 3000
    with pytest.raises(InputError, match="keeps no values"):
        list(seen)
    with pytest.raises(ValueMismatch):
        seen.add("x")


def inner(kind: str = "hash", key: int = 4, value: int = 8, entries: int = 16, flags: int = 0) -> Any:
    from bpfsmith import kernel
    from bpfsmith.run.maps.spec import type_number

    fd = kernel.call_fd(
        "BPF_MAP_CREATE", map_type=type_number(kind), key_size=key, value_size=value, max_entries=entries,
        map_flags=flags, map_name="inner_of_test",
    )  # fmt: skip
    return open_map(fd, MapSpec("inner_of_test", kind, key, value, entries, flags))


@pytest.mark.parametrize("name", ["tables", "slots"])
def test_maps_in_maps(bpf: Any, name: str) -> None:
    outer = bpf.maps[name]
    assert len(outer) == 0 and list(outer) == [] and outer.get(1) is None
    with inner() as one:
        one[7] = 70
        outer[1] = one
        assert outer.ids() == {1: one.id} and len(outer) == 1 and 1 in outer
        with outer[1] as again:
            assert dict(again) == {7: 70} and again.id == one.id
            again[8] = 80
        assert one[8] == 80
    with outer[1] as again:  # the outer map keeps it alive
        assert sorted(again) == [7, 8]
    for wrong, said in ((inner(value=4), "value size 4 instead of 8"), (inner("array", value=8), "type array")):
        with wrong, pytest.raises(ValueMismatch, match=said):
            outer[2] = wrong
    with pytest.raises(ValueMismatch, match="expected a map"):
        outer[2] = "x"
    with inner(value=4) as wrong, pytest.raises(InputError, match="not like its template"):
        outer[2] = wrong.fileno()
    del outer[1]
    assert len(outer) == 0
    with pytest.raises(KeyMissing):
        outer[1]


def test_program_arrays_chain(bpf: Any) -> None:
    chain, programs, shared = bpf.maps["chain"], bpf.programs, bpf.maps["shared"].view()
    chain[0] = programs["second"]
    assert (
        chain.chain() == {0: "second"} and chain[0] == programs["second"].id and list(chain) == [0] and len(chain) == 1
    )
    assert programs["first"].test_run(bytes(64)).verdict == "XDP_PASS" and (shared[0], shared[1]) == (1, 1)
    assert chain.replace(0, programs["third"]) == programs["second"].id
    assert programs["first"].test_run(bytes(64)).verdict == "XDP_TX"
    del chain[0]
    assert programs["first"].test_run(bytes(64)).verdict == "XDP_DROP" and 0 not in chain
    chain.fill([programs["second"], None, programs["third"]])
    assert chain.chain() == {0: "second", 2: "third"}
    # One that does not fit: everything is as it was.
    with pytest.raises(InputError, match="does not take this program in slot 1"):
        chain.fill([programs["third"], programs["keep_stack"]])
    assert chain.chain() == {0: "second", 2: "third"}
    with pytest.raises(InputError, match="3 programs from 2 on do not fit"):
        chain.fill([None] * 3, first=2)
    with pytest.raises(KeyMissing, match="has the slots 0 to 3, not 9"):
        chain[9] = programs["second"]
    with pytest.raises(KeyMissing, match="slot 1 of map `chain` is empty"):
        chain[1]
    with pytest.raises(ValueMismatch, match="expected a loaded program"):
        chain[1] = "second"
    assert chain.pop(2) == programs["third"].id
    chain.clear()
    assert len(chain) == 0


def test_sockets(bpf: Any) -> None:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    client = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    with server, client, peer:
        cookie = int.from_bytes(client.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder)
        for name in ("socks", "sock_table"):
            table = bpf.maps[name]
            table[2] = client
            table.update({1: peer.fileno()})
            assert table[2] == cookie and dict(table.items())[2] == cookie and len(table) == 2 and 3 not in table
            del table[1]
            with pytest.raises(KeyMissing):
                del table[1]
            table.clear()
            assert len(table) == 0
        with open(os.devnull) as file, pytest.raises(InputError, match="expected a socket"):
            bpf.maps["socks"][0] = file
        with pytest.raises(ValueMismatch, match="expected a socket"):
            bpf.maps["socks"][0] = "x"
    listener = socket.socket()
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        bpf.maps["listeners"][0] = listener
        assert list(bpf.maps["listeners"]) == [0]


def test_devices_and_cpus(bpf: Any) -> None:
    index = socket.if_nametoindex("lo")
    for name in ("devices", "device_table"):
        table = bpf.maps[name]
        table[0] = "lo"
        table[1] = index
        assert dict(table.items()) == {0: (index, 0), 1: (index, 0)} and table[0].ifindex == index
        assert table[0].program == 0
        with pytest.raises(TargetMissing, match="no interface `lp`") as caught:
            table[2] = "lp"
        assert "lo" in caught.value.hint
        del table[1]
        assert list(table) == [0]
        with pytest.raises(ValueMismatch):
            table[2] = {"ifindx": 1}
    cpus = bpf.maps["cpus"]
    cpus[0] = 192
    assert cpus[0] == (192, 0) and cpus[0].qsize == 192 and list(cpus) == [0]
    with pytest.raises(ValueMismatch, match="1 to 16384"):
        cpus[0] = 0


def test_cgroups_and_unreadable_kinds(bpf: Any, cgroup: Any) -> None:
    groups = bpf.maps["cgroups"]
    groups[0] = str(cgroup.path)
    with pytest.raises(InputError, match="cannot be read"):
        groups[0]
    del groups[0]
    with pytest.raises(TargetMissing, match="no cgroup `/no/such`"):
        groups[0] = "/no/such"
    with pytest.raises(InputError, match="cannot be read"):
        bpf.maps["xsks"][0]
    with socket.socket() as other, pytest.raises((InputError, KernelError)):
        bpf.maps["xsks"][0] = other


def test_local_storage(bpf: Any, cgroup: Any, tmp_path: Path) -> None:
    with socket.socket() as sock:
        tables = {"by_socket": sock, "by_task": os.getpid(), "by_cgroup": str(cgroup.path)}
        for name, key in tables.items():
            table = bpf.maps[name]
            assert key not in table and table.get(key, 7) == 7
            table[key] = (1, 2)
            assert table[key].packets == 1 and table[key].bytes == 2 and key in table
            table.update({key: (3, 4)})
            assert table.pop(key) == (3, 4) and key not in table and table.delete([key]) == 0
            with pytest.raises(KeyMissing):
                del table[key]
            for walk in (lambda table=table: list(table), lambda table=table: len(table), table.to_numpy):
                with pytest.raises(Unsupported, match="cannot be listed"):
                    walk()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        bpf.maps["by_task"][child] = (5, 6)
        assert bpf.maps["by_task"][child.pid] == (5, 6)
    finally:
        child.communicate(b"\n")
    with pytest.raises(TargetMissing, match=f"no process {child.pid}"):
        bpf.maps["by_task"][child.pid]
    with pytest.raises(TargetMissing, match="no cgroup"):
        bpf.maps["by_cgroup"]["/nope"]
    with pytest.raises(ValueMismatch, match="expected a socket"):
        bpf.maps["by_socket"]["x"]


def test_stacks_have_names(bpf: Any) -> None:
    stacks = bpf.maps["stacks"]
    with bpf.programs["keep_stack"].attach():
        for _ in range(20):
            os.getppid()
    traces = dict(stacks.items())
    assert traces and all(traces.values())
    text = "\n".join(trace.text() for trace in traces.values())
    if any(int(line.split()[0], 16) for line in Path("/proc/kallsyms").read_text().splitlines()[:1]):
        assert "entry_SYSCALL_64" in text or "syscall" in text, text
    assert stacks.to_numpy()["value"].shape == (len(traces), 20)
    with pytest.raises(KeyMissing, match="bpf_get_stackid"):
        stacks[-14]
    assert -14 not in stacks
    stacks.clear()
    assert len(stacks) <= 1


def test_names_in_a_process() -> None:
    """Addresses of this process: a function of libc by its dynamic symbols."""
    import ctypes

    from bpfsmith.run.maps.stacks import StackTrace

    address = ctypes.cast(ctypes.CDLL(None).getppid, ctypes.c_void_p).value or 0
    (frame,) = StackTrace((address + 1,)).frames(os.getpid())
    assert frame.name in ("getppid", "__getppid") and "libc" in frame.where and frame.offset == 1


def test_arena(bpf_object: Callable[..., Path]) -> None:
    try:
        arena = inner("arena", key=0, value=0, entries=4, flags=1 << 10)
    except (Unsupported, KernelError) as error:
        pytest.skip(f"kernel: no arenas: {error}")
    with arena:
        view = arena.view()
        assert len(view) == arena.size == 4 * os.sysconf("SC_PAGE_SIZE")
        view[5] = 55
        assert arena.read(arena.user_address + 5, 1) == b"\x37" and arena.view()[5] == 55
        assert arena.read((arena.user_address + 5) & 0xFFFFFFFF, 1) == b"\x37"
        with pytest.raises(InputError, match="is not in map"):
            arena.read(arena.user_address + arena.size, 1)
        view.release()


def test_cgroup_storage(bpf_object: Callable[..., Path], cgroup: Any) -> None:
    code = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} kept SEC(".maps");
SEC("cgroup_skb/egress") int count(struct __sk_buff *skb)
{
	__u64 *n = bpf_get_local_storage(&kept, 0);
	__sync_fetch_and_add(n, 1);
	return 1;
}
char LICENSE[] SEC("license") = "GPL";
"""
    with bpfsmith.load(str(bpf_object(code))) as bpf:
        kept = bpf.maps["kept"]
        assert len(kept) == 0
        with bpf.programs["count"].attach_cgroup(str(cgroup.path)):
            ((key, value),) = kept.items()
            assert value == 0 and key.cgroup == os.stat(cgroup.path).st_ino
            kept[str(cgroup.path), 1] = 5
            assert kept[key] == 5
            with pytest.raises(InputError, match="cannot be deleted"):
                del kept[key]
            with pytest.raises(KeyMissing):
                kept["/", 1] = 1
            with pytest.raises(ValueMismatch):
                kept[str(cgroup.path)]


def test_maps_without_a_kind_of_their_own() -> None:
    spec = MapSpec("odd", "99", 4, 4, 1)
    with inner() as real:
        odd = open_map(real.fd, spec, real)
        assert type(odd) is Map and odd.type == "99" and odd.info().type == "hash"


def test_struct_ops_values_are_seen(bpf_object: Callable[..., Path], leaves_nothing: Any) -> None:
    with bpfsmith.load(bpf_object("attach_ops")) as bpf:
        table = bpf.maps["linked"]
        assert table.state == "init" and table.value.data.name == ""
        with bpf.programs["started"].attach_struct_ops("linked"):
            assert table.state in ("in use", "ready") and table.value.data.name == "bpfsmith_link"
            assert table.value.common.state.name.startswith("BPF_STRUCT_OPS_STATE_")
            assert table.value.data.init == bpf.programs["started"].id
        with pytest.raises((InputError, Unsupported)):
            table.unregister()  # its link does that
    # The kernel frees them when every task was switched once, which takes up to minutes.
    leaves_nothing.made.clear()


def test_files_have_storage_too(bpf_object: Callable[..., Path], tmp_path: Path) -> None:
    code = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
struct pair { __u64 packets; __u32 bytes; };
struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pair);
} by_inode SEC(".maps");
SEC("xdp") int nothing(void *ctx) { return 2; }
char LICENSE[] SEC("license") = "GPL";
"""
    try:
        loaded = bpfsmith.load(str(bpf_object(code)))
    except (Unsupported, KernelError) as error:
        pytest.skip(f"kernel: no storage for inodes: {error}")
    with loaded as bpf:
        table, path = bpf.maps["by_inode"], tmp_path / "file"
        path.write_text("x")
        assert path not in table
        table[path] = {"packets": 1, "bytes": 2}
        with path.open() as file:
            assert table[file] == table[str(path)] == (1, 2)
        assert table.pop(path) == (1, 2) and path not in table
        with pytest.raises(TargetMissing, match=r"cannot open .*ENOENT"):
            table[tmp_path / "none"]


def test_stacks_by_build_id(bpf_object: Callable[..., Path]) -> None:
    code = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(map_flags, BPF_F_STACK_BUILD_ID);
	__uint(max_entries, 100);
	__uint(key_size, 4);
	__uint(value_size, 20 * sizeof(struct bpf_stack_build_id));
} stacks SEC(".maps");
SEC("raw_tp/sys_enter") int keep(void *ctx) { bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK); return 0; }
char LICENSE[] SEC("license") = "GPL";
"""
    with bpfsmith.load(str(bpf_object(code))) as bpf:
        with bpf.programs["keep"].attach():
            for _ in range(20):
                os.getppid()
        traces = list(bpf.maps["stacks"].values())
        frames = [frame for trace in traces for frame in trace if hasattr(frame, "build_id")]
        assert frames and all(len(frame.build_id) == 40 and frame.offset > 0 for frame in frames)


def test_arenas_hold_pointers(bpf_object: Callable[..., Path]) -> None:
    code = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#undef __arena
#define __arena __attribute__((address_space(1)))
struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 10);
} arena SEC(".maps");
extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *at, __u32 n, int node, __u64 flags) __ksym __weak;
struct item { __u64 value; struct item __arena *next; };
struct item __arena *head;
SEC("syscall") int fill(void *ctx)
{
	struct item __arena *page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
	if (!page)
		return 1;
	page[0].value = 42;
	page[0].next = &page[1];
	page[1].value = 43;
	page[1].next = 0;
	head = page;
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""
    try:
        loaded = bpfsmith.load(str(bpf_object(code, "-mcpu=v4")))
    except (Unsupported, KernelError) as error:
        pytest.skip(f"kernel: no arenas: {error}")
    item = parse_type([("value", "u64"), ("next", "u64")])
    with loaded as bpf:
        arena = bpf.maps["arena"]
        assert bpf.programs["fill"].test_run().retval == 0
        first = item.decode(arena.read(bpf.globals["head"], 16))
        second = item.decode(arena.read(first.next, 16))
        assert (first.value, second.value, second.next) == (42, 43, 0) and first.next == bpf.globals["head"] + 16

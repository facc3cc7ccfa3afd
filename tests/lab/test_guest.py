"""A guest's agent in real guests: what goes wrong in one is told and does not end it; its door is as this machine's."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith import kernel, lab
from bpfsmith.kernel import info, netlink
from bpfsmith.lab import store
from bpfsmith.model.errors import GuestFailed

pytestmark = pytest.mark.lab
SOURCE = r"""
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u64);
} counts SEC(".maps");
SEC("xdp") int pass(struct xdp_md *ctx)
{
    __u32 key = 1;
    __u64 *count = bpf_map_lookup_elem(&counts, &key);
    if (count)
        *count += 1;
    return XDP_PASS;
}
"""


@pytest.fixture(scope="module")
def built(clang: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("built") / "pass.bpf.o"
    words = ["-g", "-O2", "-target", "bpf", "-I", f"/usr/include/{os.uname().machine}-linux-gnu", "-x", "c", "-c", "-"]
    subprocess.run([clang.path, *words, "-o", path], input=SOURCE.encode(), check=True)
    return path


@pytest.fixture(params=["oldest", "newest"])
def one(request: pytest.FixtureRequest, prepared: list[store.Prepared]) -> store.Prepared:
    return prepared[0 if request.param == "oldest" else -1]


@pytest.mark.toolchain
def test_a_load_as_on_this_machine(one: store.Prepared, token: str, built: Path) -> None:
    with lab.kernel(one) as k, bpfsmith.load(built, kernel=k.kernel) as bpf:
        for table in bpf.maps.values():
            told = info.map_(table.fd)
            assert (told["key_size"], told["max_entries"]) == (table.spec.key_size, table.max_entries)
        for program in bpf.programs.values():
            told = program.info()
            image = info.program(program.fd, "xlated_prog_insns", "jited_prog_insns", "line_info")
            assert len(image["xlated_prog_insns"]) == told["xlated_prog_len"]
            assert set(told["map_ids"]) <= {table.info().id for table in bpf.maps.values()}
        assert netlink.interface("lo") == (1, "lo")
        program = bpf.programs["pass"]
        assert program.test_run(bytes(64)).retval == 2
        assert bpf.maps["counts"][1] == 1
        link = program.attach_xdp("lo")
        assert link.info()["ifindex"] == 1
        link.detach()


def test_whole_maps(one: store.Prepared, token: str) -> None:
    with lab.kernel(one):
        fd = kernel.call_fd("BPF_MAP_CREATE", map_type=1, key_size=4, value_size=16, max_entries=5000)
        door = kernel.door()
        keys = b"".join(at.to_bytes(4, "little") for at in range(3000))
        values = b"".join(at.to_bytes(8, "little") * 2 for at in range(3000))
        assert door.map_update(fd.fileno(), (keys, 0, 4, 4), (values, 0, 16, 16), 3000)[:3] == (3000, 0, 0)
        for read in (
            lambda: door.map_dump(fd.fileno(), (4, 16, 24, 8), 24),
            lambda: door.map_dump_each(fd.fileno(), (4, 16, 24, 8), 0, 5000),
        ):
            rows, errno, _, _ = read()
            assert errno == 0
            found = {bytes(rows[at : at + 4]): bytes(rows[at + 8 : at + 24]) for at in range(0, len(rows), 24)}
            assert found == {keys[4 * at : 4 * at + 4]: values[16 * at : 16 * at + 16] for at in range(3000)}
        assert door.map_delete(fd.fileno(), (keys, 0, 4, 8), 1500)[:3] == (1500, 0, 0)  # every second one
        assert door.map_read(fd.fileno(), keys[4:8], 16) == values[16:32]
        assert door.map_read(fd.fileno(), keys[:4], 16) == -2
        assert door.mmap(fd.fileno(), 4096) == -95


def test_out_of_memory_is_told_and_survived(one: store.Prepared, token: str) -> None:
    with lab.open(one) as guest:
        fd = guest.door.open_fd("/dev/null")
        with pytest.raises(GuestFailed, match="ran out of memory") as caught:
            guest.door.bpf(9999, bytearray(64), [(8 * at, bytearray(40 << 20)) for at in range(8)])
        assert caught.value.what == "memory"
        assert fd.closed, "the worker that had it is gone"
        assert guest.door.exists("/proc") and guest.channel.generation == 1
        with pytest.raises(GuestFailed, match="at once"):
            guest.door.replay([(5, bytes(100), [(0, bytes(100 << 20), [])], [], -1)], 0)
        data = bytes(range(256)) * 120_000
        guest.put("/tmp/large", data)
        assert guest.get("/tmp/large") == data
        assert not guest.closed


def test_clock_and_chance_are_each_guests_own(middle: store.Prepared, token: str) -> None:
    told = []
    for _ in range(2):
        with lab.open(middle) as guest:
            guest.put("/tmp/now", b"")
            stamp = guest.door.stat("/tmp/now").st_mtime
            assert abs(stamp - time.time()) < 120
            with guest.door.open_fd("/dev/urandom") as fd:
                told.append(guest.door.read_fd(fd.fileno(), 32))
    assert told[0] != told[1]

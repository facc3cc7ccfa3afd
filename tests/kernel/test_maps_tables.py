"""Hash, LRU, array and per-CPU maps on the real kernel; what bpftool sees is what we see."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import bpfsmith
from bpfsmith import Closed, InputError, KernelError, MapFull, UnknownName, ValueMismatch
from bpfsmith.model.errors import KeyMissing
from bpfsmith.run.maps import Map, bulk

pytestmark = [pytest.mark.root, pytest.mark.toolchain]


@pytest.fixture
def bpf(bpf_object: Callable[..., Path]) -> Iterator[Any]:
    with bpfsmith.load(str(bpf_object("maps"))) as loaded:
        yield loaded


def bpftool(*words: str) -> Any:
    tool = shutil.which("bpftool") or "/usr/sbin/bpftool"
    done = subprocess.run([tool, "-j", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


FLOW = {"mac": bpfsmith.mac("02:00:00:00:00:01"), "port": 80, "addr": bpfsmith.ip("10.0.0.1")}
COUNT = {
    "packets": 1 << 40,
    "first": 5,
    "second": -3,
    "color": "GREEN",
    "who": {"comm": "bash", "ok": True},
    "number": 0x01020304,
    "steps": [1, -2, 3],
}


def test_a_hash_is_a_mapping(bpf: Any) -> None:
    plain = bpf.maps["plain"]
    assert len(plain) == 0 and 1 not in plain and plain.get(1) is None and list(plain) == [] and bool(plain)
    plain[1] = 10
    plain.update({2: 20, 3: 30})
    plain.update([(4, 40)])
    assert plain[2] == 20 and len(plain) == 4 and 3 in plain
    assert dict(plain.items()) == {1: 10, 2: 20, 3: 30, 4: 40} and sorted(plain) == sorted(plain.keys()) == [1, 2, 3, 4]
    assert sorted(plain.values()) == [10, 20, 30, 40]
    assert plain.pop(2) == 20 and plain.pop(2, None) is None and 2 not in plain
    assert plain.setdefault(5, 50) == 50 and plain.setdefault(5, 51) == 50
    del plain[5]
    assert plain.delete([1, 99, 3]) == 2 and dict(plain) == {4: 40}
    assert plain.popitem() == (4, 40)
    with pytest.raises(KeyMissing, match="is empty"):
        plain.popitem()
    with pytest.raises(KeyError):
        plain[4]
    with pytest.raises(KeyMissing, match="map `plain` has no key 4"):
        plain[4]
    with pytest.raises(KeyMissing):
        del plain[4]
    with pytest.raises(KeyMissing):
        plain.pop(4)


def test_put_says_what_is_there(bpf: Any) -> None:
    plain = bpf.maps["plain"]
    plain.put(1, 10, new=True)
    with pytest.raises(KernelError, match="has the key 1 already"):
        plain.put(1, 11, new=True)
    with pytest.raises(KeyMissing):
        plain.put(2, 20, new=False)
    plain.put(1, 12, new=False)
    assert dict(plain) == {1: 12}


def test_typed_keys_and_values(bpf: Any) -> None:
    flows = bpf.maps["flows"]
    flows[FLOW] = COUNT
    ((key, value),) = flows.items()
    assert key.port == 80 and str(bpfsmith.ip(key.addr)) == "10.0.0.1" and str(bpfsmith.mac(key.mac)).endswith(":01")
    assert value.packets == 1 << 40 and (value.first, value.second) == (5, -3)
    assert value.color == 2 and value.color.name == "GREEN"
    assert value.who.comm == "bash" and value.who.ok is True and value.steps == (1, -2, 3)
    assert value.number == 0x01020304 and bytes(value.octets) == (0x01020304).to_bytes(4, "little")
    # What was read can be stored, and so can a changed record.
    flows[key._replace(port=81)] = value._replace(packets=2)
    assert len(flows) == 2 and flows[FLOW] == value and flows[(FLOW["mac"], 81, FLOW["addr"])].packets == 2
    assert flows[key] == value
    (shown,) = (row for row in bpftool("map", "dump", "id", str(flows.id)) if row["formatted"]["key"]["port"] == 80)
    told = shown["formatted"]["value"]
    assert (told["packets"], told["color"]) == (1 << 40, "GREEN")
    assert (told["first"], told["second"]) == ("0x5", "0x1d")  # bpftool shows the bits: 29 is -3 of five bits
    assert told["who"]["comm"] == "bash" and told["steps"] == [1, -2, 3]


def test_the_same_bytes_as_bpftool(bpf: Any) -> None:
    plain = bpf.maps["plain"]
    plain.update({number * 7: number for number in range(1000)})
    rows = bpftool("map", "dump", "id", str(plain.id))
    assert {row["formatted"]["key"]: row["formatted"]["value"] for row in rows} == dict(plain.items())
    array = plain.to_numpy()
    assert sorted(array["key"].tolist()) == sorted(row["formatted"]["key"] for row in rows)
    shown = bpftool("map", "show", "id", str(plain.id))
    info = plain.info()
    assert (shown["type"], shown["bytes_key"], shown["bytes_value"], shown["max_entries"]) == (
        info.type, info.key_size, info.value_size, info.max_entries,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (-1, 1, "key of map `plain`: expected an integer 0 to 4294967295 (`__u32`, 4 bytes), got -1"),
        (1 << 32, 1, "got 4294967296"),
        ("x", 1, "expected an integer"),
        (1, "x", "value of map `plain`: expected an integer 0 to 18446744073709551615 (`__u64`, 8 bytes), got 'x'"),
        (b"123", 1, "exactly 4 bytes"),
        (1, 1.5, "expected an integer"),
        (None, 1, "got None"),
        ("10.0.0.1", 1, "for an address pass `bpfsmith.ip('10.0.0.1')`"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_kernel_sees_it(bpf: Any, key: Any, value: Any, said: str) -> None:
    plain = bpf.maps["plain"]
    with pytest.raises(ValueMismatch) as caught:
        plain[key] = value
    assert said in str(caught.value)
    with pytest.raises(ValueMismatch):
        plain.update([(1, 1), (key, value)])
    assert len(plain) == 0


def test_fields_that_do_not_fit(bpf: Any) -> None:
    flows = bpf.maps["flows"]
    for key, said in (
        ({**FLOW, "prot": 1}, "`struct flow` has no field `prot` (did you mean `port`?)"),
        ({"port": 1}, "lacks fields `mac`, `addr`"),
        ({**FLOW, "port": 70000}, "field port: expected an integer 0 to 65535"),
        ({**FLOW, "mac": b"12345"}, "field mac: expected exactly 6 bytes"),
        ((1, 2), "expected 3 values"),
        (b"1234", "exactly 12 bytes"),
    ):
        with pytest.raises(ValueMismatch) as caught:
            flows[key] = COUNT
        assert said in str(caught.value)
    for change, said in (
        ({"color": "GREY"}, "did you mean `GREEN`?"),
        ({"first": 8}, "expected an integer 0 to 7"),
        ({"second": 16}, "expected an integer -16 to 15"),
        ({"who": {"comm": "x" * 17, "ok": True}}, "at most 16 bytes of text"),
        ({"steps": [1, 2]}, "expected 3 values"),
    ):
        with pytest.raises(ValueMismatch) as caught:
            flows[FLOW] = {**COUNT, **change}
        assert said in str(caught.value)
    assert len(flows) == 0


def test_a_full_map_says_what_is_in(bpf: Any) -> None:
    small = bpf.maps["small"]
    with pytest.raises(MapFull) as caught:
        small.update({number: number for number in range(20)})
    error = caught.value
    assert error.stored == 8 == len(small) and sorted(small) == list(range(8))
    assert "8 of 20 were stored" in str(error) and "the first that is not is 8" in str(error)
    with pytest.raises(MapFull):
        small[99] = 1
    small[3] = 33  # what is there can be changed
    keys = numpy.arange(100, 120, dtype="u4")
    small.clear()
    with pytest.raises(MapFull) as caught:
        small.update_numpy(keys, keys.astype("u8"))
    assert caught.value.stored == 8 and sorted(small) == list(range(100, 108)) == caught.value.keys.tolist()
    # An LRU is never full.
    recent = bpf.maps["recent"]
    recent.update(dict.fromkeys(range(1000), 1))
    assert 0 < len(recent) <= 64


def test_deleting_while_iterating(bpf: Any) -> None:
    plain = bpf.maps["plain"]
    wanted = {number: number for number in range(500)}
    plain.update(wanted)
    seen = {}
    for key, value in plain.items():
        seen[key] = value
        del plain[key]
    assert seen == wanted and len(plain) == 0
    plain.update(wanted)
    for key in plain:
        del plain[key]
        plain[key + 10000] = 1
    assert len(plain) == 500
    assert dict(plain.drain()) == {number + 10000: 1 for number in range(500)} and len(plain) == 0


def test_a_dump_is_complete_while_others_delete(bpf: Any) -> None:
    plain = bpf.maps["plain"]
    keep = {number: number for number in range(0, 4000, 2)}
    plain.update({number: number for number in range(4000)})
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            plain.delete(range(1, 4000, 2))
            plain.update({number: number for number in range(1, 4000, 2)})

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            rows = plain.to_numpy()
            assert len(numpy.unique(rows["key"])) == len(rows)
            assert set(keep) <= set(rows["key"].tolist())
    finally:
        stop.set()
        thread.join()


def test_arrays(bpf: Any) -> None:
    numbers = bpf.maps["numbers"]
    assert len(numbers) == 16 and list(numbers) == list(range(16)) and 15 in numbers and 16 not in numbers
    numbers[3] = -7
    numbers[-1] = 9
    assert numbers[3] == -7 and numbers[15] == 9 and list(numbers.values()).count(0) == 14
    assert numbers.to_numpy().tolist() == [0, 0, 0, -7, *[0] * 11, 9] and numbers.to_numpy().dtype == "i4"
    for wrong in (16, 1 << 31):
        with pytest.raises(KeyMissing, match="has the indices 0 to 15"):
            numbers[wrong]
        with pytest.raises(KeyMissing):
            numbers[wrong] = 1
    for refused in (lambda: numbers.pop(1), lambda: numbers.delete([1]), numbers.drain):
        with pytest.raises(InputError, match="cannot be deleted"):
            refused()
    with pytest.raises(InputError, match="store zeros"):
        del numbers[1]
    numbers.clear()
    assert set(numbers.values()) == {0}


def test_under_a_spin_lock(bpf: Any) -> None:
    locks = bpf.maps["locks"]
    locks.put(0, {"lock": {"val": 0}, "a": 1, "b": 2}, lock=True)
    assert (locks.get(0, lock=True).a, locks[0].b) == (1, 2)
    locks.put(0, {"a": 3, "b": 4}, lock=True)  # the lock is the kernel's: nobody has to make one up
    assert (locks[0].a, locks[0].b, locks[0].lock.val) == (3, 4, 0)
    with pytest.raises(ValueMismatch, match="lacks field `b`"):
        locks[0] = {"a": 3}


def test_a_lock_where_there_is_none(bpf: Any) -> None:
    plain = bpf.maps["plain"]
    plain.update({1: 1, 2: 2})
    for locked in (
        lambda: plain.put(1, 1, lock=True),
        lambda: plain.get(1, lock=True),
        lambda: list(plain.items(lock=True)),
        lambda: plain.to_numpy(lock=True),
    ):
        with pytest.raises(InputError, match="hold no `bpf_spin_lock`"):
            locked()
    # One map's refusal of a flag says nothing of batches: other dumps still have them.
    assert not [mark for mark in bulk._without if mark[1:] == ("hash", "dump")]
    assert dict(plain) == {1: 1, 2: 2}


def test_mapped_arrays_are_the_map(bpf: Any) -> None:
    shared = bpf.maps["shared"]
    view = shared.view()
    assert view.shape == (1000,) and view.dtype == "u8" and shared.view().ctypes.data == view.ctypes.data
    view[7] = 77
    shared[8] = 88
    assert shared[7] == 77 and view[8] == 88 and shared.to_numpy()[7:9].tolist() == [77, 88]
    small = bpf.maps["shared_small"].view()  # four bytes in a place of eight
    small[:] = range(10)
    assert (
        list(bpf.maps["shared_small"].values()) == list(range(10)) and bpf.maps["shared_small"].to_numpy().sum() == 45
    )
    with pytest.raises(InputError, match="BPF_F_MMAPABLE"):
        bpf.maps["numbers"].view()
    assert bpf.programs["first"].test_run(bytes(64)) is not None
    assert view[0] == 1


def test_per_cpu(bpf: Any) -> None:
    counts = bpf.maps["percpu_counts"]
    n = counts.possible_cpus
    counts[1] = [{"packets": cpu + 1, "bytes": 10} for cpu in range(n)]
    value = counts[1]
    total = n * (n + 1) // 2
    assert len(value) == n and value.sum().packets == total and value.sum() == {"packets": total, "bytes": 10 * n}
    assert value.max().packets == n and value.min().bytes == 10 and counts.sum(1)["packets"] == total
    assert set(value.online()) <= set(value.by_cpu()) and len(value.by_cpu()) == n
    counts[2] = value  # what was read
    assert counts.sums()[2] == value.sum()
    array = counts.to_numpy()
    assert array["value"].shape == (2, n) and array["value"]["packets"].sum(axis=1).tolist() == [total] * 2
    shown = bpftool("map", "dump", "id", str(counts.id))
    assert [row["value"]["packets"] for row in shown[0]["formatted"]["values"]] == [one.packets for one in value]
    recent = bpf.maps["percpu_recent"]
    recent.fill(5, 3)
    assert recent[5] == (3,) * n and recent.to_numpy()["value"].tolist() == [[3] * n]
    assert recent.pop(5) == (3,) * n and 5 not in recent
    recent.update({6: range(n), 7: [1] * n})
    assert recent.update_numpy(recent.to_numpy()) == 2 and recent[6] == tuple(range(n))
    recent.clear()
    assert recent.update_numpy(recent.to_numpy()) == 0
    numbers = bpf.maps["percpu_numbers"]
    numbers[1] = [0] * n
    assert numbers.to_numpy().shape == (8, n)
    for wrong in ([1] * (n + 1), 5, "xx", {"packets": 1, "bytes": 1}):
        with pytest.raises(ValueMismatch, match="one per possible CPU"):
            counts[1] = wrong
    with pytest.raises(ValueMismatch, match="CPU 1"):
        numbers[1] = [1, -1] + [1] * (n - 2)


def test_arrays_in_and_out(bpf: Any) -> None:
    flows = bpf.maps["flows"]
    flows[FLOW] = COUNT
    array = flows.to_numpy()
    assert array.dtype.names == ("key", "value") and array["key"]["port"].tolist() == [80]
    assert array["value"]["second"].tolist() == [-3] and array["value"]["who"]["comm"].tolist() == [b"bash"]
    flat = flows.to_numpy(flat=True)
    assert {"mac", "port", "addr", "packets", "color"} <= set(flat.dtype.names) and flat["packets"][0] == 1 << 40
    assert flows.to_numpy(drain=True)["key"]["port"].tolist() == [80] and len(flows) == 0
    plain = bpf.maps["plain"]
    keys = numpy.arange(100, dtype="i8")
    assert plain.update_numpy(keys, keys * 2) == 100  # plain numbers that fit are cast
    plain.update(keys, keys * 2)
    rows = plain.to_numpy()
    rows["value"] += 1
    plain.update(rows)
    assert plain.update_numpy(rows) == 100 and plain[3] == 7
    for keys, values, said in (
        (numpy.array([-1]), numpy.array([1]), "row 0: expected a `__u32`"),
        (numpy.array([1.5]), numpy.array([1]), "expected an array of `__u32`"),
        (numpy.array([1, 2]), numpy.array([1]), "2 keys, but values for 1"),
        (numpy.array([1, 2]), None, "needs the fields `key` and `value`"),
    ):
        with pytest.raises(ValueMismatch, match=said):
            plain.update_numpy(keys, values)


def test_arrow(bpf: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    bpf.maps["flows"][FLOW] = COUNT
    table = bpf.maps["flows"].to_arrow()
    assert isinstance(table, pyarrow.Table) and table["port"].to_pylist() == [80]
    assert table["who.comm"].to_pylist() == ["bash"] and table["mac"].to_pylist() == [bytes(FLOW["mac"])]
    assert table["steps"].to_pylist() == [[1, -2, 3]]


def test_snapshots_say_whether_they_are_consistent(bpf: Any) -> None:
    plain = bpf.maps["plain"]
    plain.update({number: number for number in range(2000)})
    still = plain.snapshot()
    assert still.consistent and len(still) == 2000 and still.to_dict()[5] == 5 and "agree" in still.why
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            plain.update(dict.fromkeys(range(2000), number))

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        moving = plain.snapshot()
        # On a busy machine the other thread may not have run at all meanwhile.
        assert moving.consistent or (moving.changed > 0 and "changed" in moving.why)
    finally:
        stop.set()
        thread.join()
    assert len(moving.to_numpy()) == 2000


def test_closing_while_another_thread_reads(bpf_object: Callable[..., Path]) -> None:
    """The number of a closed descriptor is the next map's: nobody reads that one by mistake."""
    errors: list[BaseException] = []
    for _ in range(8):
        loaded = bpfsmith.load(str(bpf_object("maps")))
        plain = loaded.maps["plain"]
        plain.update({key: key for key in range(plain.max_entries // 2)})

        def read(one: Any = plain) -> None:
            try:
                while True:
                    one.to_numpy()
            except Closed:
                pass
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        loaded.close()
        with bpfsmith.load(str(bpf_object("maps"))):
            for thread in threads:
                thread.join()
    assert errors == []


def test_by_id_and_pin(bpf: Any, tmp_path: Path) -> None:
    flows = bpf.maps["flows"]
    flows[FLOW] = COUNT
    with Map.from_id(flows.id) as again:
        assert dict(again) == dict(flows) and again.name == "flows"
        path = f"/sys/fs/bpf/maps_test_{os.getpid()}"
        again.pin(Path(path))
        try:
            with Map.from_pin(path) as third:
                assert third[FLOW] == flows[FLOW] and third.id == flows.id
            with pytest.raises(InputError, match="is not map `plain`"):
                bpf.maps["plain"].unpin(path)
        finally:
            again.unpin(path)
        assert not os.path.exists(path)
    with pytest.raises(Closed, match="map `flows` was closed"):
        again[FLOW]
    with pytest.raises(UnknownName):
        Map.from_id(0x7FFFFFFF)
    with pytest.raises(bpfsmith.TargetMissing, match="nothing is pinned"):
        Map.from_pin(path)
    with pytest.raises(ValueMismatch, match="takes 4 bytes, but the map has 8"):
        Map.from_id(bpf.maps["plain"].id, value_type="u32")


def test_other_types_for_the_same_map(bpf: Any) -> None:
    plain = bpf.maps["plain"]
    plain[bpfsmith.ip("10.0.0.1")] = 5
    assert dict(plain.typed("ipv4", "<II")) == {bpfsmith.ip("10.0.0.1"): (5, 0)}
    assert dict(plain.typed("u8[4]", [("low", "u16"), ("high", "u32")]))[b"\x0a\0\0\1"].low == 5
    assert plain.typed(value_type=numpy.dtype("i8")).to_numpy()["value"].dtype == "i8"
    assert plain.to_numpy(dtype="<II")["value"].tolist() == [(5, 0)]
    assert plain.to_numpy(dtype="i8")["value"].tolist() == [5]
    both = numpy.dtype([("key", "u1", 4), ("value", "<f8")])
    assert plain.to_numpy(dtype=both)["key"].tolist() == [[10, 0, 0, 1]]
    assert plain.typed(dtype=[("key", "ipv4"), ("value", "u64")])["10.0.0.1"] == 5
    with pytest.raises(UnknownName, match="no type `u33`"):
        plain.typed("u33")


def test_sections_of_variables(bpf_object: Callable[..., Path]) -> None:
    code = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
int first = 5;
long second = 7;
char name[8] = "abc";
static volatile int hidden = 9;
int zero;
const volatile int limit = 1;
SEC("xdp") int run(void *ctx) { zero++; return first + second + name[2] + hidden + limit; }
char LICENSE[] SEC("license") = "GPL";
"""
    with bpfsmith.load(str(bpf_object(code)), globals={"limit": 11}) as loaded:
        data = loaded.maps[".data"]
        assert data[0] == {"first": 5, "second": 7, "name": "abc", "hidden": 9}
        data[0] = data[0]._replace(second=70)
        assert loaded.globals["second"] == 70 and data.view()["first"].tolist() == [5]
        assert loaded.maps[".rodata"][0].limit == 11 and loaded.maps[".bss"][0].zero == 0
        with Map.from_id(data.id) as again:
            assert again[0] == data[0]


def test_frozen_maps(bpf: Any) -> None:
    numbers = bpf.maps["numbers"]
    numbers[1] = 5
    numbers.freeze()
    assert numbers[1] == 5 and numbers.info().frozen
    with pytest.raises(InputError, match="is frozen"):
        numbers[1] = 6


def test_closed_with_its_object(bpf_object: Callable[..., Path]) -> None:
    with bpfsmith.load(str(bpf_object("maps"))) as loaded:
        plain = loaded.maps["plain"]
        plain.close()  # the object decides
        plain[1] = 1
    for use in (lambda: plain[1], plain.to_numpy, lambda: len(plain), lambda: plain.update({1: 1, 2: 2})):
        with pytest.raises(Closed):
            use()

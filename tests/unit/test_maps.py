"""Maps over a fake door: which commands are asked for, what happens when the kernel refuses them, and the errors."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bpfsmith import EnvironmentMissing, InputError, KernelError, MapFull, PermissionMissing, Unsupported, ValueMismatch
from bpfsmith._native import Fd
from bpfsmith.kernel.fake import FakeDoor, installed
from bpfsmith.model.errors import KeyMissing
from bpfsmith.run.maps import MapSpec, bulk, open_map


@pytest.fixture
def door() -> Iterator[FakeDoor]:
    bulk.forget()
    with installed(FakeDoor(cpus=3)) as fake:
        yield fake
    bulk.forget()


def make(kind: str = "hash", key: int = 4, value: int = 8, entries: int = 100, flags: int = 0, **more: Any) -> Any:
    fd = Fd(os.open(os.devnull, os.O_RDONLY))
    return open_map(fd, MapSpec("M", kind, key, value, entries, flags, **more))


class Kernel:
    """A hash map behind the fake door, with or without batches."""

    def __init__(self, door: FakeDoor, room: int = 100) -> None:
        self.data: dict[bytes, bytes] = {}
        self.room = room
        door.answer("BPF_MAP_LOOKUP_ELEM", self.lookup)
        door.answer("BPF_MAP_DELETE_ELEM", self.delete)
        door.answer("BPF_MAP_GET_NEXT_KEY", self.rows)
        door.answer("BPF_MAP_LOOKUP_BATCH", self.rows)
        door.answer("BPF_MAP_UPDATE_ELEM", self.update)
        door.answer("BPF_MAP_UPDATE_BATCH", self.update)
        door.answer("BPF_MAP_DELETE_BATCH", self.delete)

    def lookup(self, fields: dict[str, Any]) -> int:
        value = self.data.get(bytes(fields["key"]))
        if value is None:
            return -errno.ENOENT
        fields["value"][:] = value
        return 0

    def rows(self, fields: dict[str, Any]) -> int:
        key, value, row, at = fields["sizes"]
        for one, two in self.data.items():
            line = bytearray(row)
            line[:key] = one
            if row != key:
                line[at : at + value] = two
            fields["rows"] += line
        return 0

    def update(self, fields: dict[str, Any]) -> int:
        keys, values = fields.get("keys", [fields.get("key")]), fields.get("values", [fields.get("value")])
        for done, (key, value) in enumerate(zip(keys, values, strict=True)):
            if bytes(key) not in self.data and len(self.data) >= self.room:
                fields["done"] = done
                return -errno.E2BIG
            self.data[bytes(key)] = bytes(value)
        return 0

    def delete(self, fields: dict[str, Any]) -> int:
        if "keys" not in fields:
            return 0 if self.data.pop(bytes(fields["key"]), None) is not None else -errno.ENOENT
        fields["missing"] = sum(self.data.pop(key, None) is None for key in fields["keys"])
        return 0


def test_batches_where_they_pay(door: FakeDoor) -> None:
    Kernel(door)
    table = make()
    table.update({1: 10, 2: 20})
    table[3] = 30
    assert dict(table) == {1: 10, 2: 20, 3: 30} and table.delete([1, 2]) == 2
    assert door.commands()[:3] == ["BPF_MAP_UPDATE_BATCH", "BPF_MAP_UPDATE_ELEM", "BPF_MAP_LOOKUP_BATCH"]
    assert door.commands()[-1] == "BPF_MAP_DELETE_BATCH"


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.EOPNOTSUPP, 524])
def test_without_batches_one_by_one_and_asked_once(door: FakeDoor, refusal: int) -> None:
    kernel = Kernel(door)
    for command in ("LOOKUP", "UPDATE", "DELETE", "LOOKUP_AND_DELETE"):
        door.fail(f"BPF_MAP_{command}_BATCH", refusal)
    door.fail("BPF_MAP_LOOKUP_AND_DELETE_ELEM", refusal)
    table = make()
    for _ in range(3):
        table.update({1: 10, 2: 20})
        assert dict(table.items()) == {1: 10, 2: 20} and len(table) == 2
        assert table.delete([1, 2, 3]) == 2
    asked = door.commands()
    assert [asked.count(f"BPF_MAP_{word}_BATCH") for word in ("LOOKUP", "UPDATE", "DELETE")] == [1, 1, 1]
    table.update({1: 10, 2: 20})
    assert table.pop(1) == 10 and table.drain() == [(2, 20)] and kernel.data == {}


def test_a_refusal_of_the_value_is_no_lack_of_batches(door: FakeDoor) -> None:
    table = make()
    door.fail("BPF_MAP_UPDATE_BATCH", errno.EINVAL)
    door.fail("BPF_MAP_UPDATE_ELEM", errno.EINVAL)
    with pytest.raises(KernelError):
        table.update({1: 1, 2: 2})
    door.rules.clear()
    table.update({1: 1, 2: 2})
    assert door.commands()[-1] == "BPF_MAP_UPDATE_BATCH"  # still asked for


@pytest.mark.parametrize("batches", [True, False])
def test_full(door: FakeDoor, batches: bool) -> None:
    Kernel(door, room=3)
    if not batches:
        door.fail("BPF_MAP_UPDATE_BATCH", errno.EINVAL)
    table = make(entries=3)
    with pytest.raises(MapFull) as caught:
        table.update(dict.fromkeys((5, 6, 7, 8, 9), 0))
    error = caught.value
    assert error.keys == [5, 6, 7] and error.stored == 3 and error.errno == errno.E2BIG and error.exit_code == 1
    assert "it holds 3 entries; 3 of 5 were stored" in str(error)
    assert "the last one stored is 7; the first that is not is 8" in str(error)
    assert isinstance(error, KernelError) and len(table) == 3


def test_a_broken_dump_is_no_short_one(door: FakeDoor) -> None:
    def some(fields: dict[str, Any]) -> int:
        fields["rows"] += bytes(32)
        return -errno.ENOMEM

    door.answer("BPF_MAP_LOOKUP_BATCH", some)
    with pytest.raises(KernelError) as caught:
        list(make().items())
    assert "2 entries had been read" in str(caught.value)


def test_only_what_goes_on_by_key_is_looked_through_for_twins(door: FakeDoor) -> None:
    for kind, unique in (("hash", False), ("array", False), ("lpm_trie", True), ("devmap_hash", True)):
        table = make(kind, key=8 if kind == "lpm_trie" else 4)
        bulk.dump(table, bulk.Layout(table.key_size, 8))
        assert door.of("BPF_MAP_LOOKUP_BATCH")[-1]["unique"] is unique


def test_permissions_and_frozen_maps(door: FakeDoor) -> None:
    table = make()
    door.fail("BPF_MAP_UPDATE_ELEM", errno.EPERM)
    with pytest.raises((PermissionMissing, KernelError)):
        table[1] = 1

    def frozen(fields: dict[str, Any]) -> int:
        fields["info"][:4] = struct.pack("=I", 1)
        return 0

    door.answer("BPF_OBJ_GET_INFO_BY_FD", frozen)
    door.files[f"/proc/self/fdinfo/{table.fileno()}"] = "memlock:\t4096\nfrozen:\t1\n"
    with pytest.raises(InputError, match="map `M` is frozen"):
        table[1] = 1


def test_what_a_kind_does_not_offer(door: FakeDoor) -> None:
    door.fail("BPF_MAP_LOOKUP_ELEM", 524)
    with pytest.raises(Unsupported, match="`hash` maps do not offer BPF_MAP_LOOKUP_ELEM"):
        make()[1]
    door.fail("BPF_MAP_FREEZE", errno.EBUSY)
    with pytest.raises(KernelError, match="mapped writable, or frozen already"):
        make().freeze()


def test_values_per_cpu_are_padded(door: FakeDoor) -> None:
    kernel = Kernel(door)
    table = make("percpu_hash", value=4)
    table[1] = (1, 2, 3)
    assert kernel.data == {struct.pack("=I", 1): struct.pack("=IxxxxIxxxxIxxxx", 1, 2, 3)}
    door.files["/sys/devices/system/cpu/possible"] = "0-1,4"
    door.files["/sys/devices/system/cpu/online"] = "0,4"
    assert table[1] == (1, 2, 3) and table[1].by_cpu() == {0: 1, 1: 2, 4: 3} and table[1].online() == {0: 1, 4: 3}
    assert table[1].sum() == 6 and table[1].mean() == 2
    table[1] = {0: 7, 1: 8, 4: 9}
    assert table.to_numpy()["value"].tolist() == [[7, 8, 9]]
    with pytest.raises(ValueMismatch, match="expected 3 values"):
        table[1] = (1, 2)


def test_missing_keys_are_key_errors(door: FakeDoor) -> None:
    Kernel(door)
    with pytest.raises(KeyMissing) as caught:
        make()[5]
    assert isinstance(caught.value, KeyError) and isinstance(caught.value, InputError) and caught.value.exit_code == 2
    assert str(caught.value) == "map `M` has no key 5"


def test_another_layout_than_the_types(door: FakeDoor) -> None:
    for wrong in ({"key_type": "u64"}, {"value_type": "u8[3]"}):
        with pytest.raises(ValueMismatch, match="but the map has"):
            make(**wrong)


def test_without_numpy(door: FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(door)
    table = make()
    table[1] = 1
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert dict(table.items()) == {1: 1}
    for use, what in ((table.to_numpy, "numpy"), (table.to_arrow, "pyarrow")):
        with pytest.raises(EnvironmentMissing, match=f"{what} is not installed.*pip install"):
            use()


def test_snapshots(door: FakeDoor) -> None:
    kernel = Kernel(door)
    table = make()
    table.update({1: 1, 2: 2})
    assert table.snapshot().consistent
    readings = 0

    def moving(fields: dict[str, Any]) -> int:
        nonlocal readings
        readings += 1
        kernel.data[struct.pack("=I", 1)] = struct.pack("=Q", readings)
        return kernel.rows(fields)

    door.answer("BPF_MAP_LOOKUP_BATCH", moving)
    snapshot = table.snapshot(tries=2)
    assert not snapshot.consistent and snapshot.changed == 1 and readings == 3
    assert snapshot.to_dict() == {1: 3, 2: 2} and "1 entries changed" in snapshot.why


def test_pins_are_on_the_list(door: FakeDoor) -> None:
    table = make()
    table.pin("/sys/fs/bpf/test_of_pins")
    assert door.of("BPF_OBJ_PIN")[0]["pathname"].rstrip(b"\0") == b"/sys/fs/bpf/test_of_pins"

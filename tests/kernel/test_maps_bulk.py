"""Maps without an object: whole maps in and out whatever the kernel answers, wide keys, many threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy
import pytest

from bpfsmith.run.maps import bulk

pytestmark = pytest.mark.root


def bare(kind: str, number: int, key: int, value: int, entries: int, flags: int = 0, **types: Any) -> Any:
    """A map without an object."""
    from bpfsmith import kernel
    from bpfsmith.run.maps import MapSpec, open_map

    fd = kernel.call_fd(
        "BPF_MAP_CREATE", map_type=number, key_size=key, value_size=value, max_entries=entries, map_flags=flags,
        map_name="bare_of_test",
    )  # fmt: skip
    return open_map(fd, MapSpec("bare_of_test", kind, key, value, entries, flags, **types))


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("kind", ["hash", "lpm_trie"])
def test_the_kernel_starting_over_loses_and_doubles_nothing(kind: str, batch: bool) -> None:
    """A trie, and any map read one by one, goes on by key: when that was deleted, from the start."""
    from bpfsmith import kernel

    def key(number: int) -> Any:
        return number if kind == "hash" else (32, number.to_bytes(4, "big"))

    flags = 0 if kind == "hash" else 1
    with bare(kind, 1 if kind == "hash" else 11, 4 if kind == "hash" else 8, 8, 4000, flags) as table:
        kept, gone = [key(number) for number in range(0, 2000, 2)], [key(number) for number in range(1, 2000, 2)]
        table.update(dict.fromkeys(kept + gone, 1))
        stop = threading.Event()

        def churn() -> None:
            while not stop.is_set():
                for one in gone:
                    table.pop(one, None)
                    table[one] = 1

        thread = threading.Thread(target=churn)
        thread.start()
        try:
            sizes, size = table._layout().sizes, table.key_size
            for _ in range(10):
                door = kernel.door()
                if batch:
                    found = door.map_dump(table.fileno(), sizes, 24, 0, 0, 16000, kind != "hash")
                else:
                    found = door.map_dump_each(table.fileno(), sizes, 0, 4000)
                if found[1] == 524:  # ENOTSUPP: the product reads such maps entry by entry
                    pytest.skip(f"kernel: no batches of `{kind}` maps")
                raw = bytes(found[0])
                keys = [raw[at : at + size] for at in range(0, len(raw), sizes[2])]
                assert found[1] == 0 and len(set(keys)) == len(keys)
                assert {table._encode_key(one) for one in kept} <= set(keys)
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("chunk", [1, 2, 7, 100, 5000])
def test_short_batches_are_not_the_end(chunk: int) -> None:
    """With one row at a time most buckets do not fit: the kernel answers ENOSPC and short batches."""
    from bpfsmith import kernel

    with bare("hash", 1, 4, 8, 3000) as table:
        table.update({number: number * 3 for number in range(3000)})
        layout = bulk.Layout(4, 8)
        rows, errno, calls, repeated = kernel.door().map_dump(table.fileno(), layout.sizes, 24, 0, chunk)
        found = numpy.frombuffer(rows, [("key", "u4"), ("pad", "u4"), ("value", "u8")])
        assert (errno, repeated, len(found)) == (0, 0, 3000) and calls >= min(3000 // chunk, 100)
        assert sorted(found["key"].tolist()) == list(range(3000)) and (found["value"] == found["key"] * 3).all()
        assert dict(table.items()) == {number: number * 3 for number in range(3000)}


@pytest.mark.parametrize("batch", [True, False])
def test_one_by_one_is_the_same(batch: bool) -> None:
    from bpfsmith import kernel

    door = kernel.door()
    with bare("hash", 1, 4, 8, 500) as table:
        keys, values = numpy.arange(700, dtype="u4"), numpy.arange(700, dtype="u8")
        done = door.map_update(table.fileno(), (keys, 0, 4, 4), (values, 0, 8, 8), 700, 0, batch)
        assert done[:3] == (500, 0, 7)  # E2BIG
        sizes = (4, 8, 16, 8)
        dump = door.map_dump(table.fileno(), sizes, 24) if batch else door.map_dump_each(table.fileno(), sizes, 0, 500)
        assert dump[1] == 0 and len(dump[0]) == 500 * 16
        odd = numpy.arange(1, 1400, 2, dtype="u4")
        assert door.map_delete(table.fileno(), (odd, 0, 4, 4), 700, batch)[:3] == (250, 450, 0)
        assert sorted(table) == list(range(0, 500, 2))
        with pytest.raises(ValueError, match="too short"):
            door.map_update(table.fileno(), (keys, 0, 4, 4), (values, 0, 8, 8), 701, 0, batch)


def test_wide_keys_and_values() -> None:
    key_type, value_type = "char[300]", [("head", "u32"), ("data", "u8[9000]"), ("tail", "u8")]
    with bare("hash", 1, 300, 9008, 40, key_type=key_type, value_type=value_type) as table:
        wanted = {f"key {number}": (number, bytes([number]) * 9000, number) for number in range(40)}
        table.update(wanted)
        assert dict(table.items()) == wanted and table["key 7"].data[:2] == b"\7\7" and len(table) == 40
        array = table.to_numpy()
        assert array["value"]["tail"].sum() == sum(range(40)) and array["value"]["data"].shape == (40, 9000)
        assert table.update_numpy(array) == 40 and table.pop("key 3").tail == 3


def test_many_threads_share_a_map() -> None:
    with bare("hash", 1, 4, 8, 10_000) as table:

        def work(first: int) -> None:
            for number in range(first, first + 500):
                table[number] = number
                assert table[number] == number
            table.update({number + 5000: 1 for number in range(first, first + 500)})

        threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 2000, 500)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(table) == 4000

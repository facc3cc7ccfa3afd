"""What was prepared is what runs: types, configuration, modules and release, kernel by kernel."""

from __future__ import annotations

import zlib

import pytest

from bpfsmith import lab
from bpfsmith.kernel import door
from bpfsmith.lab import store
from bpfsmith.lab.guest import Guest
from bpfsmith.lab.kernels import elf, modules
from bpfsmith.lab.kernels.matrix import DEFAULT

pytestmark = pytest.mark.lab


def test_the_default_matrix_has_everything(prepared: list[store.Prepared]) -> None:
    by_name = {one.name: one for one in prepared}
    assert set(DEFAULT) <= set(by_name)
    for name in DEFAULT:
        one = by_name[name]
        assert one.series == name and one.lacks == {}, one
        assert one.boot in ("pvh", "image") and one.has_btf and one.has_config
        assert one.config["CONFIG_BPF_SYSCALL"] == "y"
        with open(one.vmlinux, "rb") as file:
            kernel = file.read()
        assert one.boot == "image" or elf.pvh_entry(kernel)
        assert f"Linux version {one.release} ".encode() in kernel
        assert one.btf().find("task_struct", "struct") is not None
        # Half of what a kernel may take; the rest is for the memory of its guests.
        assert store.size_of(one.folder) - store.size_of(f"{one.folder}/templates") < 125_000_000


def test_modules_are_of_the_kernel_and_in_load_order(prepared: list[store.Prepared]) -> None:
    for one in prepared:
        loaded: set[str] = set()
        for path in one.modules:
            with open(path, "rb") as file:
                data = file.read()
            assert modules.vermagic(data) == one.release
            assert set(modules.depends(data)) <= loaded, path
            loaded.add(modules.stem(path))


def test_the_types_kept_are_those_of_the_running_kernel(prepared: list[store.Prepared], token: str) -> None:
    def told(guest: Guest) -> tuple[int, int, set[str], str]:
        types = guest.get("/sys/kernel/btf/vmlinux")
        names = {line.split()[0] for line in guest.get("/proc/modules").decode().splitlines()}
        return len(types), zlib.crc32(types), names, door().uname()[0]

    for at, answer in lab.each(prepared, told):
        one = prepared[at]
        assert not isinstance(answer, Exception), answer
        size, crc, names, release = answer
        kept = one.btf_bytes()
        assert (size, crc, release) == (len(kept), zlib.crc32(kept), one.release), one
        assert names == set(one.module_names), one

"""Loading on the real kernel: maps, globals, externs, pins, refusals, and nothing that stays."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith import kernel
from bpfsmith.model.errors import (
    Closed,
    InputError,
    PinMismatch,
    TargetMissing,
    UnknownName,
    Unsupported,
    ValueMismatch,
    VerifierRejected,
)
from bpfsmith.run.load import plan

pytestmark = [pytest.mark.root, pytest.mark.toolchain]

BPFFS = "/sys/fs/bpf"


@pytest.fixture
def folder() -> Iterator[str]:
    """An empty folder of bpffs."""
    path = f"{BPFFS}/bpfsmith_load_{os.getpid()}"
    os.makedirs(path)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def load(bpf_object: Callable[..., Path], folder: str) -> Callable[..., bpfsmith.Loaded]:
    def load(name: str = "load", **options: Any) -> bpfsmith.Loaded:
        return bpfsmith.load(bpf_object(name), pin_path=folder, **options)

    return load


def info(value: Any, size: int = 104) -> dict[str, Any]:
    """What the kernel says of a map."""
    out = bytearray(size)
    kernel.call("BPF_OBJ_GET_INFO_BY_FD", bpf_fd=value, info_len=size, info=out)
    number = lambda at: int.from_bytes(out[at : at + 4], sys.byteorder)  # noqa: E731
    names = ("type", "id", "key_size", "value_size", "max_entries", "flags")
    told: dict[str, Any] = {name: number(4 * at) for at, name in enumerate(names)}
    told["name"] = bytes(out[24:40]).rstrip(b"\0").decode()
    told["types"] = (number(68), number(72))
    told["map_extra"] = int.from_bytes(out[80:88], sys.byteorder)
    return told


# ------------------------------------------------------------ maps


def test_maps_are_what_the_object_declares(load: Callable[..., bpfsmith.Loaded]) -> None:
    with load() as bpf:
        told = {name: info(bpf._fd_of(name)) for name in bpf.maps}
    assert {"flows", "per_cpu", "prefixes", ".bss", ".data", ".rodata.table"} <= set(told)
    assert told["flows"]["types"] != (0, 0)
    assert told["prefixes"]["flags"] & 1
    assert told["ring"]["max_entries"] == 8192
    assert told["perf"]["max_entries"] == kernel.live().possible_cpus
    assert (told["seen"]["key_size"], told["seen"]["map_extra"]) == (0, 3)
    assert told["devices"]["value_size"] == 8
    assert told[".rodata"]["flags"] == 0x480
    assert told[".data.mine"]["name"] == ".data.mine"
    assert told[".rodata"]["name"] == "load.rodata"
    assert ("map `ring`", "a ring's size is a power of two of whole pages: 5000 bytes become 8192") in bpf.notes


def test_sizes_are_the_callers(load: Callable[..., bpfsmith.Loaded]) -> None:
    with load(map_sizes={"flows": 1 << 16, "ring": 1 << 20}) as bpf:
        assert info(bpf._fd_of("flows"))["max_entries"] == 1 << 16
        assert info(bpf._fd_of("ring"))["max_entries"] == 1 << 20
    with load(map_sizes={"outer.inner": 2}) as bpf:
        assert bpf._planned.maps["outer"].inner.max_entries == 2
    with pytest.raises(UnknownName, match="did you mean `flows`"):
        load(map_sizes={"flow": 1})
    with pytest.raises(ValueMismatch):
        load(map_sizes={"flows": -1})
    with pytest.raises(InputError, match="its size is fixed"):
        load(map_sizes={".rodata": 3})


def test_initial_slots(load: Callable[..., bpfsmith.Loaded]) -> None:
    with load() as bpf:
        ids = {}
        for index in range(3):
            value = bytearray(4)
            if (
                kernel.try_call(
                    "BPF_MAP_LOOKUP_ELEM", map_fd=bpf._fd_of("outer"), key=index.to_bytes(4, sys.byteorder), value=value
                )
                == 0
            ):
                ids[index] = int.from_bytes(value, sys.byteorder)
        assert ids == {0: info(bpf._fd_of("inner_a"))["id"], 2: info(bpf._fd_of("inner_b"))["id"]}
        # The tail call through slot 1 runs `leaf`.
        result = bpf.programs["count"].test_run(bytes(64))
        assert (result.retval, bpf.globals["runs"]) == (1, 101)


def test_a_given_map_is_used_when_it_fits(load: Callable[..., bpfsmith.Loaded]) -> None:
    with load() as first:
        with load(maps={"flows": first.maps["flows"]}) as second:
            assert info(second._fd_of("flows"))["id"] == info(first._fd_of("flows"))["id"]
            second.programs["count"].test_run(bytes(64))
        assert len(first.maps["flows"]) == 1
        with pytest.raises(PinMismatch, match="type is percpu_array, not hash; key size is 4, not 8"):
            load(maps={"flows": first.maps["per_cpu"]})
        with pytest.raises(UnknownName, match="no map `flaws`"):
            load(maps={"flaws": first.maps["flows"]})


def test_arenas_lie_where_programs_expect_them(load: Callable[..., bpfsmith.Loaded]) -> None:
    if not kernel.live().probe("arena"):
        pytest.skip("kernel: no arenas")
    with load("arena") as first, load("arena") as second:
        for bpf in (first, second):
            memory = bpf.maps["memory"]
            memory.view()
            assert bpf.programs["fill"].test_run().retval == 0
            address = int(bpf.globals["place"])
            assert memory.user_address < address < memory.user_address + memory.size
            assert memory.read(address, 8) == (77).to_bytes(8, sys.byteorder)
        assert first.maps["memory"].user_address != second.maps["memory"].user_address


LEGACY = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct definition { __u32 type, key_size, value_size, max_entries, flags, id, pinning; };
/* As programs of older Aya declare maps, their log among them. */
struct definition COUNTS SEC("maps") = { BPF_MAP_TYPE_HASH, 4, 8, 16, 0, 0, 0 };
struct definition AYA_LOGS SEC("maps") = { BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 0, 0, 0, 0 };
struct definition KEPT SEC("maps") = { BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, 0, 1 };
SEC("xdp/with_a_name") int count(void *ctx)
{
    __u32 key = 1;
    __u64 one = 1;
    bpf_map_update_elem(&COUNTS, &key, &one, 0);
    bpf_map_lookup_elem(&KEPT, &key);
    return 2;
}
char _license[] SEC("license") = "GPL";
"""


def test_maps_of_older_aya(bpf_object: Callable[..., Path], folder: str) -> None:
    with bpfsmith.load(bpf_object(LEGACY), pin_path=folder, programs={"count": {"type": "xdp"}}) as bpf:
        assert info(bpf._fd_of("AYA_LOGS"))["max_entries"] == kernel.live().possible_cpus
        assert os.listdir(folder) == ["KEPT"]
        assert bpf.programs["count"].test_run(bytes(64)).retval == 2
        assert len(bpf.maps["COUNTS"]) == 1


# ------------------------------------------------------------ globals


def test_globals_before_and_after(load: Callable[..., bpfsmith.Loaded]) -> None:
    values = {"LIMIT": 1000, "NAME": "abc", "MODE": 2, "FLOW": {"source": 7, "target": 8}, "SHORT": -30000, "total": 1}
    with load(globals=values | {"TABLE": [9, 8, 7, 6], "hidden": 4}) as bpf:
        seen = bpf.globals
        assert (seen["LIMIT"], seen["SHORT"], seen["total"], seen["hidden"]) == (1000, -30000, 1, 4)
        assert seen["NAME"] == "abc"
        assert list(seen["TABLE"]) == [9, 8, 7, 6]
        assert seen["FLOW"]["source"] == 7
        assert (int(seen["MODE"]), seen["custom"], seen["runs"]) == (2, 9, 0)
        bpf.programs["count"].test_run(bytes(64))
        assert seen["total"] == 1 + (1000 + ord("a") + 2 + 7 - 30000 + 9 + 4) % (1 << 32)
        seen["total"] = 40
        assert seen["total"] == 40
        with pytest.raises(InputError, match="is constant"):
            seen["LIMIT"] = 3
        with pytest.raises(ValueMismatch):
            seen["total"] = "many"
        with pytest.raises(UnknownName, match="did you mean `total`"):
            seen["totel"]
    with pytest.raises(Closed):
        seen["total"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("LIMIT", -1), ("LIMIT", 1 << 32), ("LIMIT", "5"), ("SHORT", 40000), ("TABLE", [1, 2]), ("NAME", "much too long"),
     ("FLOW", {"sauce": 1}), ("LIMIT", b"abc"), ("LIMIT", None)],
)  # fmt: skip
def test_a_wrong_value_is_refused(load: Callable[..., bpfsmith.Loaded], name: str, value: Any) -> None:
    with pytest.raises(ValueMismatch, match=name):
        load(globals={name: value})


def test_a_wrong_name_is_refused(load: Callable[..., bpfsmith.Loaded]) -> None:
    with pytest.raises(UnknownName, match=r"no global `LIMITS`.*did you mean `LIMIT`"):
        load(globals={"LIMITS": 1})


# ------------------------------------------------------------ programs


def test_which_programs_are_loaded(load: Callable[..., bpfsmith.Loaded]) -> None:
    with load() as bpf:
        assert sorted(bpf.programs) == ["count", "fragments", "leaf"]
        with pytest.raises(UnknownName, match="was not loaded: pass `autoload="):
            bpf.programs["optional"]
        with pytest.raises(UnknownName, match="did you mean `count`"):
            bpf.programs["cuont"]
    with load(autoload=["optional"]) as bpf:
        assert "optional" in bpf.programs
    with load(autoload={"leaf": False}) as bpf:
        assert list(bpf.programs) == ["count", "fragments"]
    with load(select="*o*") as bpf:
        assert sorted(bpf.programs) == ["count", "optional"]
    with load(select=["count"]) as bpf:
        # Slot 1 of the program array stays empty.
        assert bpf.programs["count"].test_run(bytes(64)).retval == 2
    with pytest.raises(UnknownName, match="no program `cound`"):
        load(select=["cound"])


def test_settings_of_a_program(load: Callable[..., bpfsmith.Loaded]) -> None:
    settings = {"optional": {"type": "cgroup_skb", "attach_type": "cgroup_inet_ingress"}}
    with pytest.raises(VerifierRejected):  # returns more than 1, which is fine for tc only
        load(select="optional", programs=settings)
    with pytest.raises(UnknownName, match="did you mean `flags`"):
        load(programs={"count": {"flag": 1}})
    with pytest.raises(UnknownName, match="no program type `xpd`"):
        load(programs={"count": {"type": "xpd"}})
    with load(select="count", programs={"count": {"flags": ["xdp_frags"], "attach_type": "xdp"}}) as bpf:
        assert bpf.programs["count"].attach_type == "xdp"


def test_logs(load: Callable[..., bpfsmith.Loaded]) -> None:
    with load(log_level=1) as bpf:
        assert "processed" in bpf.log("count")
        assert bpf.programs["leaf"].log
    with load() as bpf:
        assert bpf.log("count") == ""
        with pytest.raises(UnknownName):
            bpf.log("nobody")


def test_a_rejection_says_why_and_where(load: Callable[..., bpfsmith.Loaded]) -> None:
    with pytest.raises(VerifierRejected) as caught:
        load("externs", select="rejected")
    error = caught.value
    assert error.program == "rejected"
    assert "invalid mem access" in error.reason
    assert error.reason in str(error)
    source = Path(__file__).parent / "progs/externs.bpf.c"
    assert "the line of the error" in source.read_text().splitlines()[error.line - 1]
    assert "processed" in error.log


def test_a_type_the_kernel_lacks(load: Callable[..., bpfsmith.Loaded]) -> None:
    with pytest.raises(VerifierRejected, match=r"never.*which kernel `host` does not have") as caught:
        load("externs", select="gone")
    assert "bpf_core_field_exists" in caught.value.hint


# ------------------------------------------------------------ externs


def test_externs(load: Callable[..., bpfsmith.Loaded]) -> None:
    live = kernel.live()
    options: dict[str, Any] = {} if live.has_config else {"kconfig": {"CONFIG_BPF_SYSCALL": "y", "CONFIG_HZ": 250}}
    with load("externs", **options) as bpf:
        assert bpf.programs["look"].test_run().retval == 0
        seen = bpf.globals
        assert seen["version"] == live.version_code
        assert seen["syscalls"] == 1
        assert seen["hz"] == int((live.config("CONFIG_HZ") if live.has_config else None) or 250)
        assert (seen["nothing"], seen["missing"], seen["variable"], seen["function"]) == (0, 0, 0, 0)
        assert seen["task"] == (live.symbol("init_task") or 0)
        bits, _, _ = live.btf.offset_of(live.btf.find("task_struct", "STRUCT") or 0, "real_parent")
        assert seen["parent_offset"] == bits // 8
    if live.symbol("runqueues") is None:
        with pytest.raises(VerifierRejected, match="runqueues"):  # a kernel without CONFIG_KALLSYMS_ALL
            load("externs", select="typed", **options)
    else:
        with load("externs", select="typed", **options) as bpf:
            bpf.programs["typed"].test_run()
            assert bpf.globals["queue"] == 1
    with load("externs", kconfig={"CONFIG_BPF_SYSCALL": False, "CONFIG_HZ": 77, "CONFIG_BPF": "m"}) as bpf:
        bpf.programs["look"].test_run()
        assert (bpf.globals["hz"], bpf.globals["syscalls"], bpf.globals["tristate"]) == (77, 0, 2)
    with pytest.raises(ValueMismatch, match="CONFIG_BPF_SYSCALL"):
        load("externs", kconfig={"CONFIG_BPF_SYSCALL": "m", "CONFIG_HZ": 1})


def test_targets_of_programs_bound_when_loaded(load: Callable[..., bpfsmith.Loaded]) -> None:
    fits = {"CONFIG_BPF_SYSCALL": "y", "CONFIG_HZ": 250}
    with load("externs", select="switches", kconfig=fits) as bpf:
        assert bpf.programs["switches"].attach_to == "sched_switch"
    with pytest.raises(TargetMissing, match=r"tracepoint `sched_swich`.*did you mean `sched_switch`"):
        load("externs", select="misspelt", kconfig=fits)
    with load("externs", select="misspelt", programs={"misspelt": {"attach_to": "sched_wakeup"}}, kconfig=fits) as bpf:
        assert bpf.programs["misspelt"].attach_to == "sched_wakeup"
    try:
        load("externs", select="opens", kconfig=fits).close()
    except Unsupported as error:
        assert error.feature == "lsm"  # this kernel allows no LSM programs
    with pytest.raises(TargetMissing, match=r"LSM hook `file_opens`.*did you mean `file_open`"):
        load("externs", select="opens", programs={"opens": {"attach_to": "file_opens"}}, kconfig=fits)


# ------------------------------------------------------------ pins


def test_pins_are_used_again_only_when_they_fit(
    load: Callable[..., bpfsmith.Loaded], folder: str, bpf_object: Callable[..., Path]
) -> None:
    with load() as bpf:
        first = info(bpf._fd_of("load_test_pinned"))["id"]
        bpf.maps["load_test_pinned"][0] = 5
    assert os.listdir(folder) == ["load_test_pinned"]
    with load() as bpf:
        assert info(bpf._fd_of("load_test_pinned"))["id"] == first
        assert bpf.maps["load_test_pinned"][0] == 5
    source = (Path(__file__).parent / "progs/load.bpf.c").read_text()
    at = source.index("load_test_pinned SEC")
    declaration = source.rindex("struct {", 0, at)
    changed = source[declaration:at].replace("max_entries, 1", "max_entries, 9").replace("value, __u64", "value, __u32")
    other = bpf_object(source[:declaration] + changed + source[at:])
    with pytest.raises(PinMismatch, match="value size is 8, not 4; max_entries is 1, not 9"):
        bpfsmith.load(other, pin_path=folder)
    same_size = source[declaration:at].replace("value, __u64", "value, struct flow")
    with pytest.raises(PinMismatch, match="the value is laid out otherwise from byte 0 on"):
        bpfsmith.load(bpf_object(source[:declaration] + same_size + source[at:]), pin_path=folder)
    os.unlink(f"{folder}/load_test_pinned")


def test_folders_for_pins_come_and_go(bpf_object: Callable[..., Path], folder: str) -> None:
    deep = f"{folder}/a/b"
    settings: dict[str, Any] = {"pin_path": folder, "maps": None}
    bpfsmith.plan(bpf_object("load"), pins={"load_test_pinned": f"{deep}/map"})
    assert os.listdir(folder) == []  # a plan does nothing
    with pytest.raises(InputError, match="no dot"):
        bpfsmith.load(bpf_object("load"), pins={"load_test_pinned": f"{deep}/a.map"}, **settings)
    assert os.listdir(folder) == []
    with bpfsmith.load(bpf_object("load"), pins={"load_test_pinned": f"{deep}/map"}, **settings) as bpf:
        bpf.maps["load_test_pinned"].pin(f"{folder}/a/other")
        bpf.maps["load_test_pinned"].unpin(f"{deep}/map")
        assert os.listdir(f"{folder}/a") == ["other"]
        bpf.maps["load_test_pinned"].unpin(f"{folder}/a/other")
        assert os.listdir(folder) == []
    for path in ("/proc", BPFFS, folder):
        for kind in (bpfsmith.Map, bpfsmith.Link):
            with pytest.raises(InputError, match=r"no pin|not a pin"):
                kind.from_pin(path)


def test_a_failed_load_leaves_no_pin(load: Callable[..., bpfsmith.Loaded], folder: str) -> None:
    with pytest.raises(VerifierRejected):
        load(select="optional", programs={"optional": {"type": "cgroup_skb", "attach_type": "cgroup_inet_ingress"}})
    assert os.listdir(folder) == []


def test_pins_the_caller_names(load: Callable[..., bpfsmith.Loaded], folder: str) -> None:
    with load(pins={"flows": f"{folder}/below/mine"}):
        assert sorted(os.listdir(folder)) == ["below", "load_test_pinned"]
        assert os.listdir(f"{folder}/below") == ["mine"]


# ------------------------------------------------------------ plans


def test_the_plan_is_what_was_done(load: Callable[..., bpfsmith.Loaded], bpf_object: Callable[..., Path]) -> None:
    with load(select="count", maps={}) as bpf:
        made = bpf.plan
    again = bpfsmith.Plan.from_json(made.to_json())
    assert again == made
    assert again.text() == made.text()
    told = plan(bpf_object("load"), select="count", pin_path=BPFFS)
    assert [command.name for command in told.commands] == [command.name for command in made.commands]
    from bpfsmith import _native

    steps, slots = _native.decode_plan(made.to_bytes())
    assert (steps, slots) == (made.steps(), len(made.slots))


SLOW = {"dataclasses", "re", "json", "ctypes", "asyncio", "enum", "typing", "numpy", "pathlib", "inspect"}


def test_a_plain_load_stays_light(bpf_object: Callable[..., Path], folder: str) -> None:
    """An object without CO-RE opens no kernel types, and nothing heavy is imported."""
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import bpfsmith\n"
        "from bpfsmith import kernel\n"
        "with bpfsmith.load(sys.argv[1], pin_path=sys.argv[2], select='count') as bpf: pass\n"
        "print(kernel.live()._vmlinux, *sorted(set(sys.modules) - before))\n"
    )
    source = (Path(__file__).parent / "progs/load.bpf.c").read_text()
    plain = source.replace("\t__uint(pinning, LIBBPF_PIN_BY_NAME);\n", "")
    words = [sys.executable, "-c", code, bpf_object(plain), folder]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    vmlinux, *imported = done.stdout.split()
    assert vmlinux == "None"
    assert not SLOW & set(imported)


# ------------------------------------------------------------ nothing stays


def memory() -> int:
    """KiB this process has in memory."""
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1])


def test_200_loads_leave_nothing(load: Callable[..., bpfsmith.Loaded]) -> None:
    def once() -> None:
        with load(select="count", globals={"LIMIT": 3}) as bpf:
            bpf.globals["total"] = bpf.globals["total"] + 1
            bpf.maps["flows"]
        try:
            load("externs", select="rejected")
        except VerifierRejected:
            pass
        else:
            pytest.fail("loaded")

    for _ in range(5):
        once()
    gc.collect()
    fds, before = len(os.listdir("/proc/self/fd")), memory()
    gc.disable()  # nothing waits for the collector
    try:
        for _ in range(200):
            once()
    finally:
        gc.enable()
    assert len(os.listdir("/proc/self/fd")) == fds
    gc.collect()
    assert memory() - before < 4096


@pytest.mark.alone
def test_a_killed_load_leaves_nothing(bpf_object: Callable[..., Path], folder: str) -> None:
    """SIGKILL between loads, while one is being replayed, and while one is held."""
    code = (
        "import sys, bpfsmith\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for _ in range(20): bpfsmith.load(sys.argv[1], select='fragments', pin_path=sys.argv[2]).close()\n"
        "    held = bpfsmith.load(sys.argv[1], pin_path=sys.argv[2])\n"
    )
    for delay in (0.0, 0.003, 0.01, 0.02):
        child = subprocess.Popen(
            [sys.executable, "-c", code, bpf_object("load"), folder], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child:
            assert child.stdout.readline() == "ready\n"
            try:
                child.wait(delay)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
    # What is pinned by name is meant to stay; nothing else does (the fixture compares the machine's ids).
    for name in os.listdir(folder):
        assert name == "load_test_pinned"
        os.unlink(f"{folder}/{name}")


def test_pins_go_to_bpffs_only(load: Callable[..., bpfsmith.Loaded], tmp_path: Path, folder: str) -> None:
    for path in (tmp_path / "pinned", tmp_path / "deep" / "down"):
        with pytest.raises(InputError, match="bpffs"):
            load(pins={"flows": str(path)})
    assert list(tmp_path.iterdir()) == []
    # What was pinned before the one that failed is taken back.
    assert os.listdir(folder) == []

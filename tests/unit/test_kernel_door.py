"""The door's table, the fake door, and what stands on them: the live kernel, probes, information, the journal."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import bpfsmith
from bpfsmith import kernel
from bpfsmith._native import Fd
from bpfsmith.kernel import attrs, info, journal, pinning, privilege, probe, targets
from bpfsmith.kernel.fake import FakeDoor, installed
from bpfsmith.model.errors import EnvironmentMissing, InputError, PermissionMissing, TargetMissing, UnknownName

ROOT = {"/proc/self/status": "CapEff:\t000001ffffffffff\n", "/proc/self/uid_map": "0 0 4294967295\n"}

# ------------------------------------------------------------ attrs


def test_commands_have_the_kernels_numbers() -> None:
    assert attrs.NUMBERS["BPF_MAP_CREATE"] == 0
    assert attrs.NUMBERS["BPF_PROG_TEST_RUN"] == attrs.NUMBERS["BPF_PROG_RUN"] == 10
    assert attrs.NUMBERS["BPF_LINK_CREATE"] == 28
    assert attrs.NUMBERS["BPF_PROG_ASSOC_STRUCT_OPS"] == len(attrs.COMMANDS) - 1 == 38


@pytest.mark.parametrize(("number", "error"), [(1 << 40, UnknownName), (0, UnknownName), (-1, UnknownName),
                                                ("x", InputError), (True, InputError), (1.0, InputError)])  # fmt: skip
def test_what_is_no_id(number: Any, error: type[Exception]) -> None:
    with installed(FakeDoor()) as _, pytest.raises(error, match="id"):
        info.open_id("map", number)


@pytest.mark.parametrize("word", ["prog:", "map:", "prog:4294967296", "prog:99999999999999999999", "link:1", "btf:1"])
def test_what_is_not_inspected(word: str) -> None:
    with installed(FakeDoor()):
        report = bpfsmith.inspect(word)
    assert report.exit_code == 2
    assert repr(report) == "<InspectReport: nothing, 1 errors>"
    assert "`" in str(report.errors[0])


# Commands whose fields stand in a structure of their own.
NESTED = {
    "BPF_PROG_TEST_RUN": "test", "BPF_OBJ_GET_INFO_BY_FD": "info", "BPF_PROG_QUERY": "query",
    "BPF_RAW_TRACEPOINT_OPEN": "raw_tracepoint", "BPF_TASK_FD_QUERY": "task_fd_query", "BPF_LINK_UPDATE": "link_update",
    "BPF_LINK_DETACH": "link_detach", "BPF_ITER_CREATE": "iter_create", "BPF_ENABLE_STATS": "enable_stats",
    "BPF_PROG_BIND_MAP": "prog_bind_map", "BPF_LINK_CREATE": "link_create", "BPF_TOKEN_CREATE": "token_create",
    "BPF_PROG_STREAM_READ_BY_FD": "prog_stream_read", "BPF_PROG_ASSOC_STRUCT_OPS": "prog_assoc_struct_ops",
}  # fmt: skip
GROUPS = (
    "perf_event",
    "kprobe_multi",
    "uprobe_multi",
    "tracing_multi",
    "tracing",
    "netfilter",
    "tcx",
    "netkit",
    "cgroup",
)


def _c_path(command: str, field: str) -> str:
    group = NESTED.get(command, "batch" if command.endswith("_BATCH") else "")
    word = next((one for one in GROUPS if command == "BPF_LINK_CREATE" and field.startswith(f"{one}_")), "")
    inner = f"{word}.{field[len(word) + 1 :]}" if word else field
    return f"{group}.{inner}" if group else inner


def test_offsets_are_those_of_the_c_header(tmp_path: Path) -> None:
    """Every field this machine's header has lies where a C compiler says; fields newer than the header are left out."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not Path("/usr/include/linux/bpf.h").exists():
        pytest.skip("no C compiler or no <linux/bpf.h>: `apt-get install build-essential linux-libc-dev` gets them")
    rows = [(command, field, place) for command, fields in attrs.COMMANDS for field, place in fields.items()]
    head = "#include <stddef.h>\n#include <stdio.h>\n#include <linux/bpf.h>\nint main(void) {\n"
    line = 'printf("%zu %zu\\n", offsetof(union bpf_attr, {0}), sizeof(((union bpf_attr *)0)->{0}));'
    source, out = tmp_path / "t.c", tmp_path / "t"
    first, every = head.count("\n") + 1, "-fmax-errors=0" if "gcc" in compiler else "-ferror-limit=0"
    for _ in range(3):
        source.write_text(head + "\n".join(line.format(_c_path(*row[:2])) for row in rows) + "\n}\n")
        done = subprocess.run([compiler, every, source, "-o", out], capture_output=True, text=True, check=False)
        if not done.returncode:
            break
        unknown = {int(found) - first for found in re.findall(r"t\.c:(\d+):\d+: error", done.stderr)}
        rows = [row for at, row in enumerate(rows) if at not in unknown]
    told = [tuple(map(int, row.split())) for row in subprocess.check_output([out], text=True).splitlines()]
    assert told == [place for _, _, place in rows]
    assert len(rows) > 150


def test_encode_and_decode() -> None:
    number, attr, buffers = attrs.encode("BPF_MAP_CREATE", map_type=2, key_size=4, map_name="a_name_longer_than_15")
    assert (number, len(attr), buffers) == (0, 92, [])
    assert attrs.decode(number, attr) == {"map_type": 2, "key_size": 4, "map_name": "a_name_longer_t"}
    number, attr, buffers = attrs.encode("BPF_OBJ_GET", pathname="/sys/fs/bpf/x", path_fd=-1, bpf_fd=None)
    assert buffers == [(0, b"/sys/fs/bpf/x\0")]
    assert attrs.output("BPF_OBJ_GET", attr, "path_fd") == 0xFFFFFFFF
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd:
        assert attrs.output("BPF_MAP_FREEZE", attrs.encode("BPF_MAP_FREEZE", map_fd=fd)[1], "map_fd") == fd.fileno()


@pytest.mark.parametrize(
    ("fields", "match"),
    [({"no_such": 1}, "no field"), ({"map_type": 1 << 32}, "32 bits"), ({"map_type": "hash"}, "is a number")],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        attrs.encode("BPF_MAP_CREATE", **fields)


# ------------------------------------------------------------ the live kernel


def test_features_are_taken_for_granted_until_settled() -> None:
    with installed(FakeDoor(features={"ringbuf": False})) as door:
        live = kernel.live()
        assert live.has("ringbuf")
        live.settle()
        assert not live.has("ringbuf")
        assert live.has("anything_else")
        assert door.calls == []


def test_a_feature_is_probed_once() -> None:
    door = Asked()
    door.fail("BPF_MAP_CREATE", errno.EINVAL, when=lambda fields: fields["map_type"] == 27)
    with installed(door):
        assert not kernel.live().probe("ringbuf")
        assert not kernel.live().probe("ringbuf")
        assert kernel.live().probe("map_type:hash")
    assert [fields["map_type"] for fields in door.of("BPF_MAP_CREATE")] == [27, 1]


def test_every_feature_has_an_answer() -> None:
    with installed(FakeDoor()):
        for feature in probe.FEATURES:
            assert probe.outcome(feature)[0] in ("yes", "no", "denied")
    with pytest.raises(ValueError, match="no such feature"):
        probe.outcome("no_such_feature")
    with pytest.raises(ValueError, match="no such feature"):
        probe.outcome("map_type:no_such_map")


def test_features_the_planner_asks_for_are_known() -> None:
    source = Path(bpfsmith.__file__).parent / "run"
    asked = {
        word
        for path in source.rglob("*.py")
        for word in re.findall(r'(?:kernel|live\(\))\.(?:has|probe)\("(\w+)"', path.read_text())
    }
    assert asked
    assert asked <= set(probe.FEATURES)


class Asked(FakeDoor):
    """Without `features` the questions are really asked."""

    __slots__ = ()
    features = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.version, self.machine, self.uid, self.files, self.cpus, self.symbols = "5.10.0", "x86_64", 0, {}, 2, {}
        self.calls, self.fds, self.rules, self.logs = [], [], [], {}


def test_denied_is_not_no() -> None:
    door = Asked()
    door.fail("BPF_PROG_LOAD", errno.EPERM)
    door.fail("BPF_MAP_CREATE", errno.EINVAL)
    with installed(door):
        assert probe.outcome("program_type:xdp") == ("denied", errno.EPERM)
        assert not kernel.live().lacks("program_type:xdp")
        assert kernel.live().lacks("map_type:arena")


def test_a_signal_during_a_probe_is_no_answer() -> None:
    door = Asked()
    answers = [-errno.EAGAIN, -errno.EAGAIN]
    door.answer("BPF_PROG_LOAD", lambda fields: answers.pop() if answers else None)
    with installed(door):
        assert probe.outcome("program_type:xdp") == ("yes", 0)
    assert len(door.of("BPF_PROG_LOAD")) == 3


@pytest.mark.parametrize(
    ("release", "version", "series", "code"),
    [
        ("5.10.0-28-amd64", "5.10.0", "5.10", 0x050A00),
        ("6.18.300", "6.18.300", "6.18", 0x0612FF),
        ("7.0-rc1", "7.0", "7.0", 0x070000),
    ],
)
def test_versions(release: str, version: str, series: str, code: int) -> None:
    with installed(FakeDoor(version=release)):
        live = kernel.live()
        assert (live.version, live.series, live.version_code) == (version, series, code)


def test_configuration_and_symbols() -> None:
    text = 'CONFIG_HZ=250\nCONFIG_LSM="landlock,bpf"\n# CONFIG_KPROBES is not set\n'
    door = FakeDoor(files={"/boot/config-6.18.0": text}, symbols={"jiffies": [(0x1000, "")]})
    with installed(door):
        live = kernel.live()
        assert (live.config("CONFIG_HZ"), live.config("CONFIG_LSM")) == ("250", "landlock,bpf")
        assert live.config("CONFIG_KPROBES") is None
        assert live.has_config
        assert (live.symbol("jiffies"), live.symbol("no_such")) == (0x1000, None)
    with installed(FakeDoor()):
        assert not kernel.live().has_config


def test_no_types_is_said() -> None:
    with installed(FakeDoor()):
        assert not kernel.live().has_btf


# ------------------------------------------------------------ the fake door itself


def test_a_replay_stops_at_the_first_failure() -> None:
    door = FakeDoor()
    door.fail("BPF_PROG_LOAD", errno.EACCES)
    door.logs["p"] = "R0 !read_ok"
    created = attrs.encode("BPF_MAP_CREATE", map_type=1)[1]
    program = attrs.encode("BPF_PROG_LOAD", prog_name="p")[1]
    with installed(door):
        steps = [(0, bytes(created), [], [], 0), (5, bytes(program), [(8, b"\0" * 8, [(4, 0)])], [(72, 0)], 1)]
        made, failure, logs = kernel.door().replay(steps, 2)
        assert (made, failure, logs) == ([], (1, errno.EACCES, "R0 !read_ok"), [])
        assert door.open_fds() == []
        # The descriptor of step 0 went into step 1.
        assert door.of("BPF_PROG_LOAD")[0]["prog_btf_fd"] > 2


def test_files_are_those_given() -> None:
    with installed(FakeDoor(files={"/sys/a/b": "text\n"})):
        door = kernel.door()
        assert door.read_text("/sys/a/b") == "text\n"
        assert (door.listdir("/sys"), door.isdir("/sys/a"), door.exists("/sys/c")) == (["a"], True, False)
        with pytest.raises(FileNotFoundError):
            door.read_text("/sys/c")
        assert isinstance(door.open_fd("/sys/c"), int)


# ------------------------------------------------------------ what is loaded


def test_lists_without_rights_name_the_capability() -> None:
    door = FakeDoor(files={**ROOT, "/proc/self/status": "CapEff:\t0\n"})
    door.fail("BPF_PROG_GET_NEXT_ID", errno.EPERM)
    with installed(door), pytest.raises(PermissionMissing, match="CAP_SYS_ADMIN"):
        bpfsmith.ps()


def _one_program(door: FakeDoor) -> None:
    """A kernel with one XDP program of id 7, held by process 42."""

    def next_id(fields: dict[str, Any]) -> int | None:
        return -errno.ENOENT if fields.get("start_id", 0) >= 7 else None

    for kind in ("MAP", "LINK", "BTF"):
        door.fail(f"BPF_{kind}_GET_NEXT_ID", errno.ENOENT)
    door.answer("BPF_PROG_GET_NEXT_ID", next_id)

    def describe(fields: dict[str, Any]) -> int:
        info_buffer = fields["info"]
        row = {0: 6, 4: 7, 16: 20, 20: 16}
        for at, value in row.items():
            if at + 4 <= len(info_buffer):
                info_buffer[at : at + 4] = value.to_bytes(4, "little")
        info_buffer[64:69] = b"count"
        return 0

    door.answer("BPF_OBJ_GET_INFO_BY_FD", describe)


class _Described(FakeDoor):
    """Writes `next_id` back, which only a live attr can hold."""

    __slots__ = ()

    def bpf(self, cmd: int, attr: bytearray, buffers: Any = ()) -> int:
        value = super().bpf(cmd, attr, buffers)
        if attrs.name_of(cmd) == "BPF_PROG_GET_NEXT_ID" and value >= 0:
            attr[4:8] = (7).to_bytes(4, "little")
        return value

    def read_bytes(self, path: str) -> bytes:
        if path.startswith("/proc/self/fdinfo/"):
            return b"memlock:\t4096\nprog_id:\t7\n"
        return super().read_bytes(path)


def test_a_program_is_described_with_its_owner() -> None:
    door = _Described(files={**ROOT, "/proc/42/fd/5": "anon_inode:bpf-prog", "/proc/42/fdinfo/5": "prog_id:\t7\n",
                             "/proc/42/comm": "loader\n", "/proc/sys/kernel/bpf_stats_enabled": "0\n"})  # fmt: skip
    _one_program(door)
    with installed(door):
        report = bpfsmith.ps()
        document = report.to_json()
    (program,) = report.programs
    assert (program.id, program.type, program.name, program.xlated, program.jited) == (7, "xdp", "count", 16, 20)
    assert (program.memory, program.ns_per_run, repr(program.owners)) == (4096, None, "[loader(42)]")
    from bpfsmith.ps.schema import schema

    Draft202012Validator(schema()).validate(json.loads(json.dumps(document)))
    from bpfsmith.render.ps_text import render

    assert "count" in render(document)
    assert "loader(42)" in render(document)
    assert render({**document, "programs": []}) == "nothing is loaded that matches\n"
    assert (
        repr(report)
        == f"<PsReport: 1 programs, {len(report.maps)} maps, {len(report.links)} links, {len(report.btf)} BTF>"
    )
    row = document["programs"][0]
    wide = {**document, "programs": [{**row, "attached": ["xdp eth0"] * 9, "pins": ["/sys/fs/bpf/" + "x" * 90]}]}
    assert max(map(len, render(wide, width=100).splitlines())) <= 100
    assert "xdp eth0; xdp eth0; 7 more" in render(wide, width=1000)
    types = {**document["btf"][0], "programs": [*range(23)]} if document["btf"] else None
    assert types is None or "23 programs" in render({**document, "btf": [types]})
    with pytest.raises(InputError, match="no type `xpd`") as caught, installed(FakeDoor()):
        bpfsmith.ps(type="xpd")
    assert "`xdp`" in caught.value.hint


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="unknown kind `program`"):
        bpfsmith.ps("program")


# ------------------------------------------------------------ doctor


def test_doctor_on_an_old_kernel_without_anything() -> None:
    door = FakeDoor(
        version="4.19.0", files={**ROOT, "/proc/self/mounts": "", "/proc/sys/net/core/bpf_jit_enable": "0\n"}
    )
    for command in ("BPF_LINK_CREATE", "BPF_TOKEN_CREATE", "BPF_ITER_CREATE", "BPF_BTF_LOAD"):
        door.fail(command, errno.EINVAL)
    door.fail("BPF_MAP_CREATE", errno.EINVAL, when=lambda fields: fields.get("map_type", 0) > 23)
    door.fail("BPF_PROG_LOAD", errno.EINVAL, when=lambda fields: fields.get("prog_type", 0) > 22)
    with installed(door):
        report = bpfsmith.doctor(helpers=False)
    told = {one.name: one for one in report.checks}
    assert told["BTF"].status == "missing"
    assert told["JIT"].command == "sysctl net.core.bpf_jit_enable=1"
    assert "mount -t bpf" in told["bpffs"].command
    assert "mount -t cgroup2" in told["cgroup2"].command
    assert told["kprobes"].status == "missing"
    features = {(one.family, one.name): one for one in report.features}
    assert features["map_type", "ringbuf"].why == "since Linux 5.8"
    assert features["map_type", "hash"].status == "yes"
    from bpfsmith.doctor.schema import schema
    from bpfsmith.render.doctor_text import render

    document = json.loads(json.dumps(report.to_json()))
    Draft202012Validator(schema()).validate(document)
    assert "since Linux 5.8: ringbuf" in render(document)
    assert report.exit_code == 0


def test_doctor_without_rights() -> None:
    door = FakeDoor(files={**ROOT, "/proc/self/status": "CapEff:\t0\n", "/proc/self/mounts": ""}, uid=1000)
    for command in ("BPF_PROG_LOAD", "BPF_MAP_CREATE", "BPF_BTF_LOAD"):
        door.fail(command, errno.EPERM)
    with installed(door):
        report = bpfsmith.doctor(helpers=False)
    assert report.exit_code == 3
    xdp = next(one for one in report.of("program_type") if one.name == "xdp")
    assert (xdp.status, xdp.why) == ("denied", "needs CAP_BPF and CAP_NET_ADMIN")
    assert not [one.name for one in report.of("attach_type") if one.status == "yes"]
    assert repr(report).startswith("<DoctorReport Linux ")


def test_doctor_says_of_uprobes_and_tracefs_what_attaching_would() -> None:
    mounts = "tracefs /sys/kernel/tracing tracefs rw 0 0\n"
    pmu = {"/sys/bus/event_source/devices/uprobe/type": "9\n"}
    for mask, status in ((1 << 38, "note"), (0, "missing"), (1 << 21, "ok")):
        files = {**pmu, "/proc/self/status": f"CapEff:\t{mask:x}\n", "/proc/self/mounts": mounts}
        with installed(FakeDoor(files=files)):
            assert {one.name: one.status for one in bpfsmith.doctor(helpers=False).checks}["uprobes"] == status


def test_doctor_knows_why_by_the_configuration() -> None:
    door = FakeDoor(files={**ROOT, "/boot/config-6.18.0": "CONFIG_BPF=y\n"})
    door.fail("BPF_LINK_CREATE", errno.EOPNOTSUPP)
    with installed(door):
        report = bpfsmith.doctor(helpers=False)
    multi = next(one for one in report.of("link_type") if one.name == "kprobe_multi")
    assert multi.why == "CONFIG_FPROBE is not set"


# ------------------------------------------------------------ privilege, mounts


def test_capabilities() -> None:
    with installed(FakeDoor(files={"/proc/self/status": f"CapEff:\t{1 << 39:016x}\n"})):
        assert privilege.has("CAP_BPF")
        assert not privilege.has("CAP_NET_ADMIN")
        assert privilege.missing("BPF_PROG_LOAD", {"prog_type": 6}) == ("CAP_NET_ADMIN",)
    with installed(FakeDoor(files={"/proc/self/status": f"CapEff:\t{1 << 21:016x}\n"})):
        assert privilege.missing("BPF_PROG_LOAD", {"prog_type": 26}) == ()


def test_mounts() -> None:
    text = "bpf /sys/fs/bpf bpf rw 0 0\nbpf /mnt/a\\040b bpf rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
    with installed(FakeDoor(files={"/proc/self/mounts": text})):
        assert info.mounts("bpf") == ["/sys/fs/bpf", "/mnt/a b"]
        assert info.mounts("tracefs") == []


BARE = "/dev/sda / ext4 rw 0 0\nsysfs /sys sysfs rw 0 0\nweb /sys sysfs rw 0 0\n"


def test_a_bare_sys_is_named_with_what_shows_the_whole() -> None:
    """`ip netns exec NAME` mounts a sysfs called NAME over /sys."""
    files = {"/proc/self/mounts": BARE, "/run/netns/web": "", "/sys/kernel/tracing/": "", "/sys/fs/cgroup/": ""}
    with installed(FakeDoor(files=files)):
        assert info.under_ip_netns() == "web"
        calls = (targets.tracefs, lambda: targets.cgroup("/sys/fs/cgroup/x"), lambda: targets.cgroup("/sys/fs/cgroup"))
        for call in calls:
            with pytest.raises(EnvironmentMissing, match="nsenter --net=/run/netns/web") as caught:
                call()
            assert "ip netns exec" in str(caught.value)
    for text in (BARE.replace("web", "sysfs"), "web /sys sysfs rw 0 0\ntmpfs /sys tmpfs rw 0 0\n"):
        files["/proc/self/mounts"] = text
        with installed(FakeDoor(files=files)):
            assert not info.under_ip_netns()
            with pytest.raises(EnvironmentMissing, match="mount -t tracefs"):
                targets.tracefs()


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/tmp/nope", "cgroups are folders of `/mnt/cg`"),
        ("nope", "`mkdir /mnt/cg/nope` makes one"),
        ("/mnt/cg/a/nope", "`mkdir /mnt/cg/a/nope` makes one"),
        ("web.slic", "did you mean `web.slice`?"),
        ("/mnt/cgx/nope", "cgroups are folders of"),
    ],
)
def test_where_no_cgroup_is(path: str, word: str) -> None:
    """A folder is a cgroup below a cgroup2 only: elsewhere `mkdir` makes none."""
    files = {"/proc/self/mounts": "none /mnt/cg cgroup2 rw 0 0\n", "/mnt/cg/web.slice/cgroup.procs": ""}
    with installed(FakeDoor(files=files)), pytest.raises(TargetMissing) as caught:
        targets.cgroup(path)
    assert word in str(caught.value)


def test_folders_of_pins() -> None:
    files = {**ROOT, "/proc/self/mounts": "none /sys/fs/bpf bpf rw 0 0\n", "/sys/fs/bpf/": ""}
    with installed(FakeDoor(files=files)) as door:
        pinning.pin("map", "/sys/fs/bpf/made/flows", 3)
        assert door.isdir("/sys/fs/bpf/made")
        door.files["/sys/fs/bpf/made/flows"] = ""
        pinning.unpin("/sys/fs/bpf/made/flows")
        assert not door.isdir("/sys/fs/bpf/made")
        door.fail("BPF_OBJ_PIN", 1)
        with pytest.raises(InputError):
            pinning.pin("map", "/sys/fs/bpf/made/flows", 3)
        assert not door.isdir("/sys/fs/bpf/made")  # what fails leaves nothing
        with pytest.raises(InputError):
            pinning.pin("map", "/tmp/made/flows", 3)
        assert not door.isdir("/tmp/made")
        door.fail("BPF_OBJ_PIN", errno.ENOENT)  # as a folder of a bare sysfs answers
        door.files |= {"/sys/fs/plain/": "", "/proc/self/mounts": BARE, "/run/netns/web": ""}
        with pytest.raises(InputError, match=r"not in a bpffs.*nsenter --net=/run/netns/web"):
            pinning.pin("map", "/sys/fs/plain/flows", 3)
        door.files["/proc/self/mounts"] = files["/proc/self/mounts"]
        door.answer("BPF_OBJ_PIN", 0)
        door.files["/sys/fs/bpf/theirs/"] = ""
        pinning.pin("map", "/sys/fs/bpf/theirs/flows", 3)
        pinning.unpin("/sys/fs/bpf/theirs/flows")
        assert door.isdir("/sys/fs/bpf/theirs")  # not made here


# ------------------------------------------------------------ journal


SCRIPT = """
import os, signal, sys
from bpfsmith.kernel import journal
journal.record("pin", "/sys/fs/bpf/kept")
journal.record("xdp", "3:2", 7)
entry = journal.record("filter", "gone")
entry.done()
journal.record("pin", "a name\\twith\\nodd%09characters")
if sys.argv[1] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "undo":
    journal.forget("xdp", "3:2")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("how", "left"),
    [
        ("kill", [("pin", "/sys/fs/bpf/kept"), ("xdp", "3:2"), ("pin", "a name\twith\nodd%09characters")]),
        ("end", [("xdp", "3:2")]),  # pins stay on purpose
        ("undo", []),
    ],
)
def test_the_journal_of_a_process_that_is_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, left: list[tuple[str, str]]
) -> None:
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONPATH": str(Path(bpfsmith.__file__).parents[1])}
    script = f"import bpfsmith.kernel.journal as j; j._folders = lambda: [{str(tmp_path / 'bpfsmith')!r}]\n{SCRIPT}"
    subprocess.run([sys.executable, "-c", script, how], env=env, check=False)
    folders = (str(tmp_path / "bpfsmith"),)
    found = journal.left_behind(folders)
    assert [(one.kind, one.where) for one in found] == left
    assert all(one.program == (7 if one.kind == "xdp" else 0) for one in found)
    for one in found:
        one.done()
    assert journal.left_behind(folders) == []
    assert list((tmp_path / "bpfsmith").iterdir()) == []


def test_a_living_process_left_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_folders", lambda: [str(tmp_path)])
    monkeypatch.setattr(journal._Own, "pid", 0)
    monkeypatch.setattr(journal._Own, "lines", [])
    entry = journal.record("pin", "/sys/fs/bpf/mine")
    assert journal.left_behind() == []
    assert len(list(tmp_path.iterdir())) == 1
    entry.done()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_folders", lambda: ["/proc/no/such"])
    monkeypatch.setattr(journal._Own, "pid", 0)
    monkeypatch.setattr(journal._Own, "lines", [])
    journal.record("pin", "x").done()


def test_environment_missing_is_exit_3() -> None:
    assert EnvironmentMissing("x", "").exit_code == 3

"""Tracing families on the running kernel: each is seen to fire; those it refuses are checked, planned, refused."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.kernel import elfsym, usdt
from bpfsmith.model.errors import EnvironmentMissing, InputError, TargetMissing, Unsupported
from bpfsmith.run.link import LinkGroup
from bpfsmith.run.load import load

pytestmark = [pytest.mark.root, pytest.mark.toolchain]
LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def bpf(load_known: Callable[..., Any], bpf_object: Callable[..., Path]) -> Iterator[Any]:
    with load_known(bpf_object("attach_trace")) as loaded:
        yield loaded


def runs(bpf: Any, name: str, act: Callable[[], object]) -> int:
    before = bpf.globals[f"{name}_hits"]
    act()
    return int(bpf.globals[f"{name}_hits"] - before)


def exactly(bpf: Any, name: str, act: Callable[[], object], wanted: int) -> int:
    """`runs`, once more when another process of this machine called the same function meanwhile."""
    for _ in range(5):
        if (counted := runs(bpf, name, act)) == wanted:
            break
    return counted


def getpgid() -> None:
    """A system call nobody else makes often."""
    for _ in range(5):
        os.getpgid(0)


def labs() -> None:
    """A function of libc nobody else calls often."""
    for _ in range(4):
        LIBC.labs(-3)


def burn(seconds: float = 0.05) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


# ------------------------------------------------------------ tracepoints


def test_tracepoint(bpf: Any) -> None:
    program = bpf.programs["tp"]
    with program.attach() as link:
        assert runs(bpf, "tp", getpgid) >= 5
        assert link.id and link.info()["kind"] == "perf_event"
        with pytest.raises(Unsupported, match="cannot be updated"):
            link.update(program)
    assert runs(bpf, "tp", getpgid) == 0
    for words in (("syscalls", "sys_enter_getpgid"), ("syscalls/sys_enter_getpgid",), ("syscalls:sys_enter_getpgid",)):
        with bpf.programs["anywhere"].attach_tracepoint(*words):
            assert runs(bpf, "anywhere", getpgid) >= 5
    with bpf.programs["tp_cookied"].attach(cookie=77):
        getpgid()
    assert bpf.globals["cookie"] == 77


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("syscalls", "sys_enter_getpgidd"), r"no tracepoint `syscalls/sys_enter_getpgidd`.*`sys_enter_getpgid`"),
        (("syscall", "sys_enter_getpgid"), r"no category `syscall`.*did you mean `syscalls/sys_enter_getpgid`"),
        (("shed", "nothing"), r"no category `shed` of tracepoints \(did you mean `sched`"),
        (("sched",), "names no tracepoint"),
        ((), "names no tracepoint"),
    ],
)
def test_a_missing_tracepoint_is_named_with_its_kin(bpf: Any, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bpf.programs["anywhere"].attach_tracepoint(*words)


def test_raw_and_typed_tracepoints(bpf: Any) -> None:
    for name in ("raw", "typed"):
        with bpf.programs[name].attach() as link:
            assert runs(bpf, name, getpgid) >= 5
            assert link.info()["tp_name"] == "sys_enter"
        assert runs(bpf, name, getpgid) == 0
    with bpf.programs["writable"].attach():
        assert runs(bpf, "writable", lambda: bpf.programs["tried"].test_run(data=bytes(64))) >= 1
    with pytest.raises(TargetMissing, match=r"no raw tracepoint `sched_swich`.*`sched_switch`"):
        bpf.programs["raw"].attach("sched_swich")
    with pytest.raises(TargetMissing, match=r"have no category: `sched_switch`"):
        bpf.programs["raw"].attach_raw_tracepoint("sched/sched_switch")
    with pytest.raises(TargetMissing, match="share `sys_enter`"):
        bpf.programs["raw"].attach("sys_enter_openat")


# ------------------------------------------------------------ functions of user space


def test_uprobe_by_name_offset_process_and_library(bpf: Any) -> None:
    entry = bpf.programs["entry"]
    path = elfsym.find_binary("libc.so.6")
    offset = elfsym.offset_of(path, "labs")
    for words, options in (
        (("libc.so.6", "labs"), {}), (("libc", "labs"), {}), ((path, "labs"), {"pid": 0}),
        ((path,), {"offset": offset}), (("libc", "labs"), {"pid": os.getpid()}),
        (("libc", "lab*"), {}), (("libc", "labs"), {"all_matches": True}),
    ):  # fmt: skip
        with entry.attach_uprobe(*words, **options):
            assert exactly(bpf, "entry", labs, 4) == 4, (words, options)
        assert exactly(bpf, "entry", labs, 0) == 0
    with entry.attach("libc", "labs", pid=1):
        assert exactly(bpf, "entry", labs, 0) == 0
    with bpf.programs["leave"].attach("libc", "labs") as link:
        assert exactly(bpf, "leave", labs, 4) == 4
        assert link.info()["event"] == "uretprobe"
    with bpf.programs["cookied"].attach("libc", "labs", cookie=99):
        labs()
    assert bpf.globals["cookie"] == 99


def test_many_uprobes_by_one_link(bpf: Any) -> None:
    path = elfsym.find_binary("libc.so.6")
    where = [elfsym.offset_of(path, name) for name in ("labs", "llabs")]
    many = bpf.programs["many"]

    def both() -> None:
        labs()
        LIBC.llabs(-1)

    for options in (
        {"pattern": "l*abs"}, {"symbols": ["labs", "llabs"]}, {"offsets": where},
        {"pattern": "l*abs", "pid": os.getpid()},
    ):  # fmt: skip
        with many.attach_uprobe_multi("libc", **options) as link:
            wanted = 4 if len(set(where)) == 1 else 5
            assert exactly(bpf, "many", both, wanted) == wanted, options
            assert sorted(link.info()["offsets"]) == sorted(set(where))
        assert runs(bpf, "many", both) == 0
    with bpf.programs["session"].attach("libc", symbols=["labs"]):
        assert exactly(bpf, "session", labs, 8) == 8  # at entry and at return
    with pytest.raises(TargetMissing, match="no process 99999999"):
        many.attach("libc", "labs", pid=99999999)
    with pytest.raises(InputError, match="1 cookies for 2 places"):
        many.attach("libc", offsets=[8, 9], cookies=[1])
    with pytest.raises(InputError, match="exclude each other"):
        many.attach("libc", "labs", offsets=[1])
    with pytest.raises(InputError, match="is not in its code"):
        many.attach("libc", offsets=[-1])
    with pytest.raises(InputError, match="nothing says where"):
        many.attach("libc", symbols=[])


def test_several_matches_are_attached_together_or_not_at_all(bpf: Any) -> None:
    path = elfsym.find_binary("libc.so.6")
    found = elfsym.functions(path, "?labs")
    link = bpf.programs["entry"].attach_uprobe("libc", "*labs", all_matches=True)
    assert isinstance(link, LinkGroup) or len(found) == 1
    assert bpf.programs["entry"].links == [link]
    link.detach()
    assert bpf.programs["entry"].links == bpf.links == []


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (("libc", "labss"), {}, r"has no function `labss` \(did you mean `labs`"),
        (("libc", "labs@NO_1"), {}, "it has the versions"),
        (("libcc.so.6", "labs"), {}, r"no executable or library `libcc.so.6` \(did you mean `libc.so.6`"),
        (("/usr/lib/no/libc.so.6", "labs"), {}, "no file"),
        (("/dev/null", "labs"), {}, "is not an ELF file"),
        (("/usr/bin", "labs"), {}, "is a folder"),
        (("libc",), {}, "nothing says where"),
        (("libc",), {"offset": 3}, "is not in its code"),
        ((), {}, "pass `binary=`"),
        (("libc", "labs"), {"pid": 99999999}, "no process 99999999"),
        (("libc", "labs"), {"cookie": 1 << 64}, "a cookie has 64 bits"),
    ],
)
def test_a_missing_function_is_named_with_its_kin(
    bpf: Any, words: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        bpf.programs["entry"].attach_uprobe(*words, **options)
    assert bpf.links == []


def test_a_script_is_no_binary(bpf: Any, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(InputError, match=r"not an ELF file.*interpreter"):
        bpf.programs["entry"].attach(str(script), "main")


# ------------------------------------------------------------ static probes


class Ticking:
    """The process with the probe: `tick()` passes it once and answers (count, semaphore)."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tick(self) -> tuple[int, int]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        count, semaphore = self.process.stdout.readline().split()
        return int(count), int(semaphore)

    def __enter__(self) -> Ticking:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


@pytest.mark.parametrize("how", ["by one link", "one by one"])
def test_static_probe(bpf_object: Callable[..., Path], static_probe: Path, how: str) -> None:
    from bpfsmith.run.attach import usdt as family

    settings = {"probe": {"attach_type": "cgroup_inet_ingress"}} if how == "one by one" else None
    with load(bpf_object("attach_usdt"), programs=settings) as bpf, Ticking(static_probe) as other:
        program = bpf.programs["probe"]
        assert other.tick() == (1, 0) and bpf.globals["probe_hits"] == 0
        with program.attach_usdt(str(static_probe), "bpfsmith", "tick", cookie=42):
            assert other.tick() == (2, 1), "the semaphore is raised while a program is there"
            assert (bpf.globals["probe_hits"], bpf.globals["count"], bpf.globals["cookie"]) == (1, 3, 42)
            assert list(bpf.globals["arguments"])[:3] == [-2, 0x1122334455667702, -7]
        assert other.tick() == (3, 0) and bpf.globals["probe_hits"] == 1
        with program.attach_usdt(str(static_probe), None, "tick", pid=other.process.pid):
            assert other.tick() == (4, 1)
        with pytest.raises(TargetMissing, match=r"no static probe `bpfsmith:tock` \(did you mean `bpfsmith:tick`"):
            program.attach_usdt(str(static_probe), "bpfsmith", "tock")
        with pytest.raises(TargetMissing, match="has no static probes"):
            program.attach_usdt("/proc/self/exe" if not usdt.probes("/proc/self/exe") else "libdl", "x", "y")
        assert family._used == {}


@pytest.mark.parametrize("slash", ["/", ""])
def test_static_probe_by_section(bpf_object: Callable[..., Path], static_probe: Path, slash: str) -> None:
    source = f"""
#include "attach.h"
#include <bpf/usdt.bpf.h>
long first;
SEC("usdt/{slash}{str(static_probe)[1:]}:bpfsmith:tick")
int probe(struct pt_regs *ctx)
{{
	bpf_usdt_arg(ctx, 0, &first);
	return 0;
}}
"""
    with load(bpf_object(source)) as bpf, Ticking(static_probe) as other:
        bpf.attach()
        assert other.tick() == (1, 1) and bpf.globals["first"] == -1


# ------------------------------------------------------------ perf events


def test_perf_events(bpf: Any) -> None:
    program = bpf.programs["sample"]
    with program.attach(frequency=1000) as link:
        assert runs(bpf, "sample", burn) > 3
        assert len(link) == os.cpu_count() or len(link) >= 1
    assert runs(bpf, "sample", burn) == 0
    with program.attach_perf_event("task-clock", period=1_000_000, pid=0):
        assert runs(bpf, "sample", burn) > 3
    with program.attach_perf_event("context-switches", pid=0):
        assert runs(bpf, "sample", lambda: time.sleep(0.001)) >= 1
    with program.attach_perf_event("page-faults", pid=0):
        assert runs(bpf, "sample", lambda: mmap.mmap(-1, 1 << 16).write(b"x")) >= 1
    with program.attach_perf_event(config=(1, 0), frequency=500, cpu=0):
        pass


def test_perf_events_of_a_cgroup(bpf: Any, cgroup: Any) -> None:
    program = bpf.programs["sample"]
    work = ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]
    with program.attach_perf_event("cpu-clock", frequency=2000, cgroup=str(cgroup.path)):
        assert runs(bpf, "sample", burn) == 0
        assert runs(bpf, "sample", lambda: cgroup.run(*work)) > 3


def test_perf_event_errors(bpf: Any) -> None:
    program = bpf.programs["sample"]
    with pytest.raises(TargetMissing, match=r"no perf event `cylces` \(did you mean `cycles`"):
        program.attach_perf_event("cylces")
    with pytest.raises(InputError, match="exclude each other"):
        program.attach_perf_event(period=1, frequency=1)
    with pytest.raises(TargetMissing, match="no such process"):
        program.attach_perf_event(pid=99999999)
    with pytest.raises(TargetMissing, match="CPU 99999 is not online"):
        program.attach_perf_event(cpu=99999)
    with pytest.raises(InputError, match="at least 1"):
        program.attach_perf_event(period=0)
    with pytest.raises(InputError, match=r"samples at most \d+ times"):
        program.attach_perf_event(frequency=1 << 40)
    # Where the machine has counters it fires; where it has none the error is typed.
    with contextlib.suppress(EnvironmentMissing), program.attach_perf_event("cycles", period=100_000):
        assert runs(bpf, "sample", burn) > 0
    assert bpf.links == []


# ------------------------------------------------------------ iterators


def test_iterators(bpf: Any, cgroup: Any) -> None:
    with bpf.programs["tasks"].attach() as link:
        text = link.text()
        assert any(line.split(" ", 1)[0] == str(os.getpid()) for line in text.splitlines())
        assert {line.split()[0] for line in link.lines()} >= {"2", str(os.getpid())}
        assert link.info()["target_name"] == "task"
    stop, started = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (started.set(), stop.wait()))
    thread.start()
    started.wait()
    try:
        with bpf.programs["tasks"].attach(pid=os.getpid()) as link:
            ids = {int(line.split()[0]) for line in link.lines()}
            assert ids == {int(name) for name in os.listdir("/proc/self/task")} >= {thread.native_id}
        with bpf.programs["rows"].attach(tid=thread.native_id) as link:
            assert [record.pid for record in link.records("struct task_row")] == [thread.native_id]
    finally:
        stop.set()
        thread.join()
    with bpf.programs["rows"].attach() as link:
        by_pid = {record.pid: record.name for record in link.records("task_row")}
        comm = Path("/proc/self/comm").read_text().strip()
        name = by_pid[os.getpid()]
        assert (name.rstrip(b"\0").decode() if isinstance(name, bytes) else str(name)) == comm
    bpf.maps["ROWS"].update({7: {"pid": 1, "name": b"x"}, 8: {"pid": 2, "name": b"y"}})
    for given in ("ROWS", bpf.maps["ROWS"]):
        with bpf.programs["elements"].attach(map=given) as link:
            assert sorted(link.text().split()) == ["7", "8"]
    with bpf.programs["groups"].attach(cgroup=str(cgroup.path)) as link:
        assert int(link.text()) == os.stat(cgroup.path).st_ino
    with pytest.raises(InputError, match="pass `map=`"):
        bpf.programs["elements"].attach()
    with pytest.raises(TargetMissing, match="no process or thread 99999999"):
        bpf.programs["tasks"].attach(pid=99999999)
    with pytest.raises(InputError, match="exclude each other"):
        bpf.programs["tasks"].attach(pid=1, cgroup=str(cgroup.path))
    with pytest.raises(InputError, match=r"iterator `task` takes no `map` \(.*bpf_map_elem"):
        bpf.programs["tasks"].attach(map="ROWS")
    with pytest.raises(InputError, match="a map or its name is wanted"):
        bpf.programs["elements"].attach(map=3)
    with pytest.raises(InputError, match=r"\(iter\) has no option `pidd` \(did you mean `pid`"):
        bpf.programs["tasks"].attach(pidd=1)
    with pytest.raises(InputError, match="by place"):
        bpf.programs["tasks"].attach(1, 2)


# ------------------------------------------------------------ what is checked and planned


def test_kernel_functions_are_checked_first(bpf: Any) -> None:
    for name in ("probe", "returned", "system_call"):
        try:
            bpf.programs[name].attach().detach()
        except Unsupported as error:
            assert error.instead and error.since
    with pytest.raises(TargetMissing, match=r"no kernel function `no_such_function_unlinkat`"):
        bpf.programs["absent"].attach()
    with pytest.raises(TargetMissing, match=r"no kernel function `do_unlinkatt` \(did you mean .*`do_unlinkat`"):
        bpf.programs["probe"].attach_kprobe("do_unlinkatt")
    with pytest.raises(TargetMissing, match=r"no system call `unlinkattt`.*`unlinkat`"):
        bpf.programs["wrong_call"].attach()
    with pytest.raises(InputError, match=r"kprobe\.multi"):
        bpf.programs["probe"].attach_kprobe("do_unlink*")
    with pytest.raises(InputError, match="offset 8 has no meaning"):
        bpf.programs["returned"].attach_kprobe("do_unlinkat", offset=8)
    with pytest.raises(InputError, match="test_run"):
        bpf.programs["called"].attach()
    assert bpf.links == []


def test_plans_name_the_commands(bpf: Any) -> None:
    from bpfsmith.run.attach import describe

    told = bpf.programs["probe"].attach_plan()
    assert (told["family"], told["state"]) == ("kprobe", "fires")
    assert [command["command"] for command in told["commands"]] == ["perf_event_open", "BPF_LINK_CREATE"]
    assert told["commands"][0]["symbol"] == "do_unlinkat"
    assert "perf_event_open(type=tracepoint, config=syscalls/sys_enter_getpgid/id)" in describe(bpf.programs["tp"])
    for name in bpf.programs:
        options = {"map": "ROWS"} if name == "elements" else {}
        if name in {"entry", "leave", "cookied", "many", "session"}:
            options = {"binary": "libc", "symbol": "labs"}
        if name == "anywhere":
            continue
        assert bpf.programs[name].attach_plan(**options)["program"] == name


@pytest.mark.parametrize("slash", ["/", ""])  # libbpf keeps the first slash of a path in a section name, Aya does not
@pytest.mark.parametrize("kind", ["uprobe", "uretprobe", "uprobe.multi", "uretprobe.s"])
def test_sections_that_say_everything(bpf_object: Callable[..., Path], kind: str, slash: str) -> None:
    path = elfsym.find_binary("libc.so.6")
    name = "l?bs" if "multi" in kind else "labs"
    source = f'#include "attach.h"\nCOUNTS("{kind}/{slash}{path[1:]}:{name}", probe, 0)\n'
    with load(bpf_object(source)) as bpf:
        (link,) = bpf.attach()
        assert runs(bpf, "probe", labs) == 4
        link.detach()
        assert runs(bpf, "probe", labs) == 0


def test_attaching_again_and_again_leaks_nothing(bpf: Any, tmp_path: Path) -> None:
    def once() -> None:
        for name, words, options in (
            ("tp", (), {}), ("raw", (), {}), ("entry", ("libc", "labs"), {}), ("many", ("libc", "l*abs"), {}),
            ("sample", (), {"cpu": 0}), ("tasks", (), {}),
        ):  # fmt: skip
            link = bpf.programs[name].attach(*words, **options)
            if name == "tasks":
                link.read()
            link.detach()
        with contextlib.suppress(InputError):
            bpf.programs["entry"].attach("libc", "labss")

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        once()
    assert len(os.listdir("/proc/self/fd")) == before

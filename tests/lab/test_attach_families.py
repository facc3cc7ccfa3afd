"""Every family on every kernel: what it attaches fires there, or is refused by type; nothing in between.

From here, through the guest's door: planning, targets and errors are this process's, the kernel is the guest's. The
network and user-space families' own tests run inside of the guests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith import lab
from bpfsmith.facts import series_key
from bpfsmith.lab import store
from bpfsmith.model.errors import BpfsmithError, InputError, TargetMissing, Unsupported
from bpfsmith.run.attach import family_of

pytestmark = [pytest.mark.lab, pytest.mark.toolchain]
PROGS = Path(__file__).parent / "progs"

# Program -> (runs at each of three binds, how it is attached).
EXACT: dict[str, tuple[int, tuple[Any, ...]]] = {
    "kprobe": (3, ()), "kretprobe": (3, ()), "kprobe_multi": (3, ()), "kretprobe_multi": (3, ()),
    "kprobe_session": (6, ()), "ksyscall": (3, ()), "kretsyscall": (3, ()), "fentry": (3, ()), "fexit": (3, ()),
    "fmod_ret": (3, ()), "fsession": (6, ()), "fentry_multi": (3, ()), "fexit_multi": (3, ()), "lsm": (3, ()),
    "lsm_sleepable": (3, ()), "lsm_cgroup": (3, ("/sys/fs/cgroup",)), "tracepoint": (3, ()),
}  # fmt: skip
# ... that run more often: other tasks and packets too.
SOME: dict[str, tuple[Any, ...]] = {
    "raw_tracepoint": (), "tp_btf": (), "perf_event": (), "xdp": (1,), "tc": (1, "egress"),
    "netfilter": ("ipv4", "local_in"), "cgroup": ("/sys/fs/cgroup",), "sk_lookup": (), "iter": (),
}  # fmt: skip

# Since when, and the options it takes: what Debian's kernels are compared with. A program that is not here is
# everywhere.
NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "kprobe_multi": ("5.18", ("CONFIG_FPROBE",)), "kretprobe_multi": ("5.18", ("CONFIG_FPROBE",)),
    "kprobe_session": ("6.10", ("CONFIG_FPROBE",)), "kprobe": ("4.17", ("CONFIG_KPROBE_EVENTS",)),
    "lsm": ("5.7", ("CONFIG_BPF_LSM",)), "lsm_sleepable": ("5.11", ("CONFIG_BPF_LSM",)),
    "lsm_cgroup": ("6.0", ("CONFIG_BPF_LSM", "CONFIG_CGROUP_BPF")), "fsession": ("7.0", ()),
    "fentry_multi": ("7.2", ()), "fexit_multi": ("7.2", ()), "netfilter": ("6.4", ("CONFIG_NETFILTER_BPF_LINK",)),
}  # fmt: skip
# The same written out, for Debian's cloud kernels.
REFUSED = {
    "5.10": {"kprobe_multi", "kretprobe_multi", "kprobe_session", "lsm_sleepable", "lsm_cgroup", "fsession",
             "fentry_multi", "fexit_multi", "netfilter"},
    "6.1": {"kprobe_multi", "kretprobe_multi", "kprobe_session", "fsession", "fentry_multi", "fexit_multi",
            "netfilter"},
    "6.12": {"fsession", "fentry_multi", "fexit_multi"},
    "6.18": {"fsession", "fentry_multi", "fexit_multi"},
    "7.3": set(),
}  # fmt: skip


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory, clang: Any) -> tuple[Path, bytes]:
    """(the programs, the executable that makes them run)."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler for user space: `apt-get install gcc` gets it")
    folder = tmp_path_factory.mktemp("families")
    made, trigger = folder / "families.bpf.o", folder / "trigger"
    words = [clang.path, "-g", "-O2", "-target", "bpf", "-I", f"/usr/include/{os.uname().machine}-linux-gnu"]
    subprocess.run([*words, "-c", PROGS / "families.bpf.c", "-o", made], check=True)
    for section in (".struct_ops", ".struct_ops.link"):
        out = folder / f"{section[1:]}.bpf.o"
        subprocess.run([*words, f'-DOPS="{section}"', "-c", PROGS / "ops.bpf.c", "-o", out], check=True)
    subprocess.run([compiler, "-static", "-O1", "-o", trigger, PROGS / "trigger.c"], check=True)
    return made, trigger.read_bytes()


@pytest.fixture(scope="module", params=["5.10", "6.1", "6.12", "6.18", "7.3"])
def guest(request: pytest.FixtureRequest, objects: tuple[Path, bytes]) -> Iterator[Any]:
    try:
        store.find(request.param)
    except BpfsmithError as error:
        pytest.skip(str(error))
    with lab.kernel(request.param) as session:
        session.put("/trigger", objects[1], 0o755)
        yield session


def outcome(guest: Any, path: Path, word: str, *where: Any, **options: Any) -> int | BpfsmithError:
    """How often it ran, or why it is not attached."""
    name = f"on_{word}"
    try:
        with guest.load(path, select=[name], **options) as bpf:
            program = bpf.programs[name]
            with program.attach(*where) as link:
                if word == "iter":
                    link.text()
                else:
                    done = guest.exec(["/trigger"])
                    assert done.status == 0, done
                fired = int(bpf.globals[f"{name}_hits"])
                told = link.info()
                assert told["target"] == link.target
            guest.exec(["/trigger"])
            assert int(bpf.globals[f"{name}_hits"]) == fired or word in SOME, "it runs after it was detached"
            return fired
    except BpfsmithError as error:
        return error


def there(guest: Any, name: str) -> bool:
    """Whether this kernel has what the program needs, by its age and configuration."""
    since, options = NEEDS.get(name, ("", ()))
    new = not since or series_key(guest.kernel.series) >= series_key(since)
    return new and all(guest.kernel.config(option) for option in options)


@pytest.mark.parametrize("name", [*EXACT, *SOME])
def test_it_fires_or_is_refused_by_type(guest: Any, objects: tuple[Path, bytes], name: str) -> None:
    often, where = EXACT[name] if name in EXACT else (0, SOME[name])
    told = outcome(guest, objects[0], name, *where)
    if there(guest, name):
        assert not isinstance(told, BpfsmithError), repr(told)
        assert told == often if often else told > 0
    else:
        # A sleepable hook the verifier of that kernel does not know as one is a matter of the program.
        assert isinstance(told, Unsupported) or (name == "lsm_sleepable" and "is not sleepable" in str(told)), repr(
            told
        )
    series = guest.name
    if series in REFUSED:
        assert there(guest, name) == (name not in REFUSED[series]), "the table says otherwise"


def test_a_program_in_the_place_of_another(guest: Any, objects: tuple[Path, bytes]) -> None:
    path = objects[0]
    with guest.load(path, select=["on_xdp"]) as bpf:
        target = bpf.programs["on_xdp"]
        settings = {"attach_prog": target}
        with (guest.load(path, select=["on_watch"], programs={"on_watch": settings}) as other,
              other.programs["on_watch"].attach()):  # fmt: skip
            target.test_run(bytes(64))
            assert other.globals["on_watch_hits"] == 1
        with guest.load(path, select=["on_freplace"], programs={"on_freplace": settings}) as other:
            with other.programs["on_freplace"].attach():
                assert target.test_run(bytes(64)).verdict == "XDP_DROP" and other.globals["on_freplace_hits"] == 1
            assert target.test_run(bytes(64)).verdict == "XDP_PASS"


@pytest.mark.parametrize("section", [".struct_ops", ".struct_ops.link"])
def test_a_struct_of_callbacks(guest: Any, objects: tuple[Path, bytes], section: str) -> None:
    path = objects[0].with_name(f"{section[1:]}.bpf.o")
    linked = section.endswith("link")
    if linked and series_key(guest.kernel.series) < series_key("6.4"):
        with pytest.raises(Unsupported, match=r"no links of struct_ops") as caught:
            guest.load(path)
        assert caught.value.since == "6.4"
        return
    with guest.load(path) as bpf:
        with bpf.programs["begun"].attach() as link:
            assert guest.exec(["/trigger"]).status == 0
            assert bpf.globals["begun_hits"] == 3 and bool(link.id) == linked
        guest.exec(["/trigger"])
        assert bpf.globals["begun_hits"] == 3


def test_every_iterator_of_the_kernel(guest: Any, objects: tuple[Path, bytes]) -> None:
    """Each is attached and read; those of maps are given one."""
    btf = guest.kernel.btf
    names = set(re.findall(r"STRUCT 'bpf_iter__(\w+)'", btf.dump_raw()))
    iterators = [name for name in sorted(names) if btf.find(f"bpf_iter_{name}", "FUNC") is not None]
    known = {"bpf_map", "task", "task_file", "tcp", "udp", "netlink", "ipv6_route", "bpf_map_elem"}
    read, given = [], []
    for name in iterators:
        with guest.load(objects[0], select=["on_iter"], programs={"on_iter": {"attach_to": name}}) as bpf:
            where = {"cgroup": "/sys/fs/cgroup"} if name == "cgroup" else {}
            try:
                with bpf.programs["on_iter"].attach(**where) as link:
                    link.read()
                read.append(name)
            except InputError as error:
                assert "pass `map=`" in str(error), (name, error)
                given.append(name)
    assert known - {"bpf_map_elem"} <= set(read), (read, iterators)
    assert "bpf_map_elem" in given


def test_cookies_and_what_kernels_before_them_say(guest: Any, objects: tuple[Path, bytes]) -> None:
    for name, since in (("on_kprobe", "5.15"), ("on_tracepoint", "5.15"), ("on_fentry", "5.19")):
        with guest.load(objects[0], select=[name]) as bpf:
            if series_key(guest.kernel.series) >= series_key(since):
                bpf.programs[name].attach(cookie=7).detach()
            else:
                with pytest.raises(Unsupported) as caught:
                    bpf.programs[name].attach(cookie=7)
                assert caught.value.since == since
            assert bpf.links == []


def test_wrong_targets_are_named(guest: Any, objects: tuple[Path, bytes]) -> None:
    with guest.load(objects[0], select=["on_kprobe", "on_ksyscall"]) as bpf:
        program = bpf.programs["on_kprobe"]
        with pytest.raises(TargetMissing, match=r"no kernel function `__sys_bindd` \(did you mean .*`__sys_bind`"):
            program.attach("__sys_bindd")
        with pytest.raises(TargetMissing, match=r"no system call `bindd`.*`bind`"):
            bpf.programs["on_ksyscall"].attach("bindd")
        with pytest.raises(InputError, match="the kernel sets no kprobe"):
            program.attach("asm_exc_int3")
        with pytest.raises(InputError, match=r"start of an instruction|the kernel sets no kprobe"):
            program.attach("__sys_bind", offset=1)
        with pytest.raises(InputError, match="lies outside of `__sys_bind`"):
            program.attach("__sys_bind", offset=1 << 20)
    for name, wrong in (("on_fentry", "__sys_bindd"), ("on_lsm", "socket_bindd")):
        with pytest.raises(TargetMissing, match="did you mean"):
            guest.load(objects[0], select=[name], programs={name: {"attach_to": wrong}})


@pytest.fixture(scope="module")
def reference() -> bytes:
    """libbpf 1.7, to run in guests: attaches a program and tells its link."""
    import attaches
    from libbpf_ref import CannotBuild, compiled

    try:
        return compiled(attaches.SOURCE, "attach-static", static=True).read_bytes()
    except CannotBuild as error:
        pytest.skip(str(error))


# Attached as the section says, by libbpf and by us. Ids and pointers are left out: (from, to) in `bpf_link_info`.
SAME = ["kprobe", "kretprobe", "kprobe_multi", "kretprobe_multi", "kprobe_session", "ksyscall", "kretsyscall", "fentry",
        "fexit", "fmod_ret", "lsm", "lsm_sleepable", "tracepoint", "raw_tracepoint", "tp_btf", "iter"]  # fmt: skip
SAMPLE = {"kprobe", "kretprobe_multi", "fentry", "lsm"}


@pytest.mark.parametrize(
    "word",
    [word if word in SAMPLE else pytest.param(word, marks=pytest.mark.full) for word in SAME],
)
def test_the_kernel_sees_the_link_libbpf_makes(
    guest: Any, objects: tuple[Path, bytes], reference: bytes, word: str
) -> None:
    from bpfsmith.run import link as links

    name = f"on_{word}"
    if not guest.door.exists("/attach"):
        guest.put("/attach", reference, 0o755)
        guest.put("/families.bpf.o", objects[0].read_bytes())
    done = guest.exec(["/attach", "/families.bpf.o", name, "auto"], env={"ATTACH_INFO": "1"})
    theirs = dict(line.split("\t") for line in done.stdout.decode().splitlines())
    try:
        with guest.load(objects[0], select=[name]) as bpf, bpf.programs[name].attach() as made:
            ours = bytes(links.raw_info(made._fd)) if made.id else b""
    except BpfsmithError as error:
        assert "failed" in theirs, (theirs, repr(error))
        return
    if not ours:  # before 5.15 there is no link: libbpf tells none either
        assert "info" not in theirs
        return
    wanted = bytes.fromhex(theirs["info"])
    assert ours[:4] == wanted[:4] and ours[12:64] == wanted[12:64]


def test_rows_of_the_table_are_tried(objects: tuple[Path, bytes]) -> None:
    from bpfsmith.read import read
    from bpfsmith.run.attach import families

    seen = {family_of(program).name for program in read(objects[0]).programs}
    elsewhere = {"netkit", "usdt", "uprobe", "uprobe.multi", "uprobe.session", "sk_msg", "sk_skb", "flow_dissector",
                 "sk_reuseport", "socket_filter", "struct_ops"}  # fmt: skip
    assert {row.name for row in families() if row.state == "fires"} - seen == elsewhere

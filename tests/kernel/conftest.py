"""What tests on the real kernel share: compiled programs, a network, a cgroup, a place for pins, and a watch on leaks.

Other processes of this machine load programs meanwhile. What a test made is therefore told by the descriptors that went
through its own door, and by those its process still holds; only tests marked `alone` compare everything that is loaded.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from network import Net

PROGS = Path(__file__).parent / "progs"
KINDS = {"prog": "PROG", "map": "MAP", "link": "LINK", "btf": "BTF"}
GRACE = 15.0  # seconds the kernel gets to free what was closed: it waits for RCU and for its workers


# ------------------------------------------------------------ nothing may stay behind


def held() -> dict[int, tuple[str, int]]:
    """Descriptor -> (kind, id) of every program, map, link and BTF this process holds."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            if "bpf" in os.readlink(f"/proc/self/fd/{name}") or "btf" in os.readlink(f"/proc/self/fd/{name}"):
                text = Path(f"/proc/self/fdinfo/{name}").read_text()
            else:
                continue
        except OSError:
            continue
        for kind in KINDS:
            if match := re.search(rf"^{kind}_id:\s*(\d+)$", text, re.M):
                # A link's fdinfo names its program too.
                if kind == "prog" and (link := re.search(r"^link_id:\s*(\d+)$", text, re.M)):
                    found[int(name)] = ("link", int(link[1]))
                else:
                    found[int(name)] = (kind, int(match[1]))
                break
    return found


def loaded(kind: str) -> set[int]:
    """Ids of everything of that kind (`prog`, `map`, `link`, `btf`) in the kernel, whoever made it."""
    from bpfsmith import kernel
    from bpfsmith.kernel.attrs import encode, output

    command, at, found = f"BPF_{KINDS[kind]}_GET_NEXT_ID", 0, set()
    while True:
        number, attr, buffers = encode(command, start_id=at)
        if kernel.door().bpf(number, attr, buffers) < 0:
            return found
        at = output(command, attr, "next_id")
        found.add(at)


def alive(kind: str, number: int) -> bool:
    from bpfsmith import kernel
    from bpfsmith._native import Fd

    fd = kernel.door().bpf_fd(*_encode(f"BPF_{KINDS[kind]}_GET_FD_BY_ID", number, kind))
    if isinstance(fd, Fd):
        fd.close()
        return True
    return False


def _encode(command: str, number: int, kind: str) -> Any:
    from bpfsmith.kernel.attrs import encode

    return encode(command, **{f"{kind}_id": number})


def _held_by_others() -> set[tuple[str, int]]:
    """What processes that are not ours hold, and what those programs and links refer to."""
    from bpfsmith.kernel import info
    from bpfsmith.model.errors import BpfsmithError

    ours, family = os.getpid(), set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            line, at = [], int(name)
            while at > 1 and at not in line:
                line.append(at)
                try:
                    at = int(Path(f"/proc/{at}/stat").read_text().rpartition(")")[2].split()[1])
                except (OSError, IndexError):
                    break
            if ours in line:
                family.add(int(name))
    held = {entry for entry, holders in info.owners().items() if any(pid not in family for pid, _ in holders)}
    for kind, number in list(held):
        with contextlib.suppress(BpfsmithError):
            if kind == "link":
                with info.open_id("link", number) as fd:
                    held.add(("prog", info.link(fd)["prog_id"]))
    for kind, number in list(held):
        with contextlib.suppress(BpfsmithError):
            if kind == "prog":
                with info.open_id("prog", number) as fd:
                    told = info.program(fd, "map_ids")
                held |= {("map", one) for one in told["map_ids"]} | {("btf", told.get("btf_id", 0))}
            elif kind == "map":
                with info.open_id("map", number) as fd:
                    held.add(("btf", info.map_(fd).get("btf_id", 0)))
    return held


class Watch:
    """The ids of everything made through the door while a test ran."""

    def __init__(self) -> None:
        self.made: set[tuple[str, int]] = set()

    def note(self, *fds: Any) -> None:
        from bpfsmith._native import Fd

        for fd in fds:
            if isinstance(fd, Fd) and not fd.closed:
                with contextlib.suppress(OSError):
                    text = Path(f"/proc/self/fdinfo/{fd.fileno()}").read_text()
                    for kind in ("link", "prog", "map", "btf"):
                        if match := re.search(rf"^{kind}_id:\s*(\d+)$", text, re.M):
                            self.made.add((kind, int(match[1])))
                            break

    def remaining(self) -> set[tuple[str, int]]:
        return {entry for entry in self.made if alive(*entry)}


@pytest.fixture(scope="session")
def _watched_door() -> Iterator[list[Watch]]:
    """The live door, telling a watch which objects were made; how they are opened is not looked at (`GET_FD_BY_ID`)."""
    from bpfsmith import kernel
    from bpfsmith.kernel._door import Door
    from bpfsmith.kernel.attrs import NUMBERS

    now: list[Watch] = []
    makers = {NUMBERS[name] for name in ("BPF_MAP_CREATE", "BPF_PROG_LOAD", "BPF_BTF_LOAD", "BPF_LINK_CREATE",
                                         "BPF_RAW_TRACEPOINT_OPEN")}  # fmt: skip

    class Watched(Door):
        __slots__ = ()

        def bpf_fd(self, cmd: int, attr: bytearray, buffers: Sequence[tuple[int, Any]] = ()) -> Any:
            fd = super().bpf_fd(cmd, attr, buffers)
            if now and cmd in makers:
                now[-1].note(fd)
            return fd

        def replay(self, *arguments: Any, **options: Any) -> Any:
            done = super().replay(*arguments, **options)
            if now:
                now[-1].note(*done[0])
            return done

    old = kernel._install(Watched())
    yield now
    kernel._install(old)


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest) -> Iterator[Watch | None]:
    """After each test: its programs, maps, links and BTF are gone and no descriptor of such is left open.

    Marked `alone`, the ids of the whole machine must be as before, which sees what child processes left too; what
    processes that have nothing to do with this run hold is theirs."""
    if os.geteuid() != 0 or not request.node.get_closest_marker("root"):
        yield None
        return
    now: list[Watch] = request.getfixturevalue("_watched_door")
    strict = request.node.get_closest_marker("alone") is not None
    watch = Watch()
    gc.collect()
    open_before = held()
    before = {kind: loaded(kind) for kind in KINDS} if strict else {}
    now.append(watch)
    try:
        yield watch
    finally:
        now.pop()
        # A link that nobody closed warns when it goes; that is the product's promise, and here a failure of its own.
        gc.collect()
    until = time.monotonic() + GRACE
    while True:
        left = dict.fromkeys(watch.remaining(), "made by this test")
        left |= {entry: f"descriptor {fd}" for fd, entry in held().items() if fd not in open_before}
        if strict:
            new = [(kind, n) for kind in KINDS for n in loaded(kind) - before[kind] if alive(kind, n)]
            theirs = _held_by_others() if new else set()
            left |= {entry: "new" for entry in new if entry not in theirs}
        if not left or time.monotonic() > until:
            break
        time.sleep(0.01)
    assert not left, f"left behind: { {f'{kind} {number}': why for (kind, number), why in sorted(left.items())} }"


# ------------------------------------------------------------ programs


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(home) / "bpfsmith" / "kernel-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def vmlinux_h() -> Path:
    """A folder with `vmlinux.h` of the running kernel."""
    folder = _cache() / os.uname().release
    header = folder / "vmlinux.h"
    if not header.exists():
        tool = shutil.which("bpftool") or "/usr/sbin/bpftool"
        done = subprocess.run(
            [tool, "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"kernel: no vmlinux.h: {done.stderr.decode().strip()}")
        folder.mkdir(exist_ok=True)
        part = header.with_suffix(f".{os.getpid()}")
        part.write_bytes(done.stdout)
        part.rename(header)
    return folder


def _built_elsewhere(folder: Path, *words: str) -> Path:
    """In a guest of the lab, which has no compiler: asks whoever started this run (`tests/lab`), through a file."""
    mark = hashlib.sha256("\0".join(words).encode()).hexdigest()[:20]
    wanted, made, refused = (folder / f"{mark}.{end}" for end in ("json", "o", "txt"))
    if not made.exists() and not wanted.exists():
        part = folder / f"{mark}.part"
        part.write_text(json.dumps(words))
        part.rename(wanted)
    until = time.monotonic() + 120
    while not made.exists():
        assert not refused.exists(), refused.read_text()
        assert time.monotonic() < until, "nobody compiles for this run"
        time.sleep(0.05)
    return made


# Kinds of maps that programs do without where a guest's kernel has none, and what is missing then.
OPTIONAL = {
    "USER_RINGBUF": ("commands", "drain"), "BLOOM_FILTER": ("seen",), "TASK_STORAGE": ("by_task",),
    "CGRP_STORAGE": ("by_cgroup",),
}  # fmt: skip


def _without(kind: str) -> bool:
    """Whether this kernel has no such maps; then tests that ask for them are skipped with that reason."""
    from bpfsmith import kernel
    from lacking import LEFT_OUT

    if kernel.live().probe(f"map_type:{kind.lower()}"):
        return False
    for name in OPTIONAL[kind]:
        LEFT_OUT[name] = RuntimeError(f"this kernel has no `{kind.lower()}` maps")
    return True


@pytest.fixture(scope="session")
def bpf_object(request: pytest.FixtureRequest) -> Callable[..., Path]:
    """`bpf_object("counter")` compiles `progs/counter.bpf.c`; a text with a newline is the source itself. More words
    are flags for clang (`"-mcpu=v4"`, `"-DN=4"`). Objects are kept by the hash of source, flags and compiler.

    `#include "vmlinux.h"` is the running kernel's; libbpf's headers are there as <bpf/...>."""
    elsewhere = os.environ.get("BPFSMITH_BUILDER")
    clang = None if elsewhere else request.getfixturevalue("clang")

    def build(source: str | Path, *flags: str) -> Path:
        text = str(source)
        file = None if "\n" in text else (Path(text) if "/" in text else PROGS / f"{text}.bpf.c")
        code = text if file is None else file.read_text()
        if clang is None:
            stem = "inline" if file is None else file.name.removesuffix(".bpf.c")
            from bpfsmith import kernel

            # What clang makes of `__sync_fetch_and_add` by default takes Linux 5.12.
            old = not kernel.live().probe("atomics") and not any(flag.startswith("-mcpu") for flag in flags)
            left = [f"-DNO_{kind}" for kind in OPTIONAL if f"NO_{kind}" in code and _without(kind)]
            made = _built_elsewhere(Path(str(elsewhere)), stem, code, *flags, *["-mcpu=v2"] * old, *left)
            named = made.with_name(made.stem) / f"{stem}.bpf.o"
            if not named.exists():
                named.parent.mkdir(exist_ok=True)
                shutil.copy(made, named)
            return named
        words = ["-g", "-O2", "-target", "bpf", f"-D__TARGET_ARCH_{_arch()}", "-Wall", "-I", str(PROGS), *flags]
        # Distributions keep asm/ in a folder of the machine's own name.
        words += ["-I", f"/usr/include/{os.uname().machine}-linux-gnu"]
        headers = b"".join(path.read_bytes() for path in sorted(PROGS.glob("*.h")))
        if "vmlinux.h" in code or b"vmlinux.h" in headers:
            words += ["-I", str(request.getfixturevalue("vmlinux_h"))]
        mark = hashlib.sha256("\0".join(["2", code, clang.version, *words]).encode() + headers).hexdigest()[:20]
        stem = "inline" if file is None else file.name.removesuffix(".bpf.c")
        built = _cache() / f"{stem}-{mark}" / f"{stem}.bpf.o"
        if not built.exists():
            built.parent.mkdir(exist_ok=True)
            part = built.with_suffix(f".{os.getpid()}")
            if file is None:  # from a file, so that the object carries the text of its lines
                file = built.with_name(f"{stem}.bpf.c")
                file.write_text(code)
            done = subprocess.run(
                [clang.path, *words, "-c", file, "-o", part], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            part.rename(built)
        return built

    return build


def _arch() -> str:
    return {"x86_64": "x86", "aarch64": "arm64", "riscv64": "riscv", "s390x": "s390"}.get(os.uname().machine, "x86")


@pytest.fixture
def load_known() -> Callable[..., Any]:
    """`load`, and in a guest of the lab without the programs its kernel does not have: they are noted, and a test that
    asks for one of them is skipped with the reason."""
    import bpfsmith
    from bpfsmith.model.errors import BpfsmithError
    from lacking import LEFT_OUT

    def load_them(path: Path, select: Sequence[str] = (), **options: Any) -> Any:
        try:
            return bpfsmith.load(path, select=[*select] or None, **options)
        except BpfsmithError:
            if not os.environ.get("BPFSMITH_LAB_GUEST"):
                raise
        known = []
        for name in select or [program.name for program in bpfsmith.read(path).programs]:
            if name in LEFT_OUT:
                continue
            try:
                bpfsmith.load(path, select=[name], **options).close()
                known.append(name)
            except BpfsmithError as error:
                LEFT_OUT[name] = error
        return bpfsmith.load(path, select=known, **options)

    return load_them


# ------------------------------------------------------------ somebody to trace


@pytest.fixture(scope="session")
def static_probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An executable with the static probe `bpfsmith:tick` (`progs/static_probe.c`)."""
    if ready := os.environ.get("BPFSMITH_STATIC_PROBE"):
        return Path(ready)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or os.uname().machine != "x86_64":
        pytest.skip("no compiler for user space: `apt-get install gcc` gets it")
    out = tmp_path_factory.mktemp("usdt") / "static_probe"
    source = Path(__file__).parent / "progs/static_probe.c"
    subprocess.run([compiler, "-O1", "-o", out, source], check=True)
    return out


# ------------------------------------------------------------ a network


@pytest.fixture
def netns() -> Iterator[Net]:
    """The test runs in a network namespace of its own, joined by a veth pair to another one; see `Net`."""
    try:
        net = Net()
    except OSError as error:
        pytest.skip(f"kernel: no network namespaces: {error}")
    yield net
    net.close()


# ------------------------------------------------------------ a cgroup, a place for pins


class Cgroup:
    """A cgroup of the unified hierarchy. `path`; `enter()` moves this process in for a while; `run()` a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        line = next(row for row in Path("/proc/self/cgroup").read_text().splitlines() if row.startswith("0::"))
        home = Path(str(_unified()) + line[3:])
        (self.path / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (home / "cgroup.procs").write_text(str(os.getpid()))

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The command runs as a member of the group."""
        procs = self.path / "cgroup.procs"
        script = f'echo $$ > "{procs}" && exec "$@"'
        return subprocess.run(
            ["sh", "-c", script, "sh", *words], capture_output=True, text=True, check=False, **options
        )


def _unified() -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None


_count = iter(range(1 << 30))


def _unique(what: str) -> str:
    return f"bpfsmith-{what}-{os.getpid()}-{next(_count)}"


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    """A fresh cgroup v2, removed afterwards."""
    mount = _unified()
    if mount is None:
        pytest.skip("kernel: no cgroup2 is mounted: `mount -t cgroup2 none /mnt` mounts it")
    path = mount / _unique("test")
    path.mkdir()
    yield Cgroup(path)
    for _ in range(200):
        try:
            path.rmdir()
        except OSError:
            time.sleep(0.01)  # members that ended leave it a little later
        else:
            return
    warnings.warn(f"cgroup {path} could not be removed", stacklevel=1)


@pytest.fixture
def bpffs() -> Iterator[Path]:
    """A fresh folder for pins, removed with everything in it afterwards."""
    root = Path("/sys/fs/bpf")
    if not os.path.ismount(root):
        pytest.skip("kernel: no bpffs: `mount -t bpf bpf /sys/fs/bpf` mounts it")
    path = root / _unique("pins")
    path.mkdir()
    yield path
    shutil.rmtree(path)


# ------------------------------------------------------------ somebody else


@pytest.fixture
def unprivileged(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`unprivileged("-m", "bpfsmith", "ps", capabilities=("bpf",))` runs Python as uid 65534 with these capabilities
    only.

    Besides them it may read files wherever Python itself is kept (CAP_DAC_READ_SEARCH); `setpriv` does the rest."""
    tool = shutil.which("setpriv")
    if tool is None:
        pytest.skip("no `setpriv`: `apt-get install util-linux` gets it")

    def run(*words: str, capabilities: Sequence[str] = (), **options: Any) -> subprocess.CompletedProcess[str]:
        import sys

        import bpfsmith

        kept = ",".join(["-all", "+dac_read_search", *(f"+{name}" for name in capabilities)])
        command = [tool, "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={kept}",
                   f"--ambient-caps={kept}", f"--bounding-set={kept}", sys.executable, *words]  # fmt: skip
        env = {**os.environ, "PYTHONPATH": str(Path(bpfsmith.__file__).parents[1]), "NO_COLOR": "1",
               "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
        env.pop("XDG_RUNTIME_DIR", None)
        given = {"env": env, "cwd": "/", **options}
        return subprocess.run(command, capture_output=True, text=True, check=False, **given)

    return run

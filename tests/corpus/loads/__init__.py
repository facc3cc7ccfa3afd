"""The same objects loaded by libbpf 1.7 and by us into the running kernel: helpers of `test_loads.py`. Needs root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import libbpf_ref
from build_corpus import home
from toolchain import bpftool

HERE = Path(__file__).parent


def build(source: Path = HERE / "keep.c") -> Path:
    """The program of that source, built on first use on the libbpf that `libbpf_ref` fetched. Raises its
    `CannotBuild`."""
    return libbpf_ref.compiled(source, source.stem)


class Ours(NamedTuple):
    """What came of loading one program by itself with bpfsmith, in the words of `verifier_ref.Verdict`."""

    what: str
    errno: int
    message: str


def verdicts(paths: list[Path], at_once: int = 8, patience: float = 900.0) -> dict[tuple[Path, int], Ours]:
    """(object, number of the program) -> what came of it, from processes that each look at a few objects. One that
    dies or takes longer than `patience` seconds leaves out what it did not come to."""
    parts = [paths[start : start + at_once] for start in range(0, len(paths), at_once)]
    found: dict[tuple[Path, int], Ours] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for text in pool.map(lambda part: _child(part, patience), parts):
            for line in text.splitlines():
                path, number, _program, what, errno, message = line.split("\t")
                found[Path(path), int(number)] = Ours(what, int(errno), message)
    return found


def _child(part: list[Path], patience: float) -> str:
    given = "".join(f"{path}\n" for path in part)
    try:
        done = subprocess.run(
            [sys.executable, HERE / "child.py"],
            input=given,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace").rpartition("\n")[0]
    return done.stdout.rpartition("\n")[0]


class Kept(NamedTuple):
    """Ids by name of what one loader made of one object; `failed` says why there is nothing."""

    programs: dict[str, int]
    maps: dict[str, int]
    btf: int
    failed: str


class Keeper:
    """libbpf in a process of its own that keeps one object loaded at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([build()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def load(self, path: Path) -> Kept:
        """Lets go of the one before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        programs: dict[str, int] = {}
        maps: dict[str, int] = {}
        number = 0
        while True:
            word, *fields = self._process.stdout.readline().rstrip("\n").split("\t")
            if word == "program":
                programs[fields[1]] = int(fields[0])
            elif word == "map":
                maps[fields[1]] = int(fields[0])
            elif word == "btf":
                number = int(fields[0])
            elif word == "done":
                return Kept(programs, maps, number, "")
            else:
                return Kept({}, {}, 0, " ".join(fields) or "the reference died")

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@contextmanager
def kept_by_us(path: Path, pins: Path) -> Iterator[Kept]:
    """The object loaded by us, while the block runs."""
    import bpfsmith
    from bpfsmith.kernel import info

    obj = bpfsmith.read(path)
    sizes = {one.name: 1 << 16 for one in obj.native.maps if one.type in (27, 31) and not one.max_entries}
    try:
        with bpfsmith.load(obj, map_sizes=sizes, pin_path=str(pins)) as bpf:
            programs = {name: program.id for name, program in bpf.programs.items()}
            maps = {name: info.map_(bpf._fd_of(name))["id"] for name in bpf.maps}
            number = info.btf(bpf.btf_fd)["id"] if bpf.btf_fd is not None else 0
            yield Kept(programs, maps, number, "")
    finally:
        if pins.is_dir():
            for one in pins.iterdir():
                one.unlink()
            pins.rmdir()


def told(theirs: Kept, ours: Kept) -> dict[tuple[str, int], Any]:
    """What the kernel says of all of both: (`prog` or `map`, id) -> bpftool's JSON; (`btf`, id) -> the BTF's bytes."""
    from bpfsmith.kernel import info

    asked = [(kind, number) for kept in (theirs, ours) for kind, number in _all(kept)]
    commands = "".join(f"{kind} show id {number}\n" for kind, number in asked)
    words = [str(bpftool(home())), "-j", "batch", "file", "-"]
    done = subprocess.run(words, input=commands, capture_output=True, text=True, check=False)
    answers = json.loads(done.stdout)
    assert len(answers) == len(asked), done.stderr
    found = {key: answer.get("output") for key, answer in zip(asked, answers, strict=True)}
    for number in {theirs.btf, ours.btf} - {0}:
        with info.open_id("btf", number) as fd:
            found["btf", number] = info.btf(fd, data=True)["data"]
    return found


def _all(kept: Kept) -> Iterator[tuple[str, int]]:
    yield from (("prog", number) for number in kept.programs.values())
    yield from (("map", number) for number in kept.maps.values())

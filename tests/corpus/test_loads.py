"""The running kernel makes of an object loaded by us what it makes of the same object loaded by libbpf 1.7.

What bpftool shows of programs, maps and BTF is equal; every program libbpf loads we load, and a rejected one is
rejected with the same message. Left out are ids, times, process ids, memory and the names users choose (libbpf names
data maps after the file).
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import loads
import pytest
import verifier_ref
from libbpf_ref import CannotBuild
from loads.child import plain as without_statistics

import bpfsmith
from conftest import FULL

if TYPE_CHECKING:
    from conftest import Corpus

pytestmark = [pytest.mark.corpus, pytest.mark.root]

OURS_ALONE = {
    "id", "loaded_at", "pids", "bytes_memlock", "map_ids", "btf_id", "prog_ids", "uid", "owner_prog_type",
    "owner_jited", "run_time_ns", "run_cnt", "pinned",
}  # fmt: skip


# Half a minute each: the verifier gives up after a million instructions. So they say nothing of what is loaded.
ENDLESS = {"loop3", "strobemeta"}
# libbpf gives up on BTF that kernels refuse and loads without; ours is mended (`test_image.py`).
WITHOUT_BTF = {"btf_dump_test_case_namespacing", "uninit_stack", "verifier_bounds", "verifier_lsm"}
# libbpf asks for system call wrappers by attaching a kprobe: the wrong answer where none may be. We ask the symbols.
WRAPPERS = {"bpf_syscall_macro", "test_attach_probe"}
# The reference leaves out struct_ops maps when it loads another program, and this kernel lacks the type.
WITHOUT_MAPS = {"test_global_map_resize"}


def paths_of(corpus: Corpus, without: set[str]) -> list[Path]:
    return [path for path in corpus if "bpfeb" not in str(path) and path.name.removesuffix(".bpf.o") not in without]


def plain(row: Any) -> Any:
    return {name: value for name, value in row.items() if name not in OURS_ALONE} if isinstance(row, dict) else row


def by_section(name: str) -> str:
    """libbpf's `counter.rodata` is our `.rodata`."""
    _, dot, section = name.partition(".")
    return f".{section}" if dot else name


def differences(theirs: loads.Kept, ours: loads.Kept, counts: Counter[str]) -> list[str]:
    found = []
    told = loads.told(theirs, ours)
    if theirs.programs.keys() != ours.programs.keys():
        found.append(f"programs: libbpf {sorted(theirs.programs)}, here {sorted(ours.programs)}")
    maps = {by_section(name): number for name, number in theirs.maps.items()}
    mine = {by_section(name): number for name, number in ours.maps.items()}
    if maps.keys() != mine.keys():
        found.append(f"maps: libbpf {sorted(maps)}, here {sorted(mine)}")
    for name, number in theirs.programs.items():
        if name in ours.programs:
            counts["programs"] += 1
            one, other = told["prog", number], told["prog", ours.programs[name]]
            found += compared(f"program {name}", one, other)
            if len(one.get("map_ids", ())) != len(other.get("map_ids", ())):
                found.append(f"program {name}: uses {one.get('map_ids')} maps, here {other.get('map_ids')}")
    for name, number in maps.items():
        if name in mine:
            counts["maps"] += 1
            found += compared(f"map {name}", told["map", number], told["map", mine[name]])
    if bool(theirs.btf) != bool(ours.btf):
        found.append(f"BTF: libbpf {theirs.btf}, here {ours.btf}")
    elif theirs.btf:
        counts["BTFs"] += 1
        if told["btf", theirs.btf] != told["btf", ours.btf]:
            found.append("BTF: the types differ")
    return found


def compared(what: str, one: Any, other: Any) -> list[str]:
    one, other = plain(one), plain(other)
    if what.startswith("map .") and isinstance(one, dict) and isinstance(other, dict):
        one.pop("name", None)
        other.pop("name", None)
    if one == other:
        return []
    keys = sorted({*one, *other}, key=str) if isinstance(one, dict) and isinstance(other, dict) else []
    wrong = [f"{key} {one.get(key)!r}, here {other.get(key)!r}" for key in keys if one.get(key) != other.get(key)]
    return [f"{what}: libbpf {'; '.join(wrong) or f'{one}, here {other}'}"]


def test_the_kernel_sees_what_libbpf_would_have_made(corpus: Corpus, tmp_path: Path) -> None:
    try:
        loads.build()
    except CannotBuild as error:
        pytest.skip(str(error))
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    pins = Path(f"/sys/fs/bpf/bpfsmith-loads-{os.getpid()}")
    keeper = loads.Keeper()
    try:
        for path in paths_of(corpus, ENDLESS | WITHOUT_BTF | WRAPPERS):
            theirs = keeper.load(path)
            if theirs.failed:
                counts["objects libbpf does not load"] += 1
                continue
            counts["objects"] += 1
            try:
                with loads.kept_by_us(path, pins) as ours:
                    told = differences(theirs, ours, counts)
            except bpfsmith.BpfsmithError as error:
                told = [f"not loaded: {error}"]
            wrong += [f"{path.relative_to(corpus.path)}: {one}" for one in told]
    finally:
        keeper.close()
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:30])
    assert counts["objects"] > 20


def test_every_verdict_is_libbpfs(corpus: Corpus) -> None:
    """`unloadable` by libbpf says nothing: it gave up before the kernel saw the program."""
    try:
        verifier_ref.build()
    except CannotBuild as error:
        pytest.skip(str(error))
    paths = paths_of(corpus, WITHOUT_MAPS if FULL else WITHOUT_MAPS | ENDLESS)
    ours = loads.verdicts(paths)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for theirs in verifier_ref.verdicts(paths):
        counts[theirs.what] += 1
        mine = ours.get((theirs.path, theirs.number), loads.Ours("missing", 0, ""))
        # Where an instruction is logged before it fails, the message ends its line.
        same = mine.what == theirs.what and (
            mine.what != "rejected" or mine.message.endswith(without_statistics(theirs.message))
        )
        if mine.what in ("crashed", "missing") or (not same and theirs.what != "unloadable"):
            told = f"{theirs.what}: {theirs.message}, here {mine.what}: {mine.message}"
            wrong.append(f"{theirs.path.relative_to(corpus.path)}: {theirs.program}: {told}")
        elif theirs.what == "unloadable" and mine.what == "accepted":
            counts["loaded only here"] += 1
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:30])
    assert counts["accepted"] > 200

"""`inspect` calls programs and maps what libbpf calls them: sections, program types, attach types, map types."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from libbpf_ref import CannotBuild, build

from bpfsmith.inspect import inspect

if TYPE_CHECKING:
    from conftest import Corpus

pytestmark = pytest.mark.corpus

# libbpf puts the number of the operation there while it prepares a `struct_ops` program.
NOT_DECLARED = {"struct_ops"}


def records(corpus: Corpus) -> Iterator[tuple[str, list[list[str]], list[list[str]]]]:
    """(path, maps, programs) of each object libbpf opens, fields as the reference program prints them."""
    paths = "\n".join(map(str, corpus))
    command = [build(), corpus.btf("6.12")]
    out = subprocess.run(command, input=paths.encode(), capture_output=True, check=True).stdout
    maps: list[list[str]] = []
    programs: list[list[str]] = []
    for line in out.decode(errors="replace").splitlines():
        kind, *fields = line.split("\t")
        if kind == "M":
            maps.append(fields)
        elif kind == "P":
            programs.append(fields)
        elif kind == "O":
            if fields[1] == "ok":
                yield fields[0], maps, programs
            maps, programs = [], []


def differences(obj: dict[str, Any], maps: list[list[str]], programs: list[list[str]]) -> Iterator[str]:
    """What the document of one object calls otherwise than libbpf."""
    ours = [(one["name"], one["section"], one["type"]) for one in obj["programs"]]
    theirs = [(one[0], one[1], one[3] if one[3] != "unspec" else None) for one in programs]
    if ours != theirs:
        yield f"programs: libbpf {theirs}, here {ours}"
    for one, fields in zip(obj["programs"], programs, strict=True):
        word, number = fields[4], int(fields[5])
        agrees = one["attach_type"] == word or (one["attach_type"] is None and number == 0)
        if not agrees and one["type"] not in NOT_DECLARED:
            yield f"{one['name']} ({one['section']}): attach type {word} for libbpf, here {one['attach_type']}"
    named = [(one["name"], one["type"]) for one in obj["maps"]]
    wanted = [(one[0], one[2]) for one in maps]
    # libbpf cuts the names of `.bss.*` maps to what the kernel keeps.
    if len(named) != len(wanted) or any(
        not a[0].startswith(b[0]) or a[1] != b[1] for a, b in zip(named, wanted, strict=True)
    ):
        yield f"maps: libbpf {wanted}, here {named}"


def test_words_are_libbpfs(corpus: Corpus) -> None:
    try:
        build()
    except CannotBuild as error:
        pytest.skip(str(error))
    documents: Any = inspect(list(corpus)).to_json()["objects"]
    by_path = {obj["path"]: obj for obj in documents}
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for path, maps, programs in records(corpus):
        counts["objects"] += 1
        counts["programs"] += len(programs)
        counts["maps"] += len(maps)
        wrong += [f"{path}: {text}" for text in differences(by_path[path], maps, programs)]
    print(counts)
    assert not wrong, "\n".join(wrong[:20])
    assert counts["programs"] > 2 * counts["objects"] > 0

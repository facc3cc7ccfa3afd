"""What the running kernel makes of programs: the reference of `test_stack.py` and `test_verdicts.py`. Needs root.

Verdicts are kept in the user's cache, one table per kernel release and version of the reference program, so that only
objects never seen there are loaded: the whole corpus takes some minutes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import libbpf_ref
from build_corpus import home

_AT_ONCE = 16


class Verdict(NamedTuple):
    """What came of loading one program by itself.

    `what` is `accepted`, `rejected` (by the verifier, whose last line is `message`), `refused` (by the kernel before it
    looked at the code, or without a word) or `unloadable` (libbpf gave up before: an extern, a map, a target; `message`
    is its first warning). `stack` is bytes per function, each rounded up to 8 (6.8 and later); None without statistics.
    """

    path: Path
    number: int
    program: str
    what: str
    errno: int
    stack: list[int] | None
    message: str


def build() -> Path:
    """The program, built on first use on the libbpf that `libbpf_ref` fetched. Raises its `CannotBuild`."""
    return libbpf_ref.compiled(Path(__file__).with_name("load.c"), "verifier_load")


def verdicts(paths: Iterable[Path]) -> Iterator[Verdict]:
    """The running kernel's verdict on every program, object by object in the order asked."""
    known, table = _table()
    asked = [(path, _digest(path)) for path in paths]
    missing = list({digest: path for path, digest in asked if digest not in known}.items())
    if missing:
        binary = build()
        parts = [missing[start : start + _AT_ONCE] for start in range(0, len(missing), _AT_ONCE)]
        with ThreadPoolExecutor(os.cpu_count()) as pool, table.open("a") as file:
            for lines in pool.map(lambda part: _load(binary, part), parts):
                for digest, rows in lines.items():
                    known[digest] = rows
                    file.writelines("\t".join([digest, *row]) + "\n" for row in rows or [[]])
                file.flush()
    for path, digest in asked:
        for number, program, what, errno, stack, message in known[digest]:
            depths = [int(one) for one in stack.split("+")] if stack else None
            yield Verdict(path, int(number), program, what, int(errno), depths, message)


def _table() -> tuple[dict[str, list[list[str]]], Path]:
    """(rows by digest of the object, file) of this kernel and this version of the reference program."""
    version = hashlib.sha256(Path(__file__).with_name("load.c").read_bytes()).hexdigest()[:8]
    path = home() / "verdicts" / f"{os.uname().release}-{version}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, list[list[str]]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        digest, *row = line.split("\t")
        rows = known.setdefault(digest, [])
        if row:
            rows.append(row)
    return known, path


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _load(binary: Path, part: list[tuple[str, Path]]) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {digest: [] for digest, _ in part}
    digests = {str(path): digest for digest, path in part}
    told = subprocess.run([binary], input="\n".join(digests).encode(), capture_output=True, check=True).stdout
    for line in told.decode(errors="replace").splitlines():
        path, *row = line.split("\t")
        found[digests[path]].append(row)
    return found

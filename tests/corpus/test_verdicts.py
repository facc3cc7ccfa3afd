"""What rules say of programs agrees with what the running kernel and the age of the selftests say."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rule_counts
from libbpf_ref import CannotBuild
from verifier_ref import build, verdicts

import bpfsmith
from bpfsmith.model.kernels import SERIES, series_key
from bpfsmith.read.earliest import earliest_kernel
from conftest import FULL

if TYPE_CHECKING:
    from conftest import Corpus

pytestmark = pytest.mark.corpus

# Their errors claim that the verifier refuses the program, on any kernel or on one asked for.
ANY_KERNEL = ("OBJ001", "OBJ002", "OBJ012", "OBJ014", "OBJ015")
ASKED_KERNEL = ("OBJ004", "OBJ005", "OBJ006", "OBJ007", "OBJ008", "OBJ009")
# What this kernel was built or locked down without, a permission that differs by the operation of a `struct_ops`, and
# one that the attach type decides (`tracing_iter_filter`), which the facts do not hold for kernel functions.
NOT_OF_THE_TYPE = ("bpf_override_return", "bpf_probe_write_user", "bpf_setsockopt", "bpf_sock_destroy")
FORBIDDEN = re.compile(r"program of this type cannot use helper (\w+)|calling kernel function (\w+) is not allowed")


@pytest.mark.root
def test_no_error_about_an_accepted_program(corpus: Corpus) -> None:
    _reference()
    rows = rule_counts.objects(full=FULL)
    taken = rule_counts.accepted(rows)
    assert sum(taken.values()) > 200
    release = ".".join(os.uname().release.split(".")[:2])
    wrong = [hit for hit in rule_counts.hits(rows, taken, ANY_KERNEL, None) if hit.severity == "error" and hit.accepted]
    if release in SERIES:
        late = rule_counts.hits(rows, taken, [*ANY_KERNEL, *ASKED_KERNEL], release)
        wrong += [hit for hit in late if hit.severity == "error" and hit.accepted]
    assert not wrong, "\n".join(f"{hit.path}: {hit.program}: {hit.code} {hit.message}" for hit in wrong[:20])


@pytest.mark.root
def test_forbidden_calls_are_found(corpus: Corpus) -> None:
    """Every program the verifier rejects because of a call its type may not make gets OBJ001; of a licence, OBJ002."""
    _reference()
    paths = [path for path in corpus if "-bpfeb-" not in str(path)]
    missed, found = [], 0
    for one in verdicts(paths):
        named = FORBIDDEN.search(one.message) if one.what == "rejected" else None
        licence = one.what == "rejected" and "GPL" in one.message
        if not licence and (named is None or (named[1] or named[2]) in NOT_OF_THE_TYPE):
            continue
        codes = _codes(one.path, one.program)
        found += 1
        if not codes & ({"OBJ002", "OBJ003"} if licence else {"OBJ001"}):
            missed.append(f"{one.path}: {one.program}: {one.message}")
    print(f"{found} programs rejected for a call or a licence")
    assert not missed, "\n".join(missed)
    assert found >= (40 if FULL else 0)


def test_selftests_need_no_kernel_newer_than_their_own(corpus: Corpus) -> None:
    """Where the instruction set was not chosen newer (v4 came with 6.6)."""
    late, programs = [], 0
    for series in ("6.1", "6.12"):
        for path in corpus.objects("selftests", series=series):
            if "-v4" in path.parent.name:
                continue
            try:
                obj = bpfsmith.read(path)
            except bpfsmith.BpfsmithError:
                continue  # without programs
            for program in obj.programs:
                programs += 1
                said = earliest_kernel(program)
                if said.version is not None and series_key(said.version) > series_key(series):
                    late.append(f"{path}: {program.name}: {said}")
    assert not late, "\n".join(late[:20])
    assert programs > 500


def _codes(path: Path, program: str) -> set[str]:
    """The rules that fire on a program, or on its object as a whole."""
    found = bpfsmith.check(path, select=["OBJ001", "OBJ002", "OBJ003"]).findings
    return {one.code for one in found if one.program in (program, None)}


def _reference() -> None:
    try:
        build()
    except CannotBuild as error:
        pytest.skip(str(error))

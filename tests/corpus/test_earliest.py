"""`loads from SERIES` and `--kernels SERIES` answer one question: on real objects they never contradict each other."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from bpfsmith import rules
from bpfsmith.model.errors import BpfsmithError
from bpfsmith.model.kernels import SERIES, KernelSet, series_key
from bpfsmith.read import read_many
from bpfsmith.read.earliest import earliest_kernel
from bpfsmith.rules._base import CheckContext, ObjectRule

if TYPE_CHECKING:
    from bpfsmith.model.object import Object
    from conftest import Corpus

pytestmark = pytest.mark.corpus

# What is newer than the kernels asked for: helpers, map types, program types, attach types, instructions, flags.
TOO_NEW = ("OBJ004", "OBJ005", "OBJ006", "OBJ007", "OBJ008", "OBJ009")


def refused(obj: Object, series: str) -> dict[str | None, list[str]]:
    """Program (None: a map's) -> what the rules say about that one series."""
    found: dict[str | None, list[str]] = defaultdict(list)
    ctx = CheckContext(KernelSet([series]))
    for code in TOO_NEW:
        rule = rules.get(code)
        assert isinstance(rule, ObjectRule)
        for finding in rule.check(obj, ctx):
            found[finding.program].append(finding.message)
    return found


def contradictions(obj: Object) -> list[str]:
    out = []
    said: dict[str, dict[str | None, list[str]]] = {}
    for program in obj.programs:
        if program.link_error is not None:
            continue
        earliest = earliest_kernel(program)
        first = max(earliest.version or SERIES[0], SERIES[0], key=series_key)
        if first not in said:
            said[first] = refused(obj, first)
        if said[first][program.name]:
            out.append(f"{program.name} loads from {first}, and there: {said[first][program.name]}")
        if first == SERIES[0]:
            continue
        before = SERIES[SERIES.index(first) - 1]
        if before not in said:
            said[before] = refused(obj, before)
        maps = {f"`{one.name}`" for one in program.maps}
        of_maps = any(name in text for text in said[before][None] for name in maps)
        if not said[before][program.name] and not of_maps:
            out.append(f"{program.name} needs {earliest.because}, and nothing is said for {before}")
    return out


def test_check_and_inspect_agree(corpus: Corpus) -> None:
    programs = 0
    wrong: list[str] = []
    for path, obj in zip(corpus, read_many(list(corpus)), strict=True):
        if isinstance(obj, BpfsmithError):
            continue
        programs += len(obj.programs)
        wrong += [f"{path}: {text}" for text in contradictions(obj)]
    assert not wrong, "\n".join(wrong[:20])
    assert programs > 500

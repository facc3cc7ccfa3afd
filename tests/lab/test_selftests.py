"""The kernel selftests' programs get the verdict, and the last message, that libbpf 1.7 gets in the same guests.

A fixed sample of 300 programs of all types; all of them with `--full` (`tests/corpus/selftests.py`, whose results
stand in docs/exactness.md).
"""

from __future__ import annotations

import pytest
import selftests
from libbpf_ref import CannotBuild

from bpfsmith.lab import store
from conftest import Corpus

pytestmark = [pytest.mark.lab, pytest.mark.corpus, pytest.mark.toolchain]

SAMPLE = 300


def kernels() -> list[str]:
    """Those of the default matrix that are prepared here."""
    names = {one.name for one in store.all()}
    return [name for name in selftests.MATRIX if name in names]


def held(results: list[selftests.Compared]) -> None:
    number = sum(one.programs for one in results)
    different = [str(one) for result in results for one in result.different]
    assert len(different) <= number // 1000, f"{len(different)} of {number}:\n" + "\n".join(different[:40])
    assert all(one.stages["after"] > one.programs // 5 for one in results)


def reference() -> None:
    import guest_ref

    try:
        guest_ref.build()
    except CannotBuild as error:
        pytest.skip(str(error))


def test_a_sample_is_judged_as_libbpf_loads_it(corpus: Corpus) -> None:
    reference()
    every = selftests.sample(selftests.programs(corpus.path, few=True), SAMPLE)
    assert len(every) == SAMPLE
    held(selftests.compared(every, kernels(), print)[0])


@pytest.mark.full
def test_every_program_is_judged_as_libbpf_loads_it(corpus: Corpus) -> None:
    reference()
    results, took = selftests.compared(selftests.programs(corpus.path), kernels(), print)
    print("\n".join(selftests.lines(results, took, "./dev test --full tests/lab/test_selftests.py")))
    held(results)

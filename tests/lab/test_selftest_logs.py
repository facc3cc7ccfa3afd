"""Logs of the kernel selftests' rejected programs are read whole, and as the family their own tests expect.

Those 90 of the corpus's sample of which a message is expected, on every kernel of the default matrix that is prepared;
all of them with `--full` (`tests/corpus/selftest_messages.py`, whose results stand in
docs/verifier/measured-messages.md).
"""

from __future__ import annotations

import pytest
import selftest_messages
import selftests

from bpfsmith.lab import store
from conftest import Corpus

pytestmark = [pytest.mark.lab, pytest.mark.corpus, pytest.mark.toolchain]

SHARE = 98.0


def kernels() -> list[str]:
    """Those of the default matrix that are prepared here."""
    names = {one.name for one in store.all()}
    return [name for name in selftests.MATRIX if name in names]


def held(results: list[selftest_messages.Read]) -> None:
    expected = sum(one.expected for one in results)
    wrong = [f"{one.kernel}: {text}" for one in results for text in one.wrong]
    assert expected > sum(one.rejected for one in results) // 4
    assert 100 * (1 - len(wrong) / expected) >= SHARE, "\n".join(wrong)
    assert not [f"{one.kernel}: {text}" for one in results for text in (*one.unknown, *one.silent)]


def test_the_logs_of_a_sample_are_of_the_expected_families(corpus: Corpus) -> None:
    held(selftest_messages.measured(selftests.programs(corpus.path, few=True), kernels(), print))


@pytest.mark.full
def test_the_logs_of_every_program_are_of_the_expected_families(corpus: Corpus) -> None:
    results = selftest_messages.measured(selftests.programs(corpus.path), kernels(), print)
    print("\n".join(selftest_messages.lines(results, "./dev test --full tests/lab/test_selftest_logs.py")))
    held(results)
    assert all(one.share >= SHARE for one in results)

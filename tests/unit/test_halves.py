"""Rules asked in two processes: the same answers in the same order, whatever becomes of the child."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from bpfsmith import rules
from bpfsmith.check import halves
from bpfsmith.model.errors import ToolError
from bpfsmith.model.finding import Edit, Finding, Fix, Label, Span

ENTRIES = [entry for entry in rules.listing() if entry.kind == "source"][:60]
HERE = os.getpid()

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def _answer(entry: rules.Entry) -> halves.Answer:
    span = Span("a.rs", 1, 2, 3, 4)
    fix = Fix("safe", "so", [Edit(span, "text")])
    finding = Finding(
        entry.code, entry.name, "error", "\udc80 told", span, None, None, [Label(span, "here")], (), [fix]
    )
    return [finding, finding], [ToolError(f"{entry.code} broke", where="a.rs")], [entry.code]


def _told(answers: list[halves.Answer]) -> list[object]:
    return [(found, [(str(one), one.where) for one in errors], notes) for found, errors, notes in answers]


EXPECTED = _told([_answer(entry) for entry in ENTRIES])


def test_the_same_answers_in_the_same_order() -> None:
    assert _told(halves.answers(ENTRIES, _answer)) == EXPECTED


def _killed(entry: rules.Entry) -> halves.Answer:
    if os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return _answer(entry)


def _broken(entry: rules.Entry) -> halves.Answer:
    if os.getpid() != HERE:
        raise MemoryError
    return _answer(entry)


def _unspeakable(entry: rules.Entry) -> halves.Answer:
    found, errors, notes = _answer(entry)
    return found, errors, notes if os.getpid() == HERE else [object()]  # type: ignore[list-item]  # on purpose


@pytest.mark.parametrize("ask", [_killed, _broken, _unspeakable])
def test_what_a_child_does_not_say_is_found_out_here(ask: halves.Ask) -> None:
    assert _told(halves.answers(ENTRIES, ask)) == EXPECTED


def test_no_process_is_left_when_a_rule_is_interrupted() -> None:
    def interrupted(entry: rules.Entry) -> halves.Answer:
        if os.getpid() == HERE:
            raise KeyboardInterrupt
        return _answer(entry)

    open_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(KeyboardInterrupt):
        halves.answers(ENTRIES, interrupted)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0) == open_before


def test_without_fork_one_process_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refused)
    assert _told(halves.answers(ENTRIES, _answer)) == EXPECTED


def test_other_threads_forbid_it() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert not halves.worth_it(10_000_000)
    finally:
        stop.set()
        thread.join()
    assert not halves.worth_it(100)

"""Rules on two cores: a child process, forked from this one, has the same project and answers for groups of rules.

Groups, not single rules, since those of a group ask the same things of a project, which each process finds out once.
Whoever is free takes the next group. What the child has to say comes back over a pipe; what does not come (it was
killed, it broke) this process finds out itself. So what is found, and its order, is what one process finds.

Only the command line does this, on a project that is worth it: a caller of the library may have threads, handlers and
descriptors of its own, which are no business of a copy of its process.
"""

from __future__ import annotations

import os
from contextlib import suppress

from bpfsmith.check.cache import looked, made, values
from bpfsmith.model.errors import BpfsmithError, ToolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules import Entry

    Answer = tuple[list[Finding], list[BpfsmithError], list[str]]  # what a rule finds, what broke, what it notes
    Ask = Callable[[Entry], Answer]

__all__ = ["answers", "worth_it"]

_BIG = 100_000  # characters of source; less is done before a process is made
_LONGEST = ("cross", "meaning", "aya-version", "unsafe", "performance", "no-std")  # begun first


def worth_it(characters: int) -> bool:
    """Whether a second process pays, and can be forked without harm: this one has no other thread."""
    if characters < _BIG or not hasattr(os, "fork"):
        return False
    try:
        return len(os.sched_getaffinity(0)) > 1 and len(os.listdir("/proc/self/task")) == 1
    except (AttributeError, OSError):
        return False


def answers(entries: list[Entry], ask: Ask) -> list[Answer]:
    """What each of the rules says, asked in two processes."""
    groups: dict[str, list[int]] = {name: [] for name in _LONGEST}
    for at, entry in enumerate(entries):
        groups.setdefault(entry.group, []).append(at)
    tickets = list(groups.values())
    known: dict[int, Answer] = {}
    with suppress(OSError):
        _in_two(tickets, known, lambda at: ask(entries[at]))
    return [known[at] if at in known else ask(entry) for at, entry in enumerate(entries)]


def _in_two(tickets: list[list[int]], known: dict[int, Answer], ask: Callable[[int], Answer]) -> None:
    # Each byte is read by one of the two only.
    queue, fill = os.pipe()
    os.write(fill, bytes(range(len(tickets))))
    os.close(fill)
    back, out = os.pipe()
    child = 0
    try:
        child = os.fork()
        if child == 0:
            _child(queue, out, tickets, ask)
        os.close(out)
        known.update(_answered(queue, tickets, ask))
        known.update(_received(back))
    finally:
        os.close(queue)
        os.close(back)
        if child:
            from signal import SIGKILL

            os.kill(child, SIGKILL)  # it has said all, or nobody listens to it any more
            os.waitpid(child, 0)
        else:
            os.close(out)


def _answered(queue: int, tickets: list[list[int]], ask: Callable[[int], Answer]) -> dict[int, Answer]:
    mine = {}
    while ticket := os.read(queue, 1):
        for at in tickets[ticket[0]]:
            mine[at] = ask(at)
    return mine


def _child(queue: int, out: int, tickets: list[list[int]], ask: Callable[[int], Answer]) -> None:
    """The life of the child: no traceback, no output but the pipe, nothing that runs at the end of a process."""
    import marshal

    status = 1
    with suppress(BaseException):
        told = [
            (at, values(tuple(found)), [(one.message, one.where) for one in errors], notes)
            for at, (found, errors, notes) in _answered(queue, tickets, ask).items()
        ]
        with open(out, "wb") as file:
            marshal.dump((told, looked()), file)
        status = 0
    os._exit(status)


def _received(back: int) -> dict[int, Answer]:
    """What the child says; nothing when it ended before the end of it."""
    import marshal

    with open(back, "rb", closefd=False) as file:
        data = file.read()
    try:
        told, seen = marshal.loads(data)
    except (EOFError, TypeError, ValueError):
        return {}
    looked(seen)
    read: dict[int, Answer] = {}
    for at, found, errors, notes in told:
        broken: list[BpfsmithError] = [ToolError(message, where=where) for message, where in errors]
        read[at] = (list(made(found)), broken, notes)
    return read

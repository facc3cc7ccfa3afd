"""Several guests at once, within this machine's cores and free memory."""

from __future__ import annotations

from time import monotonic

from bpfsmith.model.errors import BpfsmithError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from .guest import Guest
    from .machine import Machine
    from .store import Prepared

__all__ = ["Begun", "each", "width"]

# What one running clone needs beyond the pages it shares with its template, in MiB; measured for a guest of 256.
OWN = 160
GRACE = 3.0  # seconds the threads of guests that were killed get to end; they end with us anyway


def width(wanted: int, memory: int = 0) -> int:
    """How many guests run at once: a core each (an emulated guest fills one), and no more than fit into free memory.
    `memory`: MiB of one guest, 0 for the usual; at least 1."""
    from .start import available, cores

    free = available()
    return max(1, min(wanted, cores(), free // max(OWN, memory) if free else wanted))


class Begun:
    """The machines that were begun, also those whose guests do not answer yet: `end` kills them, and what begins
    later."""

    def __init__(self) -> None:
        from threading import Lock

        self._lock = Lock()
        self._machines: list[Machine] = []
        self.ended = False

    def add(self, machine: Machine) -> None:
        from .start import Abandoned

        with self._lock:
            self._machines = [one for one in self._machines if one.pid and one.alive]
            self._machines.append(machine)
            ended = self.ended
        if ended:
            machine.kill()
            raise Abandoned

    def end(self) -> None:
        with self._lock:
            self.ended = True
            machines = list(self._machines)
        for machine in machines:
            machine.kill()


def each(
    kernels: Sequence[str | Prepared], job: Callable[[Guest], Any], *, image: str = "base", memory: int | None = None,
    timeout: float | None = None, at_once: int | None = None, report: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[int, Any]]:  # fmt: skip
    """`job(guest)` once per kernel, each in a guest of its own (`start.within`): (position, what it returned, or the
    `BpfsmithError` it ended with), as they are ready.

    Leaving the loop early, an exception in it or Ctrl-C end the guests that still run. `job` runs in threads of its
    own; any other exception of it is raised here."""
    from queue import SimpleQueue
    from threading import Thread

    from .start import within

    todo = list(enumerate(kernels))[::-1]
    done: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
    begun = Begun()

    def told(text: str) -> None:
        if not begun.ended:
            report(text)

    def work() -> None:
        while todo and not begun.ended:
            try:
                at, kernel = todo.pop()
            except IndexError:
                return
            try:
                value = within(
                    kernel, job, image=image, memory=memory, timeout=timeout, report=told, began=begun.add
                )  # fmt: skip
            except BpfsmithError as error:
                done.put((at, error, None))
            except BaseException as error:
                done.put((at, None, error))
            else:
                done.put((at, value, None))

    threads = [
        Thread(target=work, name=f"bpfsmith-lab-{number}", daemon=True)
        for number in range(at_once or width(len(todo), memory or 0))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(len(kernels)):
            at, value, error = done.get()
            if error is not None:
                raise error
            yield at, value
    finally:
        begun.end()
        until = monotonic() + GRACE
        for thread in threads:
            thread.join(max(0.0, until - monotonic()))

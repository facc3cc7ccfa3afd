"""Cells to verdicts: guests side by side as the machine's cores allow, the running kernel beside them.

A cell that kills its guest costs itself only: the guest is thrown away and the next cell gets another. One that runs
out of memory is tried once more in a larger guest.
"""

from __future__ import annotations

from errno import ENOMEM
from threading import Condition, Thread
from time import monotonic

from bpfsmith import kernel as door_of
from bpfsmith.lab.pool import GRACE, Begun
from bpfsmith.model.errors import BpfsmithError, GuestFailed
from bpfsmith.verdict import Judged
from bpfsmith.verdict.items import verdict_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith.lab.guest import Guest
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.verdict.items import Item
    from bpfsmith.verify._kernels import Target

__all__ = ["Work"]

TIMEOUT = 300.0
"""Seconds a guest may take for one answer: a million instructions take 8 on a quiet machine, emulated, and ten times
that on a busy one."""
# A second guest of the same kernel is worth its start when each has at least so many programs.
SHARE = 6
KEPT = 16 << 10
"""Characters of a log that are kept when nobody asked for all of it."""


class _Column:
    """What is left to ask of one kernel."""

    def __init__(self, at: int, target: Target, todo: list[int]) -> None:
        self.at = at
        self.target = target
        self.todo = todo
        self.larger: list[int] = []  # once more, with more memory
        self.workers = 0
        self.error: BpfsmithError | None = None
        self.kernel: Kernel | None = None


class Work:
    """All cells. `cells[item][target]` are the verdicts, `extras` what `extra` made of each, by (item, target)."""

    def __init__(
        self,
        items: list[Item],
        targets: list[Target],
        *,
        timeout: float | None = None,
        progress: Callable[[int, int], None] | None = None,
        extra: Callable[[Item, Judged], Any] | None = None,
        whole: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`whole`: keep whole logs. `report` is told what takes seconds, from any thread."""
        self.report = report
        self.whole = whole
        self.items = items
        self.targets = targets
        self.timeout = timeout or TIMEOUT
        self.progress = progress
        self.extra = extra
        self.cells: list[list[Judged | None]] = [[None] * len(targets) for _ in items]
        self.extras: dict[tuple[int, int], Any] = {}
        self.errors: dict[int, BpfsmithError] = {}
        self._turn = Condition()
        self._columns: list[_Column] = []
        self._done = 0
        self._stop = False
        self._failed: BaseException | None = None
        self._guests: set[Guest] = set()
        self._begun = Begun()

    def run(self) -> None:
        """Fills the cells. Raises what is no matter of a cell: no QEMU, wrong arguments."""
        todo = []
        for at, item in enumerate(self.items):
            if item.refused is not None:
                self.cells[at] = [item.refused] * len(self.targets)
                self._count(len(self.targets))
            else:
                todo.append(at)
        self._columns = [_Column(at, target, list(reversed(todo))) for at, target in enumerate(self.targets)]
        threads = [
            Thread(target=self._guarded, args=(self._host, one), daemon=True) for one in self._columns if _is_host(one)
        ]
        guests = [one for one in self._columns if not _is_host(one)]
        workers = _width(sum(1 + len(todo) // SHARE for _ in guests))
        threads += [Thread(target=self._guarded, args=(self._lab,), daemon=True) for _ in range(workers if todo else 0)]
        try:
            if len(threads) == 1:  # nothing to wait for beside it: no thread, and Ctrl-C ends it at once
                self._here(threads[0])
            else:
                for one in threads:
                    one.start()
                for one in threads:
                    one.join()
        except BaseException:
            self._abandon(threads)
            raise
        if self._failed is not None:
            raise self._failed
        self.errors = {one.at: one.error for one in self._columns if one.error is not None}

    def kernel(self, at: int) -> Kernel | None:
        """The description of a kernel that was asked."""
        column = self._columns[at]
        return door_of.live() if _is_host(column) else column.kernel

    def _here(self, thread: Thread) -> None:
        column = next((one for one in self._columns if _is_host(one)), None)
        self._guarded(*((self._host, column) if column is not None else (self._lab,)))
        del thread

    def _abandon(self, threads: list[Thread]) -> None:
        with self._turn:
            self._stop = True
        self._begun.end()  # also those that boot: whoever waits for one hears at once
        until = monotonic() + GRACE
        for one in threads:
            if one.ident is not None:
                one.join(max(0.0, until - monotonic()))

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except BaseException as error:
            with self._turn:
                if not self._stop:
                    self._failed = self._failed or error
                self._stop = True

    def _count(self, cells: int = 1) -> None:
        with self._turn:
            self._done += cells
            done = self._done
        if self.progress is not None:
            self.progress(done, len(self.items) * len(self.targets))

    # ------------------------------------------------------------ the running kernel

    def _host(self, column: _Column) -> None:
        # The one of this process, whatever the caller talks to.
        while (at := self._next(column)) is not None:
            self._judge(at, column)

    # ------------------------------------------------------------ guests

    def _lab(self) -> None:
        while (column := self._take()) is not None:
            try:
                self._column(column)
            except BpfsmithError as error:
                if error.exit_code in (2, 4):
                    raise  # wrong arguments, or our bug: no matter of a kernel
                self._lost(column, error)
            finally:
                with self._turn:
                    column.workers -= 1

    def _take(self) -> _Column | None:
        """The kernel with the most left to do for another guest."""
        with self._turn:
            open_ones = [one for one in self._columns if not _is_host(one) and (one.todo or one.larger)]
            fits = [one for one in open_ones if not one.workers or len(one.todo) >= SHARE * (one.workers + 1)]
            if self._stop or not fits:
                return None
            chosen = max(fits, key=lambda one: (len(one.todo) + len(one.larger)) / (1 + 4 * one.workers))
            chosen.workers += 1
            return chosen

    def _next(self, column: _Column) -> int | None:
        with self._turn:
            return None if self._stop or not column.todo else column.todo.pop()

    def _next_larger(self, column: _Column) -> int | None:
        with self._turn:
            return None if self._stop or not column.larger else column.larger.pop()

    def _column(self, column: _Column) -> None:
        """Cells of one kernel, until none is left that nobody else took."""
        guest: Guest | None = None
        try:
            while (at := self._next(column)) is not None:
                guest = self._cell(column, at, guest, larger=False)
            self._close(guest)
            guest = None
            while (at := self._next_larger(column)) is not None:
                guest = self._cell(column, at, guest, larger=True)
        finally:
            self._close(guest)

    def _cell(self, column: _Column, at: int, guest: Guest | None, *, larger: bool) -> Guest | None:
        """One cell; answers the guest for the next one."""
        try:
            guest = guest or self._open(column, larger)
        except BpfsmithError:
            with self._turn:
                (column.larger if larger else column.todo).append(at)
            raise
        try:
            assert guest.kernel is not None
            with door_of.through(guest.door, guest.kernel):
                made = verdict_of(self.items[at])
        except OSError as error:  # the guest's agent lives, but could not
            self._close(guest)
            guest = None
            made = Judged(
                "cannot", "memory" if error.errno == ENOMEM else "crash", f"the guest answers: {error.strerror}"
            )
        except GuestFailed as error:
            self._close(guest)
            if error.what == "memory" and not larger:
                with self._turn:
                    column.larger.append(at)
                return None
            self._put(column, at, died(error, self.timeout))
            return None
        except BaseException:
            self._close(guest)
            raise
        if made.reason == "memory" and not larger:
            with self._turn:
                column.larger.append(at)
            return guest
        if guest is not None and self.extra is not None:
            guest = self._more(column, at, made, guest)
        self._put(column, at, made)
        return guest

    def _more(self, column: _Column, at: int, made: Judged, guest: Guest) -> Guest | None:
        """What else is asked; a guest that dies of that costs no verdict."""
        assert self.extra is not None
        assert guest.kernel is not None
        try:
            with door_of.through(guest.door, guest.kernel):
                extra = self.extra(self.items[at], made)
        except (GuestFailed, OSError):
            self._close(guest)
            return None
        except BaseException:
            self._close(guest)
            raise
        if extra is not None:
            self.extras[at, column.at] = extra
        return guest

    def _open(self, column: _Column, larger: bool) -> Guest:
        from bpfsmith.lab.start import larger as more
        from bpfsmith.lab.start import spec_of, start

        prepared = column.target.prepared
        assert prepared is not None
        memory = more(spec_of(prepared)) if larger else None
        try:
            guest = start(prepared, memory=memory, keep=not larger, began=self._begun.add, report=self.report)
        except GuestFailed:  # a busy machine may be too slow for a kernel's timers, once
            guest = start(prepared, memory=memory, keep=not larger, began=self._begun.add, report=self.report)
        column.kernel = guest.kernel
        guest.door.patience = self.timeout
        with self._turn:
            self._guests.add(guest)
        return guest

    def _close(self, guest: Guest | None) -> None:
        with self._turn:
            ours = guest in self._guests
            if guest is not None:
                self._guests.discard(guest)
        if guest is not None and ours:
            guest.close()

    def _lost(self, column: _Column, error: BpfsmithError) -> None:
        """No guest of this kernel can be had: its cells say so."""
        with self._turn:
            left, larger = column.todo + column.larger, set(column.larger)
            column.todo, column.larger = [], []
            if larger != set(left):
                column.error = column.error or error
        for at in left:
            made = died(error, self.timeout) if isinstance(error, GuestFailed) else None
            reason = "memory" if at in larger else error.lacks or "crash"
            self._put(column, at, made or Judged("cannot", reason, error.message, error.hint))

    # ------------------------------------------------------------ one cell

    def _judge(self, at: int, column: _Column) -> None:
        item = self.items[at]
        made = verdict_of(item)
        if self.extra is not None:
            extra = self.extra(item, made)
            if extra is not None:
                self.extras[at, column.at] = extra
        self._put(column, at, made)

    def _put(self, column: _Column, at: int, made: Judged) -> None:
        if not self.whole:
            if len(made.log) > KEPT and made.verdict == "rejected":
                from zlib import compress

                made.whole = compress(made.log.encode("utf-8", "replace"), 1)  # what explains it needs all
            made.log = kept(made.log)
        self.cells[at][column.at] = made
        self._count()


def died(error: GuestFailed, timeout: float) -> Judged:
    """The verdict of a cell whose guest did not live to answer."""
    reason = {"hang": "timeout", "memory": "memory"}.get(error.what, "crash")
    if reason == "timeout":
        made = Judged(
            "cannot", reason, f"no verdict after {timeout:g} s: the guest was ended", "`--timeout` gives more"
        )
    else:
        made = Judged("cannot", reason, error.message, error.hint)
    made.log = error.console
    return made


def kept(log: str) -> str:
    """The end of a log, which says why."""
    if len(log) <= KEPT:
        return log
    at = log.find("\n", len(log) - KEPT) + 1 or len(log) - KEPT
    return f"[{at} characters before this are left out: `--log` keeps them]\n{log[at:]}"


def _is_host(column: _Column) -> bool:
    return column.target.prepared is None


def _width(wanted: int) -> int:
    from bpfsmith.lab.pool import width

    return width(wanted)

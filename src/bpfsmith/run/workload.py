"""A command that runs while programs are attached: `bpfsmith run prog.o --workload 'ping -c3 127.0.0.1'`.

It runs in `sh` as a process group of its own; what it prints goes to standard error, so that the events on standard
output stay what they are. The run ends when it has ended; a run that ends before takes it down with all it started.
"""

from __future__ import annotations

import os
from time import monotonic, sleep

from bpfsmith.model.errors import EnvironmentMissing, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["Workload"]

GRACE = 2.0  # seconds between asking it to end and ending it


class Workload:
    """`command`: text for `sh -c`, or a list of words. `status`: its exit status, 128 and the signal's number when one
    ended it, None while it runs or when the run ended it."""

    __slots__ = ("_process", "_stopped", "_words", "command", "status")

    def __init__(self, command: str | Sequence[str]) -> None:
        self._words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        self.command = command if isinstance(command, str) else " ".join(command)
        if not self.command.strip():
            raise InputError("`--workload` is empty", hint="pass a command, such as `--workload 'ping -c3 127.0.0.1'`")
        self.status: int | None = None
        self._process: Any = None
        self._stopped = False

    def start(self) -> None:
        """Starts it. A program that is not there is an `EnvironmentMissing` (in `sh`, it is `sh` that says so)."""
        from subprocess import DEVNULL, Popen

        try:
            self._process = Popen(self._words, stdin=DEVNULL, stdout=2, start_new_session=True)
        except OSError as error:
            raise EnvironmentMissing(
                f"`{self._words[0]}` cannot be started: {(error.strerror or str(error)).lower()}", "", self._words[0]
            ) from None

    def fd(self) -> int:
        """A descriptor that is readable once it has ended; the caller closes it."""
        return os.pidfd_open(self._process.pid)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        if self._process is None or self._stopped:
            return False
        code = self._process.poll()
        if code is None:
            return False
        self.status = code if code >= 0 else 128 - code
        return True

    def stop(self) -> None:
        """Ends it and what it started, where it still runs."""
        if self._process is None or self._stopped or self.ended:
            return
        from contextlib import suppress
        from signal import SIGKILL, SIGTERM

        self._stopped = True

        for number, patience in ((SIGTERM, GRACE), (SIGKILL, GRACE)):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            until = monotonic() + patience
            while self._process.poll() is None and monotonic() < until:
                sleep(0.005)
            if self._process.poll() is not None:
                return

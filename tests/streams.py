"""What the tests of events share: a loaded `events` object and its programs, run by BPF_PROG_TEST_RUN."""

from __future__ import annotations

import threading
from typing import Any

PACKET = bytes(64)


def run(program: Any, times: int = 1) -> None:
    """Runs an XDP program on a packet nobody sees."""
    from bpfsmith import kernel

    kernel.call("BPF_PROG_TEST_RUN", prog_fd=program.fd.fileno(), data_in=PACKET, data_size_in=64, repeat=times)


class Background:
    """Runs a program in another thread while the body of the `with` goes on."""

    def __init__(self, program: Any, times: int, rounds: int = 1) -> None:
        self._thread = threading.Thread(target=lambda: [run(program, times) for _ in range(rounds)])

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._thread.join()

"""What the kernel finishes a moment later: threads that were joined, processes that were killed, programs that were closed."""

from __future__ import annotations

import time
from collections.abc import Callable


def comes_true(question: Callable[[], bool], limit: float = 30.0) -> bool:
    """Whether the answer is yes within `limit` seconds: for what is certain to come, not for what may happen to."""
    end = time.monotonic() + limit
    while not question():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True

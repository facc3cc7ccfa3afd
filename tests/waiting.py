"""What the kernel finishes a moment later: joined threads, killed processes, closed programs."""

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

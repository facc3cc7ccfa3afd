"""What the kernel of a guest does not have, for tests that run in guests of the lab."""

from __future__ import annotations

import os
import re
from errno import ENOPROTOOPT

import pytest

LEFT_OUT: dict[str, Exception] = {}
"""Programs that this kernel does not take, and why: what `load_known` of `tests/kernel` left out."""


def reason(raised: pytest.ExceptionInfo[BaseException] | None) -> str:
    """What an error says this kernel does not have, when it may lack it: newer than the kernel, or left out by its
    configuration, as a probe found. "" when the error is about something else."""
    from bpfsmith.model.errors import UnknownName, Unsupported

    error = raised.value if raised else None
    if isinstance(error, UnknownName):
        for name, why in LEFT_OUT.items():
            if f"`{name}`" in error.message:
                return f"{name}: {why}"
    if unknown := re.search(r"unknown func (bpf_\w+#\d+)", str(error)):
        return f"no helper {unknown[1]} for programs of that type"  # the verifier's own word
    if isinstance(error, OSError) and error.errno == ENOPROTOOPT:
        return f"no such option of sockets: {error}"
    if not isinstance(error, Unsupported):
        return ""
    own = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
    since = tuple(map(int, error.since.split("."))) if error.since else ()
    return "" if since and since <= own else str(error)

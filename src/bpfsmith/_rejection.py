"""What a rejection asks of the floors above it: the explained reason. Everything is imported when it is asked for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.program import Program
    from bpfsmith.verify.cause.result import Cause
    from bpfsmith.verify.explained import Explained

__all__ = ["Cause", "Explained", "explained"]


def explained(log: str, program: Program | None, name: str, kernel: str | None, said: str = "") -> Explained | None:
    """The cause a verifier's log leads to; None for a log that says nothing. `said`: what the loader knows of the
    message (which field or function is missing), "" for nothing. Never fails: an error is being told."""
    from bpfsmith.verify.explained import explained as made
    from bpfsmith.verify.explained import parsed

    try:
        one = made(parsed(log).loads[-1], program=program, release=kernel, name=name, said=said, rejected=True)
    except Exception:  # the rejection itself is what the caller must hear of
        return None
    return one if one.cause is not None else None

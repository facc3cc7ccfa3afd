"""From a rejection's symptom to its cause: where the fact that was wanted should have been established, and was lost.

    trace = Trace(log, program)                 # a program's log, and its object where there is one
    cause = explain_cause(trace, classify(log))
    cause.cls, cause.place.line, cause.headline # missing-null-check, 12, "`value` may be null here ..."

`Trace` walks what the verifier followed; one module per group of causes looks at it and returns a `Cause` or None.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.dispatch import explain_cause
    from bpfsmith.verify.cause.result import CLASSES, Advice, Cause, Fact, Place
    from bpfsmith.verify.cause.trace import Trace

__all__ = ["CLASSES", "Advice", "Cause", "Fact", "Place", "Trace", "explain_cause"]


def __getattr__(name: str) -> object:
    if name == "explain_cause":
        from bpfsmith.verify.cause.dispatch import explain_cause

        return explain_cause
    if name == "Trace":
        from bpfsmith.verify.cause.trace import Trace

        return Trace
    if name in ("CLASSES", "Advice", "Cause", "Fact", "Place"):
        from bpfsmith.verify.cause import result

        return getattr(result, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

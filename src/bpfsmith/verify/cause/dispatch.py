"""Which module looks at which family; none is imported before its family occurs."""

from __future__ import annotations

from bpfsmith.verify.cause.result import Cause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfsmith.verify.cause.trace import Trace
    from bpfsmith.verify.messages import Match

__all__ = ["MODULES", "explain_cause"]

# Family -> modules of this package, asked in this order; the first that answers is believed. Each has
# `find(trace, match) -> Cause | None`.
MODULES: dict[str, tuple[str, ...]] = {
    "V01": ("uninit",),
    "V02": ("uninit",),
    "V03": ("stack", "memory"),
    "V04": ("stack",),
    "V05": ("stack",),
    "V06": ("nulls",),
    "V07": ("untyped",),
    "V08": ("packet", "arithmetic", "available"),
    "V09": ("memory",),
    "V10": ("memory",),
    "V11": ("arithmetic",),
    "V12": ("arithmetic",),
    "V13": ("arithmetic",),
    "V14": ("fields",),
    "V15": ("fields",),
    "V16": ("available", "fields"),
    "V17": ("arithmetic", "fields", "arguments"),
    "V18": ("available",),
    "V19": ("arithmetic",),
    "V20": ("arguments", "nulls"),
    "V21": ("arguments",),
    "V22": ("available", "arguments"),
    "V23": ("available", "arguments", "shape"),
    "V24": ("shape",),
    "V25": ("shape",),
    "V26": ("fields", "shape"),
    "V27": ("cost",),
    "V28": ("cost",),
    "V29": ("pairs",),
    "V30": ("pairs", "objects", "arguments"),
    "V31": ("available", "pairs"),
    "V32": ("objects", "arguments"),
    "V33": ("objects", "arguments"),
    "V34": ("objects", "available", "arguments"),
    "V35": ("available", "shape"),
    "V36": ("pairs", "arguments", "nulls"),
    "V37": ("returns", "arguments", "pairs", "nulls"),
    "V38": ("returns", "arguments", "available"),
    "V39": ("objects",),
    "V40": ("returns", "available"),
    "V41": ("returns", "available", "arguments"),
    "V42": ("returns", "available"),
    "V43": ("shape",),
    "V44": ("attach",),
    "V45": ("available",),
    "V46": ("available", "arguments", "shape"),
    "V47": ("available", "shape"),
    "V48": ("outside",),
    "V60": ("outside",),
    "V61": ("outside",),
    "V62": ("outside",),
    "V63": ("outside",),
    "V64": ("outside",),
    "V65": ("outside",),
    "V66": ("outside",),
    "V67": ("outside",),
    "V68": ("outside",),
    "V69": ("outside",),
}


def explain_cause(trace: Trace, match: Match | None, *, strict: bool = False) -> Cause:
    """Never fails: where no module knows, the class is the message's by convention (`unknown` where there is
    none), at the place where the verifier stopped."""
    for module in MODULES.get(match.family, ()) if match is not None else ():
        try:
            found = _finder(module)(trace, match)
        except Exception:  # a log is what somebody pasted: one module's surprise is no reason to say nothing
            if strict:
                raise
            found = None
        if found is not None:
            if found.symptom is None:
                found.symptom = trace.symptom
            part = "head" in trace.log.cut or "middle" in trace.log.cut
            if found.confidence == "high" and part and found.cls.startswith("missing-"):
                found.confidence = "medium"  # what is missing may stand in what was cut off
            if found.confidence == "high" and (found.place is None or not found.place.exact or not found.place.own):
                found.confidence = "medium"
            return found
    from bpfsmith.verify.cause.classes import conventional

    symptom = trace.symptom
    return Cause(
        conventional(symptom.text, match.family if match is not None else ""),
        "low",
        symptom.text or "the log does not say why",
        place=symptom.place,
        slot=symptom.slot,
        symptom=symptom,
    )


def _finder(module: str) -> Callable[[Trace, Match | None], Cause | None]:
    from importlib import import_module

    find: Callable[[Trace, Match | None], Cause | None] = import_module(f"bpfsmith.verify.cause.{module}").find
    return find

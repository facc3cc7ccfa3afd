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
    "V24": ("shape", "available"),
    "V25": ("shape", "available", "cost", "stack"),
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
    "V46": ("available", "shape", "arguments"),
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
    for module in _asked(match):
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
    return _by_convention(trace, match)


def _asked(match: Match | None) -> tuple[str, ...]:
    """The modules for a message; only one that says so is about null."""
    modules = MODULES.get(match.family, ()) if match is not None else ()
    if match is None or match.family == "V06" or "NULL" in match.message or "or_null" in match.message:
        return modules
    return tuple(one for one in modules if one != "nulls")


# What these say depends on where a value came from: without that, the words alone are no more than a guess.
_VALUES = ("V03", "V06", "V07", "V08", "V09", "V10", "V11", "V12", "V13", "V19", "V67")


def _by_convention(trace: Trace, match: Match | None) -> Cause:
    """What a message's words and family say, at the user's own line of where the verifier stopped."""
    from bpfsmith.verify.cause.classes import conventional, title

    symptom = trace.symptom
    said = (match.message if match is not None else "") or symptom.text
    cls = conventional(said, match.family if match is not None else "")
    known = match is not None and match.confidence != "low" and match.family not in _VALUES and cls != "unknown"
    place, slot = symptom.place, symptom.slot
    if cls == "attach-target" and slot is None:
        from bpfsmith.verify.cause.attach import program_place

        place = program_place(trace)
    elif slot is None and (told := trace.log.at) is not None:
        slot, place = int(told), trace.own_place(int(told))
    headline = f"{title(cls)}: {said.strip()}" if known else said or "the log does not say why"
    return Cause(cls, "medium" if known else "low", headline, place=place, slot=slot, symptom=symptom)


def _finder(module: str) -> Callable[[Trace, Match | None], Cause | None]:
    from importlib import import_module

    find: Callable[[Trace, Match | None], Cause | None] = import_module(f"bpfsmith.verify.cause.{module}").find
    return find

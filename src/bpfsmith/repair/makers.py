"""Which makers of changes look at which class of causes; none is imported before its class occurs."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate

__all__ = ["MAKERS", "MOST", "candidates", "order"]

MOST = {"rust": 8, "c": 20}  # changes that are tried for one cause: a build of C takes no time

# Language -> class -> modules; each has `candidates(ground)`.
MAKERS: dict[str, dict[str, tuple[str, ...]]] = {
    "rust": {
        "missing-null-check": ("null",),
        "missing-bounds-check": ("compared", "packet", "index", "length", "declared"),
        "check-wrong": ("compared", "packet", "index", "length", "null"),
        "check-lost": ("index", "length", "packet", "stale", "same"),
        "stale-pointer": ("order", "stale", "same"),
        "pointer-to-scalar": ("scalar", "order", "stale"),
        "panic-or-unreachable": ("panic",),
        "no-progress-loop": ("panic",),
        "unreleased-reference": ("release", "order"),
        "return-range": ("returns", "same"),
        "uninitialised": ("fill", "null", "panic"),
        "verifier-imprecision": ("same", "index", "length", "packet"),
        "pointer-arithmetic": ("same", "index", "packet"),
        "check-on-copy": ("null", "packet", "index", "length", "same"),
        "context-access": ("same",),
        "argument-type": ("same", "declared"),
        "stack-limit": ("same", "scratch"),
    },
    "c": {
        "missing-null-check": ("pointer",),
        "missing-bounds-check": ("pointer", "number", "same", "argument"),
        "check-on-copy": ("same", "pointer", "number"),
        "check-wrong": ("pointer", "number", "same"),
        "check-lost": ("number", "pointer", "same"),
        "verifier-imprecision": ("number", "pointer"),
        "pointer-arithmetic": ("same", "release", "pointer", "number"),
        "uninitialised": ("fill", "argument"),
        "pointer-to-scalar": ("scalar", "order", "same"),
        "return-range": ("returns", "argument", "same"),
        "unreleased-reference": ("release", "order"),
        "stale-pointer": ("order", "stale", "argument"),
        "context-access": ("same", "context"),
        "argument-type": ("argument", "order", "release", "same"),
        "stack-limit": ("same", "scratch"),
        "panic-or-unreachable": ("fill",),
    },
}


# Where the class is not known, what the family of the message usually is.
_USUAL = {
    "V01": "uninitialised",
    "V02": "uninitialised",
    "V03": "missing-bounds-check",
    "V06": "missing-null-check",
    "V07": "pointer-to-scalar",
    "V08": "missing-bounds-check",
    "V09": "missing-bounds-check",
    "V10": "missing-bounds-check",
    "V12": "missing-bounds-check",
    "V25": "panic-or-unreachable",
    "V29": "unreleased-reference",
    "V40": "return-range",
}


_SIZED = frozenset({"V08", "V09", "V10"})


def order(one: Candidate) -> int:
    """What comes first: a check that is there and asks for too little, and last a limit that is made up."""
    from bpfsmith.repair.tightened import TIGHTENED

    return 0 if one.kind == TIGHTENED else 2 if _made_up(one) else 1


def _made_up(one: Candidate) -> bool:
    """Whether a limit is no size of anything, but what packets can have."""
    return "32767" in _put(one) or "0x7fff" in _put(one)


def _put(one: Candidate) -> str:
    return "".join(edit.text for edit in one.edits)


def candidates(ground: Ground) -> list[Candidate]:
    """Changes that may mend the cause, the smallest first within each kind of certainty: those that only add a failing
    branch, or no path at all, before those that have to be compared."""
    from bpfsmith.repair.report import REWRITE

    found: list[Candidate] = []
    known = MAKERS[ground.language]
    modules = known.get(ground.cause.cls, ()) or known.get(_USUAL.get(ground.why.family, ""), ())
    for module in modules:
        made = import_module(f"bpfsmith.repair.{ground.language}.{module}")
        for one in made.candidates(ground):
            if one.edits and all(one.edits != other.edits for other in found):
                found.append(one)
    if ground.cause.cls != "missing-null-check" and ground.why.family in _SIZED:
        # No number becomes smaller for a test of a pointer.
        found = [one for one in found if one.kind != "null-check"]
    late = ground.language == "rust" and ground.why.family == "V10"  # a length is no address
    found.sort(key=lambda one: (one.shape == REWRITE, order(one), late and "data_end" in _put(one), one.size))
    return found[: MOST[ground.language]]

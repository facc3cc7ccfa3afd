"""What would mend a rejection, as fixes: what the cause advises, else what its family usually takes."""

from __future__ import annotations

from bpfsmith.model.finding import Fix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.explained._one import Explained

__all__ = ["fixes"]

_USUAL = 2  # fixes of a family that are named where the cause advises nothing


def fixes(one: Explained) -> tuple[Fix, ...]:
    """Described changes; edits that kernels were asked about come from `repair`."""
    cause = one.cause
    if cause is None:
        return ()
    said = [advice.text for advice in cause.advice if advice.text]
    if not said and one.family is not None and cause.cls != "unknown":
        said = _usual(one.family, cause.cls)
    return tuple(Fix("display", text) for text in dict.fromkeys(said))


def _usual(code: str, cls: str) -> list[str]:
    """The family's own, where it is of the cause's class."""
    from bpfsmith.verify.messages import family

    try:
        row = family(code)
    except LookupError:
        return []
    if row is None or (row.classes and cls not in row.classes):
        return []
    found = row.fixes
    return [found] if isinstance(found, str) else [str(text) for text in found][:_USUAL]

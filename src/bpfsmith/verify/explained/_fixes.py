"""What would mend a rejection, as fixes: what the cause advises, else what its family usually takes; each with the line
and statement that it is about."""

from __future__ import annotations

from bpfsmith.model.finding import Fix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause import Place
    from bpfsmith.verify.explained._one import Explained

__all__ = ["fixes"]

_LONG = 60  # characters of a statement that are quoted
_USUAL = 2  # fixes of a family that are named where the cause advises nothing


def fixes(one: Explained) -> tuple[Fix, ...]:
    """Described changes; edits that kernels were asked about come from `repair`."""
    cause = one.cause
    if cause is None:
        return ()
    said = [advice.text for advice in cause.advice if advice.text]
    if not said and one.family is not None and cause.cls != "unknown":
        said = _usual(one.family, cause.cls)
    where = _where(cause.place)
    return tuple(Fix("display", f"{text}{where}") for text in dict.fromkeys(said))


def _where(place: Place | None) -> str:
    """The line a described change is about, and its statement: nothing, where neither is the user's own."""
    if place is None or not place.line or not place.own:
        return ""
    statement = " ".join((place.text or "").split())
    if not statement:
        return f" (line {place.line})"
    return f" (line {place.line}: `{statement if len(statement) <= _LONG else statement[: _LONG - 3] + '...'}`)"


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

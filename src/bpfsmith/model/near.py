"""Near matches for a word nobody knows: used by every error that refuses a name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean", "near_matches"]


def near_matches(word: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known words closest to `word`, best first; case, `-` and `_` do not count."""
    # difflib costs 5 ms to import, and only a wrong word needs it.
    from difflib import SequenceMatcher

    wanted = _fold(word)
    if not wanted:
        return []
    scored = []
    for candidate in dict.fromkeys(known):
        folded = _fold(candidate)
        ratio = SequenceMatcher(None, wanted, folded).ratio()
        if len(wanted) > 2 and (folded.startswith(wanted) or wanted in folded.split("_")):
            ratio = max(ratio, 0.85)
        elif len(wanted) > 3 and wanted in folded:
            ratio = max(ratio, 0.75)
        if ratio >= 0.6:
            scored.append((-ratio, candidate))
    scored.sort()
    return [candidate for _, candidate in scored[:limit]]


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint such as ``did you mean `OBJ001` or `OBJ011`?``; `otherwise` when nothing is near."""
    found = near_matches(word, known)
    if not found:
        return otherwise
    quoted = [f"`{name}`" for name in found]
    return f"did you mean {quoted[0] if len(quoted) == 1 else ', '.join(quoted[:-1]) + ' or ' + quoted[-1]}?"


def _fold(word: str) -> str:
    return word.strip().lower().replace("-", "_")

"""A message among words: in an issue's title, a sentence, quotes, or an error that a loader put into one line."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfsmith._native import VerifierLog
    from bpfsmith.verify.messages._match import Match

__all__ = ["quoted"]

_LINES = 400  # looked at, from the first on
_LONGEST = 4000
_SHORTEST = 6  # letters of a format that names it
_MARKS = "#>*-•…. \t|"
_AROUND = " .!?,;<>-=*~`"
_PAIRS = (("`", "`"), ("'", "'"), ('"', '"'), ("“", "”"), ("‘", "’"))


def quoted(log: VerifierLog | str) -> Match | None:
    """The first message of the kernel's that words around a log, or a text without one, tell; None without one.

    In quotes and titles more may follow it; elsewhere a line, or what stands behind one of its colons, must be the
    message and nothing else."""
    if isinstance(log, str):
        return _first((line, True) for line in log.splitlines())
    notes = _notes(log)
    lines = sorted((*log.told, *log.beside))
    return _first((text, at not in notes) for at, text in lines)


def _notes(log: VerifierLog) -> set[int]:
    """Lines right before the first instruction: of a log that stops they are notes of the verifier's, not why."""
    if not log.steps:
        return set()
    first, start = log.step(0).line_no, log.first_line
    texts = log.text.splitlines()[: first - start]
    found = set()
    for at in range(len(texts) - 1, -1, -1):
        if not texts[at].strip():
            break
        found.add(start + at)
    return found


def _first(lines: Iterable[tuple[str, bool]]) -> Match | None:
    """Of (line, whether all of it may be the message)."""
    for number, (line, whole) in enumerate(lines):
        if number >= _LINES:
            break
        for piece, loose in _pieces(line[:_LONGEST]):
            if not whole and not loose and piece == line.strip():
                continue
            found = _message(piece, loose)
            if found is not None:
                return found
    return None


def _pieces(line: str) -> Iterator[tuple[str, bool]]:
    """Parts of a line that may be a message, and whether more may follow it there."""
    title = line.lstrip().startswith("# ")
    text = line.strip().lstrip(_MARKS)
    if text.startswith("["):  # a time
        text = text.partition("]")[2].lstrip()
    if not text:
        return
    yield text, title
    for opening, closing in _PAIRS:
        start = text.find(opening)
        while start >= 0:
            end = text.find(closing, start + 1)
            # Messages quote types themselves: `R1 invalid mem access 'scalar'`.
            inner = text[start + 1 : end if end >= 0 else len(text)]
            if len(inner) >= _SHORTEST:
                yield inner.strip(), True
            start = text.find(opening, max(end, start) + 1) if end >= 0 else -1
    rest = text
    for _ in range(8):
        _, colon, rest = rest.partition(": ")
        if not colon:
            break
        yield rest, title


def _message(text: str, loose: bool) -> Match | None:
    from bpfsmith.verify.messages._match import _one

    text = " ".join(text.split()).strip(_AROUND)
    # A full stop may be the message's own, and a quote the sentence's.
    found = _one(text) or _one(f"{text}.") or (_one(text.removesuffix("'")) if text.endswith("'") else None)
    if found is None and "#" not in text:  # a helper's number is what people leave out
        found = _one(text + "#0")
        if found is not None:
            found.operands.pop("number", None)
            found.message = text
    if found is None or found.row is None or found.row.kind not in ("error", "weak"):
        return None
    row = found.row
    sure = found.confidence == "high" or (loose and found.confidence == "medium")
    begins = row.format[:1].isalpha() or (row.format.startswith("%s ") and len(row.key) > 2 * _SHORTEST)
    if not sure or not begins or sum(map(str.isalpha, row.key)) < _SHORTEST:
        return None
    found.confidence = "medium"
    return found

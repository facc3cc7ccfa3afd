"""An explained rejection as a finding: the cause as its place, the chain as labels, the kernel's words as evidence."""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Finding, Label, Span
from bpfsmith.rules._sources import Sources, expression_end, token_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.explained._one import Explained

__all__ = ["LOG", "LogSources", "finding"]

LOG = "the verifier's log"
"""The path of lines whose file nobody tells: numbers are then positions, not lines."""
WHOLE = 72  # characters of a line that are marked when nothing in it is known to be meant; of a longer one the first
PART = 3
LABELS = 5  # of the chain that are shown; `--full` has all


class LogSources(Sources):
    """Lines as the log quotes them, and files that are here where they hold the same line. `numbers`: what is printed
    beside a line of `LOG`: a slot, or nothing."""

    __slots__ = ("_near", "_quoted", "changed", "numbers")
    quotes = LOG

    def __init__(self, near: str | None = None) -> None:
        super().__init__()
        self._near = near
        self._quoted: dict[tuple[str, int], str] = {}
        self.numbers: dict[int, str] = {}
        self.changed: dict[tuple[str, int], int | None] = {}  # (path, line) of the build -> the line now, None: gone

    def quote(self, path: str, line: int, text: str | None) -> tuple[str, int]:
        """Notes a line of a log; answers (path, line) under which `line()` has it: of the file where it is here, and
        still has that text."""
        found = self.find(path, self._near)
        if found is not None and (text is None or not text.strip()):
            return found, line
        if found is not None and text is not None:
            moved = self._same_line(found, line, text)
            if moved != line:
                self.changed[found, line] = moved
            if moved is not None:
                return found, moved
        if text is not None:
            self._quoted.setdefault((path, line), text.strip())
        return path, line

    def quoted(self, path: str, line: int) -> bool:
        """Whether a line is as log or object quote it: without its indentation, so that columns mean little."""
        return (path, line) in self._quoted

    def line(self, path: str, number: int) -> str | None:
        quoted = self._quoted.get((path, number))
        return quoted if quoted is not None else super().line(path, number)

    def lines(self, path: str) -> tuple[str, ...] | None:
        return None if path == LOG else super().lines(path)


def finding(one: Explained) -> tuple[Finding, LogSources]:
    """See `Explained.finding`."""
    sources = LogSources(one.object)
    cause = one.cause
    verdict = one.verdict == "rejected"
    code = one.family or "CHK006"
    name = (cause.cls if cause is not None else None) or ("rejected" if verdict else one.verdict)
    evidence = []
    alone = cause is not None and cause.headline == one.message and cause.cls == "unknown"
    if one.message and not (alone and one.instruction is None):  # else the head says it
        at = f" (instruction {one.instruction})" if one.instruction is not None else ""
        evidence.append(Evidence("verifier", f"{one.message[:2000]}{at}"))
    if cause is not None and cause.confidence != "high" and cause.cls != "unknown":
        evidence.append(Evidence("confidence", cause.confidence))
    span, labels = (None, []) if cause is None else _places(one, sources)
    if one.object is not None and sources.changed:
        evidence.append(Evidence("source", _changed(sources.changed)))
    if alone:
        headline = f"the verifier rejects {f'`{one.program}`' if one.program else 'the program'}: {one.message}"
    else:
        headline = one.headline
    made = Finding(
        code,
        name,
        "error" if verdict else "note",
        headline,
        span,
        object=one.object,
        program=one.program,
        labels=labels,
        evidence=evidence,
        fixes=one.fixes,
        kernels=_series(one.kernels or ([one.kernel] if one.kernel else [])),
        see=cause.see if cause is not None else (),
    )
    return made, sources


def _changed(lines: dict[tuple[str, int], int | None]) -> str:
    """A sentence about a file that is no longer what was built."""
    (path, line), now = next(iter(lines.items()))
    moved = f"is line {now} now" if now is not None else "reads otherwise now"
    return f"`{path}` has changed since the object was built (its line {line} {moved}): build again"


def _places(one: Explained, sources: LogSources) -> tuple[Span | None, list[Label]]:
    """The cause's place, and a label for each station of the chain."""
    cause = one.cause
    assert cause is not None
    names = [name.rpartition(".")[2].strip("()") for name in cause.variables]
    facts = [fact for fact in _stations(cause) if fact.place is not None or fact.slot is not None]
    if cause.place is None and cause.slot is None and not facts:
        return None, []
    numbered = any(fact.place is not None and fact.place.line for fact in facts) or (
        cause.place is not None and bool(cause.place.line)
    )
    found = _Found(one, sources, names, numbered)
    span = found.span(cause.place, cause.slot)
    labels: list[Label] = []
    for fact in facts:
        if fact.place is not None and not fact.place.own and not fact.place.text:
            continue  # a line of a library that nobody can show
        at = found.span(fact.place, fact.slot)
        if at is not None:
            stopped = "the verifier stopped here" if one.message else "the log ends here"
            labels.append(Label(at, stopped if fact.text == one.message else fact.text))
    if span is None and labels:
        span = labels[-1].span
    if found.pseudo:
        span, labels = found.ordered(span, labels)
    if span is not None and not any(label.span.line == span.line and label.message for label in labels):
        labels.append(Label(span, "refused because of this" if one.message else "the log ends here"))
    return span, _once(labels)


def _stations(cause: Any) -> list[Any]:
    """The chain, with the symptom at its end; of a long one the ends and what is near the cause."""
    facts = list(cause.because)
    if cause.symptom is not None and (not facts or facts[-1].slot != cause.symptom.slot):
        facts.append(cause.symptom)
    if len(facts) <= LABELS:
        return facts
    kept = {0, len(facts) - 1, len(facts) - 2}
    near = [at for at, fact in enumerate(facts) if fact.slot == cause.slot]
    for at in [*near, *range(len(facts))]:
        if len(kept) < LABELS:
            kept.add(at)
    return [fact for at, fact in enumerate(facts) if at in kept]


def _once(labels: list[Label]) -> list[Label]:
    """Each thing once at its place."""
    return list(dict.fromkeys(label for label in labels if label.message))


class _Found:
    """Places to spans. Lines without numbers, and instructions where no line is known, get numbers of their own."""

    def __init__(self, one: Explained, sources: LogSources, names: list[str], numbered: bool) -> None:
        self.one = one
        self.sources = sources
        self.names = [name for name in names if name]
        self.numbered = numbered
        self.pseudo: dict[int, tuple[int, str]] = {}

    def span(self, place: Any, slot: int | None) -> Span | None:
        if place is not None and place.path and place.line:
            path, line = self.sources.quote(place.path, place.line, place.text)
            text = self.sources.line(path, line)
            moved = text is not None and place.text is not None and text.strip() != place.text.strip()
            return self._marked(path, line, text, 0 if moved else place.column, slot)
        if self.numbered:
            return None
        text = place.text if place is not None else None
        shown = ""
        if not text and slot is not None:
            insn = self.one.log.insn(slot)
            text, shown = (insn.text if insn is not None else None), str(slot)
        if not text:
            return None
        number = next((key for key, value in self.pseudo.items() if value[1] == text.strip()), None)
        if number is None:
            number = len(self.pseudo) + 1
            self.pseudo[number] = (slot if slot is not None else 1 << 30, text.strip())
            self.sources.numbers[number] = shown
        return self._marked(LOG, number, text.strip(), 0, slot)

    def _marked(self, path: str, line: int, text: str | None, column: int, slot: int | None) -> Span:
        """Over the variable where the line names it once, else from the column, else the whole line."""
        if text is None:
            return Span(path, line, max(column, 1))
        if column > 0:
            # Compilers count bytes, and columns of a line that the log quotes lack its indentation.
            start = len(text.encode("utf-8", "replace")[: column - 1].decode("utf-8", "ignore"))
            if start < len(text) and not self.sources.quoted(path, line):
                word = text[start].isalnum() or text[start] == "_"
                return Span(path, line, start + 1, line, (token_end if word else expression_end)(text, start) + 1)
        for name in self.names:
            at = _word(text, name)
            if at is not None:
                return Span(path, line, at + 1, line, at + len(name) + 1)
        start = len(text) - len(text.lstrip())
        end = max(len(text.rstrip()), start + 1)
        if end - start > WHOLE:
            insn = self.one.log.insn(slot) if slot is not None else None
            call = insn.call if insn is not None else None
            at = _word(text, call) if call else None
            if call and at is not None:
                return Span(path, line, at + 1, line, at + len(call) + 1)
            end = start + PART
        return Span(path, line, start + 1, line, end + 1)

    def ordered(self, span: Span | None, labels: list[Label]) -> tuple[Span | None, list[Label]]:
        """Numbers in the order of the instructions, which is nearly that of the source."""
        order = sorted(self.pseudo, key=lambda number: self.pseudo[number][0])
        to = {old: new for new, old in enumerate(order, 1)}
        numbers = dict(self.sources.numbers)
        self.sources.numbers.clear()
        for old, new in to.items():
            self.sources._quoted[LOG, new] = self.pseudo[old][1]
            self.sources.numbers[new] = numbers[old]

        def moved(one: Span) -> Span:
            line = to.get(one.line, one.line)
            return one.replace(line=line, end_line=line)

        return (None if span is None else moved(span)), [label.replace(span=moved(label.span)) for label in labels]


def _word(text: str, name: str) -> int | None:
    """Where the name stands in the line as a word of its own, once."""
    found = []
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        before, after = text[at - 1 : at], text[end : end + 1]
        if not (before.isalnum() or before == "_" or after.isalnum() or after == "_"):
            found.append(at)
        at = text.find(name, end)
    return found[0] if len(found) == 1 else None


def _series(names: list[str]) -> list[str]:
    from bpfsmith.model.kernels import series_key

    out = []
    for name in names:
        try:
            series_key(name)
        except ValueError:
            continue
        out.append(name)
    return out

"""`explain` of rejected programs for a person: the cause in the manner of rustc; one line, or every state, as asked."""

from __future__ import annotations

from bpfsmith.render._cells import clean, show
from bpfsmith.render.text import Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith.model.finding import Finding, Span
    from bpfsmith.rules._sources import Sources

__all__ = ["DEPTHS", "ExplainText", "one", "render"]

DEPTHS = ("concise", "normal", "full")
_STEPS = 400  # of a failing path that are printed
_HEAD = 20  # of these from its beginning


def render(report: Any, *, color: bool = False, depth: str = "normal") -> str:
    """The text for a whole `ExplainReport`."""
    if depth == "concise":
        return "".join(f"{clean(' '.join(each.concise().split()))}\n" for each in report.programs)
    text = ExplainText(color=color)
    blocks = [text.explained(each, depth, first) for each, first in _first_of_kind(report.programs)]
    notes = "".join(f"{text.painted('note', 'note')}: {clean(note)}\n" for note in report.notes)
    return "\n".join([*blocks, *([notes] if notes else [])])


def one(explained: Any) -> str:
    """The text of one, as `str()` shows it."""
    return ExplainText().explained(explained, "normal", True)


def _first_of_kind(programs: Any) -> Iterator[tuple[Any, bool]]:
    told: set[str | None] = set()
    for each in programs:
        yield each, each.family not in told
        told.add(each.family)


class ExplainText(Text):
    """A finding whose primary place carries its label, with lines that only a log quotes."""

    def __init__(self, *, color: bool = False) -> None:
        super().__init__(color=color)
        self._numbers: dict[int, str] | None = None
        self._where = self._column = ""
        self._tail: list[str] = []
        self._advice: list[str] = []

    def painted(self, kind: str, text: str) -> str:
        """Coloured as the parts of findings are."""
        return self._paint(kind, text)

    def explained(self, each: Any, depth: str, learn: bool) -> str:
        """About a dozen lines, and with depth `full` the states along the path."""
        if each.verdict != "rejected" and each.cause is None:
            return self._told(each)
        finding, sources = each.finding()
        self._numbers = None
        self._where = _inside(each)
        if finding.span is not None and finding.span.path == sources.quotes:
            self._numbers = sources.numbers
        self._tail = _kernels(each)
        self._column = _column(each, finding, sources)
        self._advice = [fix.message for fix in finding.fixes if fix.applicability == "display"]
        shown = finding.replace(kernels=(), fixes=tuple(fix for fix in finding.fixes if fix.applicability != "display"))
        text = self._finding(shown, sources, learn and each.family is not None)
        if each.family is None:  # no rule and no family says more of it
            text = text.replace(f"[{shown.code} ", "[", 1)
        for note in each.notes:
            text += f"{self._paint('note', 'note')}: {clean(note)}\n"
        if depth == "full":
            text += "\n" + "\n".join(self._path(each)) + "\n"
        return text

    def _told(self, each: Any) -> str:
        """What was not rejected."""
        where = f"`{clean(each.program)}`" if each.program else "the program"
        kernel = f" by {', '.join(each.kernels or [each.kernel])}" if each.kernel else ""
        counts = each.log.counts if each.log is not None else {}
        did = f": {counts['processed']} instructions processed" if counts.get("processed") is not None else ""
        if counts.get("total_states") is not None:
            did += f", {counts['total_states']} states"
        if each.verdict == "accepted":
            head = f"{self._paint('help', 'accepted')}{self._paint('bold', f': {where} is accepted{kernel}{did}')}"
        else:
            steps = each.log.steps if each.log is not None else 0
            what = f"{steps} instructions of {where}" if steps else f"nothing of the verification of {where}"
            head = f"{self._paint('warning', 'unknown')}{self._paint('bold', f': no verdict; {what} in this log')}"
        notes = "".join(f"{self._paint('note', 'note')}: {clean(note)}\n" for note in each.notes)
        return f"{head}\n{notes}"

    # ------------------------------------------------------------ parts of the finding

    def _place(self, finding: Finding) -> str:  # type: ignore[override]
        if finding.span is not None and self._numbers is None:
            place = clean(f"{finding.span.path}:{finding.span.line}{self._column}")
            return f"{place}, {self._where}" if self._where and not finding.object else place
        if self._where:
            return self._where
        return super()._place(finding) if finding.object else "no place is named in the log"

    def _numbered(self, number: int, text: str, gutter: int) -> str:
        if self._numbers is None:
            return super()._numbered(number, text, gutter)
        shown = self._numbers.get(number, "")
        return (self._paint("gutter", f"{shown:>{gutter}} |") + " " + text).rstrip()

    def _excerpts(self, finding: Finding, sources: Sources, gutter: int, bar: str) -> list[str]:
        assert finding.span is not None
        first = finding.span
        said: dict[Span, list[str]] = {first: []}
        for label in finding.labels:
            at = next((span for span in said if _same(span, label.span)), label.span)
            said.setdefault(at, []).append(label.message)
        marks: dict[str, list[tuple[Span, str, str]]] = {}
        for span, messages in said.items():
            marks.setdefault(span.path, []).append((span, "^" if span is first else "-", "\n".join(messages)))
        out = []
        for path, marked in marks.items():
            body = self._excerpt(path, marked, finding.severity, sources, gutter, bar)
            body = [line for each in body for line in _below(each, bar)]
            if path != first.path:
                out.append(" " * gutter + self._paint("gutter", ":::") + f" {clean(str(marked[0][0]))}")
                if not body:  # a file that is not here, and that no log quotes
                    out += self._bare(marked, bar)
            if body:
                out.extend([bar, *body, bar])
            elif path == first.path:
                out += self._bare(marked, bar)
        return [line for at, line in enumerate(out) if line != bar or at == 0 or out[at - 1] != bar]

    def _bare(self, marked: list[tuple[Span, str, str]], bar: str) -> list[str]:
        """What is said of lines that nobody can show."""
        said = [line for _, _, message in marked for line in message.split("\n") if line]
        return [f"{bar} {self._paint('second', clean(line))}" for line in said]

    def _finding(self, finding: Finding, sources: Sources | None, explain: bool) -> str:
        text = super()._finding(finding, sources, False)
        gutter = max(len(str(max([one.line for one in self._spans(finding)], default=1))), 2)
        tail = " " * (gutter + 1) + self._paint("gutter", "=") + " "
        for kind, said in [*(("fix", each) for each in self._advice), *(("kernel", each) for each in self._tail)]:
            text += f"{tail}{self._paint('bold', kind)}: {clean(said)}\n"
        if explain:
            text += f"{tail}{self._paint('bold', 'explain')}: bpfsmith explain {finding.code}\n"
        return text

    # ------------------------------------------------------------ the path

    def _path(self, each: Any) -> list[str]:
        """The failing path: lines, instructions, and what each changed. `*` marks the register the proof is about."""
        log = each.log
        path = list(log.path) if log is not None else []
        if not path:
            return ["the log has no path to show"]
        marked = _marked(each)
        shown = path
        left = 0
        if len(path) > _STEPS:
            left = len(path) - _STEPS
            shown = [*path[:_HEAD], *path[-(_STEPS - _HEAD) :]]
        width = max(len(str(log.step(one).slot)) for one in shown)
        out = [self._paint("bold", f"path: {len(path)} instructions, what each changed; * is what the proof is about")]
        before: tuple[Any, ...] | None = None
        state: dict[str, str] = {}
        frame = -1
        for at, number in enumerate(shown):
            if left and at == _HEAD:
                out.append(f"  ... {left} instructions left out")
                before, state = None, {}
            step = log.step(number)
            source = _source(each, step)
            if source is not None and source != before:
                before = source
                where = f"{source[0]}:{source[1]}  " if source[0] and source[1] else ""
                out.append(self._paint("gutter", f"  {where}{show(clean(source[2] or ''))}".rstrip()))
            insn = log.insn(step.slot)
            text = clean(insn.text) if insn is not None else ""
            if step.frame != frame:
                state, frame = {}, step.frame
            after = _values(log.after(number))
            changed = {name: value for name, value in after.items() if state.get(name) != value}
            state = after or state
            line = f"  {step.slot:>{width}}: {text}"
            told = _changes(changed, marked.get(step.slot, ()))
            fact = marked.get(step.slot)
            out.append(f"{line:<56}{told}".rstrip() if told else line)
            for sentence in fact.facts if isinstance(fact, _Mark) else ():
                out.append(self._paint("second", f"  {' ' * width}  ^ {clean(sentence)}"))
        if each.message:
            out.append(self._paint("error", f"  {' ' * width}  {clean(each.message)}"))
        return out


class _Mark(tuple[str, ...]):
    """Registers of the proof at an instruction, with what the chain says there."""

    facts: list[str]


def _marked(each: Any) -> dict[int, _Mark]:
    found: dict[int, _Mark] = {}
    cause = each.cause
    if cause is None:
        return found
    for fact in cause.because:
        if fact.slot is None:
            continue
        insn = each.log.insn(fact.slot)
        registers: list[str] = []
        for one in insn.writes if insn is not None else ():
            registers.append(f"r{one}")
        if insn is not None and (fact.slot == each.instruction or insn.kind == "branch"):
            registers += [f"r{one}" for one in insn.reads]
        mark = _Mark([*found.get(fact.slot, ()), *registers])
        former = found.get(fact.slot)
        mark.facts = list(dict.fromkeys([*(former.facts if former is not None else []), fact.text]))
        found[fact.slot] = mark
    return found


def _changes(changed: dict[str, str], marked: tuple[str, ...]) -> str:
    return " ".join(f"{'*' if name in marked else ''}{name}={clean(value)}" for name, value in changed.items())


def _values(state: Any) -> dict[str, str]:
    """Register or slot of the innermost frame -> as printed."""
    if state is None or not state.frames:
        return {}
    frame = state.frames[-1]
    told = {name: str(value.text) for name, value in frame.regs.items()}
    told |= {f"fp{offset}": str(slot.text) for offset, slot in frame.stack.items()}
    return told


def _source(each: Any, step: Any) -> tuple[Any, ...] | None:
    place = None
    if each.trace is not None:
        place = each.trace.place(step.slot)
    return None if place is None else (place.path, place.line, place.text)


def _below(line: str, bar: str) -> list[str]:
    """A row whose label has several sentences as rows: the others stand below the first."""
    if "\n" not in line:
        return [line]
    first, *rest = line.split("\n")
    start = min((at for sign in ("^ ", "- ") if (at := first.find(sign)) >= 0), default=0)
    shown = _plain(first[: start + 2])
    space = " " * (len(shown) - len(_plain(bar)))
    color = first[len(bar) :].lstrip(" ")
    paint = color[: color.find("m") + 1] if color.startswith("\x1b[") else ""
    out = [first + ("\x1b[0m" if paint else "")]
    for at, one in enumerate(rest):
        end = "\x1b[0m" if paint and at < len(rest) - 1 else ""
        out.append(f"{bar}{space}{paint}{one}{end}")
    return out


def _plain(text: str) -> str:
    """Without colour."""
    out, at = "", 0
    while (start := text.find("\x1b[", at)) >= 0:
        out += text[at:start]
        at = text.find("m", start) + 1 or len(text)
    return out + text[at:]


def _same(one: Span, other: Span) -> bool:
    return (one.path, one.line) == (other.path, other.line) and one.column == other.column


def _inside(each: Any) -> str:
    slot = each.cause.slot if each.cause is not None else None
    words = [f"program `{clean(each.program)}`" if each.program else ""]
    place = each.cause.place if each.cause is not None else None
    if place is None or not place.line:
        slot = each.instruction if slot is None else slot
        words.append(f"instruction {slot}" if slot is not None else "")
    return ", ".join(filter(None, words))


def _column(each: Any, finding: Finding, sources: Any) -> str:
    """Of a line that only the log or the object quotes the one that they say."""
    span = finding.span
    if span is None:
        return ""
    place = each.cause.place if each.cause is not None else None
    if not sources.quoted(span.path, span.line):
        return f":{span.column}"
    return f":{place.column}" if place is not None and place.column and place.line == span.line else ""


def _kernels(each: Any) -> list[str]:
    from bpfsmith.model.kernels import fold_series

    names = each.kernels or ([each.kernel] if each.kernel else [])
    if not names:
        return []
    try:
        return [fold_series(names)]
    except ValueError:
        return [", ".join(names)]

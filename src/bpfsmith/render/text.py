"""`--format text`: for a person, in the manner of rustc; about a dozen lines a finding, one summary at the end."""

from __future__ import annotations

from bpfsmith.model.kernels import fold_series
from bpfsmith.render._base import Renderer
from bpfsmith.render._cells import cells, clean, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfsmith.model.finding import Edit, Finding, Fix, Span
    from bpfsmith.render._base import Reported
    from bpfsmith.rules._sources import Sources

_COLORS = {
    "error": "1;31",
    "warning": "1;33",
    "note": "1;36",
    "help": "1;32",
    "gutter": "1;34",
    "bold": "1",
    "second": "1;34",
    "add": "32",
    "remove": "31",
}
_WIDTH = 140  # cells of one source line; a longer one is cut around what is marked
_EDITS = 8  # places of one fix that are shown
_LOADS = 24  # programs named in the summary; `bpfsmith inspect` lists them all


class Text(Renderer):
    """Header, place, source excerpt with labels, evidence, help, kernels, how to learn more; a summary at the end."""

    def render(self, report: Reported) -> str:
        """The findings, what was noticed, and the summary line."""
        explained: set[str] = set()
        blocks = []
        for finding in report.findings:
            blocks.append(self._finding(finding, report.sources, finding.code not in explained))
            explained.add(finding.code)
        blocks.append(self._summary(report))
        return "\n".join(blocks)

    def _paint(self, kind: str, text: str) -> str:
        return f"\x1b[{_COLORS[kind]}m{text}\x1b[0m" if self.color and text else text

    # ------------------------------------------------------------ one finding

    def _finding(self, finding: Finding, sources: Sources | None, explain: bool) -> str:
        head = self._paint(finding.severity, f"{finding.severity}[{finding.code} {finding.name}]")
        out = [f"{head}{self._paint('bold', ': ' + clean(finding.message))}"]
        lines = [one.line for one in self._spans(finding)]
        lines += [edit.span.end_line for fix in finding.fixes for edit in fix.edits]
        gutter = max(len(str(max(lines, default=1))), 2)
        bar = " " * gutter + " " + self._paint("gutter", "|")
        out.append(" " * gutter + self._paint("gutter", "-->") + " " + self._place(finding))
        if finding.span is not None and sources is not None:
            out.extend(self._excerpts(finding, sources, gutter, bar))
        tail = " " * gutter + " " + self._paint("gutter", "=") + " "
        for one in finding.evidence:
            if one.kind == "provenance":
                continue  # where a fact comes from: in JSON and `explain`, too long for a line here
            first, *rest = clean(one.text).splitlines() or [""]
            out.append(f"{tail}{self._paint('bold', one.kind)}: {first}")
            out.extend(f"{' ' * (gutter + 5)}{line}" for line in rest)
        for fix in finding.fixes:
            out.extend(self._fix(fix, sources, gutter, bar))
        if finding.kernels:
            out.append(f"{tail}{self._paint('bold', 'kernels')}: {fold_series(finding.kernels)}")
        if finding.see:
            out.append(f"{tail}{self._paint('bold', 'see')}: {', '.join(finding.see)}")
        if explain:
            out.append(f"{tail}{self._paint('bold', 'explain')}: bpfsmith explain {finding.code}")
        return "\n".join(out) + "\n"

    @staticmethod
    def _place(finding: Finding) -> str:
        inside = f"program `{clean(finding.program)}`" if finding.program else ""
        if finding.span is not None:
            return clean(str(finding.span))
        place = clean(finding.object or "")
        return f"{place}, {inside}" if place and inside else place or inside or "(no file)"

    @staticmethod
    def _spans(finding: Finding) -> list[Span]:
        return ([finding.span] if finding.span else []) + [label.span for label in finding.labels]

    def _excerpts(self, finding: Finding, sources: Sources, gutter: int, bar: str) -> list[str]:
        assert finding.span is not None
        own = "; ".join(label.message for label in finding.labels if label.span == finding.span)
        marks: dict[str, list[tuple[Span, str, str]]] = {finding.span.path: [(finding.span, "^", own)]}
        for label in finding.labels:
            if label.span == finding.span:
                continue  # said at the place itself
            marks.setdefault(label.span.path, []).append((label.span, "-", label.message))
        out = []
        for path, marked in marks.items():
            if path != finding.span.path:
                out.append(" " * gutter + self._paint("gutter", ":::") + f" {clean(str(marked[0][0]))}")
            body = self._excerpt(path, marked, finding.severity, sources, gutter, bar)
            if body:
                out.extend([bar, *body, bar])
        if out and out[-1] == bar and not (finding.evidence or finding.fixes or finding.kernels or finding.see):
            out.pop()
        return out

    def _excerpt(
        self, path: str, marked: list[tuple[Span, str, str]], severity: str, sources: Sources, gutter: int, bar: str
    ) -> list[str]:
        rows: dict[int, list[tuple[int, int | None, str, str]]] = {}
        for span, sign, message in marked:
            # Of a span over many lines its first and last line are shown.
            if span.end_line == span.line:
                rows.setdefault(span.line, []).append((span.column, span.end_column, sign, message))
            else:
                rows.setdefault(span.line, []).append((span.column, None, sign, ""))
                rows.setdefault(span.end_line, []).append((0, span.end_column, sign, message))
        out = []
        before = 0
        for number in sorted(rows):
            line = sources.line(path, number)
            if line is None:
                continue
            if before and number > before + 1:
                between = sources.line(path, before + 1) if number == before + 2 else None
                if between is None:
                    out.append(self._paint("gutter", "..."))
                else:
                    out.append(self._numbered(before + 1, _cut(between, 0, 1)[0], gutter))
            before = number
            places = [_columns(line, start, end) for start, end, _, _ in rows[number]]
            shown, offset = _cut(line, min(one[0] for one in places), max(one[1] for one in places))
            out.append(self._numbered(number, shown, gutter))
            for (_, _, sign, message), (start, stop) in zip(rows[number], places, strict=True):
                color = severity if sign == "^" else "second"
                start_at = min(max(start - offset, 0), _WIDTH)
                sign_count = max(1, min(stop - offset, _WIDTH) - start_at)
                text = sign * sign_count + (f" {clean(message)}" if message else "")
                out.append(f"{bar} {' ' * start_at}{self._paint(color, text)}")
        return out

    def _numbered(self, number: int, text: str, gutter: int) -> str:
        return (self._paint("gutter", f"{number:>{gutter}} |") + " " + text).rstrip()

    def _fix(self, fix: Fix, sources: Sources | None, gutter: int, bar: str) -> list[str]:
        degree = "" if fix.applicability == "display" else f" ({fix.applicability})"
        out = [f"{self._paint('help', 'help')}{self._paint('bold', f'{degree}: ' + clean(fix.message))}"]
        if sources is None or not fix.edits:
            return out
        out.append(bar)
        changed = _changed(fix, sources)
        # What kernels were asked about is shown with the lines beside it, as a diff would.
        around = " accept" in fix.message and _whole_lines(fix)
        for number, old, new in changed[:_EDITS]:
            if around:
                out.extend(self._context(fix, sources, number - 1, number - 1, gutter))
            for sign, color, lines in (("-", "remove", old), ("+", "add", new)):
                for at, line in enumerate(lines, number):
                    text = self._paint(color, f"{sign} {show(line)}".rstrip())
                    out.append(f"{self._paint('gutter', f'{at:>{gutter}}')} {text}")
            if around:
                out.extend(self._context(fix, sources, number + len(old), number + len(new), gutter))
        if len(changed) > _EDITS:
            out.append(f"{' ' * gutter} ... and {len(changed) - _EDITS} more places")
        out.append(bar)
        return out

    def _context(self, fix: Fix, sources: Sources, number: int, shown_as: int, gutter: int) -> list[str]:
        """An unchanged line beside a change, as a diff shows it."""
        line = sources.line(fix.edits[0].span.path, number) if number > 0 else None
        if line is None:
            return []
        return [f"{self._paint('gutter', f'{shown_as:>{gutter}}')}   {show(line)}".rstrip()]

    # ------------------------------------------------------------ the end

    def _summary(self, report: Reported) -> str:
        out = [f"{clean(line)}" for line in report.loads[:_LOADS]]
        if len(report.loads) > _LOADS:
            out.append(f"... and {len(report.loads) - _LOADS} more programs; `bpfsmith inspect` lists them all")
        out.extend(f"{self._paint('note', 'note')}: {clean(line)}" for line in report.notes)
        counts = report.summary
        found = ", ".join(
            f"{counts[kind]} {kind}{'' if counts[kind] == 1 else 's'}"
            for kind in ("error", "warning", "note")
            if counts[kind]
        )
        files = f"{counts['files']} file{'' if counts['files'] == 1 else 's'}"
        suppressed = f", {counts['suppressed']} suppressed" if counts["suppressed"] else ""
        out.append(f"{self._paint('bold', found or 'no findings')} in {files}{suppressed}")
        if report.mending:
            out.append(clean(report.mending))
        return "\n".join(out) + "\n"


def _columns(line: str, start: int, end: int | None) -> tuple[int, int]:
    """Cells [from, to) of the characters [start, end) of a line; start 0 is its first word, end None its last."""
    if start == 0:
        start = len(line) - len(line.lstrip()) + 1
    stop = len(line.rstrip()) + 1 if end is None else end
    begin = cells(line[: start - 1])
    return begin, max(begin + 1, cells(line[: max(stop - 1, start - 1)]))


def _cut(line: str, start: int, stop: int) -> tuple[str, int]:
    """The line as shown, cut to `_WIDTH` cells around [start, stop) when longer; and the cells cut at its front."""
    shown = show(line).rstrip()
    if cells(shown) <= _WIDTH:
        return shown, 0
    if stop <= _WIDTH - 1:
        return shown[: _WIDTH - 1] + "\N{HORIZONTAL ELLIPSIS}", 0
    first = max(0, start - 40)
    # Exact for one-cell characters; a cut line of wide ones may be marked a little off.
    return "\N{HORIZONTAL ELLIPSIS}" + shown[first + 1 : first + _WIDTH - 1] + "\N{HORIZONTAL ELLIPSIS}", first


def _whole_lines(fix: Fix) -> bool:
    """Whether a fix puts or takes whole lines of one file: then what stands beside them tells what they are part of."""
    spans = [edit.span for edit in fix.edits]
    return len({one.path for one in spans}) == 1 and all(
        edit.span.column == edit.span.end_column == 1 and edit.text[-1:] in ("", "\n") for edit in fix.edits
    )


def _changed(fix: Fix, sources: Sources) -> list[tuple[int, list[str], list[str]]]:
    """(first line, old lines, new lines) of each changed place; edits that share a line are made together. Of edits
    into unreadable files only the text."""
    out: list[tuple[int, list[str], list[str]]] = []
    for path in dict.fromkeys(edit.span.path for edit in fix.edits):
        edits = sorted(
            (edit for edit in fix.edits if edit.span.path == path),
            key=lambda edit: (edit.span.line, edit.span.column, edit.span.end_line, edit.span.end_column),
        )
        lines = sources.lines(path)
        groups: list[list[Edit]] = []
        last = 0
        for edit in edits:
            if lines is None or edit.span.end_line > len(lines):
                out.append((edit.span.line, [], edit.text.splitlines()))
                continue
            if groups and edit.span.line <= last:
                groups[-1].append(edit)
            else:
                groups.append([edit])
            last = max(last, edit.span.end_line)
        if lines is not None:
            out.extend(_together(group, lines) for group in groups)
    return out


def _together(edits: list[Edit], lines: Sequence[str]) -> tuple[int, list[str], list[str]]:
    """(first line, old lines, new lines) of edits in order that share lines."""
    first = edits[0].span.line
    old = list(lines[first - 1 : max(edit.span.end_line for edit in edits)])
    text, at = "", (first, 1)
    for edit in edits:
        start = (edit.span.line, edit.span.column)
        if start >= at:  # else one more edit of the same stretch
            text += _stretch(old, first, at, start)
        text += edit.text
        at = max(at, (edit.span.end_line, edit.span.end_column))
    text += _stretch(old, first, at, (first + len(old) - 1, len(old[-1]) + 1))
    new = text.split("\n")
    if new and old and new[-1] == old[-1]:  # an insertion before a line leaves the line itself alone
        new.pop()
        old.pop()
    while new and old and new[0] == old[0]:
        new.pop(0)
        old.pop(0)
        first += 1
    return first, old, new if text.strip() else []


def _stretch(lines: list[str], first: int, start: tuple[int, int], end: tuple[int, int]) -> str:
    """The text between two places, the lines being those from `first` on."""
    some = lines[start[0] - first : end[0] - first + 1]
    if not some:
        return ""
    some[-1] = some[-1][: end[1] - 1]
    some[0] = some[0][start[1] - 1 :]
    return "\n".join(some)


FORMAT = Text

"""`// bpfsmith: expect(CODE, reason = "...")` in C and Rust; `# bpfsmith: ...` in a `Cargo.toml`.

The comment covers its own line when code stands before it on that line; alone on a line it covers the next line that is
not itself such a comment, and no further (put it directly above the reported line, also inside an item).
Several rules are separated by commas. The reason is mandatory; an expectation whose rules ran and found nothing is
reported, as rustc's `#[expect]` is.
"""

from __future__ import annotations

from bpfsmith import rules
from bpfsmith.model.finding import Finding, Fix, Span
from bpfsmith.model.near import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping

    from bpfsmith.rules._sources import Sources

__all__ = ["Expectation", "expectations", "suppress"]

_MARK = "bpfsmith:"


class Expectation:
    """One comment: the rule words, where it stands, and the line it covers (0: none, it ends the file)."""

    __slots__ = ("covers", "problem", "reason", "span", "used", "words")

    def __init__(self, span: Span, covers: int, words: list[str], reason: str | None, problem: str = "") -> None:
        self.span = span
        self.covers = covers
        self.words = words
        self.reason = reason
        self.problem = problem
        self.used: set[str] = set()


_tokens: re.Pattern[str] | None = None
_toml: re.Pattern[str] | None = None
_expect: re.Pattern[str] | None = None


def _patterns(toml: bool) -> tuple[re.Pattern[str], re.Pattern[str]]:
    global _tokens, _toml, _expect  # noqa: PLW0603 - compiled when the first comment of ours is seen
    import re

    if _tokens is None or _toml is None or _expect is None:
        _toml = re.compile(
            r"""(?P<comment>\#[^\n]*)|\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""", re.DOTALL
        )
        # Comments, and the strings and characters that only look like them. A Rust lifetime is not a character.
        _tokens = re.compile(
            r"""(?P<comment>//[^\n]*|/\*.*?\*/)|b?r(?P<hash>\#*)".*?"(?P=hash)|"(?:\\.|[^"\\])*"|'(?:\\[^\n]{1,10}?|[^'\\\n])'""",
            re.DOTALL | re.VERBOSE,
        )
        _expect = re.compile(
            r"""^expect\(\s*(?P<words>[^"()=]*?)\s*(?:(?:,|^|(?<=\())\s*reason\s*=\s*"(?P<reason>(?:\\.|[^"\\])*)"\s*,?)?\s*\)$"""
        )
    return _toml if toml else _tokens, _expect


def expectations(path: str, sources: Sources) -> list[Expectation]:
    """The suppression comments of a file, in order."""
    if path in sources.silent:
        return []
    lines = sources.lines(path)
    if lines is None or not any(_MARK in line for line in lines):
        return []
    tokens, expect = _patterns(path.endswith(".toml"))
    text = "\n".join(lines)
    found: list[tuple[int, int, str]] = []  # line, column, comment text
    line, line_start, at = 1, 0, 0
    for match in tokens.finditer(text):
        comment = match.group("comment")
        if comment is None or _MARK not in comment:
            continue
        newlines = text.count("\n", at, match.start())
        if newlines:
            line += newlines
            line_start = text.rindex("\n", 0, match.start()) + 1
        at = match.start()
        found.append((line, match.start() - line_start + 1, comment))
    ours = {}
    for number, column, comment in found:
        body = comment.strip("/*!# \t")
        if body.startswith(_MARK):
            ours[number] = (column, comment, body[len(_MARK) :].strip())
    result = []
    for number, (column, comment, body) in ours.items():
        span = Span(path, number, column, number, column + len(comment.rstrip()))
        covers = number
        if not lines[number - 1][: column - 1].strip():
            covers = number + 1
            while covers in ours and not lines[covers - 1][: ours[covers][0] - 1].strip():
                covers += 1
        match_ = expect.match(body)
        if match_ is None:
            result.append(Expectation(span, covers, [], None, 'this is not of the form `expect(CODE, reason = "...")`'))
            continue
        words = [word.strip() for word in match_.group("words").split(",") if word.strip()]
        problem = "" if words else "the comment names no rule"
        result.append(Expectation(span, covers, words, match_.group("reason"), problem))
    return result


def suppress(
    findings: Iterable[Finding], ran: Mapping[str, set[str]], sources: Sources
) -> tuple[list[Finding], int, list[Finding]]:
    """(findings that stay, number suppressed, findings about the comments themselves).

    `ran` maps each source file to the codes of the rules that could have reported in it.
    """
    kept: list[Finding] = []
    suppressed = 0
    by_line: dict[str, dict[int, list[Expectation]]] = {}
    findings = list(findings)
    for path in dict.fromkeys([*ran, *(one.span.path for one in findings if one.span)]):
        table: dict[int, list[Expectation]] = {}
        for one in expectations(path, sources):
            table.setdefault(one.covers, []).append(one)
        by_line[path] = table
    for finding in findings:
        hit = False
        if finding.span is not None:
            for one in by_line[finding.span.path].get(finding.span.line, ()):
                for word in one.words:
                    if word.upper() == finding.code or word.lower().replace("_", "-") == finding.name:
                        one.used.add(word)
                        hit = True
        if hit:
            suppressed += 1
        else:
            kept.append(finding)
    about = [
        said
        for path, table in by_line.items()
        for listed in table.values()
        for one in listed
        for said in _about(one, ran.get(path, set()))
    ]
    return kept, suppressed, about


def _about(one: Expectation, ran: set[str]) -> list[Finding]:
    out = []
    if one.problem or not (one.reason or "").strip():
        message = one.problem or f"the expectation of `{', '.join(one.words)}` gives no reason"
        fix = Fix("display", 'write `// bpfsmith: expect(CODE, reason = "why it does not matter here")`')
        out.append(_finding("CHK002", message, one.span, (fix,)))
    for word in one.words:
        entry = rules.find(word)
        if entry is None:
            known = [name for known in rules.listing() for name in (known.code, known.name)]
            hint = did_you_mean(word, known, "`bpfsmith explain rules` lists the rules")
            out.append(_finding("CHK003", f"there is no rule `{word}`", one.span, (Fix("display", hint),)))
        elif entry.code in ran and word not in one.used:
            message = f"`{word}` is expected here, but {entry.code} {entry.name} found nothing on line {one.covers}"
            out.append(_finding("CHK001", message, one.span, (Fix("display", "delete the comment"),)))
    return out


def _finding(code: str, message: str, span: Span, fixes: tuple[Fix, ...]) -> Finding:
    return rules.get(code).finding(None, message, span=span, fixes=fixes)

"""One defect gives one finding: the same place reported twice, less specific rules, and what a baseline knows."""

from __future__ import annotations

from bpfsmith import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.model.finding import Finding

__all__ = ["merge", "without_baseline"]

_MAX_BASELINE = 256 << 20


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Sorted by place, each defect once.

    A subprogram linked into three programs, or one source built into two objects, is one place in the source: the first
    finding of a rule there stays (its message may name another program). A rule that supersedes another replaces it.
    """
    kept: dict[tuple[object, ...], Finding] = {}
    for finding in sorted(findings, key=lambda one: one.sort_key()):
        kept.setdefault(_defect(finding), finding)
    return _most_specific(list(kept.values()))


def _defect(finding: Finding) -> tuple[object, ...]:
    message = finding.message
    if finding.span is None:
        return (finding.code, finding.object, finding.program, message)
    if finding.program:
        message = message.replace(f"`{finding.program}`", "`*`")
    return (finding.code, finding.span.path, finding.span.line, finding.span.column, message)


def _most_specific(findings: list[Finding]) -> list[Finding]:
    dropped: set[tuple[object, ...]] = set()
    for finding in findings:
        entry = rules.find(finding.code)
        if entry is None:
            continue
        dropped.update((less, *_place(finding)) for less in entry.rule.supersedes)
        if finding.program:
            for less in entry.rule.supersedes_in_program:
                dropped.add((less, *_about(finding)))
                dropped.add((less, "program", None, finding.program))  # an object without line information
    if not dropped:
        return findings
    return [
        finding
        for finding in findings
        if (finding.code, *_place(finding)) not in dropped and (finding.code, *_about(finding)) not in dropped
    ]


def _place(finding: Finding) -> tuple[object, ...]:
    if finding.span is not None:
        return (finding.span.path, finding.span.line)
    return (finding.object, finding.program)


def _about(finding: Finding) -> tuple[object, ...]:
    """The program, as a function of its crate: two projects of one call may both have a `drop_all`."""
    if finding.span is None:
        return ("program", None, finding.program)
    crate, _, _ = f"/{finding.span.path}".rpartition("/src/")
    return ("program", crate, finding.program)


def without_baseline(findings: list[Finding], path: str) -> tuple[list[Finding], int]:
    """(findings the baseline does not hold, number it holds). The baseline is an earlier `--format json` output.

    Lines do not count, so that code may move; the same finding twice needs two entries.
    """
    import json

    from bpfsmith.model.errors import InputError
    from bpfsmith.read._find import open_input

    hint = "write one with `bpfsmith check --format json > baseline.json`"
    try:
        with open_input(path) as file:
            data = json.loads(file.read(_MAX_BASELINE))
        known = [(one["code"], one["path"], one["program"], one["message"]) for one in data["findings"]]
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise InputError(f"cannot read the baseline: {said}", where=path, hint=hint) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("the baseline is not the output of `check --format json`", where=path, hint=hint) from error
    counts: dict[tuple[object, ...], int] = {}
    for key in known:
        counts[key] = counts.get(key, 0) + 1
    kept = []
    for finding in findings:
        key = (finding.code, finding.path, finding.program, finding.message)
        if counts.get(key, 0):
            counts[key] -= 1
        else:
            kept.append(finding)
    return kept, len(findings) - len(kept)

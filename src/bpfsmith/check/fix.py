"""Mends what was found: rounds of checking and editing in memory until nothing changes, then one write per file.

A round takes the fixes that do not touch one another, all edits of a fix or none of them; what has to wait is found
again in the next round. Nothing of it is written before the last round: a result that the parser does not take, a file
that changed meanwhile, one that lies outside the project or may not be written is left as it is, and said.
"""

from __future__ import annotations

import os

from bpfsmith.check._files import changed_meanwhile, refusal, replace_file
from bpfsmith.model.edits import Chosen, apply, unified_diff
from bpfsmith.model.errors import BpfsmithError, ToolError
from bpfsmith.read.overlay import Overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from bpfsmith.check.report import Report
    from bpfsmith.model.finding import Finding, Fix

__all__ = ["SAFE", "UNSAFE", "Mended", "Mender", "fix_for", "mend"]

SAFE = ("safe", "proved")
UNSAFE = (*SAFE, "unsafe")
_ROUNDS = 24


def fix_for(finding: Finding, accept: Collection[str]) -> Fix | None:
    """The first fix with edits whose applicability is accepted."""
    return next((one for one in finding.fixes if one.edits and one.applicability in accept), None)


class Mended:
    """What `--fix` did, or `--diff` would do.

    `mended` are the findings whose fix was made; `files` the paths that were written (or would be), `diff` what
    changed in them. `written` is False for `--diff`.
    """

    __slots__ = ("diff", "files", "mended", "written")

    def __init__(self, mended: Iterable[Finding], files: Iterable[str], diff: str, written: bool) -> None:
        self.mended = tuple(mended)
        self.files = tuple(files)
        self.diff = diff
        self.written = written

    def __repr__(self) -> str:
        return f"Mended({len(self.mended)} findings in {', '.join(self.files) or 'no file'})"


class Mender:
    """Texts as fixes have made them so far. `accept`: the applicabilities of fixes that are made."""

    def __init__(self, accept: Collection[str]) -> None:
        self.accept = accept
        self.overlay = Overlay()
        self.mended: list[Finding] = []
        self.errors: list[BpfsmithError] = []
        self.shown: dict[str, str] = {}  # real path -> as findings name it
        self._texts: dict[str, str] = {}
        self._refused: set[str] = set()
        self._said: set[tuple[str, ...]] = set()
        self._together: list[set[str]] = []  # files that fixes changed at once
        self._states: set[int] = set()

    # ------------------------------------------------------------ rounds

    def round(self, findings: Iterable[Finding], roots: Collection[str]) -> bool:
        """Makes the fixes that go together; False when there was nothing to make."""
        offered = [(one, fix) for one in findings if (fix := fix_for(one, self.accept)) is not None]
        offered = [(one, fix) for one, fix in offered if self._allowed(fix, roots)]
        chosen, taken = _choose(offered)
        before = dict(self._texts)
        while taken:
            wrong = self._make(chosen, before)
            if not wrong:
                break
            sound = [(one, fix) for one, fix in taken if not self._breaks(one, fix, before, wrong)]
            if len(sound) == len(taken):  # each by itself is fine: together they are not, so none of them is made
                sound = [(one, fix) for one, fix in taken if not wrong & {_real(edit.span.path) for edit in fix.edits}]
                for path in sorted(wrong):
                    self._say(("together", path), "what several fixes make of it cannot be parsed", self.shown[path])
            chosen, taken = _choose(sound)
        changed = self._texts != before
        if not changed:
            return False
        self.mended += [one for one, _ in taken]
        self._together += [{_real(edit.span.path) for edit in fix.edits} for _, fix in taken]
        state = hash(frozenset(self._texts.items()))
        if state in self._states:
            codes = sorted({one.code for one, _ in taken})
            raise ToolError(f"the fixes of {', '.join(codes)} undo one another: nothing is written")
        self._states.add(state)
        return True

    def edit(self, path: str, text: str) -> None:
        """The text of a file as somebody else than a finding has it."""
        real = _real(path)
        self.shown.setdefault(real, path)
        self._texts[real] = text
        self.overlay.texts[real] = text.encode("utf-8", "surrogateescape")

    def text(self, path: str) -> str:
        """The text as it is by now, with its byte order mark and line ends."""
        real = _real(path)
        if real not in self._texts:
            self._texts[real] = self._base(real).decode("utf-8")
        return self._texts[real]

    def _base(self, real: str) -> bytes:
        if real not in self.overlay.seen:
            with open(real, "rb") as file:
                self.overlay.seen[real] = file.read()
        return self.overlay.seen[real]

    def allowed(self, path: str, roots: Collection[str]) -> bool:
        """Whether a file may be edited; why not is an error, once."""
        real = _real(path)
        if real in self._refused:
            return False
        if real in self.shown:
            return True
        error = refusal(path, real, roots)
        if error is None:
            try:
                self._base(real).decode("utf-8")
            except UnicodeDecodeError as wrong:
                line = self._base(real).count(b"\n", 0, wrong.start) + 1
                from bpfsmith.model.errors import InputError

                error = InputError("not mended: it is not UTF-8", where=f"{path}:{line}", hint="save the file as UTF-8")
        if error is not None:
            self._refused.add(real)
            self.errors.append(error)
            return False
        self.shown[real] = path
        return True

    def _allowed(self, fix: Fix, roots: Collection[str]) -> bool:
        # All of them are asked, so that all that are refused are said.
        allowed = [self.allowed(path, roots) for path in dict.fromkeys(edit.span.path for edit in fix.edits)]
        return all(allowed)

    def _make(self, chosen: Chosen, before: dict[str, str]) -> set[str]:
        """Applies the edits to the texts from before the round; the files whose result cannot be parsed."""
        self._texts = dict(before)
        fresh: dict[str, tuple[str, str]] = {}
        wrong: set[str] = set()
        for path, edits in chosen.edits.items():
            real = _real(path)
            old = self.text(path)
            try:
                new = apply(old, edits)
            except ValueError:
                wrong.add(real)
            else:
                if new != old:
                    fresh[real] = (old, new)
        wrong |= unsound(fresh)
        for real, (_, new) in fresh.items():
            self._texts[real] = new
            self.overlay.texts[real] = new.encode("utf-8")
        if wrong:
            self._texts = dict(before)
            for real in fresh:
                if real in before:
                    self.overlay.texts[real] = before[real].encode("utf-8")
                else:
                    self.overlay.texts.pop(real, None)
        return wrong

    def _breaks(self, finding: Finding, fix: Fix, before: dict[str, str], wrong: set[str]) -> bool:
        """Whether the fix alone makes of a file what the parser does not take."""
        if not wrong & {_real(edit.span.path) for edit in fix.edits}:
            return False
        alone = Chosen()
        alone.add(fix)
        fresh = {}
        for path, edits in alone.edits.items():
            old = before.get(_real(path), self._base(_real(path)).decode("utf-8"))
            try:
                fresh[_real(path)] = (old, apply(old, edits))
            except ValueError:
                break
        else:
            if not unsound(fresh):
                return False
        where = finding.path or ""
        self._say(
            (finding.code, where, fix.message),
            f"not mended: what the fix of {finding.code} makes of it cannot be parsed",
            str(finding.span or where),
        )
        return True

    def _say(self, key: tuple[str, ...], message: str, where: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self.errors.append(ToolError(message, where=where))

    # ------------------------------------------------------------ the end

    def changed(self) -> dict[str, tuple[str, str]]:
        """Path as shown -> (text before, text after) of every file that is different now; sorted."""
        out = {}
        for real, new in self._texts.items():
            old = self._base(real).decode("utf-8")
            if new != old:
                out[self.shown.get(real, real)] = (old, new)
        return dict(sorted(out.items()))

    def diff(self) -> str:
        return "".join(unified_diff(path, old, new) for path, (old, new) in self.changed().items())

    def write(self) -> list[str]:
        """Replaces the files, each at once; the paths that were written. Files that go together fail together."""
        changed = self.changed()
        failed: dict[str, BpfsmithError | None] = {}
        for path in changed:
            error = changed_meanwhile(path, self._base(_real(path)))
            if error is not None:
                failed[_real(path)] = error
        self._spread(failed)
        written = []
        for path, (old, new) in changed.items():
            real = _real(path)
            if real in failed:
                continue
            try:
                replace_file(path, real, old.encode("utf-8"), new.encode("utf-8"))
            except BpfsmithError as error:
                failed[real] = error
            else:
                written.append(path)
        self.errors += [error for error in failed.values() if error is not None]
        self.mended = [
            one
            for one in self.mended
            if not {_real(edit.span.path) for fix in one.fixes for edit in fix.edits} & set(failed)
        ]
        return written

    def write_all(self) -> bool:
        """Replaces all of the files or none; False, and why in `errors`, when it is none."""
        changed = self.changed()
        found = [changed_meanwhile(path, self._base(_real(path))) for path in changed]
        wrong: list[BpfsmithError] = [error for error in found if error is not None]
        written: list[tuple[str, bytes, bytes]] = []
        for path, (old, new) in () if wrong else changed.items():
            before, after = old.encode("utf-8"), new.encode("utf-8")
            try:
                replace_file(path, _real(path), before, after)
            except BpfsmithError as error:
                wrong.append(error)
                break
            written.append((path, before, after))
        for path, before, after in written if wrong else ():
            try:
                replace_file(path, _real(path), after, before)
            except BpfsmithError as error:
                wrong.append(ToolError(f"cannot be put back as it was: {error.message}", where=path))
        self.errors += wrong
        return not wrong

    def _spread(self, failed: dict[str, BpfsmithError | None]) -> None:
        grown = True
        while grown and failed:
            grown = False
            for group in self._together:
                more = group - set(failed)
                if more and more != group:
                    failed.update(dict.fromkeys(more))
                    grown = True


def _real(path: str) -> str:
    return os.path.realpath(path)


def _choose(offered: Iterable[tuple[Finding, Fix]]) -> tuple[Chosen, list[tuple[Finding, Fix]]]:
    chosen = Chosen()
    return chosen, [(one, fix) for one, fix in offered if chosen.add(fix)]


def unsound(fresh: dict[str, tuple[str, str]]) -> set[str]:
    """Of path -> (old, new) the paths whose new text the parser takes less of than it took of the old one."""
    wrong = set()
    rust = [path for path in fresh if path.endswith(".rs")]
    if rust:
        from bpfsmith.source.rust import parse_files

        texts = [text for path in rust for text in fresh[path]]
        parsed = parse_files([path for path in rust for _ in range(2)], [text.encode("utf-8") for text in texts])
        for at, path in enumerate(rust):
            before, after = (sum(note.kind != "not-utf8" for note in one.notes) for one in parsed[2 * at : 2 * at + 2])
            if after > before:
                wrong.add(path)
    for path, (_, new) in fresh.items():
        if path.endswith((".toml", ".lock")):
            import tomllib

            try:
                tomllib.loads(new.removeprefix("\ufeff"))
            except (ValueError, RecursionError):
                wrong.add(path)
    return wrong


def mend(
    check: Callable[[], Report], accept: Collection[str], *, write: bool, last: Callable[[], Report] | None = None
) -> Report:
    """The report of what is left, with `mended` set. `check` runs the rules once; it is called every round, and `last`,
    if there is one, afterwards."""
    mender = Mender(accept)
    with mender.overlay:
        for _ in range(_ROUNDS):
            report = check()
            roots = report.sources.roots if report.sources is not None else ()
            if not mender.round(report.findings, roots):
                break
        else:
            codes = sorted({one.code for one in report.findings if fix_for(one, accept)})
            raise ToolError(f"the fixes of {', '.join(codes)} find no end: nothing is written")
        files = list(mender.changed())
        diff = mender.diff()
    if write and files:
        files = mender.write()
        if len(files) != len(mender.changed()) and last is None:
            report = check()  # what is said of the rest must be true of what is on disk
    if last is not None:
        report = last()
    return report.after(Mended(mender.mended, files, diff, write), mender.errors)

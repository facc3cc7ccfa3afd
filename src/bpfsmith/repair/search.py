"""From a rejected program to a change that the verifier accepts: changes are tried, the smallest first.

A change that moves a rejection to another place is kept and gone on from: a program may be refused for several reasons,
or by several kernels for one each.
"""

from __future__ import annotations

from heapq import heappop, heappush
from time import monotonic

from bpfsmith.model.edits import apply, unified_diff
from bpfsmith.model.errors import BpfsmithError
from bpfsmith.model.finding import Edit, Fix, Span
from bpfsmith.repair.ground import Ground
from bpfsmith.repair.judged import Built, Why, why
from bpfsmith.repair.kept import Moved, gone
from bpfsmith.repair.makers import candidates, order
from bpfsmith.repair.report import SAME_WORK, Candidate, Proof
from bpfsmith.repair.tools import BuildFailed, rendered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from bpfsmith.model.program import Program
    from bpfsmith.repair.copies import Copy
    from bpfsmith.repair.tools import Runner
    from bpfsmith.verify.report import Result

    Key = tuple[str, str]
    Step = tuple[dict[str, str], Program]

__all__ = ["Search", "Settings"]

_DEPTH = 4
_SPARED = 24  # builds for one program, at most, that make the same instructions as one before and do not count
_CHECKED = frozenset({"verifier-imprecision", "check-lost", "check-on-copy"})  # what is asked again holds already
_LIMITS = frozenset({"bounds-check", "conjunct", "tightened"})  # kinds that put a limit to something


class Settings:
    """`kernels`: as for `verify`; `builds`, `seconds`: what one program's search may cost; `timeout`: seconds a guest
    may take; `say`: told what is done."""

    __slots__ = ("builds", "kernels", "say", "seconds", "timeout")

    def __init__(
        self, kernels: Any = None, *, builds: int = 14, seconds: float = 900, timeout: float = 300,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.kernels = kernels
        self.builds = builds
        self.seconds = seconds
        self.timeout = timeout
        self.say = say


class _Node:
    """The project with some changes: `texts` by the user's path, what was done, why it is refused still; `steps`: the
    texts and the program after each change, the original first."""

    __slots__ = ("done", "later", "refused", "seen", "size", "steps", "texts", "whys")

    def __init__(
        self, texts: dict[str, str], done: tuple[Candidate, ...], whys: list[Why], seen: frozenset[Any],
        steps: tuple[Step, ...], refused: tuple[Why, ...] = (), later: str = "",
    ) -> None:  # fmt: skip
        self.steps = steps
        self.refused = refused  # why it was refused on the way to here
        self.later = later  # the statements that were refused after the first change
        self.texts = texts
        self.done = done
        self.whys = whys
        self.seen = seen
        self.size = sum(one.size for one in done)


class Search:
    """Of one project in its copy. `source`: how it is built; `first`: the build of the project as it is."""

    def __init__(self, source: Any, copy: Copy, run: Runner, settings: Settings) -> None:
        self.source = source
        self.copy = copy
        self.run = run
        self.settings = settings
        self._builds = 0
        self.first = self._build({})
        self.first.ask(settings.kernels, log=False, timeout=settings.timeout)

    # ------------------------------------------------------------ building

    def _build(self, texts: dict[str, str]) -> Built:
        self.copy.change(texts)
        self._builds += 1
        folder = f"{self.copy.objects}/{self._builds:04}"
        return Built(self.source.build(self.copy, self.run), folder)

    def _ground(self, reason: Why, built: Built, key: Key) -> Ground:
        """The sources as they are in the copy now."""
        if self.source.language == "rust":
            project = self.source.project(self.copy)
            files = [one.path for crate in project.all_crates for one in crate.files]
            return Ground("rust", self.copy, reason, built.program(key), project, files)
        files = [self.copy.inside(one) for one in self.source.files(self.copy)]
        return Ground("c", self.copy, reason, built.program(key), None, files)

    # ------------------------------------------------------------ searching

    def rejected(self, program: str | Collection[str] | None = None) -> list[Key]:
        """The programs that some kernel refuses; of these names only."""
        names = (program,) if isinstance(program, str) else program
        return [
            key for key in self.first.rows
            if (names is None or key[1] in names)
            and any(one.verdict == "rejected" for one in self.first.results(key).values())
        ]  # fmt: skip

    def repair(self, key: Key) -> Proof:
        """What can be done for one program."""
        first = self._asked(self.first, key)
        whys = self._whys(self.first, key, first)
        proof = self._searched(key, first, whys)
        proof.refused = tuple(one.kernel for one in first.values() if one.verdict == "rejected")
        if whys:
            cause = whys[0].cause
            proof.message, proof.headline = whys[0].message, cause.headline
            if cause.place is not None and cause.place.path and cause.place.line:
                proof.place = _shown(self.copy.outside(cause.place.path)), cause.place.line
        return proof

    def _searched(  # noqa: PLR0912, PLR0915 - the search in one piece
        self, key: Key, first: dict[str, Result], whys: list[Why]
    ) -> Proof:
        started, builds = monotonic(), self._builds
        cls = whys[0].cause.cls if whys else "unknown"
        wanted = [one.kernel for one in first.values() if one.verdict == "rejected"]
        wanted = [name for name in wanted if not any(one.kernel == name and one.outside for one in whys)]
        if not wanted:
            return self._told(key, whys, "the cause lies outside of the program's lines", 0)
        queue: list[tuple[Any, int, _Node, Candidate]] = []
        number = 0

        def offer(node: _Node, built: Built) -> None:
            nonlocal number
            self.copy.change(node.texts)
            for rank, reason in enumerate(node.whys[:2]):
                for one in candidates(self._ground(reason, built, key)):
                    number += 1
                    # A build of Rust takes long: what a person would write comes first, a limit that is made up last.
                    first_ = order(one) if self.source.language == "rust" else 0
                    heappush(queue, ((len(node.done), first_, rank, node.size + one.size, number), number, node, one))

        root = _Node(
            {}, (), [one for one in whys if not one.outside], frozenset(_marks(first)), (({}, self.first.program(key)),)
        )
        offer(root, self.first)
        spare: Proof | None = None
        partial: tuple[dict[str, str], tuple[Candidate, ...], Built, list[str]] | None = None
        tried: set[int] = set()
        refused: set[int] = set()  # the instructions of what was judged and refused
        spared = 0
        said = ""
        while (
            queue
            and self._builds - builds - min(spared, _SPARED) < self.settings.builds
            and monotonic() - started < self.settings.seconds
        ):
            _, _, node, one = heappop(queue)
            texts = self._applied(node, one)
            if texts is None or hash(frozenset(texts.items())) in tried:
                continue
            tried.add(hash(frozenset(texts.items())))
            # What the compiler made nothing new of does not count: its number is given again.
            number_of = f"building change {self._builds - builds - min(spared, _SPARED) + 1} of at most"
            number_of += f" {self.settings.builds}"
            self.settings.say(f"{key[1]}: {number_of} ({monotonic() - started:.0f} s): {one.message} ..")
            try:
                built = self._build(texts)
            except BuildFailed as error:
                self.settings.say(f"{key[1]}: does not build: {_first_error(error.output)}")
                continue
            code = _code(built, key)
            if code is not None and code in refused:
                # The compiler made the same of it: nothing is learned, and it costs no change of the budget.
                self.settings.say(f"{key[1]}: the same instructions as before")
                spared += 1
                continue
            built.ask(self.settings.kernels, [key[1]], log=True, timeout=self.settings.timeout)
            results = built.results(key)
            if code is not None and any(results[name].verdict != "accepted" for name in wanted if name in results):
                refused.add(code)
            if any(
                first[name].verdict == "accepted" and one_.verdict == "rejected"
                for name, one_ in results.items()
                if name in first
            ):
                said = said or "a kernel that accepts the original refuses it"
                continue
            left = [name for name in wanted if name in results and results[name].verdict != "accepted"]
            done = (*node.done, one)
            if left:
                self.settings.say(f"{key[1]}: {left[0]} still refuses it: {results[left[0]].message}")
            steps = (*node.steps, (texts, built.program(key)))
            if not left:
                proof = self._proved(key, cls, texts, done, built, whys, self._builds - builds, steps, node)
                if proof is not None and proof.proved:
                    return proof
                spare = spare or proof
                continue
            if len(left) < (len(partial[3]) if partial is not None else len(wanted)):
                partial = texts, done, built, left
            marks = frozenset(_marks(results))
            if len(done) < _DEPTH and (not marks <= node.seen or cls == "panic-or-unreachable"):
                more = self._whys(built, key, results)
                inside = [reason for reason in more if not reason.outside and reason.kernel in left]
                if inside:
                    also = node.later + self._refused(texts, inside)
                    offer(_Node(texts, done, inside, node.seen | marks, steps, (*node.refused, *inside), also), built)
        tries = self._builds - builds
        if spare is None and partial is not None:
            spare = self._partly(key, cls, *partial, whys, tries)
        if spare is not None:
            return spare
        none = f"none of {tries} changes is accepted" if tries else "no change is known for it that is right in general"
        return self._told(key, whys, said or none, tries)

    def _partly(
        self, key: Key, cls: str, texts: dict[str, str], done: tuple[Candidate, ...], built: Built, left: list[str],
        whys: list[Why], tried: int,
    ) -> Proof | None:  # fmt: skip
        """A change that some of the kernels accept."""
        proof = self._proved(key, cls, texts, done, built, whys, tried)
        if proof is not None:
            still = _still(left)
            proof.fix = Fix("unsafe", proof.fix.message, proof.fix.edits)
            proof.why = f"{still}; on the others: {proof.why}"
            proof.shown = None
        return proof

    def _asked(self, built: Built, key: Key) -> dict[str, Result]:
        """What the kernels say of one program, with the log."""
        if any(_endless(one.message or "") for one in built.results(key).values()):
            return built.results(key)  # a million instructions, each with its states, would tell no more
        built.ask(self.settings.kernels, [key[1]], log=True, timeout=self.settings.timeout)
        return built.results(key)

    def _whys(self, built: Built, key: Key, results: dict[str, Result]) -> list[Why]:
        """Why it is refused, the newest kernel first; those that say the same once, unless one is about the kernel."""
        out: list[Why] = []
        seen = set()
        for one in reversed([one for one in results.values() if one.verdict == "rejected"]):
            made = why(one, built.program(key))
            place = made.cause.place
            mark = (made.cause.cls, place.line if place is not None else None)
            if mark not in seen or made.outside:
                seen.add(mark)
                out.append(made)
        return out

    def _applied(self, node: _Node, one: Candidate) -> dict[str, str] | None:
        """The texts with a candidate's edits made to those of its node; None when they do not fit, or what comes of it
        cannot be parsed."""
        texts = dict(node.texts)
        by_path: dict[str, list[Edit]] = {}
        for edit in one.edits:
            by_path.setdefault(self.copy.outside(edit.span.path), []).append(edit)
        for path, edits in by_path.items():
            old = texts[path] if path in texts else self._original(path)
            if old is None:
                return None
            rows = [((e.span.line, e.span.column), (e.span.end_line, e.span.end_column), e.text) for e in edits]
            try:
                texts[path] = apply(old, rows)
            except ValueError:
                return None
            if path.endswith(".rs") and _broken(old, texts[path]):
                return None
        return texts

    def _original(self, path: str) -> str | None:
        try:
            with open(path, encoding="utf-8", newline="") as file:
                return file.read()
        except (OSError, UnicodeDecodeError):
            return None

    # ------------------------------------------------------------ proving

    def _proved(
        self, key: Key, cls: str, texts: dict[str, str], done: tuple[Candidate, ...], built: Built, whys: list[Why],
        tried: int, steps: tuple[Step, ...] = (), node: _Node | None = None,
    ) -> Proof | None:  # fmt: skip
        """The proof of an accepted change; None when it is no fix at all."""
        from bpfsmith.repair.behaviour import RUNNABLE, compare
        from bpfsmith.repair.work import giving_back, instead, second_release

        before, after = self.first.program(key), built.program(key)
        pairs = {path: (self._original(path) or "", text) for path, text in texts.items()}
        # Of code that panics the refused line is the panic itself, or the loop that a handler ends in; what was put
        # into its callers is the compiler's to merge.
        panics = bool(whys) and whys[0].cause.cls == "panic-or-unreachable"
        stores = any(one.kind != "inline" for one in done)
        symptom = self._symptom(whys) if stores and not panics else []
        twice = second_release(pairs, done)
        if twice or all(one.kind in ("negative-errno", "release") for one in done):
            symptom = []
        released = giving_back(before) if any(one.kind in ("release", "order") for one in done) else ()
        missing = gone(
            before, after, Moved(pairs), self.copy.outside, symptom, instead(done), stores=stores, twice=twice,
            released=released,
        )  # fmt: skip
        if missing is not None:
            self.settings.say(f"{key[1]}: no fix: {missing}")
            return None
        others = self._others(key, built)
        if others is not None:
            self.settings.say(f"{key[1]}: no fix: {others}")
            return None
        kernels = [name for name, one in built.results(key).items() if one.verdict == "accepted"]
        first = self.first.results(key)
        taken = [name for name in kernels if name in first and first[name].verdict == "accepted" and name != "host"]
        shown, ran, said = None, [], ""
        if taken and (after.type or "") in RUNNABLE:
            told = compare(taken[-1], self.first.objects[key[0]], built.objects[key[0]], key[1])
            if told.agree is False:
                self.settings.say(f"{key[1]}: no fix: {told.why}")
                return None
            if told.agree:
                shown, ran = "same-output", [taken[-1]]
                said = f"{taken[-1]} accepts the original: both gave the same in {told.runs} test runs"
                said += f" ({told.why})" if told.why else ""
        if shown is None:
            shown, said = self._argued(before, after, pairs, done, steps)
            if shown == "only-failing-branch" and any(one.kind in _LIMITS for one in done):
                wrong = self._unfounded(key, pairs, whys, node, inside=any(one.kind == "conjunct" for one in done))
                if wrong is not None:
                    shown, said = None, f"not shown to do the same: {wrong}"
            if shown == "only-failing-branch" and kernels:
                wrong, tried_out = self._tried_out(key, pairs, done, kernels, after.type or "", whys)
                shown, said = (None, f"not shown to do the same: {wrong}") if wrong else (shown, said + tried_out)
        message = "; ".join(dict.fromkeys(one.message for one in done))
        still = {name: one.message or "" for name, one in built.results(key).items() if one.verdict == "rejected"}
        message += _shown_by(shown, kernels, ran, list(still))
        fix = Fix("proved" if shown else "unsafe", message, edits_of(pairs))
        diff = "".join(unified_diff(_shown(path), old, new) for path, (old, new) in sorted(pairs.items()))
        proof = Proof(
            key[0], key[1], fix, cls=cls, shown=shown, kernels=kernels, ran=ran, why=said, diff=diff, tried=tried
        )
        proof.still = still
        return proof

    def _argued(
        self, before: Program, after: Program, pairs: dict[str, tuple[str, str]], done: tuple[Candidate, ...],
        steps: tuple[Step, ...],
    ) -> tuple[str | None, str]:  # fmt: skip
        """What the change shows by itself: as a whole, or where checks were added to what says the same in other words,
        each step."""
        from bpfsmith.repair.work import argued

        shown, said = argued(before, after, pairs, done)
        kinds = {one.shape == SAME_WORK for one in done}
        if shown is not None or len(kinds) < 2 or len(steps) != len(done) + 1:
            return shown, said
        reasons = []
        for at, one in enumerate(done):
            (earlier, first), (later, second) = steps[at], steps[at + 1]
            texts = {
                path: (earlier.get(path, self._original(path) or ""), later[path])
                for path in later
                if earlier.get(path, self._original(path)) != later[path]
            }
            step, reason = argued(first, second, texts, [one])
            if step is None:
                return None, reason
            reasons.append(reason)
        return "only-failing-branch", "; then ".join(dict.fromkeys(reasons))

    def _tried_out(
        self, key: Key, pairs: dict[str, tuple[str, str]], done: tuple[Candidate, ...], kernels: list[str], type_: str,
        whys: list[Why],
    ) -> tuple[str | None, str]:  # fmt: skip
        """Runs a copy that counts what the added checks let through: (what it refutes, what it showed)."""
        from bpfsmith.repair import trial
        from bpfsmith.repair.behaviour import RUNNABLE

        named = [one for one in kernels if one != "host"]
        if not named:
            return None, ""
        counts = None
        texts, limits = trial.counting(pairs, done)
        if not limits:
            return None, ""
        if type_ in RUNNABLE:
            self.settings.say(f"{key[1]}: running a copy that counts what the check lets through ..")
            try:
                built = self._build(texts)
            except BuildFailed:
                built = None
            self._builds -= 1
            obj = built.objects.get(key[0]) if built is not None else None
            counts = trial.run(named[-1], obj, key[1], len(limits)) if obj is not None else None
            self.copy.change({path: new for path, (_, new) in pairs.items()})
        checked = any(one.cause.cls in _CHECKED for one in whys)
        wrong = counts.refuted(limits, checked=checked) if counts is not None else ""
        if counts is not None and wrong:
            return f"in {counts.runs} test runs on {named[-1]} {wrong}", ""
        return None, f"; {trial.said(counts, named[-1], type_)}"

    def _refused(self, texts: dict[str, str], whys: list[Why]) -> str:
        """The statements of changed texts that are refused."""
        from bpfsmith.repair.limits import statements

        facts = [fact for one in whys for fact in (one.cause.symptom, one.cause) if fact is not None]
        places = [fact.place for fact in facts if fact.place is not None]
        return statements(texts, [(self.copy.outside(it.path), it.line) for it in places if it.path and it.line])

    def _unfounded(
        self, key: Key, pairs: dict[str, tuple[str, str]], whys: list[Why], node: _Node | None = None, *, inside: bool
    ) -> str | None:
        """Whether limits that were added are those of what is accessed: of what was refused first, and of what was
        refused after the changes that led to `node`."""
        from bpfsmith.repair.limits import known_sizes, unfounded

        also = node.later if node is not None else ""
        if node is not None:
            whys = [*whys, *node.refused]
        lines: dict[tuple[str, int], None] = {}
        for one in whys[: len(whys) - len(node.refused)] if node is not None else whys:
            for fact in (one.cause.symptom, one.cause):
                it = fact.place if fact is not None else None
                if it is not None and it.path and it.line:
                    lines[self.copy.outside(it.path), it.line] = None

        def needed(path: str, text: str) -> bool:
            """Whether a kernel refuses the program with this text of a file."""
            texts = {**{name: new for name, (_, new) in pairs.items()}, path: text}
            self.settings.say(f"{key[1]}: trying a limit that lets one more through ..")
            try:
                built = self._build(texts)
            except BuildFailed:
                return False
            finally:
                self._builds -= 1
            built.ask(self.settings.kernels, [key[1]], log=False, timeout=self.settings.timeout)
            return any(one.verdict == "rejected" for one in built.results(key).values())

        try:
            return unfounded(pairs, list(lines), whys, known_sizes(whys), needed, also, inside=inside)
        finally:
            self.copy.change({path: new for path, (_, new) in pairs.items()})

    def _symptom(self, whys: list[Why]) -> list[tuple[str, int]]:
        """The lines one of which must be reached still: the refused instruction's; where the cause is a use that
        nothing checked that of the use too, for what is computed for it may be counted to another line."""
        for one in whys:
            facts = [one.cause.symptom.place if one.cause.symptom is not None else None]
            if one.cause.cls in ("missing-bounds-check", "missing-null-check", "pointer-arithmetic"):
                facts.append(one.cause.place)
            lines = [(self.copy.outside(it.path), it.line) for it in facts if it is not None and it.path and it.line]
            if lines:
                return lines
        return []

    def _others(self, key: Key, built: Built) -> str | None:
        """The object's other programs must fare no worse."""
        names = [program.name for program in built.objects[key[0]].programs if program.name != key[1]]
        if not names:
            return None
        built.ask(self.settings.kernels, names, log=False, timeout=self.settings.timeout)
        for name in names:
            before, after = self.first.results((key[0], name)), built.results((key[0], name))
            for kernel, one in after.items():
                if one.verdict == "rejected" and kernel in before and before[kernel].verdict == "accepted":
                    return f"{kernel} refuses `{name}` then"
        return None

    def _told(self, key: Key, whys: list[Why], said: str, tried: int) -> Proof:
        """No edit: the sentence of the cause's advice."""
        cause = whys[0].cause if whys else None
        advice = next((one.text for one in cause.advice if one.text), "") if cause is not None else ""
        text = advice or (cause.headline if cause is not None else "") or said
        cls = cause.cls if cause is not None else "unknown"
        return Proof(key[0], key[1], Fix("display", text), cls=cls, why=said, tried=tried)


def _still(kernels: Sequence[str]) -> str:
    return f"{', '.join(kernels)} still refuse{'s' if len(kernels) == 1 else ''} it"


def _shown_by(shown: str | None, kernels: list[str], ran: list[str], still: list[str]) -> str:
    """What the fix says of its proof: who accepts it and who does not, and which of the two was shown."""
    taken = f"{', '.join(kernels)} accept{'s' if len(kernels) == 1 else ''} it"
    if still:
        taken = f"{taken}, {_still(still)}" if kernels else _still(still)
    if shown == "same-output":
        return f" ({taken}; it does what the original does in test runs on {', '.join(ran)})"
    if shown == "same-work":
        return f" ({taken}; it says the same in other words)"
    if shown == "only-failing-branch":
        return f" ({taken}; the failing branch is all that is new)"
    return f" ({taken}; not shown to do the same)"


def _code(built: Built, key: Key) -> int | None:
    """What tells the instructions of a program from those of another build."""
    try:
        rows = built.program(key).instruction_view()
    except KeyError:
        return None
    return hash(tuple((one.code, one.dst, one.src, one.off, one.imm) for one in rows))


def _first_error(output: str) -> str:
    """What a compiler complains of first."""
    lines = rendered(output)
    return next((line.strip() for line in lines if "error" in line), lines[-1] if lines else "")[:200]


def _endless(message: str) -> bool:
    """Whether the verifier gave up on the program's size."""
    return "program is too large" in message or "is too complex" in message or "too many iterations" in message


def _marks(results: dict[str, Result]) -> list[Any]:
    """What tells one rejection from another: where and what, by kernel."""
    return [
        (name, one.path, one.line, tuple((one.message or "").split()[:6]))
        for name, one in results.items() if one.verdict == "rejected" and one.message is not None
    ]  # fmt: skip


def _broken(old: str, new: str) -> bool:
    """Whether the parser takes less of the new text."""
    from bpfsmith.source.rust import parse_files

    before, after = parse_files(["a.rs", "b.rs"], [old.encode(), new.encode()])
    return len(after.notes) > len(before.notes)


def _shown(path: str) -> str:
    from bpfsmith.rules._sources import Sources

    return Sources().shown(path)


def edits_of(texts: dict[str, tuple[str, str]]) -> list[Edit]:
    """Edits of whole lines that make one text of another, as few lines as can be."""
    from difflib import SequenceMatcher

    out = []
    for path, (old, new) in sorted(texts.items()):
        before, after = old.removeprefix("\ufeff").split("\n"), new.removeprefix("\ufeff").split("\n")
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if tag == "equal":
                continue
            text = "".join(f"{line}\n" for line in after[j1:j2]).replace("\r\n", "\n")
            if i1 == len(before):
                end = len(before[-1]) + 1
                span = Span(_shown(path), i1, end, i1, end)
                text = "\n" + text.removesuffix("\n")
            elif i2 < len(before):
                span = Span(_shown(path), i1 + 1, 1, i2 + 1, 1)
            elif j1 == j2 and i1:  # the end is taken away, and the line end before it
                span, text = Span(_shown(path), i1, len(before[i1 - 1]) + 1, len(before), len(before[-1]) + 1), ""
            else:  # up to the end, which has no line end of its own
                text = text.removesuffix("\n")
                span = Span(_shown(path), i1 + 1, 1, len(before), len(before[-1]) + 1)
            out.append(Edit(span, text))
    return out


def failed(error: BpfsmithError) -> str:
    """A sentence for what went wrong."""
    return error.message.splitlines()[0]

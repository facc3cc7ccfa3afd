"""Runs the selected rules over the inputs and puts the report together."""

from __future__ import annotations

import os

from bpfsmith import rules
from bpfsmith.check.cache import saw
from bpfsmith.check.config import LOADERS, Config, find_config, load_config
from bpfsmith.check.inputs import Input, resolve
from bpfsmith.check.merge import merge, without_baseline
from bpfsmith.check.report import DEFAULT_FAIL_ON, FAIL_ON, Report, strictest
from bpfsmith.model.errors import BpfsmithError, InputError, ToolError
from bpfsmith.model.finding import Edit, Fix, Label, Span
from bpfsmith.model.kernels import ALL_KERNELS, parse_kernels
from bpfsmith.model.near import did_you_mean
from bpfsmith.rules._base import CheckContext, ObjectRule, SourceRule
from bpfsmith.rules._sources import Sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.kernels import KernelSet
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import Rule
    from bpfsmith.source.project import Project

    Answer = tuple[list[Finding], list[BpfsmithError], list[str]]  # what a rule finds, what broke, what it notes

__all__ = ["Options", "run"]


class Options:
    """The arguments of `check`, as given; configuration fills what is None."""

    __slots__ = (
        "baseline", "btf", "build", "config", "fail_on", "ignore", "kernels", "last", "loaders", "preview", "prove",
        "select",
    )  # fmt: skip

    def __init__(
        self,
        kernels: str | KernelSet | None = None,
        select: tuple[str, ...] | None = None,
        ignore: tuple[str, ...] = (),
        loaders: tuple[str, ...] | None = None,
        btf: tuple[str, ...] = (),
        build: bool = False,
        fail_on: str | None = None,
        config: str | None = None,
        baseline: str | None = None,
        prove: bool = False,
        preview: bool = False,
        last: bool = False,
    ) -> None:
        self.kernels = kernels
        self.select = select
        self.ignore = ignore
        self.loaders = loaders
        self.btf = btf
        self.build = build
        self.fail_on = fail_on
        self.config = config
        self.baseline = baseline
        self.prove = prove
        self.preview = preview
        self.last = last  # the process ends after it: nothing is taken apart

    def validate(self) -> None:
        """Wrong words fail before any file is read."""
        if self.fail_on is not None and self.fail_on not in FAIL_ON:
            raise InputError(f"unknown severity `{self.fail_on}`", hint=f"known are {', '.join(FAIL_ON)}")
        for loader in self.loaders or ():
            if loader not in LOADERS:
                raise InputError(
                    f"unknown loader `{loader}`", hint=did_you_mean(loader, LOADERS, "known are `aya`, `libbpf`")
                )
        rules.select(self.select, self.ignore)


class _Run:
    """The state of one check."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.findings: list[Finding] = []
        self.errors: list[BpfsmithError] = []
        self.notes: list[str] = []
        self.loads: list[str] = []
        # For `prove`: objects with programs, and the kernels that were asked for.
        self.judged: list[tuple[Object, KernelSet | str | None]] = []
        self.files: set[str] = set()
        self.named: list[str] = []  # objects given by name
        self.suppressed = 0
        self.sources = Sources()
        # Source file -> codes of the rules that could have reported in it: what is not among them is not "unused".
        self.ran: dict[str, set[str]] = {}
        self.bars: list[str] = []  # `fail-on` of each input's configuration
        self._configs: dict[str | None, Config] = {}
        self._found: dict[str, str | None] = {}
        self._real: dict[str, str] = {}
        self._kernels: list[Kernel] | None = None

    def config_path(self, path: str) -> str | None:
        if self.options.config:
            return self.options.config
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        if folder not in self._found:
            self._found[folder] = find_config(folder or os.curdir)
        return self._found[folder]

    def config_for(self, path: str) -> Config:
        found = self.config_path(path)
        if found not in self._configs:
            self._configs[found] = load_config(found) if found else Config()
        return self._configs[found]

    def real(self, path: str) -> str:
        """A file's real path; its folder's is asked for once."""
        folder, name = os.path.split(path)
        if os.path.islink(path):
            return os.path.realpath(path)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return os.path.join(self._real[folder], name)

    def kernels(self) -> list[Kernel]:
        if self._kernels is None:
            from bpfsmith.read import read_kernel

            for path in self.options.btf:
                saw(path)
            self._kernels = [read_kernel(path) for path in self.options.btf]
        return self._kernels


def run(paths: list[str], options: Options) -> Report:
    """Checks every path; see `bpfsmith.check.check`."""
    import gc

    options.validate()
    # Nearly all that is made lives until the end: looking through it again and again takes as long as the rules.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _run(paths, options)
    finally:
        if options.last:
            gc.freeze()
        elif collects:
            gc.enable()


def _run(paths: list[str], options: Options) -> Report:
    try:
        os.getcwd()
    except FileNotFoundError:
        if not all(map(os.path.isabs, paths)):
            raise InputError("the current folder was deleted", hint="`cd` into one that exists") from None
    state = _Run(options)
    state.kernels()
    inputs: list[Input] = []
    for path in paths:
        try:
            inputs.extend(resolve(path))
        except BpfsmithError as error:
            state.errors.append(error)
    if not inputs and isinstance(options.kernels, str):
        # With inputs each one's configuration may name kernels; with none the words are still looked at.
        parse_kernels(options.kernels, names=state.config_for(os.curdir).names)
    if not paths:
        state.notes.append("no path was given: nothing was checked")
    state.named = [os.path.abspath(path) for one in inputs if one.named for path in one.objects]
    for one in _batches(state, inputs):
        state.errors.extend(one.errors)
        # A configuration that cannot be read stops its own input only.
        try:
            _Pass(state, one).run()
        except BpfsmithError as error:
            state.errors.append(error)
    if options.prove:
        _prove(state)
    findings = _after(state)
    if options.last:
        from bpfsmith._native import keep_for_ever

        keep_for_ever((state, inputs))
    return Report(
        findings,
        files=len(state.files),
        suppressed=state.suppressed,
        notes=dict.fromkeys(state.notes),
        loads=dict.fromkeys(state.loads),
        errors=state.errors,
        fail_on=options.fail_on or strictest(state.bars),
        sources=state.sources,
    )


def _prove(state: _Run) -> None:
    """Real kernels have the last word on what was said of kernels."""
    from bpfsmith.check.prove import prove

    if not state.judged:
        state.notes.append("no object was checked, so there is nothing for kernels to prove: build it first")
        return
    groups: dict[str | None, tuple[KernelSet | str | None, list[Object]]] = {}
    for obj, kernels in state.judged:
        groups.setdefault(None if kernels is None else str(kernels), (kernels, []))[1].append(obj)
    loads: list[str] = []
    for kernels, objects in groups.values():
        told = prove(objects, state.findings, kernels)
        state.findings = told.findings
        loads += told.loads
        state.errors += told.errors
    state.loads = loads or state.loads


def _batches(state: _Run, inputs: list[Input]) -> list[Input]:
    """The inputs, with the files named one by one under the same configuration put together: they are read at once."""
    out: list[Input] = []
    together: dict[str | None, Input] = {}
    for one in inputs:
        if not one.named:
            out.append(one)
            continue
        config = state.config_path(one.path)
        if config in together:
            together[config].objects.extend(one.objects)
        else:
            together[config] = one
            out.append(one)
    return out


def _after(state: _Run) -> list[Finding]:
    from bpfsmith.check.suppress import suppress

    kept, count, about = suppress(merge(state.findings), state.ran, state.sources)
    state.suppressed += count
    options = state.options
    if about:
        # The engine's own findings obey --select and --ignore like any other.
        allowed = {
            entry.code for entry in rules.select(None if options.select is None else options.select, options.ignore)
        }
        kept = sorted([*kept, *(one for one in about if one.code in allowed)], key=lambda one: one.sort_key())
    if options.baseline is not None:
        kept, known = without_baseline(kept, options.baseline)
        state.suppressed += known
    return kept


class _Pass:
    """One input under its own configuration."""

    def __init__(self, state: _Run, one: Input) -> None:
        self.state = state
        self.input = one
        options = state.options
        self.config = config = state.config_for(one.path)
        words = options.select if options.select is not None else config.select
        # Rules named on the command line run even where the configuration ignores them.
        ignore = options.ignore if options.select is not None else (*config.ignore, *options.ignore)
        try:
            self.chosen = rules.select(words, ignore, preview=options.preview or config.preview)
            kernels = options.kernels if options.kernels is not None else config.kernels
            if isinstance(kernels, str):
                kernels = parse_kernels(kernels, names=config.names)
            # The words of a command line name kernels of the lab, unless the configuration has a word of its own; what
            # a project is to run on is asked of those that are prepared.
            told = options.kernels
            own = isinstance(told, str) and any(word.strip() in config.names for word in told.split(","))
            self.asked = kernels if told is None or own else told
        except InputError as error:
            if config.path and not error.where:
                raise InputError(error.message, config.path, error.hint) from None
            raise
        self.codes = {entry.code for entry in self.chosen}
        state.bars.append(config.fail_on or DEFAULT_FAIL_ON)
        if one.project is not None:
            state.sources.add_root(one.project.root)
        self.ctx = CheckContext(
            kernels or ALL_KERNELS,
            config,
            options.loaders or config.loaders or ("aya",),
            tuple(state.kernels()),
            one.project,
            state.sources,
            state.notes,
        )

    def run(self) -> None:
        """Objects first, then sources; what the configuration ignores per path is dropped."""
        found: list[Finding] = []
        objects = self.input.objects
        if self.input.project is not None:
            from bpfsmith.check.projects import built_objects

            try:
                objects, notes, findings = built_objects(
                    self.input.project, self.state.options.build, self.state.named, self.ctx
                )
            except BpfsmithError as error:  # a failed build; the sources are checked all the same
                self.state.errors.append(error)
            else:
                self.state.notes.extend(notes)
                found.extend(one for one in findings if one.code in self.codes)
        found.extend(self._objects(objects))
        if self.input.project is not None:
            found.extend(self._sources(self.input.project))
        for one in found:
            finding = self._shown(one)
            words = self.config.ignored_in(finding.path or "")
            if words and finding.code in {entry.code for entry in rules.select(words)}:
                self.state.suppressed += 1
            else:
                self.state.findings.append(finding)

    def _entries(self, kind: str) -> list[rules.Entry]:
        """The chosen rules of one kind that can say something with what was asked."""
        given = {"": True, "kernels": self.ctx.kernels.specified, "btf": bool(self.ctx.btf)}
        out = []
        for entry in self.chosen:
            if entry.kind != kind:
                continue
            try:
                if given[entry.asks]:
                    out.append(entry)
            except Exception as error:  # one that is not in the index
                self._not_imported(entry, error)
        return out

    def _rules(self, entries: list[rules.Entry]) -> Iterator[Rule]:
        """The rules themselves, imported here."""
        for entry in entries:
            try:
                rule = entry.rule
            except Exception as error:
                self._not_imported(entry, error)
            else:
                yield rule

    def _not_imported(self, entry: rules.Entry, error: Exception) -> None:
        self._broken(f"the rule {entry.code} {entry.name} cannot be imported", error, self.input.path)

    def _objects(self, paths: list[str]) -> Iterator[Finding]:
        if not paths:
            return
        from bpfsmith.check.ahead import objects

        state = self.state
        chosen = [rule for rule in self._rules(self._entries("object")) if isinstance(rule, ObjectRule)]
        for path, read in objects(paths):
            if isinstance(read, BpfsmithError):
                state.errors.append(read)
                continue
            state.files.add(os.path.realpath(path))
            saw(path)
            try:
                yield from self._object(read, chosen)
            except Exception as error:
                self._broken("checking this object failed", error, path)
            self.ctx.forget_places()

    def _object(self, obj: Object, chosen: list[ObjectRule]) -> Iterator[Finding]:
        if not obj.programs:
            self._no_program(obj)
        yield from self._link_errors(obj)
        if obj.programs:
            self._loads(obj)
            if self.state.options.prove:
                self.state.judged.append((obj, self.asked))
        for rule in chosen:
            yield from self._guarded(rule, rule.check, obj, obj.path)
        codes = {rule.code for rule in chosen}
        for file in {file for program in obj.programs for file in program.files()}:
            shown = None if self.state.sources.foreign(file) else self.state.sources.find(file, obj.path)
            if shown is not None:
                self.state.ran.setdefault(shown, set()).update(codes)

    def _no_program(self, obj: Object) -> None:
        from bpfsmith.read._diagnose import no_program

        error = no_program(obj.path)
        if self.input.named:
            self.state.errors.append(error)
        else:
            self.state.notes.append(error.message)

    def _link_errors(self, obj: Object) -> Iterator[Finding]:
        broken = [program for program in obj.programs if program.link_error is not None]
        if not broken:
            return
        if "CHK005" in self.codes:
            rule = rules.get("CHK005")
            for program in broken:
                yield rule.finding(
                    self.ctx, f"`{program.name}` cannot be linked: {program.link_error}", obj=obj, program=program
                )
        # Rules ask the linked program; what cannot be linked must not hide what they say about the rest.
        obj.leave_out(broken)

    def _loads(self, obj: Object) -> None:
        if self.ctx.kernels.specified or any(kind == "maps-without-btf" for kind, _ in obj.notes):
            return  # in the second case no kernel ever gets to see the programs
        from bpfsmith.read.earliest import earliest_kernel

        for program in obj.programs:
            said = self._guarded_value(lambda program=program: earliest_kernel(program), obj.path)  # type: ignore[misc]
            if said is not None and said.version is not None:
                why = ", ".join(reason.removesuffix(f" ({said.version})") for reason in said.because)
                self.state.loads.append(f"{program.name}: loads from {said.version} ({why})")

    def _shown(self, finding: Finding) -> Finding:
        """With every path as users name it; a rule may give absolute ones."""

        def place(span: Span) -> Span:
            return span.replace(path=shown) if (shown := self.ctx.shown(span.path)) != span.path else span

        changes: dict[str, object] = {}
        if finding.span is not None and os.path.isabs(finding.span.path):
            changes["span"] = place(finding.span)
        if finding.labels:
            changes["labels"] = [Label(place(label.span), label.message) for label in finding.labels]
        if finding.fixes:
            changes["fixes"] = [
                Fix(fix.applicability, fix.message, [Edit(place(edit.span), edit.text) for edit in fix.edits])
                for fix in finding.fixes
            ]
        return finding.replace(**changes) if changes else finding

    def _sources(self, project: Project) -> Iterator[Finding]:
        from bpfsmith.check.projects import source_paths, words_in

        state = self.state
        entries = self._entries("source")
        present = words_in(project, {word for entry in entries for word in entry.words})
        # What needs words that are nowhere has nothing to say, and need not even be imported to say it.
        speaking = [entry for entry in entries if not entry.words or not present.isdisjoint(entry.words)]
        for found, errors, notes in self._answers(project, speaking):
            state.errors.extend(errors)
            state.notes.extend(notes)
            yield from found
        codes = {entry.code for entry in entries}
        for path, silent in source_paths(project):
            state.files.add(state.real(path))
            shown = state.sources.shown(path)
            state.ran.setdefault(shown, set()).update(codes)
            if silent:
                state.sources.silent.add(shown)
        for crate in project.crates:
            state.ran.setdefault(state.sources.shown(crate.manifest), set()).update(codes)

    def _answers(self, project: Project, entries: list[rules.Entry]) -> Iterable[Answer]:
        """What each of these rules says of the sources."""

        def ask(entry: rules.Entry) -> Answer:
            errors, notes = self.state.errors, self.state.notes
            before = len(errors), len(notes)
            found: list[Finding] = []
            for rule in self._rules([entry]):
                if isinstance(rule, SourceRule):
                    found = self._guarded(rule, rule.check, project, self.input.path)
            answer = found, errors[before[0] :], notes[before[1] :]
            del errors[before[0] :], notes[before[1] :]
            return answer

        if self.state.options.last:
            from bpfsmith.check.halves import answers, worth_it

            if worth_it(sum(len(file.text) for file in project.files())):
                return answers(entries, ask)
        return map(ask, entries)

    def _guarded(
        self, rule: Rule, check: Callable[[Any, CheckContext], Iterable[Finding]], subject: object, path: str
    ) -> list[Finding]:
        """What the rule finds; a rule that breaks is our bug, named, and does not hide what the others find."""
        found: list[Finding] = []
        try:
            found.extend(check(subject, self.ctx))
        except Exception as error:
            self._broken(f"the rule {rule.code} {rule.name} failed", error, path)
        return found

    def _guarded_value(self, ask: Callable[[], Any], path: str) -> Any:
        try:
            return ask()
        except Exception as error:
            self._broken("telling the earliest kernel failed", error, path)
            return None

    def _broken(self, what: str, error: Exception, path: str) -> None:
        if os.environ.get("BPFSMITH_DEBUG") == "1":
            import traceback

            traceback.print_exception(error)
        self.state.errors.append(ToolError(f"{what}: {type(error).__name__}: {error}", where=path))

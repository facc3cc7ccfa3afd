"""Runs the selected rules over the inputs and puts the report together."""

from __future__ import annotations

import os

from bpfsmith import rules
from bpfsmith.check.config import LOADERS, Config, find_config, load_config
from bpfsmith.check.inputs import Input, resolve
from bpfsmith.check.report import FAIL_ON, Report
from bpfsmith.model.errors import BpfsmithError, InputError, ToolError
from bpfsmith.model.kernels import ALL_KERNELS, KernelSet, parse_kernels
from bpfsmith.rules._base import CheckContext, ObjectRule, SourceRule
from bpfsmith.rules._sources import Sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import Rule

__all__ = ["Options", "run"]


class Options:
    """The arguments of `check`, as given; configuration fills what is None."""

    __slots__ = ("baseline", "btf", "build", "config", "fail_on", "ignore", "kernels", "loaders", "select")

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


class _Run:
    """The state of one check."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.findings: list[Finding] = []
        self.errors: list[BpfsmithError] = []
        self.notes: list[str] = []
        self.loads: list[str] = []
        self.files: set[str] = set()
        self.sources = Sources()
        self.fail_on = options.fail_on
        self.configs: dict[str | None, Config] = {}

    def config_for(self, path: str) -> Config:
        found = self.options.config or find_config(path)
        if found not in self.configs:
            self.configs[found] = load_config(found) if found else Config()
        return self.configs[found]


def run(paths: list[str], options: Options) -> Report:
    """Checks every path; see `bpfsmith.check.check`."""
    state = _Run(options)
    if options.fail_on is not None and options.fail_on not in FAIL_ON:
        raise InputError(f"unknown severity `{options.fail_on}`", hint=f"known are {', '.join(FAIL_ON)}")
    for loader in options.loaders or ():
        if loader not in LOADERS:
            raise InputError(f"unknown loader `{loader}`", hint=f"known are {', '.join(LOADERS)}")
    # Wrong words must fail before any file is read.
    rules.select(options.select, options.ignore)
    inputs: list[Input] = []
    for path in paths:
        try:
            inputs.extend(resolve(path))
        except BpfsmithError as error:
            state.errors.append(error)
    for one in inputs:
        _check_input(state, one)
    return Report(
        sorted(set(state.findings)),
        files=len(state.files),
        notes=state.notes,
        loads=state.loads,
        errors=state.errors,
        fail_on=state.fail_on or "warning",
        sources=state.sources,
    )


def _context(state: _Run, config: Config, project: Any) -> CheckContext:
    options = state.options
    kernels = options.kernels if options.kernels is not None else config.kernels
    if isinstance(kernels, str):
        kernels = parse_kernels(kernels, names=config.names)
    return CheckContext(
        kernels or ALL_KERNELS,
        config,
        options.loaders or config.loaders or ("aya",),
        (),
        project,
        state.sources,
    )


def _check_input(state: _Run, one: Input) -> None:
    from bpfsmith.read import read_many

    config = state.config_for(one.path)
    state.errors.extend(one.errors)
    options = state.options
    words = options.select if options.select is not None else config.select
    ignore = options.ignore if options.select is not None else (*config.ignore, *options.ignore)
    chosen = [entry.rule for entry in rules.select(words, ignore)]
    ctx = _context(state, config, one.project)
    state.fail_on = state.fail_on or config.fail_on
    for path, read in zip(one.objects, read_many(one.objects), strict=True):
        state.files.add(os.path.realpath(path))
        if isinstance(read, BpfsmithError):
            state.errors.append(read)
            continue
        for rule in chosen:
            if isinstance(rule, ObjectRule):
                _run_rule(state, rule, read, ctx, path)
    if one.project is not None:
        for rule in chosen:
            if isinstance(rule, SourceRule):
                _run_rule(state, rule, one.project, ctx, one.path)


def _run_rule(state: _Run, rule: Rule, subject: Object | Any, ctx: CheckContext, path: str) -> None:
    try:
        state.findings.extend(rule.check(subject, ctx))  # type: ignore[attr-defined]  # one of the two kinds
    except Exception as error:  # one broken rule must not hide what the others find
        if os.environ.get("BPFSMITH_DEBUG") == "1":
            import traceback

            traceback.print_exception(error)
        state.errors.append(
            ToolError(f"the rule {rule.code} {rule.name} failed: {type(error).__name__}: {error}", where=path)
        )

"""What a rule is. Each rule is one module that defines one class and `RULE = ThatClass()`.

The module's docstring is the rule's documentation: a first line that says what is found, then the fixed headings
(`HEADINGS`) as `## What it does` and so on. Code and name come from the file name: `obj001_helper_not_allowed.py`.

    class HelperNotAllowed(ObjectRule):
        severity = "error"
        group = "programs"
        phase = "verify"

        def check(self, obj, ctx):
            for program in obj.programs:
                for slot, kind, number, name in program.calls():
                    if ...:
                        yield self.finding(ctx, f"...", obj=obj, program=program, slot=slot)

    RULE = HelperNotAllowed()
"""

from __future__ import annotations

from bpfsmith.model.finding import Finding, Span
from bpfsmith.rules._context import CheckContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import ClassVar

    from bpfsmith.model.finding import Evidence, Fix, Label
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.source.project import Project

__all__ = ["HEADINGS", "CheckContext", "Docs", "EngineRule", "ObjectRule", "Rule", "SourceRule"]

HEADINGS = ("What it does", "Why is this bad", "Example", "Use instead", "Fix", "Kernels", "Source")


class Rule:
    """Base of all rules. `severity`: `error|warning|note`; `phase`: where the mistake shows without us.

    `asks` is what it says nothing without: `kernels` (those of `--kernels`) or `btf` (that of `--btf`).
    `supersedes` names rules whose finding at the same place says less: theirs is dropped. `supersedes_in_program`
    names those whose finding about the same program does, wherever it points: an object's place is the instruction's,
    which need not be the line that a source rule shows.

    `words` (source rules): identifiers of which a project must have at least one for the rule to say anything; without
    one it is not even imported. `preview`: too young or too often wrong to run unless asked for, by `--preview` or by
    its own code or name.
    """

    code: ClassVar[str] = ""
    name: ClassVar[str] = ""
    severity: ClassVar[str] = "warning"
    group: ClassVar[str] = "programs"
    phase: ClassVar[str] = "silent"
    since_version: ClassVar[str] = "0.1.0"
    asks: ClassVar[str] = ""
    preview: ClassVar[bool] = False
    words: ClassVar[tuple[str, ...]] = ()
    supersedes: ClassVar[tuple[str, ...]] = ()
    supersedes_in_program: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        stem = cls.__module__.rpartition(".")[2]
        code, _, rest = stem.partition("_")
        if rest and code[-3:].isdigit():
            cls.code = cls.__dict__.get("code") or code.upper()
            cls.name = cls.__dict__.get("name") or rest.replace("_", "-")

    @property
    def docs(self) -> Docs:
        """The documentation, read from the module's docstring."""
        import sys

        return Docs(sys.modules[type(self).__module__].__doc__ or "")

    def finding(
        self,
        ctx: CheckContext | None,
        message: str,
        *,
        obj: Object | None = None,
        program: Program | str | None = None,
        slot: int | None = None,
        span: Span | None = None,
        severity: str | None = None,
        labels: Iterable[Label] = (),
        evidence: Iterable[Evidence] = (),
        fixes: Iterable[Fix] = (),
        kernels: Iterable[str] = (),
        see: Iterable[str] = (),
    ) -> Finding:
        """A finding of this rule. With `program` and `slot` the source place is looked up in the BTF line info."""
        extra: tuple[Evidence, ...] = ()
        if (
            span is None
            and slot is not None
            and ctx is not None
            and program is not None
            and not isinstance(program, str)
        ):
            span, extra = ctx.place(program, slot, obj)
        return Finding(
            self.code,
            self.name,
            severity or self.severity,
            message,
            span,
            ctx.shown(obj.path) if obj is not None and ctx is not None else obj.path if obj is not None else None,
            program if program is None or isinstance(program, str) else program.name,
            labels,
            (*evidence, *extra),
            fixes,
            kernels,
            see,
        )


class ObjectRule(Rule):
    """A rule about one built object."""

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        """Yields what is wrong with the object."""
        raise NotImplementedError


class SourceRule(Rule):
    """A rule about the sources of one Cargo project."""

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        """Yields what is wrong with the sources."""
        raise NotImplementedError


class EngineRule(Rule):
    """Documentation of a finding that the engine itself makes (suppressions, unreadable or stale files)."""

    group = "engine"


class Docs:
    """A rule's documentation: `summary` is the first line, `sections` maps each heading to its Markdown text."""

    __slots__ = ("sections", "summary", "text")

    def __init__(self, text: str) -> None:
        lines = text.strip().splitlines()
        self.text = text.strip()
        self.summary = lines[0].strip() if lines else ""
        self.sections: dict[str, str] = {}
        heading = ""
        body: list[str] = []
        fenced = False
        for line in [*lines[1:], "## "]:
            if line.lstrip().startswith("```"):
                fenced = not fenced
            if line.startswith("## ") and not fenced:
                if heading:
                    self.sections[heading] = "\n".join(body).strip()
                heading, body = line[3:].strip().rstrip("?"), []
            else:
                body.append(line)

    def missing(self) -> list[str]:
        """The fixed headings that are absent or empty."""
        return [one for one in HEADINGS if not self.sections.get(one)]

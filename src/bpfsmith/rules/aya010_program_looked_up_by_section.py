"""A program is looked up by its section or by a name that no program has.

## What it does
Finds names in `program(..)` and `program_mut(..)` of an `Ebpf` that contain a `/`, that differ slightly from the name
of a program in the project's kernel crates while no program has that name, or that no program has where the project
builds the object itself and all of its programs are known. Names that reach the call through consts, loops over
literals or helper functions count. aya 0.12 or newer. Where `None` is expected (`if let Some(..)`), only names close
to one that exists are reported.

## Why is this bad
Since 0.12 programs are named by their function. The lookup gives `None`, and the usual `unwrap` after it panics at
run time.

## Example
```rust
let program: &mut KProbe = ebpf.program_mut("kprobe/do_exit").unwrap().try_into()?;
```

## Use instead
```rust
let program: &mut KProbe = ebpf.program_mut("do_exit").unwrap().try_into()?;
```

## Fix
Safe where a kernel crate of the project has a program of that name after the `/`, unsafe where one is nearly called so,
else display.

## Kernels
All.

## Source
aya, `aya/BREAKING-CHANGES.md`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import close_name, listed, literal, name_fix, pairs, tolerated
from bpfsmith.rules._rust import covered, replace
from bpfsmith.source.aya import model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import Pair, ProgramUse
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project


def _by_name(pair: Pair, crate: Crate) -> bool:
    """Whether programs are looked up by names that the kernel side tells: by functions since 0.12, before that by
    what `name = ".."` says."""
    if crate.at_least("aya", "0.12.0"):
        return True
    return bool(pair.programs) and all(one.old and one.attrs.get("name") for one in pair.programs)


class ProgramLookedUpBySection(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("program", "program_mut")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for user in model(project).users:
            if user.crate in project.crates and user.crate.at_least("aya", "0.12.0"):
                for use in user.programs:
                    yield from self._section(project, use, ctx)
        for pair in pairs(project):
            for use in pair.program_uses:
                if use.file.crate in project.crates and _by_name(pair, use.file.crate):
                    yield from self._unknown(pair, use, ctx)

    def _section(self, project: Project, use: ProgramUse, ctx: CheckContext) -> Iterator[Finding]:
        argument = use.argument
        name = argument.string if argument is not None else None
        if argument is None or name is None or "/" not in name:
            return
        known = {one.name for one in model(project).programs}
        short = name.rpartition("/")[2]
        fix = Fix("display", "write the name of the program's function")
        if short in known:
            fix = Fix(
                "safe", f"look up `{short}`", [replace(ctx, use.file, argument.start, argument.end, f'"{short}"')]
            )
        elif close_name(short, known) is not None:
            fix = name_fix(ctx, argument, close_name(short, known) or "", "program")
        yield self.finding(
            ctx,
            f"`{use.expr.name}({argument.text})` gives `None`: since aya 0.12 a program is named by its function, not "
            "by its section",
            span=covered(ctx, argument),
            fixes=[fix],
        )

    def _unknown(self, pair: Pair, use: ProgramUse, ctx: CheckContext) -> Iterator[Finding]:
        known = pair.program_names
        # What `name = ".."` says is the program's name to its author: that the argument is gone is said there.
        meant = {one.attrs.get("name") for one in pair.programs}
        for name in sorted(use.names or ()):
            if not known or name in known or name in meant or "/" in name or not pair.named:
                continue
            close = close_name(name, known)
            if close is None and (not pair.kernel_complete or tolerated(use.expr)):
                continue  # an object made from other sources, or a program that need not be there
            where = literal(pair, use, name)
            fix = Fix("display", f"name a program of the kernel crate: {listed(known, 'program')}")
            yield self.finding(
                ctx,
                f'`{use.expr.name}("{name}")` gives `None`: no program is called `{name}`',
                span=covered(ctx, where),
                fixes=[fix if close is None else name_fix(ctx, where, close, "program")],
            )


RULE = ProgramLookedUpBySection()

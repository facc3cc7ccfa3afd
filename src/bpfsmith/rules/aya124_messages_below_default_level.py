"""The kernel side's messages are below what the user side prints.

## What it does
Finds `env_logger::init()` in a user crate that starts aya's logger, where the kernel side writes `info!` and nothing
more urgent, and nothing in the project sets or mentions `RUST_LOG`. Lines of `debug!` and `trace!` alone are meant to
be asked for.

## Why is this bad
env_logger prints errors only until `RUST_LOG` says otherwise. The program runs, the messages arrive, and the terminal
stays empty: the most usual reason for "my eBPF program does nothing".

## Example
```rust
env_logger::init();
```

## Use instead
```rust
env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
```

## Fix
Display: give it a default filter, or run with `RUST_LOG=info`.

## Kernels
All.

## Source
env_logger's documentation; aya#392.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._logger import inits, logs
from bpfsmith.rules._rust import covered
from bpfsmith.source.names import resolve
from bpfsmith.source.scripts import commands
from bpfsmith.source.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_QUIET = frozenset({"info", "debug", "trace"})
_STARTS = frozenset({"env_logger::init", "env_logger::try_init"})


class MessagesBelowDefaultLevel(SourceRule):
    severity = "note"
    group = "logging"
    phase = "silent"
    words = ("env_logger",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        users = {id(call.file.crate) for call in inits(project)}
        starts = [
            call
            for crate in project.of_role("user")
            if id(crate) in users
            for file in crate.files
            for call in file.calls("init", "try_init")
            if call.callee is not None and resolve(file, call.callee.path, call.item) in _STARTS
        ]
        if not starts or self._known(project):
            return
        written: list[Expr] = [one for crate in project.all_crates if crate.role == "kernel" for one in logs(crate)]
        said = {one.path.rpartition("::")[2] for one in written}
        if "info" not in said or said - _QUIET:  # `debug!` and `trace!` alone are meant to be asked for
            return
        first = next(one for one in written if one.path.rpartition("::")[2] == "info")
        for call in starts:
            yield self.finding(
                ctx,
                "env_logger prints errors only unless `RUST_LOG` is set: nothing of the kernel side is shown",
                span=covered(ctx, call),
                labels=[Label(covered(ctx, first), "written here")],
                fixes=[Fix("display", 'use `Env::default().default_filter_or("info")`, or run with `RUST_LOG=info`')],
            )

    def _known(self, project: Project) -> bool:
        """Whether anyone who builds or runs it is told of the variable."""
        if commands(project, "RUST_LOG") or any(
            file.has("RUST_LOG") for crate in project.all_crates for file in crate.files
        ):
            return True
        return Settings(project.root, project.root).env("RUST_LOG") is not None


RULE = MessagesBelowDefaultLevel()

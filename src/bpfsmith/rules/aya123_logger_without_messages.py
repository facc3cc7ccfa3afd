"""The logger is required to start, and the kernel side logs nothing.

## What it does
Finds `EbpfLogger::init(..)` whose error ends the function (`?`, `unwrap`, `expect`) in a project whose kernel crates do
not use aya-log-ebpf at all.

## Why is this bad
The map `AYA_LOGS` comes with the first log macro of the kernel side. Without one `init` fails: "log event array
`AYA_LOGS` doesn't exist", and the program ends because there is nothing to print. It happens on the day someone removes
the last `info!`.

## Example
```rust
let mut logger = EbpfLogger::init(&mut ebpf)?;
```

## Use instead
```rust
match EbpfLogger::init(&mut ebpf) {
    Ok(logger) => { /* read it */ }
    Err(error) => log::warn!("no messages from the kernel side: {error}"),
}
```

## Fix
Display: treat the error as a warning, or remove the logger.

## Kernels
All.

## Source
aya-log, `Error::MapNotFound`; aya#415.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import linked
from bpfsmith.rules._logger import inits
from bpfsmith.rules._rust import covered
from bpfsmith.source.scripts import builds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _required(call: Expr) -> bool:
    parent = call.parent
    while parent is not None and parent.kind in ("paren", "method") and parent.name in (
        "", "context", "with_context", "map_err",
    ):  # fmt: skip
        parent = parent.parent
    if parent is None:
        return False
    return parent.kind == "try" or (parent.kind == "method" and parent.name in ("unwrap", "expect"))


def _words(crate: Crate) -> list[str]:
    """What a file that logs, or hides something, has in it."""
    one = crate.dependency("aya-log-ebpf")
    return ["aya_log_ebpf", "AYA_LOGS", "include", *([one.alias.replace("-", "_")] if one is not None else [])]


def _silent(project: Project) -> bool:
    """Whether no kernel crate of the project, nor what it is made of, can log."""
    kernel = [crate for crate in project.all_crates if crate.role == "kernel"]
    every = [one for crate in kernel for one in (crate, *linked(project, crate))]
    if not kernel or any(crate.broken for crate in every):
        return False
    return all(crate.files and not any(file.has(*_words(crate)) for file in crate.files) for crate in every)


class LoggerWithoutMessages(SourceRule):
    severity = "warning"
    group = "logging"
    phase = "load"
    words = ("EbpfLogger", "BpfLogger")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if not builds(project).with_aya_build or not _silent(project):
            return  # built elsewhere, perhaps from something else
        for call in inits(project):
            if _required(call) and not call.file.gates(call.item, call.start):
                yield self.finding(
                    ctx,
                    "the kernel side has no log macro, so there is no `AYA_LOGS` and this fails",
                    span=covered(ctx, call),
                    fixes=[Fix("display", "report the error and go on, or remove the logger")],
                )


RULE = LoggerWithoutMessages()

"""A log macro of the kernel side is called without the context.

## What it does
Finds `info!("..")` and the other macros of aya-log-ebpf whose first argument is the message.

## Why is this bad
They look like those of the `log` crate, but the first argument is the program's context. Without it the message is
taken for the context: "unexpected end of input, expected `,`" or "expected string literal".

## Example
```rust
info!("received a packet");
```

## Use instead
```rust
info!(&ctx, "received a packet");
```

## Fix
Unsafe: puts the one context that the function has in front.

## Kernels
All.

## Source
aya-log-ebpf-macros, `LogArgs::parse`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._logger import logs
from bpfsmith.rules._rust import covered, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _context(call: Expr) -> str | None:
    """The function's only parameter of a context type, as an argument."""
    item = call.item
    if item is None or item.kind != "fn":
        return None
    found = [one for one in item.params if one.type.rstrip(">").split("<")[0].endswith("Context")]
    if len(found) != 1 or not found[0].name.isidentifier() or found[0].name == "_":
        return None
    return found[0].name if found[0].type.startswith("&") else f"&{found[0].name}"


class LogWithoutContext(SourceRule):
    severity = "error"
    group = "logging"
    phase = "compile"
    words = ("trace", "debug", "info", "warn", "error", "log")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            for call in logs(crate):
                if not call.args or call.args[0].literal != "str":
                    continue
                first = call.args[0]
                name = _context(call)
                fix = Fix("display", "put the context first: `&ctx`")
                if name is not None:
                    edit = replace(ctx, call.file, first.start, first.start, f"{name}, ")
                    fix = Fix("unsafe", f"put `{name}` first", [edit])
                yield self.finding(
                    ctx,
                    f"`{call.path}!` of aya-log-ebpf takes the context first, then the message",
                    span=covered(ctx, first),
                    fixes=[fix],
                )


RULE = LogWithoutContext()

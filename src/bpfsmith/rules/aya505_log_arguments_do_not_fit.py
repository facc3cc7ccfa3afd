"""A log message has more braces than values, or fewer.

## What it does
Counts the braces in the message of aya-log's macros and the values after it.

## Why is this bad
With too few values it does not compile: "no arguments provided", "proc macro panicked". With too many the macro takes
those it needs and drops the rest without a word: the value you wanted to see is not in the message.

## Example
```rust
info!(&ctx, "port {}", port, length);
```

## Use instead
```rust
info!(&ctx, "port {}, {} bytes", port, length);
```

## Fix
Display: one pair of braces for each value.

## Kernels
All.

## Source
aya-log-ebpf-macros, `src/expand.rs`, 0.1.0 to 0.3.0.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._logger import logs
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


def _braces(text: str) -> int | None:
    """How many values a message takes; None where the braces do not match."""
    plain = text.replace("{{", "").replace("}}", "")
    parts = plain.split("{")
    inside = [part.partition("}")[0] for part in parts[1:]]
    if plain.count("}") != len(inside) or any(one and not one.startswith(":") for one in inside):
        return None  # not understood at all, which another rule says
    return len(inside)


class LogArgumentsDoNotFit(SourceRule):
    severity = "error"
    group = "logging"
    phase = "compile"
    words = ("trace", "debug", "info", "warn", "error", "log")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            for call in logs(crate):
                at = next((number for number, one in enumerate(call.args[:4]) if one.string is not None), 0)
                text = call.args[at].string if at else None
                count = _braces(text) if text is not None else None
                given = len(call.args) - at - 1
                if count is None or count == given or any(one.kind == "tokens" for one in call.args[at:]):
                    continue
                few = given < count
                yield self.finding(
                    ctx,
                    f"the message takes {count} value{'s' * (count != 1)} and {given or 'none'} "
                    + (f"{'is' if given == 1 else 'are'} given" if few else "are given: the rest is dropped silently"),
                    span=covered(ctx, call.args[at]),
                    severity=None if few else "warning",
                    fixes=[Fix("display", "write one `{}` for each value")],
                )


RULE = LogArgumentsDoNotFit()

"""`Xdp::attach` takes a C string or an index since aya 0.15, not a `&str`.

## What it does
Finds `attach` on an `Xdp` whose first argument is a Rust string, where aya is 0.15.0 or newer.

## Why is this bad
It does not compile: "the trait bound `&str: Into<NetworkInterface<'_>>` is not satisfied".

## Example
```rust
program.attach("eth0", XdpMode::default())?;
```

## Use instead
```rust
program.attach(c"eth0", XdpMode::default())?;
```

## Fix
Safe for literals without escapes. A string known at run time needs `CString::new`, whose error (a NUL in the name) is
new.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/programs/xdp.rs`; compiled with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import c_string_fix, called_on, compat, covered, is_text, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class InterfaceNameNotCString(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for call in file.of_kind("method"):
                if call.name != "attach" or len(call.args) != 2 or not is_text(call.args[0]):
                    continue
                if not called_on(call, {"aya::programs::Xdp"}) or compat(file, call.item, call.start):
                    continue
                yield self.finding(
                    ctx,
                    "`Xdp::attach` takes a C string or an interface index since aya 0.15, not a `&str`",
                    span=covered(ctx, call.args[0]),
                    fixes=[c_string_fix(ctx, call.args[0])],
                )


RULE = InterfaceNameNotCString()

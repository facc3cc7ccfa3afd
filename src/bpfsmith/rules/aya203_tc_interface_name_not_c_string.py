"""Traffic control functions take a C string or an index since aya 0.15, not a `&str`.

## What it does
Finds `tc::qdisc_add_clsact`, `SchedClassifier::query_tcx` and `attach` on a `SchedClassifier` whose first argument is
a Rust string, where aya is 0.15.0 or newer.

## Why is this bad
It does not compile: "the trait bound `&str: Into<NetworkInterface<'_>>` is not satisfied".

## Example
```rust
tc::qdisc_add_clsact("eth0")?;
```

## Use instead
```rust
tc::qdisc_add_clsact(c"eth0")?;
```

## Fix
Safe for literals without escapes, else display.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/programs/tc.rs`; compiled with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import c_string_fix, called_on, compat, covered, is_text, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_FUNCTIONS = frozenset({"aya::programs::tc::qdisc_add_clsact", "aya::programs::SchedClassifier::query_tcx"})
_CLASSIFIER = frozenset({"aya::programs::SchedClassifier"})


class TcInterfaceNameNotCString(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for call in file.of_kind("call", "method"):
                if not call.args or not is_text(call.args[0]) or compat(file, call.item, call.start):
                    continue
                if call.kind == "method":
                    if call.name != "attach" or len(call.args) != 2 or not called_on(call, _CLASSIFIER):
                        continue
                    what = "SchedClassifier::attach"
                else:
                    callee = call.callee
                    path = (
                        resolve(file, callee.path, call.item) if callee is not None and callee.kind == "path" else None
                    )
                    if path not in _FUNCTIONS or path is None:
                        continue
                    what = path.rpartition("::")[2]
                yield self.finding(
                    ctx,
                    f"`{what}` takes a C string or an interface index since aya 0.15, not a `&str`",
                    span=covered(ctx, call.args[0]),
                    fixes=[c_string_fix(ctx, call.args[0])],
                )


RULE = TcInterfaceNameNotCString()

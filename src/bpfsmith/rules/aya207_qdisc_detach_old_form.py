"""`qdisc_detach_program` takes a C string and a `TcHandle` since aya 0.15.

## What it does
Finds `tc::qdisc_detach_program` with a Rust string as the interface where aya is 0.15.0 or newer.

## Why is this bad
It does not compile (E0277, E0308).

## Example
```rust
tc::qdisc_detach_program("eth0", TcAttachType::Ingress, "pass")?;
```

## Use instead
```rust
tc::qdisc_detach_program(c"eth0", TcAttachType::Ingress.into(), "pass")?;
```

## Fix
Safe for a literal interface and a literal attach type, else display.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/programs/tc.rs`; compiled with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import c_string_fix, compat, covered, is_text, replace, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class QdiscDetachOldForm(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for call in file.of_kind("call"):
                callee = call.callee
                if callee is None or callee.kind != "path" or len(call.args) != 3 or not is_text(call.args[0]):
                    continue
                if resolve(file, callee.path, call.item) != "aya::programs::tc::qdisc_detach_program":
                    continue
                if compat(file, call.item, call.start):
                    continue
                fix = c_string_fix(ctx, call.args[0])
                parent = call.args[1]
                if fix.applicability == "safe" and parent.kind == "path" and "::" in parent.path:
                    edits = [*fix.edits, replace(ctx, file, parent.end, parent.end, ".into()")]
                    fix = Fix("safe", "pass a C string and a `TcHandle`", edits)
                elif fix.applicability == "safe":
                    fix = Fix("display", "pass a C string and a `TcHandle`")
                yield self.finding(
                    ctx,
                    "`qdisc_detach_program` takes a C string and a `TcHandle` since aya 0.15",
                    span=covered(ctx, call.args[0]),
                    fixes=[fix],
                )


RULE = QdiscDetachOldForm()

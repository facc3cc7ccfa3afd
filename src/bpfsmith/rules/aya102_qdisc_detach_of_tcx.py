"""A classifier that is attached as a TCX link is detached as a filter of a qdisc.

## What it does
Finds `qdisc_detach_program` whose result matters (`?`, `unwrap`, a `match`) in crates that attach classifiers with a
plain `attach` and nowhere ask for netlink.

## Why is this bad
From Linux 6.6 on, aya 0.13 and later attach classifiers as TCX links, which no qdisc knows: nothing is found under
that name, the call fails with an I/O error of kind `NotFound` whose text is only the name, and the program stays
attached.

## Example
```rust
program.attach("eth0", TcAttachType::Egress)?;
// ..
tc::qdisc_detach_program("eth0", TcAttachType::Egress, "classify")?;
```

## Use instead
```rust
let id = program.attach("eth0", TcAttachType::Egress)?;
// ..
program.detach(id)?;
```

## Fix
Display: detach by the link, or attach by netlink.

## Kernels
From 6.6 on.

## Source
`aya/src/programs/tc.rs`; seen with aya 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import says, thrown_away
from bpfsmith.rules._rust import covered
from bpfsmith.rules._tc import netlink_possible, plain_attaches, tcx_kernels
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class QdiscDetachOfTcx(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "attach"
    words = ("qdisc_detach_program",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if not tcx_kernels(ctx.kernels):
            return
        for crate in project.crates:
            if not says(crate, "qdisc_detach_program") or netlink_possible(crate):
                continue
            attached = [call for file in crate.files if file.has("SchedClassifier") for call in plain_attaches(file)]
            if not attached:
                continue
            for file in crate.files:
                for call in file.calls("qdisc_detach_program"):
                    path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
                    if path != "aya::programs::tc::qdisc_detach_program" or thrown_away(call):
                        continue
                    yield self.finding(
                        ctx,
                        "nothing is found to detach from Linux 6.6 on, where the program is attached as a TCX link",
                        span=covered(ctx, call),
                        labels=[Label(covered(ctx, attached[0]), "attached here")],
                        fixes=[Fix("display", "detach by the link's id, or drop the link")],
                    )


RULE = QdiscDetachOfTcx()

"""A link of TCX is asked for what only a netlink attachment has.

## What it does
Finds `priority()`, `handle()`, `classid()`, `attach_type()` and `parent()` of a classifier's link in functions that
attach with a plain `attach`, and nowhere ask for netlink.

## Why is this bad
From Linux 6.6 on, aya 0.13 and later attach classifiers as TCX links. Those have no priority, handle or class: the
calls fail with "operation not supported for programs loaded via tcx" on new kernels, after working on old ones.

## Example
```rust
let id = program.attach("eth0", TcAttachType::Ingress)?;
let link = program.take_link(id)?;
save(link.priority()?, link.handle()?);
```

## Use instead
```rust
let options = TcAttachOptions::Netlink(NlOptions::default());
let id = program.attach_with_options("eth0", TcAttachType::Ingress, options)?;
```

## Fix
Display: attach by netlink where these are needed, or keep or pin the link instead.

## Kernels
From 6.6 on.

## Source
`aya/src/programs/tc.rs`; the message seen with aya 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import given, owner
from bpfsmith.rules._rust import covered, place, user_files
from bpfsmith.rules._tc import CLASSIFIER, netlink_possible, plain_attaches, tcx_kernels
from bpfsmith.source.types import binding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_ASKED = ("priority", "handle", "classid", "attach_type", "parent")


class NetlinkQuestionOfTcxLink(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "attach"
    words = ("SchedClassifier",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if not tcx_kernels(ctx.kernels):
            return
        for file in user_files(project, since="0.13.0"):
            if not file.has("SchedClassifier") or netlink_possible(file.crate):
                continue
            attached = plain_attaches(file)
            for call in file.methods(*_ASKED):
                if call.args or call.receiver is None or not _link(call.receiver):
                    continue
                made = next((one for one in attached if one.item == call.item), None)
                if made is None:
                    continue
                yield self.finding(
                    ctx,
                    f"`{call.name}` fails from Linux 6.6 on, where the program is attached as a TCX link",
                    span=place(ctx, file, call.fields[2], call.end),
                    labels=[Label(covered(ctx, made), "attached here")],
                    fixes=[Fix("display", "attach with netlink options where these are needed, or keep the link")],
                )


def _link(expr: Expr) -> bool:
    """Whether an expression is what `take_link` of a classifier gave."""
    made = expr.stripped()
    found = binding(made) if made.kind == "path" and "::" not in made.path else None
    if found is not None and found.kind == "let" and found.let is not None and found.let.init is not None:
        made = given(found.let.init)
    if made.kind != "method" or made.name != "take_link":
        return False
    known = owner(made)
    return known is not None and known.path in CLASSIFIER


RULE = NetlinkQuestionOfTcxLink()

"""A link of a uprobe with several places is turned into one file descriptor.

## What it does
Finds conversions to `FdLink` of a link from `take_link` where the program is attached to several places at once (aya
0.15) and is no `uprobe.multi` program of the workspace.

## Why is this bad
Without a link for many places Aya makes one for each, and `UProbeLink` holds them all. Turning that into one `FdLink`
fails with "Invalid link", and since the value is consumed, all places are detached.

## Example
```rust
let id = probe.attach(["malloc", "free"], "libc", UProbeScope::AllProcesses)?;
let link: FdLink = probe.take_link(id)?.try_into()?;
```

## Use instead
```rust
let id = probe.attach(["malloc", "free"], "libc", UProbeScope::AllProcesses)?;
let links = probe.take_link(id)?.into_fd_links();
```

## Fix
Display: use `into_fd_links`.

## Kernels
All.

## Source
`aya/src/programs/uprobe.rs` of 0.15, `UProbeLink::into_fd_links`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import bare, given, on
from bpfsmith.rules._rust import covered, kernel_files, user_files
from bpfsmith.rules.aya405_uprobe_calling_thread import multi
from bpfsmith.source.types import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


class UprobeLinkOfManyPlaces(SourceRule):
    severity = "error"
    group = "attach"
    phase = "attach"
    words = ("FdLink",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if any(multi(file) for file in kernel_files(project)):
            return
        for file in user_files(project, since="0.15.0"):
            if not file.has("FdLink"):
                continue
            for call in on(file, ("attach",), {"aya::programs::UProbe"}):
                places = bare(given(call.args[0])) if len(call.args) == 3 else None
                if places is None or places.kind != "array" or len(places.fields[0]) < 2:
                    continue
                found = _converted(call)
                if found is not None:
                    yield self.finding(
                        ctx,
                        "a uprobe with several places has a link for each: this fails and detaches them all",
                        span=covered(ctx, found),
                        labels=[Label(covered(ctx, call), "attached here")],
                        fixes=[Fix("display", "use `into_fd_links`, which gives all of them")],
                    )


def _converted(attach: Expr) -> Expr | None:
    """The `take_link(id)` of that attachment that becomes an `FdLink`."""
    for taken in attach.file.methods("take_link"):
        if taken.item != attach.item or len(taken.args) != 1 or given(taken.args[0]) != attach:
            continue
        block = next((one for one in taken.ancestors() if one.kind == "block"), None)
        for let in block.lets if block is not None else []:
            type_ = named(let.file, let.type, taken.item) if let.type else None
            made = let.init.stripped() if let.init is not None else None
            if type_ is None or made is None or type_.name != "FdLink" or made.kind != "method":
                continue
            if made.name == "try_into" and made.receiver is not None and given(made.receiver) == taken:
                return taken
    return None


RULE = UprobeLinkOfManyPlaces()

"""A classifier is attached by netlink, and nobody adds the qdisc it hangs on.

## What it does
Finds attachments of classifiers to ingress or egress that go through netlink in crates that never call
`qdisc_add_clsact` or run `tc`: with netlink options, with aya before 0.13, or with a plain `attach` where `--kernels`
names one before 6.6.

## Why is this bad
By netlink a classifier is a filter of the `clsact` qdisc, which an interface does not have until somebody adds it.
Without it the kernel refuses with `EINVAL` ("Parent Qdisc doesn't exists"). TCX links, which a plain `attach` uses
from Linux 6.6 on, need none: what works there fails on older kernels.

## Example
```rust
let options = TcAttachOptions::Netlink(NlOptions::default());
program.attach_with_options("eth0", TcAttachType::Ingress, options)?;
```

## Use instead
```rust
let _ = tc::qdisc_add_clsact("eth0"); // fails when it is there already
let options = TcAttachOptions::Netlink(NlOptions::default());
program.attach_with_options("eth0", TcAttachType::Ingress, options)?;
```

## Fix
Display: call `qdisc_add_clsact` before, and let it fail where the qdisc exists.

## Kernels
All for netlink; before 6.6 for a plain `attach`.

## Source
`aya/src/programs/tc.rs`; the message seen with aya 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import on, says
from bpfsmith.rules._object import on as on_kernels
from bpfsmith.rules._rust import covered, user_files
from bpfsmith.rules._tc import CLASSIFIER, plain_attaches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class ClsactMissing(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "attach"
    words = ("SchedClassifier",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        old_kernels = ctx.kernels.missing_before("6.6") if ctx.kernels.specified else ()
        for file in user_files(project):
            crate = file.crate
            if crate is None or not file.has("SchedClassifier") or says(crate, "clsact", '"tc"', '"qdisc"', "Custom("):
                continue
            plain = plain_attaches(file)
            for call in on(file, ("attach", "attach_with_options"), CLASSIFIER):
                text = call.args[-1].text if call.args else ""
                netlink = "Netlink" in text or "NlOptions" in text or crate.below("aya", "0.13.0")
                if not netlink and (call not in plain or not old_kernels):
                    continue
                where = "" if netlink else f" on {on_kernels(old_kernels)}"
                yield self.finding(
                    ctx,
                    f"attaching fails{where}: the interface has no `clsact` qdisc, and nobody adds it",
                    span=covered(ctx, call),
                    severity="note" if netlink else None,
                    kernels=() if netlink else old_kernels,
                    fixes=[Fix("display", "call `tc::qdisc_add_clsact` before")],
                )


RULE = ClsactMissing()

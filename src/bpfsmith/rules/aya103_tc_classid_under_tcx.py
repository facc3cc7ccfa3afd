"""A classifier sets the class of packets, which TCX does not look at.

## What it does
Finds writes of `tc_classid` in classifiers of a workspace whose user side attaches with a plain `attach` and nowhere
asks for netlink.

## Why is this bad
From Linux 6.6 on, aya 0.13 and later attach classifiers as TCX links, which run before any qdisc: the class a program
sets chooses no class of a qdisc there. Shaping stops working after a kernel upgrade, and nothing fails.

## Example
```rust
unsafe { (*ctx.skb.skb).tc_classid = 0x1_0010 };
```

## Use instead
```rust
// user side: as a filter of the qdisc that has the classes
let options = TcAttachOptions::Netlink(NlOptions::default());
program.attach_with_options("eth0", TcAttachType::Custom(parent), options)?;
```

## Fix
Display: attach by netlink, to the qdisc that has the classes.

## Kernels
From 6.6 on.

## Source
aya, review of pull request 1595; kernel, `tcx_run` in `net/core/dev.c`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner
from bpfsmith.rules._rust import covered, kernel_files, programs
from bpfsmith.rules._tc import netlink_possible, plain_attaches, tcx_kernels
from bpfsmith.rules._verdicts import reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item


class TcClassidUnderTcx(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "silent"
    words = ("tc_classid", "set_tc_classid")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if not tcx_kernels(ctx.kernels):
            return
        users = [crate for crate in project.crates if crate.dependency("aya") is not None]
        if any(netlink_possible(crate) for crate in users):
            return
        attached = [call for crate in users for file in crate.files for call in plain_attaches(file)]
        if not attached:
            return
        for file in kernel_files(project):
            if not file.has("tc_classid"):
                continue
            seen = set()
            for item, macro, _ in programs(file):
                if macro != "classifier":
                    continue
                for one in reached(item):
                    for expr in _writes(one):
                        if expr in seen:
                            continue
                        seen.add(expr)
                        yield self.finding(
                            ctx,
                            "the class set here has no effect from Linux 6.6 on, where the program runs as a TCX link",
                            span=covered(ctx, expr),
                            program=item.name,
                            labels=[Label(covered(ctx, attached[0]), "attached here")],
                            fixes=[Fix("display", "attach with netlink options to the qdisc that has the classes")],
                        )


def _writes(item: Item) -> Iterator[Expr]:
    file = item.file
    for expr in file.of_kind("binary"):
        left = expr.operands[0]
        if expr.op == "=" and left is not None and left.name == "tc_classid" and expr.item == item:
            yield expr
    for call in file.methods("set_tc_classid"):
        known = owner(call)
        if call.item == item and known is not None and known.path == "aya_ebpf::programs::TcContext":
            yield call


RULE = TcClassidUnderTcx()

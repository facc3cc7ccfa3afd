"""A link is turned into a file descriptor on kernels where it is none.

## What it does
Finds conversions of a link from `take_link` to `FdLink` where `--kernels` (or the configuration) names a kernel that
attaches such a program in another way: XDP before 5.9, classifiers before 6.6, cgroup programs before 5.7, kprobes,
uprobes, tracepoints and perf events before 5.15.

## Why is this bad
There Aya attaches by netlink, `BPF_PROG_ATTACH` or `ioctl`, and the link has no file descriptor: the conversion fails
with "Invalid link". With aya 0.15 and later the program is detached then; before, the link is lost and the program
stays attached until the process ends or longer. Such a link cannot be pinned either.

## Example
```rust
let link: FdLink = program.take_link(id)?.try_into()?;
link.pin("/sys/fs/bpf/firewall")?;
```

## Use instead
```rust
if KernelVersion::current()? >= KernelVersion::new(5, 9, 0) {
    let link: FdLink = program.take_link(id)?.try_into()?;
    link.pin("/sys/fs/bpf/firewall")?;
} // else keep the program in a process that stays
```

## Fix
Display: ask for the kernel's version before, and keep the link itself on older ones.

## Kernels
As above.

## Source
`aya/src/programs/links.rs`, `impl_try_into_fdlink!`; `xdp.rs`, `tc.rs`, `perf_attach.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import given, owner, says
from bpfsmith.rules._object import on as on_kernels
from bpfsmith.rules._rust import covered, user_files
from bpfsmith.source.types import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_SINCE = {
    "Xdp": "5.9",
    "SchedClassifier": "6.6",
    **dict.fromkeys(("CgroupSkb", "CgroupSock", "CgroupSockAddr", "CgroupSockopt", "CgroupSysctl"), "5.7"),
    **dict.fromkeys(("CgroupDevice", "SockOps", "FlowDissector"), "5.7"),
    **dict.fromkeys(("KProbe", "UProbe", "TracePoint", "PerfEvent"), "5.15"),
}


class LinkIsNoDescriptor(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "attach"
    asks = "kernels"
    words = ("FdLink",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if not ctx.kernels.specified:
            return
        for file in user_files(project):
            if not file.has("FdLink") or says(file.crate, "KernelVersion"):
                continue
            for call in file.methods("take_link"):
                known = owner(call)
                since = _SINCE.get(known.name) if known is not None and known.within("aya::programs") else None
                missing = ctx.kernels.missing_before(since) if since is not None else ()
                if known is None or not missing or not _converted(call) or file.in_test(call.item):
                    continue
                yield self.finding(
                    ctx,
                    f"a link of `{known.name}` has no file descriptor on {on_kernels(missing)}: this fails",
                    span=covered(ctx, call),
                    kernels=missing,
                    fixes=[
                        Fix("display", "ask for the kernel's version before, and keep the link itself on older ones")
                    ],
                )


def _converted(call: Expr) -> bool:
    """Whether the link is made an `FdLink` where it is taken, or the local it is bound to."""
    block = next((one for one in call.ancestors() if one.kind == "block"), None)
    if block is None:
        return False
    for let in block.lets:
        if let.init is None or let.end <= call.start:
            continue
        type_ = named(let.file, let.type, block.item) if let.type else None
        if type_ is None or type_.name != "FdLink" or not type_.path.startswith("aya::programs"):
            continue
        made = let.init.stripped()
        source = made.receiver if made.kind == "method" and made.name == "try_into" else None
        if source is not None and call in (source.stripped(), given(source.stripped())):
            return True
    for made in block.file.calls("try_from"):
        named_so = made.callee is not None and made.callee.path.endswith("FdLink::try_from")
        if named_so and made.item == call.item and len(made.args) == 1 and given(made.args[0]) == call:
            return True
    return False


RULE = LinkIsNoDescriptor()

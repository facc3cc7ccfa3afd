"""A program without a GPL-compatible licence calls a helper reserved to GPL-compatible programs.

## What it does
Reports reachable calls of GPL-only helpers and kernel functions, and program types reserved to GPL-compatible programs,
in an object whose `license` section names another licence.

## Why is this bad
The verifier refuses the program: `cannot call GPL-restricted function from non-GPL compatible program`.

## Example
```c
char LICENSE[] SEC("license") = "Apache-2.0";

SEC("xdp")
int seen(struct xdp_md *ctx)
{
        bpf_printk("seen");
        return XDP_PASS;
}
```

## Use instead
```c
char LICENSE[] SEC("license") = "Dual MIT/GPL";
```

## Fix
License the kernel part as `GPL`, `GPL v2`, `Dual MIT/GPL`, `Dual BSD/GPL` or `Dual MPL/GPL`, or do without the helper.

## Kernels
All.

## Source
`gpl_only` of the helper prototypes in Linux 5.10, 6.1, 6.12 and 7.3; `include/linux/license.h`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import helper_calls, linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext


class GplOnlyHelper(ObjectRule):
    severity = "error"
    group = "programs"
    phase = "verify"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        if not obj.license or obj.gpl_compatible:  # without any, OBJ003 says so
            return
        for program in linkable(obj):
            for slot, message in _restricted(program):
                yield self.finding(
                    ctx,
                    f"{message}, and `{obj.license}` is not one",
                    obj=obj,
                    program=program,
                    slot=slot,
                    evidence=[Evidence("object", f"its `license` section says `{obj.license}`")],
                    fixes=[Fix("display", "use a GPL-compatible licence such as `Dual MIT/GPL` for the kernel part")],
                )


def _restricted(program: Program) -> Iterator[tuple[int, str]]:
    from bpfsmith.facts import program_types

    kind = program.type
    row = None if kind is None else program_types.get(kind)
    if row is not None and row.gpl_required:
        yield 0, f"`{row.name}` programs need a GPL-compatible licence"
        return
    for slot, helper in helper_calls(program):
        if helper.gpl_only if kind is None else helper.gpl_only_in(kind):
            yield slot, f"`{helper.name}` is reserved to GPL-compatible licences"
    seen: set[str] = set()
    for slot, what, _, name in program.calls():
        if what == "kfunc" and name not in seen:
            seen.add(name)
            yield slot, f"kernel functions such as `{name}` are reserved to GPL-compatible licences"


RULE = GplOnlyHelper()

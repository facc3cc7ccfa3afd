"""A program calls a helper that an asked kernel does not have, or not for this program type.

## What it does
With `--kernels` (or `kernels` in the configuration) given, compares each reachable helper and kernel function call with
the series that brought it, and with the series since which this program type may call it. Helpers called only behind a
CO-RE existence check or the address of a `__weak` kernel symbol are left out: kernels without them never come there.

## Why is this bad
On the older kernels the verifier refuses the program: `invalid func unknown#N`, `unknown func` or `program of this type
cannot use helper`.

## Example
```c
SEC("xdp")
int count(struct xdp_md *ctx) // asked for 5.10..
{
        __u32 word;
        bpf_xdp_load_bytes(ctx, 0, &word, 4); // since 5.18
        return XDP_PASS;
}
```

## Use instead
Direct packet access, or two programs of which the loader picks one after probing for the helper.

## Fix
Raise the oldest kernel, use an older helper, or guard the call: `if (bpf_core_enum_value_exists(enum bpf_func_id,
BPF_FUNC_xdp_load_bytes))`. A guard by a kernel configuration value or by a `const volatile` switch that the loading
code sets is not seen here: suppress with the reason. A kernel function must be declared `__weak` to be optional.

## Kernels
Those asked for that are older than the helper. A distribution may have backported it.

## Source
Versions and commits of the eBPF docs project; permissions from Linux 5.10, 6.1, 6.12 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import helper_calls, linkable, on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext


class HelperTooNew(ObjectRule):
    severity = "error"
    group = "portability"
    phase = "verify"
    asks = "kernels"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for program in linkable(obj):
            for slot, name, since, source in _needs(program):
                missing = ctx.kernels.missing_before(since)
                if missing:
                    yield self.finding(
                        ctx,
                        f"{name} needs Linux {since}; missing on {on(missing)}",
                        obj=obj,
                        program=program,
                        slot=slot,
                        evidence=[Evidence("fact", source)],
                        kernels=missing,
                    )


def _needs(program: Program) -> Iterator[tuple[int | None, str, str, str]]:
    """(slot, name, first series, source)."""
    from bpfsmith.read.earliest import helper_permitted, kernel_functions

    where = f" in a `{program.type}` program"
    for slot, helper in helper_calls(program, frozenset(program.guarded())):
        late = helper_permitted(program, helper)
        yield slot, f"`{helper.name}`{where if late else ''}", late or helper.since, helper.source
    for name, (at, found, late) in kernel_functions(program).items():
        yield at, f"kernel function `{name}`{where if late else ''}", late or found.since, found.source


RULE = HelperTooNew()

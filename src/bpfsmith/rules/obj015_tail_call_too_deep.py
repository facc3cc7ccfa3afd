"""A subprogram makes a tail call while its callers already hold 256 bytes of stack or more.

## What it does
Sums the frames of the functions above each subprogram that calls `bpf_tail_call`, rounded as the kernel does. The entry
function itself may tail-call with any frame.

## Why is this bad
A tail call unwinds only the frame of the function that makes it; those of its callers stay for up to 33 programs. The
verifier refuses: `tail_calls are not allowed when call stack of previous frames is 256 bytes. Too large`.

## Example
```c
static __noinline int dispatch(struct xdp_md *ctx, __u32 next)
{
        bpf_tail_call(ctx, &stages, next);
        return XDP_PASS;
}

SEC("xdp")
int parse(struct xdp_md *ctx)
{
        char headers[256] = {}; // still there after the tail call
        ...
        return dispatch(ctx, next);
}
```

## Use instead
```c
SEC("xdp")
int parse(struct xdp_md *ctx)
{
        char headers[256] = {};
        ...
        bpf_tail_call(ctx, &stages, next); // from the entry: its frame is unwound
        return XDP_PASS;
}
```

## Fix
Tail-call from the entry function (mark the function between `__always_inline`, `#[inline(always)]`), or move the
callers' buffers to a per-CPU array.

## Kernels
5.10 and later; before, subprograms and tail calls exclude each other.

## Source
`check_max_stack_depth_subprog` in `kernel/bpf/verifier.c`; "bpf: Limit caller's stack depth 256 for subprogs with
tailcalls" (5.10).
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.model.kernels import series_key
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable, on
from bpfsmith.rules._stack import Chains, Era, era_of, may_exceed, tail_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext

_LIMIT = 256
_SINCE = series_key("5.10")
_TAIL_CALL = 12


class TailCallTooDeep(ObjectRule):
    severity = "error"
    group = "programs"
    phase = "verify"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        asked = [series for series in ctx.kernels.series if series_key(series) >= _SINCE]
        for program in linkable(obj):
            if _TAIL_CALL not in program.helper_numbers or not may_exceed(program, _LIMIT - 1):
                continue
            chains = Chains(program)
            for name, slot in tail_calls(program).items():
                above = _callers(chains, name)
                if above:
                    yield from self._report(obj, ctx, program, chains, name, slot, above, asked)

    def _report(
        self,
        obj: Object,
        ctx: CheckContext,
        program: Program,
        chains: Chains,
        name: str,
        slot: int,
        above: list[list[str]],
        asked: list[str],
    ) -> Iterator[Finding]:
        deepest: dict[Era, tuple[int, list[str]]] = {}
        for era in dict.fromkeys(map(era_of, asked)):
            sums = [(sum(era.rounded(chains.frame(one, era)) for one in names), names) for names in above]
            deepest[era] = max(sums, key=lambda one: one[0])
        rejected = [series for series in asked if deepest[era_of(series)][0] >= _LIMIT]
        if not rejected:
            return
        size, names = deepest[era_of(rejected[-1])]
        some = rejected if len(rejected) < len(asked) else []
        rounding = era_of(rejected[-1]).rounding
        yield self.finding(
            ctx,
            f"`{name}` makes a tail call while its callers hold {size} bytes of stack, which must be below {_LIMIT}"
            + (f" on {on(some)}" if some else ""),
            obj=obj,
            program=program,
            slot=slot,
            severity="warning" if some and not ctx.kernels.specified else None,
            evidence=[Evidence("stack", f"{chains.written(names)} bytes, each rounded up to {rounding} -> `{name}`")],
            kernels=some,
            see=["bpf_tail_call"],
        )


def _callers(chains: Chains, name: str) -> list[list[str]]:
    """The functions above `name` in each chain it is in."""
    found: dict[tuple[str, ...], None] = {}
    for names in chains.chains:
        if name in names[1:]:
            found[tuple(names[: names.index(name, 1)])] = None
    return [list(names) for names in found]


RULE = TailCallTooDeep()

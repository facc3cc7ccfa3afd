"""A function or a chain of calls needs more stack than the verifier allows.

## What it does
Sums the frames of every chain of calls (subprograms and callbacks included), each rounded as the kernel does, and
compares the deepest with 512 bytes; and counts the functions of each chain, of which 8 may stand above each other: a
function that calls itself has no limit the verifier could see.

## Why is this bad
The verifier refuses the program: `combined stack size of 3 calls is 544. Too large`, or for a single frame `invalid
write to stack R10 off=-520`, or for too many functions `the call stack of 8 frames is too deep !`.

## Example
```c
static __noinline int format(struct xdp_md *ctx)
{
        char text[300] = {};
        ...
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
        char name[256] = {};
        ...
        return format(ctx);
}
```

## Use instead
```c
struct {
        __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, struct scratch);
} scratch SEC(".maps");
```

## Fix
Keep big buffers in a per-CPU array (in Rust: never a `[u8; 512]` as a local, and no big struct by value), or reuse one
buffer along the chain by passing a pointer down.

## Kernels
Frames are rounded up to 32 bytes, since 6.9 to 16. Since 6.13 on x86-64 (6.17 on arm64) a frame of 64 bytes or more of
a kprobe, tracepoint, perf_event, raw tracepoint or fentry-like program without tail calls has its own stack: there each
such frame by itself may not exceed 512 bytes, and only the small ones are summed. struct_ops gets this where the kernel
side asks for it, which is taken as granted.

## Source
`check_max_stack_depth_subprog`, `round_up_stack_depth` and `bpf_enable_priv_stack` in `kernel/bpf/verifier.c` of Linux
6.1, 6.12 and later.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable, listed, on
from bpfsmith.rules._stack import LIMIT, Chains, Era, era_of, may_exceed, recursion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext

_FRAMES = 8  # MAX_CALL_FRAMES, the entry included


class StackTooDeep(ObjectRule):
    severity = "error"
    group = "programs"
    phase = "verify"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for program in linkable(obj):
            circle = recursion(program) if program.subprograms else []
            if circle:
                yield self._recursive(obj, ctx, program, circle)
                continue
            if len(program.subprograms) >= _FRAMES:
                longest = max((names for _, _, names in program.stack_chains()), key=len, default=[])
                if len(longest) > _FRAMES:
                    yield self._too_many(obj, ctx, program, longest)
                    continue
            if not may_exceed(program, LIMIT):
                continue
            chains = Chains(program)
            deepest: dict[Era, tuple[int, list[str]]] = {}
            rejected = []
            for series in ctx.kernels.series:
                era = era_of(series)
                if era not in deepest:
                    deepest[era] = chains.deepest(era)
                if deepest[era][0] > LIMIT:
                    rejected.append(series)
            if rejected:
                yield self._report(obj, ctx, program, chains, *deepest[era_of(rejected[-1])], rejected)

    def _recursive(self, obj: Object, ctx: CheckContext, program: Program, circle: list[tuple[str, int]]) -> Finding:
        names = [name for name, _ in circle]
        through = f" through {listed(names[1:])}" if names[1:] else ""
        return self.finding(
            ctx,
            f"`{names[0]}` calls itself{through}, and the verifier follows calls {_FRAMES} functions deep",
            obj=obj,
            program=program,
            slot=circle[-1][1],
            evidence=[Evidence("fact", "write it as a loop, or call `bpf_loop` (5.17)")],
        )

    def _too_many(self, obj: Object, ctx: CheckContext, program: Program, names: list[str]) -> Finding:
        starts = {name: first for name, first, _, _ in program.functions()}
        return self.finding(
            ctx,
            f"a chain of calls goes through {len(names)} functions, the limit is {_FRAMES}",
            obj=obj,
            program=program,
            slot=starts.get(names[_FRAMES], 0),
            evidence=[Evidence("stack", " -> ".join(f"`{name}`" for name in names))],
        )

    def _report(
        self,
        obj: Object,
        ctx: CheckContext,
        program: Program,
        chains: Chains,
        size: int,
        names: list[str],
        rejected: list[str],
    ) -> Finding:
        biggest = max(names, key=lambda name: chains.frames[name])
        some = rejected if len(rejected) < len(ctx.kernels.series) else []
        limit = f"the limit is {LIMIT}" + (f" on {on(some)}" if some else "")
        if chains.frames[biggest] > LIMIT:
            message = f"`{biggest}` uses {chains.frames[biggest]} bytes of stack, {limit}"
        elif len(names) == 1:
            message = f"`{biggest}` uses {size} bytes of stack, {limit}"
        else:
            message = f"a chain of {len(names)} functions from `{names[0]}` needs {size} bytes of stack, {limit}"
        rounding = era_of(rejected[-1]).rounding
        evidence = [Evidence("stack", f"{chains.written(names)} bytes, each rounded up to {rounding}")]
        if some and rejected[-1] == "6.12" and chains.private:
            evidence.append(Evidence("fact", "since 6.13 (arm64: 6.17) such frames have stacks of their own"))
        return self.finding(
            ctx,
            message,
            obj=obj,
            program=program,
            slot=chains.starts[biggest],
            severity="warning" if some and not ctx.kernels.specified else None,
            evidence=evidence,
            kernels=some,
        )


RULE = StackTooDeep()

"""A program calls a helper that its program type may not call.

## What it does
Compares each reachable helper call with what the kernel's own permission functions allow to that program type, attach
type and sleepability, on any kernel known.

## Why is this bad
The verifier refuses the program: `program of this type cannot use helper bpf_...#N` (before 6.8: `unknown func
bpf_...#N`).

## Example
```c
SEC("xdp")
int count(struct xdp_md *ctx)
{
        __u32 word;
        bpf_skb_load_bytes(ctx, 0, &word, 4); // only for programs that get a socket buffer
        return XDP_PASS;
}
```

## Use instead
```c
SEC("xdp")
int count(struct xdp_md *ctx)
{
        __u32 word;
        bpf_xdp_load_bytes(ctx, 0, &word, 4);
        return XDP_PASS;
}
```

## Fix
Use the helper made for this hook, or move the work to a program type that may call it (`bpfsmith explain HELPER` lists
them).

## Kernels
All; a helper that only newer kernels allow here is OBJ004's matter.

## Source
The `*_func_proto` functions of Linux 5.10, 6.1, 6.12 and 7.3 (`net/core/filter.c`, `kernel/trace/bpf_trace.c`,
`kernel/bpf/helpers.c`, ...); `check_helper_call` in `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import helper_calls, linkable, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.facts.helpers import Helper
    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext

# Its callbacks may sleep in a program that may not (kernel/bpf/verifier.c, in_sleepable()).
_SLEEPING_CALLBACK = "bpf_wq_set_callback"


class HelperNotAllowed(ObjectRule):
    severity = "error"
    group = "verifier"
    phase = "verifier"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for program in linkable(obj):
            kind = program.type
            if kind is None or kind == "ext":  # what an extension may call depends on its target
                continue
            sleepable = program.sleepable or any(name.startswith(_SLEEPING_CALLBACK) for name in program.kfuncs)
            for slot, helper in helper_calls(program):
                if helper.allowed(kind, program.attach_type, sleepable):
                    continue
                message, evidence = _why(program, kind, helper)
                yield self.finding(
                    ctx,
                    message,
                    obj=obj,
                    program=program,
                    slot=slot,
                    evidence=[Evidence("fact", evidence), Evidence("provenance", helper.source)],
                    see=[helper.name],
                )


def _why(program: Program, kind: str, helper: Helper) -> tuple[str, str]:
    if helper.since_in(kind) is None:
        where = listed(helper.program_types)
        return f"`{helper.name}` cannot be called from a `{kind}` program", f"it is allowed in {where}"
    limit = helper.limit(kind)
    attach = program.attach_type
    if limit is not None and attach is not None and not helper.allowed(kind, attach):
        text = f"`{helper.name}` cannot be called from a `{kind}` program attached as `{attach}`"
        if limit.only:
            return text, f"it is allowed for {listed(limit.only)}"
        return text, f"it is allowed for the other attach types of `{kind}`"
    return (
        f"`{helper.name}` may sleep, and this `{kind}` program may not",
        f"section `{program.section}` does not make a sleepable program (`.s` does where the hook allows it)",
    )


RULE = HelperNotAllowed()

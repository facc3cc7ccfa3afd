"""A program calls a helper or kernel function that its program type may not call.

## What it does
Compares each reachable call of a helper or kernel function with what the kernel's own permission functions and sets
allow to that program type, attach type and sleepability, on any kernel known.

## Why is this bad
The verifier refuses the program: `program of this type cannot use helper bpf_...#N` (before 6.8: `unknown func
bpf_...#N`), `calling kernel function ... is not allowed`.

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
`kernel/bpf/helpers.c`, ...); `check_helper_call` and `fetch_kfunc_meta` in `kernel/bpf/verifier.c`; the calls of
`register_btf_kfunc_id_set`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import helper_calls, linkable, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.facts.helpers import Helper
    from bpfsmith.facts.kfuncs import Kfunc
    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext

# Its callbacks may sleep in a program that may not (kernel/bpf/verifier.c, in_sleepable()).
_SLEEPING_CALLBACK = "bpf_wq_set_callback"


class HelperNotAllowed(ObjectRule):
    severity = "error"
    group = "programs"
    phase = "verify"

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
            for slot, kfunc in _kernel_functions(program):
                refused = _refused(program, kind, kfunc, sleepable)
                if refused is not None:
                    yield self.finding(
                        ctx,
                        refused[0],
                        obj=obj,
                        program=program,
                        slot=slot,
                        evidence=[Evidence("fact", refused[1]), Evidence("provenance", kfunc.source)],
                        see=[kfunc.name],
                    )


def _kernel_functions(program: Program) -> Iterator[tuple[int, Kfunc]]:
    """(slot of the first reachable call, kernel function) for each the facts know.

    Without those behind an existence check: `if (!bpf_ksym_exists(f)) f();` is never verified.
    """
    from bpfsmith.facts import kfuncs

    seen: set[str] = set()
    calls = [call for call in program.calls() if call[1] == "kfunc"]
    guarded = frozenset(program.guarded()) if calls else frozenset()
    for slot, _, _, name in calls:
        if name in seen or slot in guarded:
            continue
        seen.add(name)
        found = kfuncs.get(name.partition("___")[0])
        if found is not None:
            yield slot, found


def _refused(program: Program, kind: str, kfunc: Kfunc, sleepable: bool) -> tuple[str, str] | None:
    """(message, evidence) where such a program may not call the kernel function."""
    if not kfunc.allowed(kind):
        where = listed(kfunc.program_types)
        return f"`{kfunc.name}` cannot be called from a `{kind}` program", f"it is allowed in {where}"
    if kfunc.sleeps and not sleepable:
        return _may_sleep(program, kind, kfunc.name)
    return None


def _why(program: Program, kind: str, helper: Helper) -> tuple[str, str]:
    from bpfsmith.facts import program_types

    limit = helper.limit(kind)
    row = program_types.get(kind)
    # Sock_ops, say, has one attach type: a permission that leaves it out leaves out the type.
    never = (
        limit is not None and row is not None and bool(row.attach_types) and set(row.attach_types) <= set(limit.never)
    )
    if helper.since_in(kind) is None or never:
        where = [word for word in helper.program_types if word != kind]
        return f"`{helper.name}` cannot be called from a `{kind}` program", f"it is allowed in {listed(where)}"
    attach = program.attach_type
    if limit is not None and attach is not None and not helper.allowed(kind, attach):
        text = f"`{helper.name}` cannot be called from a `{kind}` program attached as `{attach}`"
        if limit.only:
            return text, f"it is allowed for {listed(limit.only)}"
        return text, f"it is allowed for the other attach types of `{kind}`"
    return _may_sleep(program, kind, helper.name)


def _may_sleep(program: Program, kind: str, name: str) -> tuple[str, str]:
    return (
        f"`{name}` may sleep, and this `{kind}` program may not",
        f"section `{program.section}` does not make a sleepable program (`.s` does where the hook allows it)",
    )


RULE = HelperNotAllowed()

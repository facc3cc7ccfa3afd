"""A program returns a constant outside what its program type and attach type allow.

## What it does
Looks at each constant that can reach the program's exit and compares it with the legal range of that hook: as an error
where the verifier of an asked kernel enforces the range, as a warning where the kernel takes the program but gives the
value no meaning.

## Why is this bad
The verifier refuses the program: `At program exit the register R0 has value ... should have been in [0, 1]`. Where it
does not check, the value is treated as an error when a packet comes (XDP: drop with a warning).

## Example
```c
SEC("cgroup/connect4")
int connect(struct bpf_sock_addr *ctx)
{
        return -1; // 0 refuses, 1 allows
}
```

## Use instead
```c
SEC("cgroup/connect4")
int connect(struct bpf_sock_addr *ctx)
{
        return 0;
}
```

## Fix
Return one of the values `bpfsmith explain PROGRAM-TYPE` lists. In Rust, map the `Err` arm to a legal value instead of
returning the error number.

## Kernels
Those whose verifier checks this range; LSM hooks since 6.12.

## Source
`check_return_code` in `kernel/bpf/verifier.c` of Linux 6.1, 6.12 and 7.3, with the commits `explain` cites.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable, on, return_slot, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.facts.program_types import ReturnRange
    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext


class ReturnOutOfRange(ObjectRule):
    severity = "error"
    group = "programs"
    phase = "verify"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for program in linkable(obj):
            entry = _range(program)
            if entry is None or entry.low is None or entry.high is None:
                continue
            seen: set[int] = set()
            for slot, raw in program.exits():
                if raw is None:
                    continue
                # The kernel looks at all 64 bits, at 32 for LSM hooks; who does not check takes the lower 32.
                whole = bool(entry.enforced) and program.type != "lsm"
                value = signed(raw) if whole else signed(raw, 32)
                if value in seen:
                    continue
                seen.add(value)
                kernels = [series for series in ctx.kernels.series if entry.rejected(value, series)]
                if not kernels and (entry.enforced or entry.legal(value)):
                    continue
                if entry.legal(value) and not ctx.kernels.specified:
                    continue  # only old kernels mind, and nobody asked for them
                yield self._report(obj, ctx, program, slot, value, entry, kernels)

    def _report(
        self,
        obj: Object,
        ctx: CheckContext,
        program: Program,
        slot: int,
        value: int,
        entry: ReturnRange,
        kernels: list[str],
    ) -> Finding:
        where = f"`{program.type}` programs" + (f" attached as `{program.attach_type}`" if program.attach_type else "")
        some = kernels if len(kernels) < len(ctx.kernels.series) else []
        shown = f" on {on(some)}" if some else ""
        means = "; ".join(f"{key} = {text}" for key, text in entry.values.items())
        # `return -1` in a 32-bit register is 4294967295 to a verifier that looks at all 64 bits.
        written = signed(value, 32)
        wide = Evidence("note", f"the verifier sees {value}: the upper half of the register is zero")
        return self.finding(
            ctx,
            f"`{program.name}` returns {written}, but {where} return {entry.describe()}{shown}",
            obj=obj,
            program=program,
            slot=return_slot(program, value, slot),
            severity="error" if entry.enforced else "warning",
            evidence=[
                Evidence("fact", means),
                Evidence("provenance", entry.source),
                *([wide] if value != written else []),
            ],
            kernels=some,
            see=[program.type] if program.type else [],
        )


def _range(program: Program) -> ReturnRange | None:
    """The one range that can be meant; None when the attach type is open or the hook decides otherwise."""
    from bpfsmith.facts import lsm_hooks, program_types

    row = program_types.get(program.type) if program.type is not None else None
    if row is None:
        return None
    if program.attach_type is None and any(entry.attach for entry in row.returns):
        return None
    if row.name == "lsm":
        hook = lsm_hooks.get(program.attach_to or "")
        if hook is None or hook.result != "int":
            return None
    return row.return_range(program.attach_type)


RULE = ReturnOutOfRange()

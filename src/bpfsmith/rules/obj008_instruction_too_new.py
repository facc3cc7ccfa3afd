"""A program uses instructions or a language feature that an asked kernel does not know.

## What it does
With `--kernels` given, compares what each program's code needs (32-bit jumps, fetching atomics, signed division,
global variables, function calls, callbacks, loops, more than 4,096 instructions, ...) with the series that brought it.
References to kernel functions and variables that are `__weak` ask for nothing.

## Why is this bad
The verifier refuses the code (`unknown opcode`, `BPF_END uses reserved fields`, `back-edge`, ...) on older kernels.

## Example
```c
/* clang -mcpu=v4, asked for 6.1 */
int half(int x) { return x / 2; } // signed division is one instruction since 6.6
```

## Use instead
`-mcpu=v3` (5.12 and later for its atomics), or `-mcpu=v2` for anything older than 5.1.

## Fix
Compile for an older instruction set (`-mcpu=v2`; rustc: `-C target-cpu=v2`), or raise the oldest kernel.

## Kernels
Those asked for that are older than the feature.

## Source
The commit of each feature, in `bpfsmith explain FEATURE`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable, on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext


class InstructionTooNew(ObjectRule):
    severity = "error"
    group = "portability"
    phase = "verify"
    asks = "kernels"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import insn_features
        from bpfsmith.read.earliest import features

        for program in linkable(obj):
            for word, slot in features(program):
                row = insn_features.get(word)
                missing = () if row is None else ctx.kernels.missing_before(row.since)
                if row is not None and missing:
                    yield self.finding(
                        ctx,
                        f"`{program.name}` uses `{word}` ({row.what}), which needs Linux {row.since}; "
                        f"missing on {on(missing)}",
                        obj=obj,
                        program=program,
                        slot=slot,
                        evidence=[Evidence("provenance", row.source)],
                        kernels=missing,
                        see=[word],
                    )


RULE = InstructionTooNew()

"""Per-CPU values are made for another number of CPUs than the kernel counts.

## What it does
Finds `PerCpuValues::try_from` of a vector whose length comes from the number of online CPUs: `num_cpus`,
`std::thread::available_parallelism`, the length of `online_cpus()`, or a literal.

## Why is this bad
A per-CPU map has a value for every *possible* CPU, also those that are switched off or could be plugged in. Where the
two numbers differ (virtual machines, containers with a CPU limit, servers with room for more), `try_from` fails with
"not enough values": it works on your machine and not on theirs.

## Example
```rust
let zeros = PerCpuValues::try_from(vec![0u64; num_cpus::get()])?;
```

## Use instead
```rust
let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
let zeros = PerCpuValues::try_from(vec![0u64; cpus])?;
```

## Fix
Display: use `aya::util::nr_cpus`.

## Kernels
All.

## Source
`aya/src/util.rs`, `aya/src/maps/mod.rs`; compare `/sys/devices/system/cpu/possible` with `online`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import counts_online, given
from bpfsmith.rules._rust import covered, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class PerCpuValuesForOnlineCpus(SourceRule):
    severity = "warning"
    group = "maps"
    phase = "silent"
    words = ("PerCpuValues",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            for call in file.calls("try_from"):
                if call.callee is None or len(call.args) != 1 or file.in_test(call.item):
                    continue
                if resolve(file, call.callee.path, call.item) != "aya::maps::PerCpuValues::try_from":
                    continue
                made = given(call.args[0])
                if made.kind != "macro" or made.path != "vec":
                    continue
                many = file.text[made.start : made.end]
                if ";" not in many:
                    length, what = made, f"{len(made.args)} values"
                else:
                    length = made.args[-1]
                    literal = length.integer
                    what = f"{literal} values" if literal is not None else counts_online(length)
                if not what:
                    continue
                yield self.finding(
                    ctx,
                    f"{what}, but the kernel wants one for each possible CPU: this fails where the two differ",
                    span=covered(ctx, length),
                    fixes=[Fix("display", "use `aya::util::nr_cpus`, the number of possible CPUs")],
                )


RULE = PerCpuValuesForOnlineCpus()

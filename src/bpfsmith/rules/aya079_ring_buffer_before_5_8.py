"""A ring buffer is used though kernels without them are asked for.

## What it does
Finds ring buffers in kernel code where `--kernels` (or the configuration) names a kernel before 5.8.

## Why is this bad
The map type came with Linux 5.8: before, creating the map fails with `EINVAL`, and nothing of the object loads. That
holds for aya-log 0.3 and later too, which sends its records through a ring buffer.

## Example
```rust
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);
```

## Use instead
```rust
#[map]
static EVENTS: PerfEventArray<Event> = PerfEventArray::new(0);
```

## Fix
Display: use a perf event array there, or two objects of which the loader chooses one.

## Kernels
Before 5.8.

## Source
Kernel commit 457f44363a88 (`bpf: Implement BPF ring buffer`), Linux 5.8.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._object import on as on_kernels
from bpfsmith.rules._rust import kernel_files, maps
from bpfsmith.source.types import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class RingBufferBefore58(SourceRule):
    severity = "error"
    group = "maps"
    phase = "load"
    asks = "kernels"
    words = ("RingBuf",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import map_types

        row = map_types.get("ringbuf")
        missing = ctx.kernels.missing_before(row.since if row is not None else "5.8")
        if not ctx.kernels.specified or not missing:
            return
        for file in kernel_files(project):
            if not file.has("RingBuf"):
                continue
            for item, _ in maps(file):
                known = named(file, item.type, item)
                if known is None or known.name != "RingBuf" or not known.path.startswith("aya_"):
                    continue
                yield self.finding(
                    ctx,
                    f"`{item.name}` is a ring buffer, which {on_kernels(missing)} cannot create",
                    span=item.name_span.replace(path=ctx.shown(file.path)),
                    kernels=missing,
                    fixes=[Fix("display", "use a perf event array there")],
                )


RULE = RingBufferBefore58()

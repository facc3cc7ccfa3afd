"""Records of a ring buffer or perf event array are read as another type than the kernel side writes.

## What it does
Compares the type that the kernel side reserves or outputs (`EVENTS.reserve::<T>(0)`, `EVENTS.output(&event, 0)`,
`btf_maps::RingBuf<T, N>`) with the type as which the user side takes the bytes of a record
(`record.as_ptr() as *const U`, `.cast::<U>()`), through helper functions: by size, and field by field. For perf event
arrays (`PerfEventArray<T>`) the buffers that `read_events` filled. With several types in one buffer the reader must
have one of them.

## Why is this bad
A ring buffer carries bytes and nothing about their type. A reader with a larger type reads past the record, into
the next one's header: undefined behaviour. One with other fields, or another order, shows wrong values. Nothing fails.

## Example
```rust
// kernel side
EVENTS.output(&Event { pid, uid, comm }, 0);   // 24 bytes
// user side
let event = unsafe { &*(record.as_ptr() as *const OldEvent) }; // 32 bytes
```

## Use instead
```rust
// one `#[repr(C)]` type in a crate that both sides use
let event = unsafe { (record.as_ptr() as *const demo_common::Event).read_unaligned() };
```

## Fix
Display: one definition for both sides; comparing `record.len()` with `size_of::<T>()` first.

## Kernels
Ring buffers came with 5.8, perf event arrays with 4.3.

## Source
aya, `RingBufItem` in `aya/src/maps/ring_buf.rs`; aya-ebpf, `ebpf/aya-ebpf/src/maps/ring_buf.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import comparable, differences, pairs, same_item, shape
from bpfsmith.rules._events import buffer_reads, loose_reads, reads, written
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._events import Read
    from bpfsmith.source.aya import KernelMap, Pair
    from bpfsmith.source.layout import Field, Layout
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _fits(one: Layout, other: Layout) -> bool:
    """Whether a record of the first type may be read as the second."""
    if same_item(one, other) or not comparable(one, other):
        return True
    return one.size == other.size and not differences(one, other)


class EventReadAsOtherType(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("RingBuf", "PerfEventArray")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            every = [one for one in pair.maps if one.kind in ("RingBuf", "PerfEventArray", "PerfEventByteArray")]
            for made in every:
                found = written(made)
                if not found or len(pair.map(made.name)) != 1:
                    continue
                alone = sum((one.kind == "RingBuf") == (made.kind == "RingBuf") for one in every) == 1
                for read in self._reads(pair, made, alone):
                    if read.expr.file.crate in project.crates:
                        yield from self._compare(made, found, read, ctx)

    def _reads(self, pair: Pair, made: KernelMap, alone: bool) -> list[Read]:
        if made.kind != "RingBuf":
            return list(buffer_reads(pair)) if alone else []
        if alone:
            return list(loose_reads(pair))
        return [read for use in pair.map_uses if use.name == made.name for read in reads(use)]

    def _compare(
        self, made: KernelMap, found: list[tuple[Expr, Layout]], read: Read, ctx: CheckContext
    ) -> Iterator[Finding]:
        sizes = {one.size for _, one in found}
        if any(_fits(one, read.layout) for _, one in found):
            return
        # The header of several kinds of records may be read first.
        if len(sizes) > 1 and read.layout.size < min(sizes):
            return
        call, one = found[0]
        if read.layout.size == one.size:
            ours, theirs = differences(one, read.layout)[0]
            where = _apart(ours, theirs) if ours and theirs else "fields differ"
        elif read.layout.size > one.size:
            where = f"this reads {read.layout.size - one.size} bytes past the record"
        elif _prefix(one, read.layout):
            return  # the beginning of the record alone
        else:
            where = _drifted(one, read.layout)
        yield self.finding(
            ctx,
            f"records of `{made.name}` are {one.size} bytes of `{_last(one.name)}`, and are read as "
            f"`{_last(read.layout.name)}`: {where}",
            span=covered(ctx, read.expr),
            labels=[Label(covered(ctx, call), f"written here: {shape(one)}")],
            evidence=[Evidence("user side", shape(read.layout)), Evidence("kernel side", shape(one))],
            fixes=[Fix("display", "give both sides one `#[repr(C)]` type, from a crate that both use")],
        )


def _apart(ours: Field, theirs: Field) -> str:
    if ours.name.rpartition(".")[2] == theirs.name.rpartition(".")[2] and ours.offset != theirs.offset:
        return f"`{ours.name}` is written at byte {ours.offset} and read at byte {theirs.offset}"
    return f"`{ours.name}` is written where `{theirs.name}` is read"


def _drifted(whole: Layout, part: Layout) -> str:
    """Where a shorter type leaves the record: the first field that the record has elsewhere."""
    ours = {one.name.rpartition(".")[2]: one for one in whole.leaves()}
    for field in sorted(part.leaves(), key=lambda one: one.offset):
        mine = ours.get(field.name.rpartition(".")[2])
        if mine is not None and mine.offset != field.offset:
            return _apart(mine, field)
    return f"{part.size} bytes are read as another type"


def _prefix(whole: Layout, part: Layout) -> bool:
    """Whether the smaller type is how the larger one begins."""
    ours = {(one.offset, one.size) for one in whole.leaves()}
    theirs = [(one.offset, one.size) for one in part.leaves()]
    return all(one in ours for one in theirs) or len(theirs) == 1


def _last(name: str) -> str:
    return name.rpartition("::")[2]


RULE = EventReadAsOtherType()

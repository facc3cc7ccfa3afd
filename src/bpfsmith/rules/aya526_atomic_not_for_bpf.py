"""A type or method of `core::sync::atomic` that BPF targets do not have.

## What it does
Finds in kernel crates `AtomicBool`, `AtomicU8`, `AtomicU16`, `AtomicU32` and their signed kin of
`core::sync::atomic`, and on `AtomicU64` and the other 64-bit ones everything but `load`, `store` and `get_mut`:
`fetch_add`, `swap`, `compare_exchange`, ..

## Why is this bad
Rust's BPF targets are declared with 64-bit atomic loads and stores and without compare-and-swap; `core` leaves out
what a target does not have: "cannot find type `AtomicU32` in this scope", "no method named `fetch_add` found". A
`fence` gets as far as the linker, which ends with "Runtime fence is not supported".

## Example
```rust
static PACKETS: AtomicU64 = AtomicU64::new(0);
PACKETS.fetch_add(1, Ordering::Relaxed);
```

## Use instead
```rust
#[map]
static PACKETS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
if let Some(count) = PACKETS.get_ptr_mut(0) {
    unsafe { *count += 1 }; // each CPU has its own: nothing to lock
}
```

## Fix
Display: count per CPU, and add the CPUs up in user space.

## Kernels
All: a matter of the compiler.

## Source
Rust, the target `bpfel-unknown-none` (64-bit atomics at least, no compare-and-swap); reproduced with rustc 1.96.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._rust import mentions, place
from bpfsmith.source.names import resolve
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_ROOTS = ("core", "std")  # `std` is wrong too, and says less
_SMALL = frozenset(
    f"{root}::sync::atomic::Atomic{one}" for root in _ROOTS for one in ("Bool", "U8", "U16", "U32", "I8", "I16", "I32")
)
_LONG = frozenset(
    f"{root}::sync::atomic::Atomic{one}" for root in _ROOTS for one in ("U64", "I64", "Usize", "Isize", "Ptr")
)
_METHODS = (
    *("fetch_add", "fetch_sub", "fetch_and", "fetch_or", "fetch_xor", "fetch_nand", "fetch_max", "fetch_min"),
    *("fetch_update", "swap", "compare_exchange", "compare_exchange_weak", "compare_and_swap"),
)


class AtomicNotForBpf(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "compile"
    words = ("atomic",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        help_ = Fix("display", "count in a per-CPU map, or write through a pointer into a map")
        for file in code_files(project, "atomic"):
            done = set()
            for one in mentions(file, _SMALL):
                if one.path in done or file.in_test(one.item) or _gated(one.file.gates(one.item, one.start)):
                    continue
                done.add(one.path)
                yield self.finding(
                    ctx,
                    f"`{one.path.rpartition('::')[2]}` is not there for BPF: its atomics are 64 bits wide",
                    span=place(ctx, file, one.start, one.end),
                    fixes=[help_],
                )
            for call in file.methods(*_METHODS):
                found = type_of(call.receiver)
                if found is not None and found.path in _LONG and counts(call):
                    yield self.finding(
                        ctx,
                        f"`{found.name}` has no `{call.name}` for BPF: only `load` and `store`",
                        span=place(ctx, file, call.fields[2], call.end),
                        fixes=[help_],
                    )
            for call in file.calls("fence", "compiler_fence"):
                path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
                if path == "core::sync::atomic::fence" and counts(call):
                    yield self.finding(
                        ctx,
                        "`fence` ends in the linker: BPF has no memory barrier of its own",
                        span=place(ctx, file, call.start, call.end),
                        fixes=[Fix("display", "leave it out: maps and helpers order what must be ordered")],
                    )


def _gated(gates: list[str]) -> bool:
    return any("feature" in gate or "target" in gate for gate in gates)


RULE = AtomicNotForBpf()

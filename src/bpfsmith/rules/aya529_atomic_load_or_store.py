"""An atomic load or store that does not link.

## What it does
Finds `load` and `store` on the atomics of `core::sync::atomic` in kernel crates: with `Ordering::SeqCst` always, with
the other orderings where nothing sets the CPU to `v4`. What the compiler folds away, such as a static that is only
read, is left alone.

## Why is this bad
LLVM has acquire loads and release stores for BPF from `-C target-cpu=v4` on, where plain `Relaxed` ones become
ordinary instructions too; for the default CPU it has none at all ("Cannot select: AtomicLoad"), and sequentially
consistent ones it refuses everywhere ("sequentially consistent (seq_cst) atomic load/store is not supported"):
bpf-linker aborts.

## Example
```rust
let limit = unsafe { AtomicU64::from_ptr(pointer) }.load(Ordering::SeqCst);
```

## Use instead
```rust
let limit = unsafe { pointer.read_volatile() }; // 64 bits that are aligned are read in one piece
```

## Fix
Display: `read_volatile` and `write_volatile` of aligned values, or `target-cpu=v4` and `Acquire`/`Release`.

## Kernels
All; acquire and release instructions from 6.15 on.

## Source
Reproduced with rustc 1.96, LLVM 22.1 and bpf-linker 0.13, for the default CPU and for v4.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import bare, code_files, counts
from bpfsmith.rules._rust import place
from bpfsmith.source.names import resolve
from bpfsmith.source.types import item_of, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item

_TYPES = frozenset({f"core::sync::atomic::Atomic{one}" for one in ("U64", "I64", "Usize", "Isize", "Ptr")})
_ACCESSES = ("load", "store")


def _static(call: Expr) -> Item | None:
    """The static of the crate a call is on."""
    at = bare(call.receiver) if call.receiver is not None else None
    path = resolve(call.file, at.path, call.item) if at is not None and at.kind == "path" else None
    item = item_of(call.file, path) if path is not None and path.startswith("crate::") else None
    return item if item is not None and item.kind == "static" else None


def _atomic(call: Expr) -> bool:
    """On one of the atomic types, by name or from a pointer."""
    found = type_of(call.receiver)
    if found is not None:
        return found.path in _TYPES
    at = bare(call.receiver) if call.receiver is not None else None
    if at is None or at.kind != "call" or at.callee is None or not at.callee.path.endswith("::from_ptr"):
        return False
    return resolve(call.file, at.callee.path.removesuffix("::from_ptr"), call.item) in _TYPES


def _both(crate: Crate, item: Item) -> bool:
    """Whether the static is read here and written there: the compiler keeps it then."""
    ways = {
        call.name
        for file in crate.files
        for call in file.methods(*_ACCESSES)
        if (found := _static(call)) is not None and found.file is item.file and found.id == item.id
    }
    return len(ways) == 2


def _cpu_is_chosen(crate: Crate) -> bool:
    """Some file of the build speaks of the CPU: nothing is certain then."""
    from bpfsmith.source.cargo import cargo_configs

    texts = [str(data) for _, data in cargo_configs(crate.folder)]
    others = crate.project.all_crates if crate.project is not None else [crate]
    texts.extend(file.text for one in others for file in one.files if file.path.endswith(("build.rs", "main.rs")))
    return any("target-cpu" in text or "--cpu" in text for text in texts)


class AtomicLoadOrStore(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "link"
    words = ("Ordering",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "Ordering"):
            if file.crate is None:
                continue
            for call in file.methods(*_ACCESSES):
                order = call.args[-1].text.rpartition("::")[2] if call.args else ""
                if order not in ("Relaxed", "Acquire", "Release", "SeqCst") or not _atomic(call) or not counts(call):
                    continue
                held = _static(call)
                if held is not None and not _both(file.crate, held):
                    continue
                if order == "SeqCst":
                    message = f"LLVM has no sequentially consistent `{call.name}` for BPF: the object does not link"
                elif _cpu_is_chosen(file.crate):
                    continue
                else:
                    message = f"LLVM has no atomic `{call.name}` for BPF's default CPU: the object does not link"
                yield self.finding(
                    ctx,
                    message,
                    span=place(ctx, file, call.fields[2], call.end),
                    fixes=[
                        Fix("display", "use `read_volatile` and `write_volatile`, or `target-cpu=v4` with `Acquire`")
                    ],
                )


RULE = AtomicLoadOrStore()

"""A static that user space overrides is read as an ordinary static, so the compiler has put its value into the code.

## What it does
Finds `override_global("NAME", ..)` (and `set_global`) where the kernel side's `static NAME` is neither a `Global<T>`
nor read with `read_volatile`, and where all its uses are plain reads.

## Why is this bad
For the compiler an immutable static has the value that is written there. It puts the number into the instructions and
reads nothing at run time: overriding changes bytes that no program looks at. Nothing fails, not even with `must_exist`
set to `true`, because the symbol is still there; the program runs with the value it was compiled with.

## Example
```rust
#[unsafe(no_mangle)]
static TARGET: u32 = 0;

if ctx.tgid() != TARGET { return 0; }
```

## Use instead
```rust
#[unsafe(no_mangle)]
static TARGET: Global<u32> = Global::new(0); // aya-ebpf 0.2

if ctx.tgid() != TARGET.load() { return 0; }
```

## Fix
Display: `Global<T>` with aya-ebpf 0.2 or newer, else `core::ptr::read_volatile(&raw const NAME)`.

## Kernels
All. `llvm-objdump -dr OBJECT` shows no relocation against the symbol.

## Source
aya-ebpf 0.2.0, `Global` in `ebpf/aya-ebpf/src/lib.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, pairs
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import KernelGlobal, Pair
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

# What the compiler may not assume a value of.
_CHANGING = ("Atomic", "Cell", "Mutex", "Lock", "Once", "MaybeUninit", "Global", "Volatile", "*")


def _reads(pair: Pair, made: KernelGlobal) -> list[Expr] | None:
    """The plain reads of a static; None where its address is taken, or where a macro may do anything with it."""
    from bpfsmith.source.aya.values import paths_named
    from bpfsmith.source.types import binding

    out = []
    for kernel in pair.kernels:
        for file in kernel.files:
            if made.name not in file.text:
                continue
            if any(made.name in one.text for one in file.of_kind("tokens", "macro")):
                return None
            for path in paths_named(file, made.name):
                if "::" not in path.path and binding(path) is not None:
                    continue
                parent = path.parent
                while parent is not None and parent.kind in ("field", "paren"):
                    parent = parent.parent
                # An element by its index is read from memory.
                if parent is None or parent.kind in ("ref", "macro", "tokens", "struct", "method", "index"):
                    return None
                out.append(path)
    return out


class OverriddenStaticFolded(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("override_global", "set_global")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for user in pair.users:
                for call in user.globals:
                    found = [one for one in pair.globals if one.name in (call.names or ())]
                    if len(found) != 1 or found[0].kind != "static" or found[0].item.mutable:
                        continue
                    made = found[0]
                    if any(word in made.type for word in _CHANGING) or not made.exported:
                        continue
                    reads = _reads(pair, made)
                    if not reads:
                        continue
                    yield self.finding(
                        ctx,
                        f"overriding `{made.name}` changes nothing: it is read as an ordinary static, whose value the "
                        "compiler has put into the code",
                        span=covered(ctx, call.argument or call.expr),
                        labels=[
                            Label(item_place(ctx, made.item), "an ordinary static"),
                            Label(covered(ctx, reads[0]), "read here as what it was compiled with"),
                        ],
                        fixes=[
                            Fix(
                                "display",
                                f"make it a `Global<{made.type}>` and read it with `load()` (aya-ebpf 0.2), or read it "
                                "with `core::ptr::read_volatile`",
                            )
                        ],
                    )


RULE = OverriddenStaticFolded()

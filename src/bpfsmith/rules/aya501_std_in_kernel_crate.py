"""A kernel crate uses the standard library.

## What it does
Finds paths and imports of `std` and macros that only `std` has (`println!`, `format!`, `vec!`, ..) in kernel crates,
outside of tests and of code gated by a feature or target; and kernel crates without `#![no_std]`.

## Why is this bad
There is no `std` for BPF targets: "can't find crate for `std`".

## Example
```rust
use std::mem;
```

## Use instead
```rust
use core::mem;
```

## Fix
Safe where `core` has the same path, else display.

## Kernels
All.

## Source
Rust, platform support: `bpfel-unknown-none` is `no_std`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import kernel_files, place, replace
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, SourceFile

# Modules of `std` that `core` has too.
_CORE = frozenset(
    {
        *(
            "any",
            "array",
            "ascii",
            "cell",
            "char",
            "clone",
            "cmp",
            "convert",
            "default",
            "fmt",
            "future",
            "hash",
            "hint",
        ),
        *(
            "iter",
            "marker",
            "mem",
            "num",
            "ops",
            "option",
            "panic",
            "pin",
            "primitive",
            "ptr",
            "result",
            "slice",
            "str",
        ),
        *("sync", "task", "time", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "usize", "isize"),
    }
)
_NOT_CORE = frozenset(
    {"sync::Arc", "sync::Mutex", "sync::RwLock", "time::Instant", "time::SystemTime", "hash::RandomState"}
)
_TEXTS = frozenset({"stringify", "concat"})
_MACROS = frozenset({"println", "print", "eprintln", "eprint", "dbg", "format", "vec", "thread_local"})


def _files(file: SourceFile) -> list[SourceFile]:
    return file.crate.files if file.crate is not None else [file]


def _is_program(file: SourceFile) -> bool:
    """The root of a binary or library, not of an example that may run elsewhere."""
    return "examples" not in file.path.split("/") and file.path.endswith(("main.rs", "lib.rs"))


def _top(file: SourceFile) -> int:
    """After the comments at the top of the file."""
    at = 0
    for line in file.text.splitlines(keepends=True):
        if not line.startswith(("//!", "//", "\ufeff//")):
            break
        at += len(line)
    return at


def _elsewhere(file: SourceFile, item: Item | None, at: int) -> bool:
    """In a test, or gated: compiled for user space only."""
    if file.in_test(item) or file.is_off(item, at):
        return True
    return any(
        "feature" in gate or "target_arch" in gate or "test" in gate or "std" in gate for gate in file.gates(item, at)
    ) or (file.crate is not None and _module_gated(file))


def _module_gated(file: SourceFile) -> bool:
    """Whether the `mod` item this file is for stands under a `cfg`."""
    if not file.module or file.crate is None:
        return False
    for other in file.crate.files:
        for item in other.items:
            if item.kind == "mod" and item.name in file.module and not item.body_end and other.gates(item):
                return True
    return False


def _only_text(expr: Expr) -> bool:
    """An argument of a macro that makes text of its tokens."""
    return any(one.kind == "macro" and one.path.rpartition("::")[2] in _TEXTS for one in expr.ancestors())


class StdInKernelCrate(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if file.path == file.root and not file.no_std and _is_program(file):
                yield self.finding(
                    ctx,
                    "a kernel crate needs `#![no_std]`: there is no `std` for BPF",
                    span=place(ctx, file, 0, len(file.text.partition("\n")[0])),
                    fixes=[
                        Fix("safe", "add `#![no_std]`", [replace(ctx, file, _top(file), _top(file), "#![no_std]\n")])
                    ],
                )
                continue
            std = file.has("std")
            places = [(use.path, use.start, use.stmt_start, file.item_at(use.owner)) for use in file.uses if std]
            places.extend((path, start, start, file.item_at(owner)) for owner, path, start, _ in file.paths_with("std"))
            places.extend(
                (one.path, one.start, one.start, one.item) for one in file.path_exprs("std") if not _only_text(one)
            )
            done = set()
            for path, start, begin, item in places:
                absolute = path.removeprefix("::")
                if absolute.partition("::")[0] != "std" or "::" not in absolute or _elsewhere(file, item, start):
                    continue
                if resolve(file, "std::x", item) != "std::x":
                    continue  # a module of one's own
                at = file.text.find("std", begin)
                if at < 0 or at in done:
                    continue
                done.add(at)
                rest = absolute.partition("::")[2]
                same = rest.partition("::")[0] in _CORE and rest not in _NOT_CORE
                grouped = "{" in file.text[at : start + 1]
                fix = Fix("display", "use what `core` or aya-ebpf offer")
                if same and not grouped:
                    fix = Fix("safe", "use `core`", [replace(ctx, file, at, at + 3, "core")])
                yield self.finding(
                    ctx,
                    f"`{absolute}` is not there for BPF: kernel crates have no `std`",
                    span=place(ctx, file, at, at + 3),
                    fixes=[fix],
                )
            for call in file.macros(*_MACROS):
                if call.path not in _MACROS or _only_text(call) or _elsewhere(file, call.item, call.start):
                    continue
                if (
                    resolve(file, call.path, call.item) is not None
                    or any(use.glob for use in file.uses)
                    or "alloc" in file.text
                ):
                    continue
                if any(
                    item.kind == "macro_rules" and item.name == call.path
                    for other in _files(file)
                    for item in other.items
                ):
                    continue
                yield self.finding(
                    ctx,
                    f"`{call.path}!` is not there for BPF: kernel crates have no `std`",
                    span=place(ctx, file, call.start, call.start + len(call.path) + 1),
                    fixes=[Fix("display", "log with `aya_log_ebpf::info!` or `bpf_printk!`")],
                )


RULE = StdInKernelCrate()

"""A local value does not fit on the stack of 512 bytes.

## What it does
Adds up the locals of kernel-side code whose size is certain (arrays with a constant length, structs, literals of
them) block by block, and finds those where they need 512 bytes or more. References, pointers and what stays in a map
do not count.

## Why is this bad
A BPF frame has 512 bytes, for locals, spilled registers and everything else. LLVM refuses bigger frames: "Looks like
the BPF stack limit is exceeded". Values that are never used as a whole may be optimised away, which is why it can
work until somebody adds a line.

## Example
```rust
let mut path = [0u8; 512];
bpf_probe_read_user_str_bytes(name, &mut path)?;
```

## Use instead
```rust
#[map]
static PATH: PerCpuArray<[u8; 512]> = PerCpuArray::with_max_entries(1, 0);

let path = unsafe { &mut *PATH.get_ptr_mut(0).ok_or(1i64)? };
bpf_probe_read_user_str_bytes(name, path)?;
```

## Fix
Display: keep the value in a per-CPU array with one entry, or reserve it in the ring buffer it is sent through.

## Kernels
All: `MAX_BPF_STACK` is 512.

## Source
Kernel, `include/linux/filter.h`; reproduced with rustc 1.96, LLVM 22.1 and bpf-linker 0.13.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts
from bpfsmith.rules._rust import place
from bpfsmith.source.layout import constant, layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let, SourceFile

_LIMIT = 512
_BIG = 64  # smaller ones live in registers or are too many to follow
_SIZES = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "usize": 8, "isize": 8}


def _of_value(value: Expr, depth: int = 0) -> int:
    """The bytes of a literal value; 0 when they are not known."""
    while value.kind == "paren" and value.inner is not None:
        value = value.inner
    item = value.item
    if value.kind == "repeat" and depth < 4:
        one, length = value.operands
        count = constant(value.file, length.text, item) if length is not None else None
        if one is None or count is None:
            return 0
        if one.kind == "repeat":
            return count * _of_value(one, depth + 1)
        suffix = next((name for name in _SIZES if one.literal == "int" and one.text.endswith(name)), "")
        return count * _SIZES.get(suffix, 1 if one.text.startswith("b'") else 0)
    if value.kind == "struct":
        found = layout(value.file, value.path, item)
        return found.size if found is not None else 0
    return 0


def _size(let: Let) -> int:
    if let.name is None:
        return 0
    text = let.type.strip()
    if text and "_" not in text.replace("_t", "").split("::") and not text.startswith(("&", "*")):
        found = layout(let.file, text, let.block.item)
        if found is not None:
            return found.size
    return _of_value(let.init) if let.init is not None and not text.startswith(("&", "*")) else 0


def _blocks(file: SourceFile) -> list[Expr]:
    """Blocks with a `let` that may be big: a repeated value, a struct with arrays, zeroed or uninitialised memory."""
    big = _big_structs(file)
    places = [*file.of_kind("repeat"), *file.calls("zeroed", "uninit")]
    if big:
        places.extend(file.structs(*big))
    found: dict[int, Expr] = {}
    for one in places:
        for at in one.ancestors():
            if at.kind in ("block", "closure"):
                if at.kind == "block":
                    found.setdefault(at.id, at)
                if at.kind == "closure" or not at.is_unsafe:
                    break
    return list(found.values())


def _big_structs(file: SourceFile) -> list[str]:
    """Names of the project's structs that need some stack."""
    crate = file.crate
    if crate is None or not crate.files:
        return []
    first = crate.files[0].cache
    if "big structs" not in first:
        others = crate.project.all_crates if crate.project is not None else [crate]
        first["big structs"] = [
            item.name
            for one in others
            if one is crate or one.role == "common"
            for other in one.files
            for item in other.items_of_kind("struct")
            if any("[" in field.type or field.type[:1].isupper() for field in item.params)
            and (known := layout(other, item.name, item)) is not None
            and known.size >= _BIG
        ]
    names: list[str] = first["big structs"]
    return names


class StackValueTooBig(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "link"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project):
            for block in _blocks(file):
                rows = [(let, size) for let in block.lets if (size := _size(let)) >= _BIG]
                total = sum(size for _, size in rows)
                if total < _LIMIT or not counts(block):
                    continue
                biggest, size = max(rows, key=lambda row: (row[1], row[0].start))
                alone = size >= _LIMIT
                item = block.item
                what = (
                    f"`{biggest.name}` needs {size} bytes of stack"
                    if alone
                    else f"the locals of `{item.name if item is not None else ''}` need {total} bytes of stack"
                )
                yield self.finding(
                    ctx,
                    f"{what}, a BPF frame has {_LIMIT} for everything",
                    span=place(ctx, file, biggest.start, biggest.end),
                    severity=None if alone else "warning",
                    labels=[
                        Label(place(ctx, file, let.start, let.end), f"{bytes_} bytes")
                        for let, bytes_ in rows
                        if let is not biggest and not alone
                    ],
                    fixes=[Fix("display", "keep it in a per-CPU array with one entry, or reserve it in a ring buffer")],
                )


RULE = StackValueTooBig()

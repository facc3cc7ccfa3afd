"""Bytes become a `bool`, `char` or enum that they may not be.

## What it does
Finds `transmute` of an integer that is not constant to `bool`, `char` or an enum of the crate that has no variant for
some of its values, unless the function compares or matches the integer, or masks or reduces it to what there is;
and `ptr::read` and `read_unaligned` of pointers cast to `*const bool` or `*const char`.

## Why is this bad
A value without a variant is undefined behaviour where it is made: a `match` over all variants is compiled without a
way out, and jumps where the compiler pleases. Bytes from a packet, from user memory or from a map can be anything.

## Example
```rust
let kind: Kind = unsafe { core::mem::transmute(header.kind) };
```

## Use instead
```rust
let kind = match header.kind {
    1 => Kind::Data,
    2 => Kind::Close,
    _ => return Err(()),
};
```

## Fix
Display: match on the number.

## Kernels
All: a matter of the language.

## Source
The Rust reference, behavior considered undefined: producing an invalid value.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import bounded, is_constant
from bpfsmith.rules._kernel_code import code_files, counts, spelled, written_type
from bpfsmith.rules._ranges import Written, largest, largest_of
from bpfsmith.rules._rust import covered
from bpfsmith.source.across import item_across, resolve_across
from bpfsmith.source.names import resolve
from bpfsmith.source.types import parse_type, split_args

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item

_BYTES = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8}


def _target(call: Expr) -> str:
    """The type a `transmute` makes, where it is written: in its generics, a `let`, the result of the function."""
    callee = call.callee
    text = callee.text if callee is not None else ""
    if "<" in text:
        args = split_args(text.partition("<")[2].rstrip(">"))
        return args[1] if len(args) == 2 and args[1] != "_" else ""
    return written_type(call)


def _holes(text: str, call: Expr) -> str | None:
    """What of the type is invalid; None for types that take anything, and unknown ones."""
    text = text.strip()
    if text in ("bool", "char"):
        return f"`{text}`"
    parsed = parse_type(text)
    path = resolve_across(call.file, parsed[0], call.item) if parsed is not None and not parsed[2] else None
    item = item_across(call.file, path) if path is not None else None
    if item is None or item.kind != "enum" or _complete(item):
        return None
    return f"the enum `{item.name}`"


def _complete(item: Item) -> bool:
    """Whether there is a variant for every value of its width, or the width is not written."""
    size = next(
        (size for one in item.attrs if one.path == "repr" for name, size in _BYTES.items() if name in one.args), 1
    )
    return len(item.params) >= 1 << (8 * size)


def _tested(call: Expr) -> bool:
    """The number is masked or reduced to what the type has, or the function asks for its value."""
    number = call.args[0]
    while number.kind in ("paren", "cast") and number.inner is not None:
        number = number.inner
    most = largest(number) if number.kind == "binary" and number.op in ("&", "%") else None
    if most is None:
        return bounded(call, number)
    target = _target(call).strip()
    limit = 0xD7FF if target == "char" else largest_of(Written(target, call.file, call.item))
    return limit is None or most <= limit


class InvalidValueMade(SourceRule):
    severity = "warning"
    group = "unsafe"
    phase = "silent"
    words = ("transmute", "read", "read_unaligned")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, *self.words):
            for call in file.calls(*spelled(file, "transmute")):
                callee = call.callee
                path = resolve(file, callee.path, call.item) if callee is not None else None
                if path not in ("core::mem::transmute", "core::intrinsics::transmute") or len(call.args) != 1:
                    continue
                what = _holes(_target(call), call)
                if what is not None and not is_constant(call.args[0]) and not _tested(call) and counts(call):
                    yield self._found(ctx, call, what)
            for call in [
                *file.methods("read", "read_unaligned", "read_volatile"),
                *file.calls("read_unaligned", "read"),
            ]:
                pointer = call.receiver if call.kind == "method" else call.args[0] if len(call.args) == 1 else None
                while pointer is not None and pointer.kind == "paren":
                    pointer = pointer.inner
                if pointer is None or pointer.kind != "cast":
                    continue
                text = pointer.cast_type.strip()
                made = text.removeprefix("*const ").removeprefix("*mut ").strip()
                if made != text and made in ("bool", "char") and counts(call):
                    yield self._found(ctx, call, f"`{made}`")

    def _found(self, ctx: CheckContext, call: Expr, what: str) -> Finding:
        return self.finding(
            ctx,
            f"any bytes become {what}, and those it has no value for are undefined behaviour",
            span=covered(ctx, call),
            fixes=[Fix("display", "read the number, and match on it with an arm for all others")],
        )


RULE = InvalidValueMade()

"""A multiplication or division needs 128 bits.

## What it does
Finds `*` of two `u128` or `i128` values that are not constant, where more than the lower 64 bits of the product are
used; `/` and `%` of such a value by anything but a power of two, where its upper half may hold something; and
`checked_mul`, `overflowing_mul` and `saturating_mul` of 64-bit values, in functions of kernel crates.

## Why is this bad
BPF multiplies 64 by 64 bits and keeps the lower 64. For more, and to learn of an overflow, the compiler calls a
library that is not there: bpf-linker stops with "A call to built-in function '__multi3' is not supported"
(`__udivti3` for the division).

## Example
```rust
let nanos = (ticks as u128 * scale as u128) >> 32;
let total = packets.checked_mul(length).unwrap_or(u64::MAX);
```

## Use instead
```rust
let nanos = (ticks >> 16) * (scale >> 16);      // with bounds that are known to fit
let total = if packets < 1 << 32 && length < 1 << 31 { packets * length } else { u64::MAX };
```

## Fix
Display: stay within 64 bits, or compute in user space.

## Kernels
All.

## Source
Reproduced with rustc 1.96, LLVM 22.1 and bpf-linker 0.13.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import is_constant
from bpfsmith.rules._kernel_code import code_files, counts, local
from bpfsmith.rules._rust import cited, place
from bpfsmith.source.layout import constant
from bpfsmith.source.types import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_WIDE = ("u128", "i128")
_LONG = ("u64", "i64", "usize", "isize", *_WIDE)
_METHODS = ("checked_mul", "overflowing_mul", "saturating_mul")
_TIMES = ("bpf_ktime_get_ns", "bpf_ktime_get_boot_ns", "bpf_get_current_pid_tgid", "bpf_get_current_uid_gid")


def _is(expr: Expr | None, types: tuple[str, ...], depth: int = 0) -> bool:  # noqa: PLR0911 - one return a kind
    """Whether a value certainly has one of these types."""
    if expr is None or depth > 6:
        return False
    if expr.kind == "cast":
        return expr.cast_type.strip() in types
    if expr.kind == "lit":
        return expr.literal == "int" and expr.text.endswith(types)
    if expr.kind == "binary":
        if expr.op in ("<<", ">>"):
            return _is(expr.operands[0], types, depth + 1)
        return expr.op in "+-*/%&|^" and any(_is(one, types, depth + 1) for one in expr.operands)
    if expr.kind == "paren" or (expr.kind == "block" and not expr.fields[1]):
        return _is(expr.tail if expr.kind == "block" else expr.inner, types, depth + 1)
    if expr.kind == "call" and expr.callee is not None:
        head, _, last = expr.callee.path.rpartition("::")
        return (last == "from" and head in types) or (last in _TIMES and "u64" in types)
    found = local(expr)
    if found is None:
        return False
    if found.type:
        return found.type.strip() in types
    return _is(found.let.init, types, depth + 1) if found.let is not None and found.kind == "let" else False


def _any_number(expr: Expr | None, depth: int = 0) -> bool:
    """Whether a value of 64 bits may have its upper ones set: no cast, mask or the like that the compiler sees."""
    if expr is None or depth > 6:
        return False
    if expr.kind == "paren" or (expr.kind == "block" and not expr.fields[1]):
        return _any_number(expr.tail if expr.kind == "block" else expr.inner, depth + 1)
    if expr.kind == "call" and expr.callee is not None:
        return expr.callee.path.rpartition("::")[2] in _TIMES
    found = local(expr)
    if found is not None and found.kind == "param":
        return found.type.strip() in _LONG
    return _any_number(found.let.init, depth + 1) if found is not None and found.let is not None else False


def _power_of_two(expr: Expr | None) -> bool:
    value = constant(expr.file, expr.text, expr.item) if expr is not None else None
    return value is not None and value > 0 and value & (value - 1) == 0


def _full(expr: Expr | None, depth: int = 0) -> bool:  # noqa: PLR0911
    """Whether the upper half may hold something: not a narrower value that was only made wider."""
    if expr is None or depth > 6:
        return False
    if expr.kind == "paren":
        return _full(expr.inner, depth + 1)
    if expr.kind == "binary":
        if expr.op in ("*", "<<"):
            return True
        return expr.op in "+-|^" and any(_full(one, depth + 1) for one in expr.operands)
    if expr.kind == "call" and expr.callee is not None:
        return expr.callee.path.rpartition("::")[2] in ("from_be_bytes", "from_le_bytes", "from_ne_bytes", "from_be")
    found = local(expr)
    if found is not None and found.kind == "param":
        return True
    return _full(found.let.init, depth + 1) if found is not None and found.let is not None else False


def _upper_used(expr: Expr, depth: int = 0) -> bool:
    """Whether bits from 64 on are asked for; a product of which the lower half is kept needs no library."""
    shifted = 0
    child = expr
    for at in expr.ancestors():
        if at.kind == "cast":
            width = {"u128": 128, "i128": 128, "u64": 64, "usize": 64, "i64": 64, "u32": 32, "u16": 16, "u8": 8}
            kept = width.get(at.cast_type.strip(), 128)
            if kept < 128:
                return shifted + kept > 64
        elif at.kind == "binary":
            if at.op == ">>" and at.operands[0] == child:
                amount = at.operands[1].integer if at.operands[1] is not None else None
                if amount is None:
                    return True
                shifted += amount
            elif at.op not in ("+", "-", "&", "|", "^", "*"):
                return True
        elif at.kind == "block":
            let = next((one for one in at.lets if one.init == child), None)
            return let is not None and depth < 4 and any(_upper_used(use, depth + 1) for use in mentions(let))
        elif at.kind != "paren":
            return False
        child = at
    return False


class WideMultiplication(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "link"
    words = (*_WIDE, *_METHODS)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:  # noqa: PLR0912 - a branch a form
        for file in code_files(project, *self.words):
            rows: list[tuple[Expr, str]] = []
            if file.has(*_WIDE):
                for expr in file.of_kind("binary"):
                    left, right = expr.operands
                    if expr.op in ("*", "*="):
                        if left is None or right is None or is_constant(left) or is_constant(right):
                            continue
                        needs = "__multi3"
                    elif expr.op in ("/", "%", "/=", "%="):
                        if _power_of_two(right) or not _full(left):
                            continue
                        needs = "__udivti3"
                    else:
                        continue
                    if needs == "__multi3" and not _upper_used(expr):
                        continue
                    if _is(left, _WIDE) or _is(right, _WIDE):
                        rows.append((expr, needs))
            for call in file.methods(*_METHODS):
                if len(call.args) != 1 or call.receiver is None:
                    continue
                if any(_power_of_two(one) for one in (call.receiver, call.args[0])):
                    continue
                both = is_constant(call.receiver) and is_constant(call.args[0])
                if not both and (_any_number(call.receiver) or _any_number(call.args[0])):
                    rows.append((call, "__multi3"))
            for expr, needs in rows:
                if counts(expr):
                    yield self.finding(
                        ctx,
                        f"{cited(expr.text)} needs the library function `{needs}`, which BPF does not have",
                        span=place(ctx, file, expr.start, expr.end),
                        fixes=[Fix("display", "stay within 64 bits, or compute in user space")],
                    )


RULE = WideMultiplication()

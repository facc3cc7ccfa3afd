"""Kernel code uses an operation that can panic.

## What it does
Finds, in kernel crates, `unwrap()`, `expect()`, `panic!` and its kin, indexing with a value that is not constant and
division by one, outside of tests, constants, the panic handler and what bindgen generated. Where the same function
compares the index or divisor with something, where it is masked, or where it counts a loop, nothing is said: the check
may well be enough. Locals are followed to the expressions that give them their value.

## Why is this bad
A panic path ends in the panic handler, an endless loop or a trap: the verifier refuses the program with "last insn is
not an exit or jmp", or "infinite loop detected". Whether the compiler removes the path depends on its version and on
the profile.

## Example
```rust
let weight = WEIGHTS[packet.protocol as usize];
let header = parse(&ctx).unwrap();
```

## Use instead
```rust
let Some(weight) = WEIGHTS.get(packet.protocol as usize) else { return Err(()) };
let header = parse(&ctx).ok_or(())?;
```

## Fix
Display: use `get`, `?`, `checked_div`, or test before.

## Kernels
All.

## Source
aya, issues 831 and 856; reproduced on Linux 6.18 with `unwrap`, an index and a division.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import cited, kernel_files, place
from bpfsmith.source.types import binding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile

_MACROS = frozenset({"panic", "todo", "unimplemented", "unreachable", "assert", "assert_eq", "assert_ne"})
_SIZES = frozenset({"size_of", "size_of_val", "align_of", "align_of_val"})
_COMPARES = frozenset({"<", "<=", ">", ">=", "==", "!="})


def _panics(expr: Expr) -> tuple[str, int, int, str] | None:  # noqa: PLR0911 - one return a kind
    """What can panic, where, and what to write instead; None when nothing can."""
    if expr.kind == "method" and expr.name in ("unwrap", "expect") and len(expr.args) == (expr.name == "expect"):
        return f"`{expr.name}()`", expr.fields[2], expr.end, "return early with `?`, `let .. else` or a default verdict"
    if expr.kind == "macro" and expr.path.rpartition("::")[2] in _MACROS:
        if expr.path.startswith("assert") and all(_constant(one) for one in expr.args):
            return None  # decided by the compiler
        return f"`{expr.path}!`", expr.start, expr.end, "return an error instead"
    if expr.kind == "index":
        base, index = expr.operands
        if base is None or index is None or _constant(index) or _bounded(expr, index):
            return None
        return f"the index {cited(index.text)}", expr.start, expr.end, "use `get`, or test the index before"
    if expr.kind == "binary" and expr.op in ("/", "%", "/=", "%="):
        _, divisor = expr.operands
        left = expr.operands[0]
        if divisor is None or left is None or _constant(divisor) or _guarded(expr, divisor):
            return None
        if any(one.literal == "float" for one in expr.within()):
            return None
        return (
            f"the division by {cited(divisor.text)}",
            expr.start,
            expr.end,
            "use `checked_div` or test for zero before",
        )
    return None


def _constant(expr: Expr, depth: int = 0) -> bool:  # noqa: PLR0911 - one return a kind
    """A literal, a constant by its name, arithmetic of such, `size_of`, a local that is set to such."""
    if expr.kind == "lit":
        return True
    if expr.kind == "path":
        last = expr.path.rpartition("::")[2]
        if last.isupper() or (last[:1].isupper() and last.upper() == last):
            return True
        given = _given(expr) if depth < _STEPS else None
        return given is not None and _constant(given, depth + 1)
    if expr.kind in ("paren", "cast", "unary"):
        return expr.inner is not None and _constant(expr.inner, depth)
    if expr.kind == "binary":
        return all(one is not None and _constant(one, depth) for one in expr.operands)
    if expr.kind == "range":
        return all(one < 0 or _constant(expr.file.exprs[one], depth) for one in expr.fields[:2])
    if expr.kind == "call" and expr.callee is not None:
        return expr.callee.path.rpartition("::")[2] in _SIZES
    return False


_STEPS = 6  # locals given their value by locals; more is code nobody reads


def _leaves_half(shifted: Expr) -> bool:
    """`id >> 32`: what is left are 32 bits, any number (a process id, say) and no bound."""
    amount = shifted.operands[1]
    return amount is not None and amount.integer == 32


def _bounded(expr: Expr, index: Expr, depth: int = 0) -> bool:
    """The index is masked, reduced, counts a loop or is compared somewhere in the function, by itself or as a local."""
    bare = index
    while bare.kind in ("paren", "cast") and bare.inner is not None:
        bare = bare.inner
    if bare.kind == "binary" and (bare.op in ("&", "%") or (bare.op == ">>" and not _leaves_half(bare))):
        return True
    if bare.kind in ("method", "call"):
        name = bare.name or (bare.callee.path.rpartition("::")[2] if bare.callee is not None else "")
        if name in ("min", "clamp"):
            return True
    if bare.kind == "range":
        return all(
            one < 0 or _constant(bare.file.exprs[one]) or _bounded(expr, bare.file.exprs[one], depth)
            for one in bare.fields[:2]
        )
    if bare.kind in ("block", "if", "match") and depth:
        leaves = _leaves(bare)
        return bool(leaves) and all(_constant(one) or _bounded(expr, one, depth) for one in leaves)
    given = _given(bare) if depth < _STEPS else None
    if given is not None and (_constant(given) or _bounded(expr, given, depth + 1)):
        return True
    return _guarded(expr, bare)


def _given(expr: Expr) -> Expr | None:
    """What a local is set to, where it is set once."""
    found = binding(expr) if expr.kind == "path" and "::" not in expr.path else None
    if found is None or found.let is None or found.kind != "let" or found.let.pattern.startswith("mut "):
        return None
    return found.let.init


def _leaves(expr: Expr) -> list[Expr]:
    """The values a block, `if` or `match` may have; none when one of them has no text."""
    if expr.kind == "block":
        return _leaves(expr.tail) if expr.tail is not None else []
    if expr.kind in ("return", "break", "continue"):
        return []
    if expr.kind == "if":
        parts: list[Expr | None] = list(expr.branches[1:])
    elif expr.kind == "match":
        parts = [one for _, _, one in expr.arms]
    else:
        return [expr]
    out: list[Expr] = []
    for one in parts:
        if one is None:
            return []
        out.extend(_leaves(one))
    return out


def _guarded(expr: Expr, value: Expr) -> bool:
    """The function compares something the value is made of, or a loop or pattern gives it."""
    item = expr.item
    if item is None or item.expr is None:
        return False
    names = {
        one.path for one in value.within() if one.kind == "path" and "::" not in one.path and not one.path.isupper()
    }
    fields = {one.text for one in value.within() if one.kind == "field"}
    if not names and not fields:
        return value.kind not in ("call", "method")
    for one in item.expr.within():
        if one.kind == "for" and names & set(one.fields[2]):
            return True
        if one.kind == "match":
            scrutinee = one.file.expr(one.fields[0])
            if scrutinee is not None and {scrutinee.text} & (names | fields):
                return True
        if one.kind == "binary" and one.op in _COMPARES:
            inside = {inner.text for inner in one.within() if inner.kind in ("path", "field")}
            if inside & (fields or names):
                return True
    return False


def _harmless(expr: Expr) -> bool:  # noqa: PLR0911 - one return a reason
    """In a constant, a test, the panic handler, or in code for user space."""
    item = expr.item
    if item is None or item.kind != "fn" or item.const_fn or expr.file.in_test(item):
        return True
    if any(attr.path == "panic_handler" for attr in item.attrs):
        return True
    if item.parent is not None and "__Bindgen" in item.parent.type:
        return True
    if any("feature" in gate or "not(target_arch" in gate for gate in expr.file.gates(item, expr.start)):
        return True
    child = expr
    for one in expr.ancestors():
        if one.kind == "block" and one.fields[0] & 4:
            return True
        if one.kind == "repeat" and one.fields[1] == child.id:
            return True
        child = one
    return False


def _generated(file: SourceFile) -> bool:
    """Kernel types as bindgen writes them: accessors that programs do not call."""
    return "automatically generated by rust-bindgen" in file.text[:2000]


class PanickingOperation(SourceRule):
    severity = "warning"
    group = "no-std"
    phase = "verify"
    supersedes = ("OBJ024",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if _generated(file):
                continue
            for expr in file.of_kind("method", "macro", "index", "binary"):
                found = _panics(expr)
                if found is None or _harmless(expr):
                    continue
                what, start, end, help_ = found
                yield self.finding(
                    ctx,
                    f"{what} can panic, and the verifier refuses a program with a panic path",
                    span=place(ctx, file, start, end),
                    fixes=[Fix("display", help_)],
                )


RULE = PanickingOperation()

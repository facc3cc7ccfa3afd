"""Kernel code uses an operation that can panic.

## What it does
Finds, in kernel crates, `unwrap()`, `expect()`, `panic!` and its kin, indexing with a value that is not constant and
division by one, outside of tests, constants, the panic handler and what bindgen generated. Where the same function
compares the index or divisor with something, where it is masked, or where it counts a loop, nothing is said: the check
may well be enough. Locals are followed to the expressions that give them their value.

Taken as bounded, besides: an index whose type has no larger values than the array has elements (`u8` and 256, a `bool`,
an enum by its variants, `leading_zeros` and its kin); a divisor of a `NonZero` type, of `max(1)`, `| 1`, `+ 1` of a
value that was widened, the length of an array, the name in an arm after that of `0`; `unwrap` after `is_some`,
`is_none` and their kin were asked, of a constant part of a slice made an array, and of `NonZero::new` of a constant.
Types with an `unwrap`, `Index`, `Div` or `Rem` of their own are left alone, and so is what may be of such a type.

## Why is this bad
A panic path ends in the panic handler, an endless loop or a trap: the verifier refuses the program with "last insn is
not an exit or jmp", or "infinite loop detected". Whether the compiler removes the path depends on its version and on
the profile. A handler of `unreachable_unchecked()` promises that nothing panics: the program loads, but the compiler
has deleted the tests, and goes on with whatever was there.

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

import re
from itertools import chain

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import bounded, guarded, is_constant
from bpfsmith.rules._kernel_code import written_type
from bpfsmith.rules._ranges import array_length, largest, not_zero, opaque, written
from bpfsmith.rules._rust import cited, kernel_files, place
from bpfsmith.source.flow import flow
from bpfsmith.source.layout import constant
from bpfsmith.source.names import resolve
from bpfsmith.source.types import item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile

_DIVIDES = ("Div", "Rem", "DivAssign", "RemAssign")
_ASKS = {"is_some": True, "is_ok": True, "is_none": False, "is_err": False}
_FLOATS = ("f32", "f64")
_MACROS = frozenset({"panic", "todo", "unimplemented", "unreachable", "assert", "assert_eq", "assert_ne"})


def _panics(expr: Expr) -> tuple[str, int, int, str] | None:  # noqa: PLR0911, PLR0912 - one branch a kind
    """What can panic, where, and what to write instead; None when nothing can."""
    if expr.kind == "method" and expr.name in ("unwrap", "expect") and len(expr.args) == (expr.name == "expect"):
        if _own_unwrap(expr) or _asked(expr) or _made_to_fit(expr):
            return None
        return f"`{expr.name}()`", expr.fields[2], expr.end, "return early with `?`, `let .. else` or a default verdict"
    if expr.kind == "macro" and expr.path.rpartition("::")[2] in _MACROS:
        if expr.path.startswith("assert") and all(is_constant(one) for one in expr.args):
            return None  # decided by the compiler
        return f"`{expr.path}!`", expr.start, expr.end, "return an error instead"
    if expr.kind == "index":
        base, index = expr.operands
        if base is None or index is None or is_constant(index) or bounded(expr, index):
            return None
        length = array_length(base)
        most = largest(index) if length is not None and length > 0 else None
        if (most is not None and length is not None and most < length) or opaque(base):
            return None
        if length is None and _implements(expr.file, "Index", "IndexMut") and not _slice(base):
            return None
        return f"the index {cited(index.text)}", expr.start, expr.end, "use `get`, or test the index before"
    if expr.kind == "binary" and expr.op in ("/", "%", "/=", "%="):
        _, divisor = expr.operands
        left = expr.operands[0]
        if divisor is None or left is None or is_constant(divisor) or guarded(expr, divisor):
            return None
        if any(one.literal == "float" or (one.kind == "cast" and one.cast_type in _FLOATS) for one in expr.within()):
            return None  # AYA523
        if not_zero(divisor) or opaque(divisor) or opaque(left):
            return None
        if _implements(expr.file, *_DIVIDES) and written(divisor) is None and written(left) is None:
            return None
        return (
            f"the division by {cited(divisor.text)}",
            expr.start,
            expr.end,
            "use `checked_div` or test for zero before",
        )
    return None


def _slice(base: Expr) -> bool:
    found = written(base)
    return found is not None and found.text.startswith("[")


def _project_files(file: SourceFile) -> list[SourceFile]:
    crate = file.crate
    if crate is None or crate.project is None:
        return [file]
    return [one for other in crate.project.all_crates for one in other.files]


def _implements(file: SourceFile, *traits: str) -> bool:
    """Whether the project has an `impl` of one of these traits."""
    key = ("implements", traits)
    if key not in file.cache:
        file.cache[key] = any(
            item.kind == "impl" and any(re.search(rf"\b{trait}\b", item.extra) for trait in traits)
            for other in _project_files(file)
            if other.has(*traits)
            for item in other.items_of_kind("impl")
        )
    return bool(file.cache[key])


def _own_unwrap(call: Expr) -> bool:
    """A method of that name that is not of `Option` or `Result`, or may be one."""
    found = written(call.receiver)
    if found is not None:
        last = found.text.partition("<")[0].strip().rpartition("::")[2]
        return "Option" not in last and "Result" not in last
    key = ("own method", call.name)
    if key not in call.file.cache:
        call.file.cache[key] = any(
            item.kind == "fn" and item.parent is not None and item.parent.kind in ("impl", "trait")
            for other in _project_files(call.file)
            for item in other.items_named(call.name)
        )
    return bool(call.file.cache[key]) and not _gives_option(call.receiver)


def _gives_option(receiver: Expr | None) -> bool:
    """Whether a call is of a function of the crate that says so."""
    callee = receiver.callee if receiver is not None else None
    path = resolve(callee.file, callee.path, callee.item) if callee is not None and callee.kind == "path" else None
    item = item_of(callee.file, path) if callee is not None and path is not None else None
    last = item.type.partition("<")[0].strip().rpartition("::")[2] if item is not None and item.kind == "fn" else ""
    return "Option" in last or "Result" in last


def _asked(call: Expr) -> bool:
    """`if x.is_none() { return .. }` comes before, or `if x.is_some()` is around."""
    item, value = call.item, call.receiver
    while value is not None and value.kind == "method" and value.name in ("as_ref", "as_mut", "copied", "cloned"):
        value = value.receiver
    if item is None or item.kind != "fn" or value is None or value.kind not in ("path", "field"):
        return False
    if not call.file.has(*_ASKS):
        return False
    for condition, holds in flow(item).conditions(call):
        at, yes = condition, holds
        while at.kind == "paren" or (at.kind == "unary" and at.op == "!"):
            if at.inner is None:
                break
            yes = yes != (at.kind == "unary")
            at = at.inner
        asked = at.receiver if at.kind == "method" and _ASKS.get(at.name) == yes else None
        if asked is not None and "".join(asked.text.split()) == "".join(value.text.split()):
            return True
    return False


def _made_to_fit(call: Expr) -> bool:
    """`bytes[0..4].try_into().unwrap()`, `NonZeroU32::new(7).unwrap()`."""
    made = call.receiver
    part: Expr | None = None
    if made is not None and made.kind == "method" and made.name == "try_into":
        part = made.receiver
    elif made is not None and made.kind == "call" and made.callee is not None and len(made.args) == 1:
        if made.callee.text.endswith("::new") and "NonZero" in made.callee.text:
            return not_zero(made.args[0])
        part = made.args[0] if made.callee.text.endswith("::try_from") else None
    while part is not None and part.kind in ("paren", "ref"):
        part = part.inner
    if part is None or part.kind != "index":
        return False
    taken = part.operands[1]
    if taken is None or taken.kind != "range" or taken.fields[1] < 0:
        return False
    low, high = (constant(one.file, one.text, one.item) if one is not None else 0 for one in _ends(taken))
    if low is None or high is None:
        return False
    wanted = written_type(call).strip()
    _, semicolon, count = wanted.strip("[]").rpartition(";")
    length = constant(call.file, count.strip(), call.item) if semicolon else None
    return length is None or length == high - low + int(bool(taken.fields[2]))


def _ends(taken: Expr) -> list[Expr | None]:
    return [taken.file.expr(one) if one >= 0 else None for one in taken.fields[:2]]


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
    if expr.file.is_off(item, expr.start):
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


def _then(file: SourceFile) -> str:
    """What a panic comes to: the handler is part of the program, and some promise that it is never reached."""
    crate = file.crate
    for one in crate.files if crate is not None else (file,):
        for call in one.calls("unreachable_unchecked"):
            if call.item is not None and any(attr.path == "panic_handler" for attr in call.item.attrs):
                return "the panic handler makes that undefined behaviour: the test is deleted"
    return "the verifier refuses a program with a panic path"


class PanickingOperation(SourceRule):
    severity = "warning"
    group = "no-std"
    phase = "verify"
    supersedes = ("OBJ024",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if _generated(file):
                continue
            named = chain(file.methods("unwrap", "expect"), file.macros(*_MACROS))
            for expr in chain(named, file.of_kind("index", "binary")):
                found = _panics(expr)
                if found is None or _harmless(expr):
                    continue
                what, start, end, help_ = found
                yield self.finding(
                    ctx,
                    f"{what} can panic, and {_then(file)}",
                    span=place(ctx, file, start, end),
                    fixes=[Fix("display", help_)],
                )


RULE = PanickingOperation()

"""What rules about maps, programs and links ask: where a value comes from, whether it is thrown away, numbers."""

from __future__ import annotations

from bpfsmith.source.names import resolve
from bpfsmith.source.types import Type, binding, item_of, named, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.rust import Expr, Let, SourceFile

__all__ = [
    "bare",
    "counts_online",
    "enclosing",
    "fatal",
    "given",
    "kernel_map",
    "let_of",
    "let_type",
    "named_last",
    "number",
    "on",
    "owner",
    "possible_cpus",
    "says",
    "straight",
    "thrown_away",
    "turbofish",
]

_DEPTH = 8


def on(file: SourceFile, names: Collection[str], types: Collection[str]) -> Iterator[Expr]:
    """The calls of these methods on values that are certainly of one of these types, outside of tests."""
    for call in file.methods(*names):
        known = owner(call)
        if known is not None and known.path in types and not file.in_test(call.item):
            yield call


def owner(call: Expr) -> Type | None:
    """The type a method is called on."""
    return type_of(call.receiver)


def kernel_map(call: Expr, *kinds: str) -> bool:
    """Whether a method is called on a kernel-side map of one of these kinds (none given: any)."""
    known = owner(call)
    if known is None or not known.within("aya_ebpf::maps", "aya_ebpf::btf_maps", "aya_bpf::maps"):
        return False
    return not kinds or known.name in kinds


def bare(expr: Expr) -> Expr:
    """Without brackets, casts, references and blocks that hold nothing but a value."""
    while True:
        inner = expr.inner if expr.kind in ("paren", "cast", "ref") else None
        if expr.kind == "block" and len(expr.statements) == 1:
            inner = expr.tail
        if inner is None:
            return expr
        expr = inner


def let_of(expr: Expr) -> Let | None:
    """The `let` that gives a local its value; None for what is no such local, or may be set again."""
    found = binding(expr) if expr.kind == "path" and "::" not in expr.path else None
    if found is None or found.kind != "let" or found.let is None or found.let.pattern.startswith("mut "):
        return None
    return found.let


def given(expr: Expr, depth: int = 0) -> Expr:
    """The expression a value comes from: through locals, brackets, casts, `?` and `unwrap`."""
    made = bare(expr.stripped())
    while made.kind in ("paren", "cast", "ref", "try", "await"):
        made = bare(made.stripped())
        if made.inner is None:
            break
    let = let_of(made) if depth < _DEPTH else None
    if let is None or let.init is None:
        return made
    return given(let.init, depth + 1)


def let_type(let: Let) -> Type | None:
    """The type of what a `let` binds: as annotated, else of what it starts with."""
    return named(let.file, let.type, let.block.item) if let.type else type_of(let.init)


def enclosing(expr: Expr) -> Let | None:
    """The `let` an expression is the start value of, through `?`, `unwrap` and brackets."""
    at = expr
    while True:
        parent = at.parent
        if parent is None:
            return None
        if parent.kind == "block":
            return next((let for let in parent.lets if let.init_id == at.id), None)
        if parent.kind in ("try", "paren", "await") or (
            parent.kind == "method" and parent.stripped() == expr.stripped()
        ):
            at = parent
            continue
        return None


def thrown_away(expr: Expr) -> bool:
    """Whether nobody looks at the value: a statement, `let _ =`, `.ok();`, `drop(..)`."""
    at = expr
    while True:
        parent = at.parent
        if parent is None:
            return False
        if parent.kind == "block":
            for let in parent.lets:
                if let.init_id == at.id:
                    return let.pattern == "_"
            if parent.tail != at:
                return True
            if not parent.is_unsafe:
                return False
        elif parent.kind == "call":
            return parent.callee is not None and parent.callee.path.rpartition("::")[2] == "drop"
        elif not (parent.kind == "paren" or (parent.kind == "method" and parent.name == "ok")):
            return False
        at = parent


def fatal(call: Expr) -> bool:
    """Whether an error of the call ends the function: `?`, `unwrap`, `expect`, with context or without."""
    at = call.parent
    while at is not None and at.kind == "method" and at.name in ("context", "with_context", "map_err", "wrap_err"):
        at = at.parent
    return at is not None and (at.kind == "try" or (at.kind == "method" and at.name in ("unwrap", "expect")))


def straight(expr: Expr, block: Expr) -> bool:
    """Whether an expression runs whenever the block does: not in a branch, loop or closure of it."""
    for one in expr.ancestors():
        if one == block:
            return True
        if one.kind in ("if", "match", "loop", "while", "for", "closure"):
            return False
    return False


def says(crate: Crate | None, *words: str) -> bool:
    """Whether one of the texts stands in a file of the crate: silence where it does, so comments may count."""
    return crate is not None and any(word in file.text for file in crate.files for word in words)


def named_last(expr: Expr, *names: str) -> bool:
    """Whether an expression is a path that ends in one of these names and is no item of the crate itself."""
    made = bare(expr)
    if made.kind != "path" or made.path.rpartition("::")[2] not in names:
        return False
    path = resolve(made.file, made.path, made.item)
    return path is not None and not path.startswith("crate::")


def turbofish(call: Expr) -> str:
    """The generic arguments of a method call: `T` of `reserve::<T>(0)`."""
    if call.kind != "method" or call.fields[4] < 0:
        return ""
    text = call.file.text[call.fields[4] : call.fields[5]].strip().removeprefix("::").strip()
    return text[1:-1].strip() if text.startswith("<") and text.endswith(">") else text


def number(expr: Expr | None, depth: int = 0) -> int | None:  # noqa: PLR0911 - one return a kind
    """The value of arithmetic on literals and constants of the crate; None for anything else."""
    if expr is None or depth > _DEPTH:
        return None
    made = bare(expr)
    if made.integer is not None:
        return made.integer
    if made.kind == "binary":
        left, right = (number(one, depth + 1) for one in made.operands)
        if left is None or right is None:
            return None
        if made.op == "*":
            return left * right
        if made.op == "+":
            return left + right
        if made.op == "-":
            return left - right
        if made.op == "<<" and 0 <= right < 64:
            return left << right
        return left // right if made.op == "/" and right > 0 else None
    if made.kind != "path":
        return None
    let = let_of(made)
    if let is not None:
        return number(let.init, depth + 1)
    path = resolve(made.file, made.path, made.item)
    item = item_of(made.file, path) if path is not None and path.startswith("crate::") else None
    return number(item.expr, depth + 1) if item is not None and item.kind == "const" else None


def _counted(expr: Expr) -> Expr:
    """The call that counts CPUs, under conversions."""
    made = given(expr)
    while made.kind == "method" and made.name in ("get", "into", "map_err") and made.receiver is not None:
        made = given(made.receiver)
    if made.kind == "call" and made.callee is not None and made.callee.path.endswith("::from") and len(made.args) == 1:
        return _counted(made.args[0])
    return made


def possible_cpus(expr: Expr) -> bool:
    """Whether a number is what `aya::util::nr_cpus` says."""
    made = _counted(expr)
    if made.kind != "call" or made.callee is None or made.callee.kind != "path":
        return False
    return resolve(made.file, made.callee.path, made.item) == "aya::util::nr_cpus"


def counts_online(expr: Expr) -> str:
    """How a number counts the CPUs that are online, in words; empty where it does not, or that is not certain."""
    made = _counted(expr)
    if made.kind == "method" and made.name == "len" and made.receiver is not None:
        made = _counted(made.receiver)
        path = "aya::util::online_cpus"
    else:
        path = ""
    if made.kind != "call" or made.callee is None or made.callee.kind != "path":
        return ""
    called = resolve(made.file, made.callee.path, made.item) or made.callee.path
    if path:
        return "`online_cpus` counts the CPUs that are online" if called == path else ""
    if called in ("num_cpus::get", "num_cpus::get_physical"):
        return f"`{called}` counts the CPUs this process may use"
    if called == "std::thread::available_parallelism":
        return "`available_parallelism` counts the CPUs this process may use"
    return ""

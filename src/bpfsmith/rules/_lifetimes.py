"""When user-side handles (links, maps, `Ebpf`) go out of scope, decided only where nothing else can happen."""

from __future__ import annotations

from bpfsmith.source.types import mentions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr, Let

__all__ = ["dropped_by_hand", "dropped_early", "kept", "leaves", "receivers"]

# Calls that neither wait nor keep what they are given.
_BRIEF = frozenset(
    {
        *("Ok", "Some", "Err", "context", "with_context", "wrap_err", "map_err", "unwrap", "expect", "ok", "ok_or"),
        *("load", "attach", "fd", "set", "insert", "program_mut", "program", "map_mut", "map", "take_map", "try_into"),
        *(
            "try_from",
            "into",
            "as_ref",
            "as_str",
            "clone",
            "get",
            "ok_or_else",
            "to_string",
            "into_iter",
            "iter",
            "default",
        ),
    }
)


def kept(mention: Expr) -> bool:  # noqa: PLR0911 - one return a way to use a value
    """Whether a use may keep the value: anything but a method call on it, a field of it or a reference to it."""
    if mention.kind == "tokens":
        return True
    if mention.literal:
        return False
    parent = mention.parent
    if parent is None:
        return True
    if parent.kind in ("method", "field"):
        if parent.receiver != mention:
            return True
        return parent.kind == "method" and parent.name in ("pin", "into_inner", "forget", "detach")
    if parent.kind == "ref":
        outer = parent.parent
        # A reference in a struct or a returned one is someone else's to keep.
        return outer is not None and outer.kind in ("struct", "return", "array", "tuple", "closure")
    return parent.kind != "macro"


def leaves(let: Let) -> bool:
    """Whether the value a `let` binds may outlive its block: moved, returned, stored, pinned."""
    return any(kept(one) for one in mentions(let))


def receivers(let: Let) -> list[Expr]:
    """The method calls on the value, in order of the text."""
    out = []
    for one in mentions(let):
        parent = one.parent
        if parent is not None and parent.kind == "method" and parent.receiver == one:
            out.append(parent)
    return sorted(out, key=lambda call: call.fields[2])


def dropped_early(let: Let, after: int) -> bool:  # noqa: PLR0911 - one return a reason to stay silent
    """Whether the value is dropped soon after the offset `after`: its block ends, the program goes on.

    False for the body of `main` (all ends then), where anything after `after` may wait, and where the value leaves.
    """
    item = let.block.item
    if item is None or item.file.in_test(item):
        return False
    body = item.expr
    if body is not None and body == let.block and item.name == "main" and item.parent is None:
        return False
    if _endless(let):
        return False
    for expr in let.block.within():
        if expr.start < after:
            continue
        if expr.kind in ("loop", "while", "await", "closure", "tokens"):
            return False
        if expr.kind == "call" and expr.callee is not None and expr.callee.path.rpartition("::")[2] not in _BRIEF:
            return False
        if expr.kind == "method" and expr.name not in _BRIEF:
            return False
    return not leaves(let)


def _endless(let: Let) -> bool:
    """Inside a loop or a block that is the body of a thread: scope and life differ from the function's."""
    return any(one.kind in ("loop", "while", "closure") for one in let.block.ancestors())


def dropped_by_hand(let: Let, after: int) -> Expr | None:
    """The `drop(x)` that ends the value after the offset, in a straight line with its `let`."""
    for one in mentions(let):
        call = one.parent
        if call is None or call.kind != "call" or call.callee is None or call.start < after:
            continue
        if call.callee.path in ("drop", "mem::drop", "std::mem::drop", "core::mem::drop") and call.parent == let.block:
            return call
    return None

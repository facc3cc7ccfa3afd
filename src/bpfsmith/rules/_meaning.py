"""What the rules about meaning share: maps by name, verdicts, leaves of expressions, keys that belong to one thread."""

from __future__ import annotations

from bpfsmith.rules._rust import programs
from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding, item_of, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.rust import Expr, Item

__all__ = [
    "HASHES",
    "SHARED",
    "crate_has",
    "crate_programs",
    "function",
    "held_name",
    "kernel_map",
    "leaves",
    "same_key",
    "verdict",
]

_MODULES = frozenset({"aya_ebpf::maps", "aya_ebpf::btf_maps", "aya_bpf::maps", "aya_bpf::btf_maps"})
HASHES = frozenset({"HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap", "LpmTrie"})
# Maps whose values all processors see.
SHARED = frozenset({"Array", "HashMap", "LruHashMap"})

VERDICTS = (
    *("XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT", "TC_ACT_UNSPEC", "TC_ACT_OK", "TC_ACT_SHOT"),
    *("TC_ACT_RECLASSIFY", "TC_ACT_PIPE", "TC_ACT_STOLEN", "TC_ACT_QUEUED", "TC_ACT_REPEAT", "TC_ACT_REDIRECT"),
    *("TC_ACT_TRAP", "SK_DROP", "SK_PASS"),
)


def kernel_map(call: Expr) -> tuple[str, str] | None:
    """(name of the static, kind) of the kernel-side map a method is called on."""
    at = call.receiver
    while at is not None and at.kind in ("paren", "ref", "unary", "block"):
        at = at.tail if at.kind == "block" else at.inner
    if at is None or at.kind != "path" or not at.path.rpartition("::")[2].isupper():
        return None
    owner = type_of(call.receiver)
    if owner is None or not owner.within(*_MODULES):
        return None
    return at.path.rpartition("::")[2], owner.name


def crate_programs(crate: Crate) -> frozenset[str]:
    """The macros of all programs of a crate (`xdp`, `classifier`)."""
    if not crate.files:
        return frozenset()
    cache = crate.files[0].cache
    if "macros of programs" not in cache:
        cache["macros of programs"] = frozenset(macro for file in crate.files for _, macro, _ in programs(file))
    found: frozenset[str] = cache["macros of programs"]
    return found


def crate_has(crate: Crate, words: tuple[str, ...]) -> bool:
    """Whether any file of a crate has one of these identifiers."""
    if not crate.files:
        return False
    cache = crate.files[0].cache
    key = ("crate has", words)
    if key not in cache:
        cache[key] = any(file.has(*words) for file in crate.files)
    return bool(cache[key])


def same_key(one: Expr, other: Expr) -> bool:
    """Whether two keys are written alike, `&` left out."""
    return _bare(one) == _bare(other)


def _bare(expr: Expr) -> str:
    while expr.kind in ("ref", "paren") and expr.inner is not None:
        expr = expr.inner
    return "".join(expr.text.split())


def leaves(expr: Expr | None, depth: int = 0) -> list[Expr]:
    """The expressions a value is one of: through branches, arms and blocks; what leaves the function is none."""
    if expr is None or depth > 40:
        return []
    kind = expr.kind
    if kind == "paren" or (kind == "block" and not expr.fields[0] & ~1):
        return leaves(expr.inner if kind == "paren" else expr.tail, depth + 1)
    if kind == "if":
        return [one for branch in expr.branches[1:] for one in leaves(branch, depth + 1)]
    if kind == "match":
        return [one for _, _, result in expr.arms for one in leaves(result, depth + 1)]
    if kind in ("return", "break", "continue"):
        return []
    return [expr]


def verdict(expr: Expr | None) -> str | None:
    """`XDP_DROP` for a path that names it, also in `Ok(..)` and cast."""
    while expr is not None:
        if expr.kind in ("paren", "cast"):
            expr = expr.inner
        elif expr.kind == "call" and expr.callee is not None and expr.callee.path == "Ok" and len(expr.args) == 1:
            expr = expr.args[0]
        elif expr.kind == "method" and expr.name == "into" and not expr.args:
            expr = expr.receiver
        else:
            break
    if expr is None or expr.kind != "path":
        return None
    last = expr.path.rpartition("::")[2]
    if last not in VERDICTS:
        return None
    path = resolve(expr.file, expr.path, expr.item)
    if path is None or not path.startswith(("aya_ebpf::bindings", "aya_bpf::bindings", "aya_ebpf_bindings::")):
        return None
    return last


def function(call: Expr) -> Item | None:
    """The function of the crate that a call names."""
    callee = call.callee
    if callee is None or callee.kind != "path":
        return None
    path = resolve(callee.file, callee.path, callee.item)
    item = item_of(callee.file, path) if path is not None and path.startswith("crate::") else None
    return item if item is not None and item.kind == "fn" else None


def held_name(use: Expr, name: str, start: int) -> bool:
    """Whether a path is a use of the local that was bound at the offset `start` (of its `let`)."""
    if use.kind != "path" or use.path != name:
        return False
    found = binding(use)
    return found is not None and found.let is not None and found.let.start == start

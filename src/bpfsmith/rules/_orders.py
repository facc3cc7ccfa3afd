"""What the rules about byte order share: when a number cannot be meant in network order, and how values are named."""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._rust import cited, replace
from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding, item_of, mentions
from bpfsmith.source.values import constant, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, Let, SourceFile
    from bpfsmith.source.values import Order

__all__ = [
    "convert_fix",
    "fact",
    "held",
    "holders",
    "how_to",
    "is_lpm_key",
    "literal",
    "number_meant",
    "parts",
    "plain_number",
    "shown",
    "skipped",
    "swapped",
]

_LOOPBACK = 127  # 127.0.0.1, which is 1.0.0.127 the other way round
# What is looked for in an Ethernet header.
_ETHERTYPES = frozenset({0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8, 0x8847, 0x8848, 0x88CC, 0x888E, 0x8035})


def fact(expr: Expr | None) -> Order | None:
    """What is known of an expression's byte order, in the function it is in."""
    item = expr.item if expr is not None else None
    return values(item).fact(expr) if item is not None and item.kind == "fn" and not item.const_fn else None


# Fields and methods that give values in network order, and those beside them.
_FIELDS = (
    *("source", "dest", "src", "dst", "src_addr", "dst_addr", "saddr", "daddr", "tot_len", "len", "id", "frag_off"),
    *("frags", "check", "seq", "ack_seq", "window", "payload_len", "ether_type", "h_proto", "user_port", "user_ip4"),
    *("msg_src_ip4", "remote_ip4", "local_ip4", "remote_port", "local_port", "protocol", "src_ip4", "dst_ip4"),
    *("src_port", "dst_port"),
)
_METHODS = ("remote_ip4", "local_ip4", "remote_port", "local_port", "protocol", "remote_ipv4", "local_ipv4", "octets")


def holders(crate: Crate) -> dict[SourceFile, list[Item]]:
    """The functions of a crate in which a value in network order may be: that read one, or call one that does."""
    if not crate.files:
        return {}
    cache = crate.files[0].cache
    if "holders" not in cache:
        found: dict[SourceFile, dict[int, Item]] = {}
        names: set[str] = set()
        for file in crate.files:
            own = found[file] = {}
            reads = [
                *file.fields_named(*_FIELDS, *_declared(file)),
                *file.methods(*_METHODS, *(("load",) if file.has("TcContext", "SkBuffContext") else ())),
                *file.macros("offset_of"),
            ]
            for expr in reads:
                item = expr.item
                if item is not None and item.kind == "fn":
                    own[item.id] = item
                    names.add(item.name)
        for _ in range(2):  # and who calls them
            for file in crate.files:
                for call in file.calls(*sorted(names)):
                    item = call.item
                    if item is not None and item.kind == "fn" and item.id not in found[file]:
                        found[file][item.id] = item
                        names.add(item.name)
        cache["holders"] = {file: list(items.values()) for file, items in found.items() if items}
    made: dict[SourceFile, list[Item]] = cache["holders"]
    return made


def _declared(file: SourceFile) -> list[str]:
    """Fields of own headers, and those declared as `__be16` or `__be32`."""
    return [
        field.name
        for item in file.items_of_kind("struct")
        for field in item.params
        if field.type.endswith(("__be16", "__be32"))
        or (field.type in ("u16", "u32") and item.name.lower().endswith(("hdr", "header")))
    ]


def held(project: Project, *kinds: str, words: tuple[str, ...] = ()) -> Iterator[Expr]:
    """The expressions of these kinds in such functions of the project's kernel crates (files with one of `words`)."""
    for crate in project.crates:
        if crate.role != "kernel":
            continue
        for file, items in holders(crate).items():
            if words and not file.has(*words):
                continue
            for item in items:
                if item.expr is not None:
                    yield from item.expr.within(*kinds)


def skipped(expr: Expr) -> bool:
    """In a test."""
    return expr.file.in_test(expr.item)


def swapped(number: int, bits: int) -> int:
    """The number with its bytes the other way round."""
    return int.from_bytes((number & ((1 << bits) - 1)).to_bytes(bits // 8, "big"), "little")


def _spelled(expr: Expr | None, depth: int = 0) -> str | None:
    """The literal a constant is written as."""
    while expr is not None and expr.kind in ("paren", "cast"):
        expr = expr.inner
    if expr is None or depth > 8:
        return None
    if expr.literal == "int":
        return expr.text
    if expr.kind != "path":
        return None
    local = binding(expr) if "::" not in expr.path else None
    if local is not None:
        return _spelled(local.let.init, depth + 1) if local.let is not None and local.kind == "let" else None
    path = resolve(expr.file, expr.path, expr.item)
    item = item_of(expr.file, path) if path is not None and path.startswith("crate::") else None
    return _spelled(item.expr, depth + 1) if item is not None and item.kind == "const" else None


def plain_number(expr: Expr | None) -> tuple[int, bool] | None:
    """(value, written in decimal digits) of a constant that is one literal; None for computed ones."""
    text = _spelled(expr)
    number = constant(expr)
    if text is None or number is None:
        return None
    return number, not text.startswith(("0x", "0b", "0o"))


def number_meant(number: int, decimal: bool, known: Order) -> bool:
    """Whether a literal is certainly meant as a number: its swapped form would be something else, and nothing sensible.

    Hexadecimal ports and addresses may be written swapped on purpose; an ethertype tells by itself.
    """
    bits = known.bits
    if number < 0 or number >= 1 << bits:
        return False
    other = swapped(number, bits)
    if other == number:
        return False
    if known.what == "ethertype":
        return number in _ETHERTYPES
    if known.what == "address":
        return number >> 24 == _LOOPBACK and number & 0xFF != _LOOPBACK
    if not decimal:
        return False
    return not (number >= 1024 > other)  # 20480 is port 80, swapped by hand


def shown(known: Order) -> str:
    """The field or call a value comes from, as written."""
    return cited(known.origin.text)


def convert_fix(ctx: CheckContext, expr: Expr, known: Order) -> Fix:
    """`u16::from_be(..)` around a value in network order."""
    if known.width == known.bits and known.width in (16, 32):
        name = f"u{known.width}"
        edits = [
            replace(ctx, expr.file, expr.start, expr.start, f"{name}::from_be("),
            replace(ctx, expr.file, expr.end, expr.end, ")"),
        ]
        return Fix("unsafe", f"convert it first: `{name}::from_be(..)`", edits)
    return Fix("display", how_to(known))


def how_to(known: Order) -> str:
    """How the number is got out of a field."""
    if known.bits == 16 and known.width == 32:
        if known.high:
            return "the port is `u32::from_be(..) as u16`: it stands in the upper half of the field, in network order"
        return "the number is `u16::from_be(.. as u16)`: it stands in the lower half of the field, in network order"
    return "convert it first with `from_be`, or convert the number it is compared with with `to_be`"


def parts(expr: Expr | None) -> list[tuple[str, Expr]]:
    """The values a key or value is made of, each with what it is called in it: fields, elements, or itself."""
    made = literal(expr)
    if made is None:
        return []
    if made.kind == "struct":
        return [(name, value) for name, value in made.struct_fields if value is not None]
    if made.kind == "tuple":
        return [(str(at), made.file.exprs[one]) for at, one in enumerate(made.fields[0]) if one >= 0]
    if made.kind == "call" and made.callee is not None and len(made.args) == 2 and is_lpm_key(made):
        return [("", made.args[1])]
    return [("", made)]


def literal(expr: Expr | None, depth: int = 0) -> Expr | None:
    """What a value was made as: through `&`, brackets and locals that are set once."""
    while expr is not None and expr.kind in ("ref", "paren"):
        expr = expr.inner
    if expr is not None and expr.kind == "call" and depth <= 8:
        return _made(expr, depth)
    if expr is None or depth > 8 or expr.kind != "path" or "::" in expr.path:
        return expr
    local = binding(expr)
    if local is None or local.kind != "let" or local.let is None:
        return expr
    if local.let.pattern.startswith("mut ") and _changed(local.let):
        return expr
    made = literal(local.let.init, depth + 1)
    return made if made is not None and made.kind in ("struct", "tuple", "call") else expr


def _made(call: Expr, depth: int) -> Expr | None:
    """What a struct of one field holds, and the struct that a function of the crate ends with."""
    path = resolve(call.file, call.callee.path, call.item) if call.callee is not None else None
    item = item_of(call.file, path) if path is not None and path.startswith("crate::") else None
    if item is None or item.generic:
        return call
    if item.kind == "struct" and len(item.params) == 1 and len(call.args) == 1:
        return literal(call.args[0], depth + 1)
    tail = item.expr.tail if item.kind == "fn" and item.expr is not None else None
    if tail is None or tail.kind != "struct" or item.expr is None or any(True for _ in item.expr.within("return")):
        return call
    return tail


def _changed(let: Let) -> bool:
    """Whether a `let mut` is assigned to, whole or in part; lent as `&mut` to a map's own calls it is not."""
    for use in mentions(let):
        at = use
        while at.parent is not None and at.parent.kind in ("field", "index", "paren", "unary"):
            at = at.parent
        outer = at.parent
        if outer is None or outer.kind == "binary":
            return outer is None or (outer.op.endswith("=") and outer.op not in ("==", "!=", "<=", ">="))
        if outer.kind == "ref" and "mut" in outer.text[:5]:
            call = outer.parent
            if call is None or call.kind != "method" or not (call.receiver and call.receiver.text.isupper()):
                return True
    return False


_KEYS = frozenset(
    {"aya::maps::Key", "aya::maps::lpm_trie::Key", "aya_ebpf::maps::Key", "aya_ebpf::maps::lpm_trie::Key"}
)


def is_lpm_key(call: Expr) -> bool:
    """`Key::new(prefix, data)` of an LPM trie, either side."""
    callee = call.callee
    if callee is None or callee.kind != "path":
        return False
    head, _, last = callee.path.rpartition("::")
    return last == "new" and resolve(callee.file, head, callee.item) in _KEYS

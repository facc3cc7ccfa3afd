"""What a value is: byte order of integers, their range, where they come from. Within one function, and through
functions of the crate that only hand values on.

    known = values(item)
    known.order(expr)      # "big" as on the wire, "host" a number, "little" bytes the wrong way round; None: not known

Only what the text proves is answered. All machines that aya builds for by default are little-endian, so `from_be`,
`to_be` and `swap_bytes` do the same thing, and so they do here.
"""

from __future__ import annotations

from bpfsmith.source._origin import Provenance, origin
from bpfsmith.source._own_headers import own_header_field
from bpfsmith.source._typed import field_types, typed
from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding, item_of
from bpfsmith.source.wire import CONTEXT_METHODS, Wire, context_field, field_at, header_field, kernel_header_field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Expr, Item

__all__ = ["Order", "Provenance", "Values", "constant", "values"]

_DEPTH = 24
_STEPS = tuple(range(_DEPTH))  # `range` is a method here
_CALLS = 3  # functions followed into functions
_WIDTHS = {"u8": 8, "i8": 8, "u16": 16, "i16": 16, "u32": 32, "i32": 32, "u64": 64, "i64": 64, "u128": 128, "i128": 128}
_WIDTHS |= {"usize": 64, "isize": 64}
_LENGTHS = {"eth::EthHdr::LEN": 14, "ip::Ipv4Hdr::LEN": 20, "ip::Ipv6Hdr::LEN": 40}
_LENGTHS |= {"tcp::TcpHdr::LEN": 20, "udp::UdpHdr::LEN": 8}
_SWAPS = frozenset({"from_be", "to_be", "swap_bytes"})
_SAME = frozenset({"clone", "copied", "cloned", "into", "to_owned", "unwrap_unchecked", "read", "read_unaligned"})


class Order:
    """An integer (or its bytes) with a known order. `kind`: big, host, little (bytes the wrong way round), zero (the
    half that was taken holds nothing). `bits` mean something; `width` is the integer's, 0 for bytes; `high` when the
    bits are the upper half of 32. `what` it is (port, address, ..), `origin` the expression it comes from."""

    __slots__ = ("bits", "high", "kind", "origin", "what", "width")

    def __init__(self, kind: str, bits: int, width: int, what: str, origin: Expr, *, high: bool = False) -> None:
        self.kind = kind
        self.bits = bits
        self.width = width
        self.what = what
        self.origin = origin
        self.high = high

    def __repr__(self) -> str:
        return f"Order({self.kind} {self.bits}/{self.width} {self.what})"

    def but(self, kind: str | None = None, width: int | None = None, *, high: bool | None = None) -> Order:
        """The same with something else."""
        return Order(
            self.kind if kind is None else kind,
            self.bits,
            self.width if width is None else width,
            self.what,
            self.origin,
            high=self.high if high is None else high,
        )

    def swapped(self, width: int) -> Order | None:
        """After the bytes of an integer of `width` bits are turned round."""
        other = {"big": "host", "host": "big"}.get(self.kind)
        if other is None or not self.width:
            return self if self.kind == "zero" else None
        if self.bits == width and not self.high:
            return self.but(other, width)
        if self.bits == 16 and width == 32:
            return self.but(other, 32, high=not self.high)
        return None


def values(item: Item) -> Values:
    """What is known of the values of a function; kept with its file."""
    key = ("values", item.id)
    found: Values | None = item.file.cache.get(key)
    if found is None:
        found = item.file.cache[key] = Values(item)
    return found


def constant(expr: Expr | None, depth: int = 0) -> int | None:  # noqa: PLR0911 - one return a kind
    """The value of an integer that is written out: a literal, a `const`, arithmetic of such, `size_of` is none."""
    if expr is None or depth > _DEPTH:
        return None
    if expr.kind in ("paren", "cast"):
        return constant(expr.inner, depth + 1)
    found = expr.integer
    if found is not None:
        return found
    if expr.kind == "binary":
        left, right = (constant(one, depth + 1) for one in expr.operands)
        if left is None or right is None:
            return None
        return _arithmetic(expr.op, left, right)
    if expr.kind != "path":
        return None
    if "::" not in expr.path:
        local = binding(expr)
        if local is not None:
            let = local.let
            plain = local.kind == "let" and let is not None and not let.pattern.startswith("mut ")
            return constant(let.init, depth + 1) if plain and let is not None else None
    path = resolve(expr.file, expr.path, expr.item)
    if path is not None and path.startswith("network_types::"):
        return _LENGTHS.get(path.removeprefix("network_types::"))
    item = item_of(expr.file, path) if path is not None and path.startswith("crate::") else None
    return constant(item.expr, depth + 1) if item is not None and item.kind == "const" else None


def _arithmetic(op: str, left: int, right: int) -> int | None:
    if op in ("/", "%") and right == 0:
        return None
    if op == "<<":
        return left << right if 0 <= right < 128 else None
    if op == ">>":
        return left >> right if 0 <= right < 128 else None
    return {
        "+": left + right,
        "-": left - right,
        "*": left * right,
        "/": left // right if right else 0,
        "%": left % right if right else 0,
        "&": left & right,
        "|": left | right,
        "^": left ^ right,
    }.get(op)


class Values:
    """What is known of the values of one function."""

    __slots__ = ("_asked", "_calls", "_given", "_orders", "item")

    def __init__(self, item: Item, given: dict[str, Order] | None = None, calls: int = 0) -> None:
        self.item = item
        self._orders: dict[int, Order | None] = {}
        self._asked: set[int] = set()
        self._given = given or {}  # what the caller hands over, by parameter
        self._calls = calls

    def order(self, expr: Expr | None) -> str | None:
        """The byte order of an integer, or of an array that holds one; None when it is not known."""
        found = self.fact(expr)
        return found.kind if found is not None and found.kind != "zero" else None

    def fact(self, expr: Expr | None) -> Order | None:
        """All that is known of an integer's order."""
        if expr is None or expr.id in self._asked or len(self._asked) > _DEPTH * 4:
            return None
        if expr.id not in self._orders:
            self._asked.add(expr.id)
            try:
                self._orders[expr.id] = self._fact(expr)
            finally:
                self._asked.discard(expr.id)
        return self._orders[expr.id]

    def _fact(self, expr: Expr) -> Order | None:  # noqa: PLR0911 - one branch a kind
        kind = expr.kind
        if kind in ("paren", "try", "ref"):
            return self.fact(expr.inner)
        if kind == "unary":
            return (_read_at(expr.inner) or self.fact(expr.inner)) if expr.op == "*" else None
        if kind == "block":
            return self.fact(expr.tail) if not expr.fields[0] & ~1 else None
        if kind == "path":
            return self._of_path(expr)
        if kind == "field":
            return self._of_field(expr)
        if kind == "method":
            return self._of_method(expr)
        if kind == "call":
            return self._of_call(expr)
        if kind == "cast":
            found = self.fact(expr.inner)
            width = _WIDTHS.get(expr.cast_type)
            return _narrowed(found, width) if found is not None and width is not None else None
        if kind == "binary":
            return self._of_binary(expr)
        if kind == "if":
            _, then, other = expr.branches
            return self._agreed([then, other])
        if kind == "match":
            return self._agreed([result for _, _, result in expr.arms])
        return None

    def _agreed(self, exprs: list[Expr | None]) -> Order | None:
        """What all branches that have a value agree on."""
        found: Order | None = None
        for one in exprs:
            if one is None:
                return None
            last = one
            while last.kind == "block" and last.tail is not None:
                last = last.tail
            if last.kind in ("return", "break", "continue") or (last.kind == "block" and last.statements):
                continue
            if last.integer == 0:
                continue
            fact = self.fact(last)
            if fact is None or (found is not None and (found.kind, found.bits) != (fact.kind, fact.bits)):
                return None
            found = fact
        return found

    def _of_path(self, expr: Expr) -> Order | None:  # noqa: PLR0911 - one return a binding
        if "::" in expr.path:
            return self._of_constant(expr)
        local = binding(expr)
        if local is None:
            return self._of_constant(expr)
        if local.kind == "param" and local.scope is not None and local.scope == self.item.expr:
            return self._given.get(expr.path)
        let = local.let
        if local.kind == "let" and let is not None and not let.pattern.startswith("mut "):
            init = let.init
            into = init.stripped() if init is not None and let.type == "u32" else None
            if into is not None and into.kind == "method" and into.name in ("into", "try_into"):
                owner = typed(into.receiver) or ""
                if owner.endswith("::net::Ipv4Addr"):
                    return Order("host", 32, 32, "address", into)
            if init is not None and let.type == "u16" and init.stripped().name == "load":
                return self.fact(init) or _ethertype(init.stripped(), let.type)
            return self.fact(init)
        if local.kind == "pattern" and let is not None and let.init is not None:
            return self._of_pattern(expr, let.pattern, let.init)
        return None

    def _of_pattern(self, expr: Expr, pattern: str, init: Expr) -> Order | None:
        """`let (source, dest) = (a, b)`, also where a branch or a function gives the tuple."""
        inner = pattern.strip()
        for wrap in ("Some(", "Ok("):
            if inner.startswith(wrap) and inner.endswith(")") and inner[len(wrap) : -1].strip() == expr.path:
                return self.fact(init)
        if not (inner.startswith("(") and inner.endswith(")")):
            return None
        names = [one.strip().removeprefix("mut ").strip() for one in inner[1:-1].split(",")]
        if expr.path not in names:
            return None
        return self._element(init, names.index(expr.path), len(names))

    def _element(  # noqa: PLR0911 - one return a kind
        self, expr: Expr, at: int, count: int, depth: int = 0
    ) -> Order | None:
        """The order of one element of a tuple."""
        if depth > _DEPTH:
            return None
        if expr.kind == "tuple":
            parts = [expr.file.exprs[one] for one in expr.fields[0] if one >= 0]
            return self.fact(parts[at]) if len(parts) == count and at < len(parts) else None
        if expr.kind in ("paren", "try"):
            inner = expr.inner
            return self._element(inner, at, count, depth + 1) if inner is not None else None
        if expr.kind == "block" and expr.tail is not None:
            return self._element(expr.tail, at, count, depth + 1)
        if expr.kind in ("if", "match"):
            parts = (
                [one for one in expr.branches[1:] if one is not None]
                if expr.kind == "if"
                else [one for _, _, one in expr.arms if one is not None]
            )
            found: Order | None = None
            for one in parts:
                last = one
                while last.kind == "block" and last.tail is not None:
                    last = last.tail
                if last.kind != "tuple":
                    continue  # leaves, or hands on what is not known: the others tell
                fact = self._element(last, at, count, depth + 1)
                zero = last.fields[0] and at < len(last.fields[0]) and last.file.exprs[last.fields[0][at]].integer == 0
                if zero:
                    continue
                if fact is None or (found is not None and found.kind != fact.kind):
                    return None
                found = fact
            return found
        return None

    def _of_constant(self, expr: Expr) -> Order | None:
        path = resolve(expr.file, expr.path, expr.item)
        item = item_of(expr.file, path) if path is not None and path.startswith("crate::") else None
        if item is None or item.kind != "const" or item.expr is None or self._calls >= _CALLS:
            return None
        return Values(item, None, self._calls + 1).fact(item.expr)

    def _of_field(self, expr: Expr) -> Order | None:
        owner = typed(expr.receiver)
        if owner is None:
            return None
        wire = header_field(expr.file.crate, owner, expr.name)
        if wire is None:
            structure = owner.rpartition("::")[2]
            if owner.startswith(("aya_ebpf::bindings::", "aya_bpf::bindings::", "aya_ebpf_bindings::")):
                wire = context_field(structure, expr.name)
            elif owner.startswith("crate::"):
                types = field_types(expr.file, owner)
                wire = _declared(types.get(expr.name, ""))
                if wire is None and not types.get(expr.name, "").startswith("["):
                    wire = kernel_header_field(structure, expr.name) or self._own_header(expr, owner)
        return _as_order(wire, expr) if wire is not None else None

    def _own_header(self, expr: Expr, owner: str) -> Wire | None:
        """A field of an own header, where it is read from the packet; a struct that was filled in may hold anything."""
        wire = own_header_field(expr.file, owner, expr.name)
        found = self.source(expr.receiver) if wire is not None else None
        return wire if found is not None and found.kind == "packet" else None

    def _of_method(self, expr: Expr) -> Order | None:  # noqa: PLR0911 - one return a method
        name = expr.name
        if name in _SWAPS:
            found = self.fact(expr.receiver)
            width = found.width if found is not None and found.width else _literal_width(expr.receiver)
            if found is None:
                number = constant(expr.receiver)
                if number is None or width is None or name == "from_be":
                    return None
                found = Order("host", width, width, "", expr)
            return found.swapped(width) if width else None
        if name in ("to_be_bytes", "to_ne_bytes", "to_le_bytes"):
            return self._to_bytes(self.fact(expr.receiver), name)
        if name in ("octets", "to_bits"):
            owner = typed(expr.receiver)
            if owner is None or not owner.endswith("::net::Ipv4Addr"):
                return None
            return Order("big", 32, 0, "address", expr) if name == "octets" else Order("host", 32, 32, "address", expr)
        if name in _SAME and not expr.args:
            if name == "into" and (typed(expr.receiver) or "").endswith("::net::Ipv4Addr"):
                return None  # into a number or something else: the text does not say
            return self.fact(expr.receiver)
        if name == "load":
            return _read_at(expr) or _ethertype(expr, "u16" if "load::<u16>" in "".join(expr.text.split()) else "")
        owner = typed(expr.receiver)
        if owner is None or expr.args:
            return None
        if owner.startswith(("aya_ebpf::programs::", "aya_bpf::programs::")):
            known = CONTEXT_METHODS.get((owner.rpartition("::")[2], name))
            wire = context_field(*known) if known is not None else None
            return _as_order(wire, expr) if wire is not None else None
        if owner == "network_types::udp::UdpHdr" and name in ("src_port", "dst_port"):
            return Order("host", 16, 16, "port", expr)
        return None

    @staticmethod
    def _to_bytes(found: Order | None, name: str) -> Order | None:
        if found is None or found.kind not in ("big", "host") or not found.width or found.bits != found.width:
            return None
        as_wire = (found.kind == "host") == (name == "to_be_bytes")
        return found.but("big" if as_wire else "little", 0)

    def _of_call(self, expr: Expr) -> Order | None:  # noqa: PLR0911 - one return a function
        callee = expr.callee
        if callee is None or callee.kind != "path":
            return None
        head, _, last = callee.path.rpartition("::")
        kind = head.rpartition("::")[2]
        if len(expr.args) == 1 and kind in _WIDTHS:
            inner, width = expr.args[0], _WIDTHS[kind]
            if last in ("from_be", "to_be", "swap_bytes"):
                found = self.fact(inner)
                if found is None and last == "to_be" and constant(inner) is not None:
                    return Order("big", width, width, "", expr)
                return found.swapped(width) if found is not None else None
            if last in ("from_be_bytes", "from_ne_bytes", "from_le_bytes"):
                return self._from_bytes(inner, last, width, expr)
            if last == "from":
                if (typed(inner) or "").endswith("::net::Ipv4Addr") and width == 32:
                    return Order("host", 32, 32, "address", expr)
                found = self.fact(inner)
                return found.but(width=width) if found is not None and found.width else None
        if last in ("read_unaligned", "read_volatile", "read") and len(expr.args) == 1:
            return self._pointed(expr.args[0])
        if last in ("Some", "Ok") and not head and len(expr.args) == 1:
            return self.fact(expr.args[0])
        return self._through(expr, callee)

    def _pointed(self, expr: Expr) -> Order | None:
        """`addr_of!((*p).x)` and `&raw const (*p).x` are where the field is."""
        if expr.kind == "macro" and expr.path.rpartition("::")[2] in ("addr_of", "addr_of_mut") and expr.args:
            return self.fact(expr.args[0])
        return self.fact(expr)

    def _from_bytes(self, inner: Expr, name: str, width: int, expr: Expr) -> Order | None:
        found = self.fact(inner)
        if found is None:
            if (
                inner.kind == "array"
                and name == "from_be_bytes"
                and all(one.integer is not None for one in _parts(inner))
            ):
                return Order("host", width, width, "address" if width == 32 else "", expr)
            return None
        if found.width or found.kind not in ("big", "little") or found.bits != width:
            return None
        as_number = (found.kind == "big") == (name == "from_be_bytes")
        return found.but("host" if as_number else "big", width)

    def _through(self, expr: Expr, callee: Expr) -> Order | None:
        """A function of the crate that gives one of its parameters, converted or not, or a field."""
        if self._calls >= _CALLS:
            return None
        path = resolve(callee.file, callee.path, callee.item)
        item = item_of(callee.file, path) if path is not None and path.startswith("crate::") else None
        if item is None or item.kind != "fn" or item.expr is None or item.generic:
            return None
        given: dict[str, Order] = {}
        for param, arg in zip(item.params, expr.args, strict=False):
            fact = self.fact(arg)
            if fact is not None and param.name:
                given[param.name] = fact
        inner = Values(item, given, self._calls + 1)
        tail = item.expr.tail
        if tail is None or any(one.kind == "return" for one in item.expr.within()):
            return None
        if tail.kind == "call" and tail.callee is not None and tail.callee.path in ("Ok", "Some") and tail.args:
            tail = tail.args[0]
        return inner.fact(tail)

    def _of_binary(self, expr: Expr) -> Order | None:
        left, right = expr.operands
        found = self.fact(left)
        number = constant(right)
        if found is None or number is None or found.kind not in ("big", "host") or not found.width:
            return None
        if expr.op == ">>" and number == 16 and found.bits == 16 and found.width == 32:
            return found.but(high=False) if found.high else found.but("zero")
        if expr.op == "&" and number == 0xFFFF and found.bits == 16:
            return found.but("zero") if found.high else found
        return None

    def source(self, expr: Expr | None) -> Provenance | None:
        """Where a value comes from, through locals that are set once, unwrapping, references and casts."""
        at = expr
        for _ in _STEPS:
            if at is None:
                return None
            kind = at.kind
            if kind in ("paren", "try", "ref", "cast", "unary"):
                at = at.inner
            elif kind == "block":
                at = at.tail
            elif kind == "path" and "::" not in at.path:
                local = binding(at)
                let = local.let if local is not None else None
                at = let.init if let is not None and not let.pattern.startswith("mut ") else None
            else:
                found = origin(at)
                if found is not None or kind not in ("method", "field"):
                    return found
                at = at.receiver
        return None

    def range(self, expr: Expr | None) -> tuple[int, int] | None:
        """(smallest, largest) value; None when the text does not say. Conditions are the flow's business."""
        return self._range(expr, 0)

    def _range(self, expr: Expr | None, depth: int) -> tuple[int, int] | None:  # noqa: PLR0911 - one return a kind
        if expr is None or depth > _DEPTH:
            return None
        number = constant(expr)
        if number is not None:
            return number, number
        kind = expr.kind
        if kind in ("paren", "block") or (kind == "unary" and expr.op == "*"):
            return self._range(expr.inner if kind != "block" else expr.tail, depth + 1)
        if kind == "cast":
            inner = self._range(expr.inner, depth + 1)
            width = _WIDTHS.get(expr.cast_type)
            limit = (1 << width) - 1 if width is not None and expr.cast_type.startswith("u") else None
            if inner is not None and limit is not None and inner[1] <= limit:
                return inner
            return (0, limit) if limit is not None and limit <= 0xFFFF else None
        if kind == "binary":
            right = constant(expr.operands[1])
            if right is None or right < 0:
                return None
            if expr.op == "&":
                return 0, right
            inner = self._range(expr.operands[0], depth + 1)
            if expr.op == "%" and right > 0 and (inner is None or inner[0] >= 0):
                return 0, right - 1
            if expr.op == "+" and inner is not None:
                return inner[0] + right, inner[1] + right
            return None
        if kind == "method" and expr.name == "min" and len(expr.args) == 1:
            limit = constant(expr.args[0])
            return (0, limit) if limit is not None and limit >= 0 else None
        if kind == "path" and "::" not in expr.path:
            return self._range_of_local(expr, depth)
        return None

    def _range_of_local(self, expr: Expr, depth: int) -> tuple[int, int] | None:
        for outer in expr.ancestors():
            if outer.kind == "for" and outer.fields[2] == [expr.path]:
                over = outer.file.expr(outer.fields[3])
                while over is not None and over.kind == "paren":
                    over = over.inner
                if over is None or over.kind != "range":
                    return None
                low, high = (constant(outer.file.expr(one)) for one in over.fields[:2])
                if low is None or high is None or high < low:
                    return None
                return low, high if over.fields[2] else high - 1
        local = binding(expr)
        let = local.let if local is not None and local.kind == "let" else None
        if let is None or let.pattern.startswith("mut "):
            return None
        return self._range(let.init, depth + 1)


def _read_at(expr: Expr | None) -> Order | None:
    """`ptr_at(&ctx, LENGTH + offset_of!(tcphdr, dest))?` and `ctx.load(..)`: what stands at that field."""
    while expr is not None and expr.kind in ("try", "paren", "block"):
        expr = expr.tail if expr.kind == "block" else expr.inner
    if expr is None or not expr.args or expr.kind not in ("call", "method"):
        return None
    if expr.kind == "call" and (len(expr.args) != 2 or not expr.args[0].text.lstrip("&").startswith("ctx")):
        return None
    at: Expr | None = expr.args[-1]
    while at is not None and (at.kind in ("paren", "cast") or (at.kind == "binary" and at.op == "+")):
        at = at.inner if at.kind in ("paren", "cast") else at.operands[1]
    if at is None or at.kind != "macro" or at.path.rpartition("::")[2] != "offset_of" or len(at.args) != 2:
        return None
    header, field = at.args
    if header.kind != "path" or field.kind != "path":
        return None
    path = resolve(expr.file, header.path, expr.item) or header.path
    wire = field_at(path, field.path)
    return Order("big", wire.bits, wire.width, wire.what, expr) if wire is not None else None


def _ethertype(load: Expr, type_: str) -> Order | None:
    """`ctx.load::<u16>(12)`: what stands behind the two addresses of an Ethernet header."""
    if type_ != "u16" or load.kind != "method" or len(load.args) != 1 or constant(load.args[0]) != 12:
        return None
    owner = typed(load.receiver) or ""
    if not owner.startswith(("aya_ebpf::programs::", "aya_bpf::programs::")):
        return None
    return Order("big", 16, 16, "ethertype", load)


def _narrowed(found: Order, width: int) -> Order | None:
    """After `as` another integer."""
    if not found.width:
        return None
    if width >= found.width:
        return found.but(width=width)
    if found.bits <= width:
        return found.but("zero", width) if found.high else found.but(width=width)
    return None


def _as_order(wire: Wire, expr: Expr) -> Order:
    return Order("big" if wire.big else "host", wire.bits, wire.width, wire.what, expr, high=wire.high)


def _declared(type_: str) -> Wire | None:
    """`__be16`, `__be32`: what generated bindings call integers in network order."""
    last = type_.strip().rpartition("::")[2]
    bits = {"__be16": 16, "__be32": 32, "__sum16": 0}.get(last)
    return Wire("port" if bits == 16 else "address", bits, bits) if bits else None


def _parts(expr: Expr) -> list[Expr]:
    return [expr.file.exprs[one] for one in expr.fields[0] if one >= 0]


def _literal_width(expr: Expr | None) -> int | None:
    """`80u16`, a constant of a type, a cast."""
    while expr is not None and expr.kind == "paren":
        expr = expr.inner
    if expr is None:
        return None
    if expr.kind == "cast":
        return _WIDTHS.get(expr.cast_type)
    if expr.literal == "int":
        return next((width for name, width in _WIDTHS.items() if expr.text.endswith(name)), None)
    if expr.kind == "path":
        path = resolve(expr.file, expr.path, expr.item)
        item = item_of(expr.file, path) if path is not None and path.startswith("crate::") else None
        return _WIDTHS.get(item.type) if item is not None and item.kind == "const" else None
    return None

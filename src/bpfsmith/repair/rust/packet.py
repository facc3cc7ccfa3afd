"""Bytes of a packet are read that nothing compared with the packet's end."""

from __future__ import annotations

from bpfsmith.repair.rust.common import at_use, pointers, pure, stripped, type_text
from bpfsmith.repair.rust.fallible import fails_at
from bpfsmith.repair.rust.spot import Spot, spots
from bpfsmith.source.types import bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate
    from bpfsmith.source.rust import Expr, Item

__all__ = ["candidates", "end_of", "size_of"]

_SIZES = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "u128": 16}
_CONTEXTS = ("XdpContext", "TcContext", "SkBuffContext", "SkMsgContext", "SkSkbContext", "SkReuseportContext")
_FAR = 0x7FFF


def candidates(ground: Ground) -> Iterator[Candidate]:
    """Comparisons with the end, right before the use and on the pointer that is used."""
    listed = list(spots(ground))
    for spot in listed:
        yield from checks(ground, spot)
        yield from _handed(ground, spot)
        yield from _limits(ground, spot)
    # The line may be that of a check which forgets something, or of what a function gave.
    for spot in {spot.item.id: spot for spot in listed}.values():
        yield from checks(ground, spot, whole=True)


def checks(ground: Ground, spot: Spot, *, whole: bool = False) -> Iterator[Candidate]:
    """`if pointer + size > end` before the accesses of a line, or of the whole function."""
    wanted = ground.cause.variables
    done: set[str] = set()
    found = [(access, target) for access, target in pointers(spot, whole=whole)]
    found.sort(key=lambda one: (stripped(one[1]).text not in wanted, one[1].start))
    for access, target in found:
        fails = fails_at(spot.item, ground, access)
        end = end_of(spot.item, access, target)
        if fails is None or end is None or _elsewhere(access, target):
            continue
        for condition in _beyond(target, end):
            if condition not in done:
                done.add(condition)
                said = f"compare what is read through `{stripped(target).text[:40]}` with the end of the packet first"
                yield from at_use("bounds-check", access, condition, fails, said)


def _elsewhere(access: Expr, target: Expr) -> bool:
    """Whether a pointer leads to no packet: a reference, a map's value, an argument that may be a number."""
    text = type_text(target)
    if "Context" in text or text.startswith("&") or (access.kind == "call" and not text.startswith("*")):
        return True
    inner = stripped(target)
    found = bound(inner.path, inner) if inner.kind == "path" and "::" not in inner.path else None
    init = (found.let.init if found.let is not None else found.init) if found is not None else None
    return init is not None and any(one.name in ("get", "get_ptr", "get_ptr_mut") for one in init.within("method"))


def _handed(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    """An address that is handed to a function which reads there: `read::<u16>(ip + 2)`."""
    for call in spot.around("call", "method"):
        for given in call.args:
            inner = given
            while inner.kind in ("paren", "cast") and inner.inner is not None:
                inner = inner.inner
            base = inner.operands[0] if inner.kind == "binary" and inner.op == "+" else inner
            while base is not None and base.kind == "binary" and base.op == "+":
                base = base.operands[0]
            if base is None or not pure(inner) or not _address(base):
                continue
            fails = fails_at(spot.item, ground, call)
            end = end_of(spot.item, call, given)
            if fails is None or end is None:
                continue
            number = inner.text if base.kind != "path" or _is_number(base) else f"{inner.text} as usize"
            said = f"compare what is read at `{inner.text[:40]}` with the end of the packet first"
            yield from at_use("bounds-check", call, f"{number} + {_expected(call)} > {end}", fails, said)


def _address(base: Expr) -> bool:
    """Whether an expression is a place in the packet."""
    if base.kind == "method":
        return base.name == "data" and not base.args
    return base.kind == "path" and "::" not in base.path and _is_place(base)


def _expected(call: Expr) -> str:
    """Bytes that a call reads, as far as what it gives tells; 1 where nothing does."""
    name = "".join(call.callee.text.split()) if call.callee is not None else ""
    kind = name[name.rfind("::<") + 3 : -1] if name.endswith(">") and "::<" in name else ""
    child = call
    last = call.name if call.kind == "method" else (call.callee.path.rpartition("::")[2] if call.callee else "")
    for item in call.file.items_named(last):
        if item.kind == "fn" and item.type.strip() in _SIZES:
            kind = item.type.strip()
    for outer in call.ancestors():
        if kind:
            break
        if outer.kind == "call" and outer.callee is not None:
            head, _, last = outer.callee.path.rpartition("::")
            if last in ("from_be", "from_le"):
                kind = head
            elif last not in ("Ok", "Some"):
                break
        elif outer.kind == "block" and outer.tail == child and call.item is not None and call.item.expr == outer:
            text = "".join(call.item.type.split())
            head, _, rest = text.partition("<")
            kind = rest.rstrip(">").partition(",")[0] if head in ("Result", "Option") else text
        elif outer.kind == "block" and outer.tail != child:
            let = next((one for one in outer.lets if one.start <= call.start < one.end), None)
            kind = let.type if let is not None else ""
            break
        elif outer.kind not in ("block", "paren", "cast", "try"):
            break
        child = outer
    return size_of(kind) or "1"


def _beyond(target: Expr, end: str) -> Iterator[str]:
    """Conditions that say that what a pointer points to reaches behind the end."""
    type_ = type_text(target)
    pointee = type_.removeprefix("*const ").removeprefix("*mut ").strip() if type_.startswith("*") else ""
    size = size_of(pointee)
    inner = target
    while inner.kind in ("paren", "cast") and inner.inner is not None:
        inner = inner.inner
    if inner.kind == "path" and inner == target:
        yield f"{target.text}.wrapping_add(1) as usize > {end}"
        return
    if size and pure(inner):
        if inner.kind == "path" and _is_number(inner):
            yield f"{inner.text} + {size} > {end}"
        elif inner.kind == "path":
            yield f"{inner.text} as usize + {size} > {end}"
        elif inner.kind == "binary":
            yield f"{inner.text} + {size} > {end}"
    elif target.kind == "method" and target.receiver is not None and pure(stripped(target)):
        yield f"unsafe {{ {target.text} }}.wrapping_add(1) as usize > {end}"


def size_of(pointee: str) -> str:
    """The size of a type in Rust: a number, or `size_of` of it; "" where none is known."""
    if not pointee or pointee == "_":
        return ""
    known = _SIZES.get(pointee)
    return str(known) if known is not None else f"core::mem::size_of::<{pointee}>()"


def _is_number(path: Expr) -> bool:
    return not type_text(path).startswith(("*", "&"))


def end_of(  # noqa: PLR0911, PLR0912 - one return a place it may be kept in
    item: Item, at: Expr, target: Expr | None = None
) -> str | None:
    """What the packet's end is called where `at` stands: a local that holds it, else the context's method; what comes
    from `data_meta` ends where the packet begins."""
    body = item.expr
    if body is None:
        return None
    meta = target is not None and _from_meta(target)
    wanted = "data" if meta else "data_end"
    for block in body.within("block"):
        for let in block.lets:
            if let.init is None or let.start > at.start:
                continue
            if let.name is not None and _ends_with(let.init, wanted) and _visible(let.name, at):
                return _number(let.name, let.init)
            if let.init.kind == "tuple" and let.pattern.startswith("("):
                names = [one.strip().removeprefix("mut ") for one in let.pattern.strip("()").split(",")]
                parts = [let.file.exprs[one] for one in let.init.fields[0] if one >= 0]
                for name, part in zip(names, parts, strict=False):
                    if _ends_with(part, wanted) and _visible(name, at):
                        return _number(name, part)
    for param in item.params:
        if param.name and any(one in param.type for one in _CONTEXTS):
            return f"{param.name}.{wanted}()"
    for param in item.params:
        if param.name in ("end", "data_end") and "usize" in param.type and not meta:
            return str(param.name)
        if param.name in ("end", "data_end") and "*" in param.type and not meta:
            return f"{param.name} as usize"
    for one in body.within("field"):
        if one.name == wanted and pure(one.receiver):
            return f"unsafe {{ {one.text} }} as usize"
    for param in item.params:
        if param.name and "xdp_md" in param.type:
            return f"unsafe {{ (*{param.name}).{wanted} }} as usize"
    return None


def _number(name: str, init: Expr) -> str:
    """A local as a number, whatever it was kept as."""
    return f"{name} as usize" if type_text(init).startswith("*") else name


def _ends_with(expr: Expr, name: str) -> bool:
    inner = stripped(expr)
    return (inner.kind == "method" and inner.name == name and not inner.args) or (
        inner.kind == "field" and inner.name == name
    )


def _visible(name: str, at: Expr) -> bool:
    return name.isidentifier() and bound(name, at) is not None


def _from_meta(target: Expr, depth: int = 0) -> bool:
    """Whether a pointer comes from the metadata before the packet."""
    for one in target.within():
        if (one.kind == "field" and one.name == "data_meta") or (one.kind == "method" and one.name == "metadata"):
            return True
        if one.kind == "path" and "::" not in one.path and depth < 6:
            found = bound(one.path, one)
            init = found.let.init if found is not None and found.let is not None else None
            if init is not None and _from_meta(init, depth + 1):
                return True
    return False


def _limits(ground: Ground, spot: Spot) -> Iterator[Candidate]:
    """A number that is added to a packet pointer must not be huge."""
    for one in spot.around("binary", "method"):
        if one.kind == "binary" and one.op != "+":
            continue
        if one.kind == "method" and one.name not in ("add", "wrapping_add", "offset"):
            continue
        parts = one.operands if one.kind == "binary" else tuple(one.args)
        for part in parts:
            inner = stripped(part) if part is not None else None
            if inner is None or inner.kind != "path" or "::" in inner.path or not inner.path.islower():
                continue
            if not _is_number(inner) or _is_place(inner):
                continue
            fails = fails_at(spot.item, ground, one)
            if fails is not None:
                said = f"go on only while `{inner.text}` is at most {_FAR}, which packets can have"
                yield from at_use("bounds-check", one, f"{inner.text} as usize > {_FAR:#x}", fails, said)


def _is_place(path: Expr, depth: int = 0) -> bool:
    """Whether a number is an address: of the packet's start or end, or computed from it."""
    found = bound(path.path, path)
    if found is None or found.let is None or found.let.init is None or depth > 6:
        return found is not None and found.kind == "param" and path.path in ("data", "start", "end", "data_end", "at")
    init = found.let.init
    for one in init.within():
        if one.kind in ("method", "field") and one.name in ("data", "data_end", "data_meta"):
            return _same_part(found.let.pattern, path.path, init)
        if one.kind == "unary" and one.op == "*":
            return False
        if one.kind == "path" and "::" not in one.path and one.path != path.path and _is_place(one, depth + 1):
            return True
    return False


def _same_part(pattern: str, name: str, init: Expr) -> bool:
    return "unsafe" not in init.text or name in pattern

"""A length handed to a helper that may be too large, negative or zero."""

from __future__ import annotations

from bpfsmith.repair.rust.common import at_use, checked, let_of, pure, stripped, type_text
from bpfsmith.repair.rust.fallible import fails_at
from bpfsmith.repair.rust.index import _array
from bpfsmith.repair.rust.place import guarded
from bpfsmith.repair.rust.spot import spots
from bpfsmith.source.layout import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.report import Candidate
    from bpfsmith.repair.rust.spot import Failing, Spot
    from bpfsmith.source.rust import Expr

__all__ = ["candidates"]


def candidates(ground: Ground) -> Iterator[Candidate]:
    """`if len > N` before the call, on what the call is given; zero too where that is refused."""
    for spot in spots(ground):
        for call, length in _lengths(ground, spot):
            fails = fails_at(spot.item, ground, call)
            if fails is None:
                continue
            for limit in _limits(ground, spot, call):
                yield from _checks(ground, call, length, limit, fails)


def _lengths(ground: Ground, spot: Spot) -> Iterator[tuple[Expr, Expr]]:
    """(call, length) of the calls of a line: arguments that are numbers and no constants, those of the cause first; of
    slices made of a pointer and a length, that length."""
    wanted = set(ground.cause.variables)
    found: list[tuple[bool, Expr, Expr]] = []
    for one in spot.around("call", "method"):
        for given in one.args:
            for part in given.within("range"):
                last = part.operands[1]
                if last is not None and pure(last) and constant(last.file, last.text, last.item) is None:
                    found.append((True, one, last))
            inner = stripped(given)
            if ".cast" in given.text or _array(given) is not None:
                continue  # a pointer
            if constant(given.file, inner.text, given.item) is not None:
                continue
            if inner.kind == "path" and "::" not in inner.path and inner.path.islower():
                let = let_of(inner)
                init = let.init if let is not None else None
                # A slice: its length is what it was made with.
                for made in init.within("call") if init is not None else ():
                    name = made.callee.path.rpartition("::")[2] if made.callee is not None else ""
                    if name in ("from_raw_parts", "from_raw_parts_mut") and len(made.args) == 2:
                        found.append((True, made, made.args[1]))
                text = type_text(inner)
                if not text.startswith(("*", "&", "[")):
                    found.append((inner.path in wanted, one, given))
            elif inner.kind in ("field", "method", "binary") and pure(inner):
                found.append((inner.text in wanted, one, given))
    found.sort(key=lambda one: not one[0])
    for _, call, given in found:
        yield call, given


def _limits(ground: Ground, spot: Spot, call: Expr) -> list[str]:
    """How large the buffer is: as its type says, as the cause says."""
    sizes: list[int] = []
    for given in call.args:
        bases = [one.operands[0] for one in given.within("index")]
        bases += [one.receiver for one in given.within("method") if one.name in ("get", "get_mut")]
        for base in [*bases, given]:
            known = _array(base) if base is not None else None
            if known is not None:
                sizes.append(known[0] * known[1])
    out = [str(one) for one in sorted(sizes)]  # as much as the smaller one of two has room for
    told = ground.operand("limit", "size", "value_size", "mem_size", "max")
    if isinstance(told, int) and 0 < told < 1 << 29:
        out.append(str(told))
    body = spot.item.expr
    for one in body.within("binary") if body is not None else ():
        left, right = one.operands
        if one.op not in (">", ">=", "<", "<=") or right is None or not right.integer or left is None:
            continue
        if stripped(left).text in {stripped(given).text for given in call.args}:
            out.append(right.text)
    return list(dict.fromkeys(out))[:2]


def _checks(ground: Ground, call: Expr, length: Expr, limit: str, fails: Failing) -> Iterator[Candidate]:
    inner = stripped(length)
    text = inner.text
    said = f"call only with a length of at most {limit}"
    signed = type_text(inner).startswith("i") or _signed_by(inner)
    number = f"{text} as u64" if signed else text
    zero = f"{text} == 0 || " if "zero" in f"{ground.why.message} {ground.cause.headline}".lower() else ""
    if pure(inner):
        if zero:
            yield from at_use("bounds-check", call, f"{text} == 0", fails, "call only with a length above 0")
        yield from at_use("bounds-check", call, f"{zero}{number} > {limit}", fails, said)
        if not zero:
            yield from at_use("bounds-check", call, f"{text} == 0 || {number} > {limit}", fails, f"{said}, above 0")
    if inner.kind == "path" and "::" not in inner.path:
        # What the compiler knows already it does not check again: behind a barrier it does.
        lines = [
            f"let {text} = core::hint::black_box({text});",
            f"if {zero}{number} > {limit} {{",
            f"    {fails.statement}",
            "}",
        ]
        yield checked("bounds-check", guarded(call, lines), f"{said}, in the copy that is used", fails)


def _signed_by(path: Expr) -> bool:
    """Whether a local is what a helper answered: a signed number."""
    let = let_of(path)
    init = let.init if let is not None else None
    if init is None:
        return False
    inner = stripped(init)
    return (
        inner.kind == "call" and inner.callee is not None and inner.callee.path.rpartition("::")[2].startswith("bpf_")
    )

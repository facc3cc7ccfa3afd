"""A comparison with the packet's end that asks for too few bytes: the size of what is read behind it is added."""

from __future__ import annotations

from bpfsmith.repair.report import FAILING_BRANCH, Candidate
from bpfsmith.repair.rust.common import pure, replaced, stripped, type_text
from bpfsmith.repair.rust.packet import size_of
from bpfsmith.repair.rust.spot import spots
from bpfsmith.repair.tightened import TIGHTENED, Compared, compared, fails_with, terms
from bpfsmith.source.layout import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.source.rust import Expr, Item

__all__ = ["candidates"]

_WRAPS = ("Option", "Result")


def candidates(ground: Ground) -> Iterator[Candidate]:
    """`start + offset > end` -> `start + offset + core::mem::size_of::<T>() > end`, of the comparisons that the cause
    and what led to it name."""
    seen: set[int] = set()
    for spot in spots(ground):
        for one in spot.around("binary"):
            if one.start not in seen and compared(one) is not None:
                seen.add(one.start)
                yield from _larger(ground, spot.item, one)


def _larger(ground: Ground, item: Item, one: Expr) -> Iterator[Candidate]:
    told = compared(one)
    if told is None or not pure(told.address):
        return
    address = told.address
    parts = terms(address)
    for last in (None, parts[-1]) if len(parts) > 1 else (None,):
        # Without the number that is added last the address may be the one that is read at.
        written = constant(last.file, last.text, last.item) if last is not None else 0
        if written is None:
            continue
        base = address.text if last is None else address.text[: last.start - address.start].rstrip().removesuffix("+")
        for size in _sizes(item, parts[: len(parts) if last is None else -1]):
            if size.isdigit() and int(size) < written + (not told.strict):
                continue
            yield _candidate(one, told, f"{_number(address, base.rstrip())} + {size}", size)
    need = ground.operand("need") if ground.cause.cls == "check-wrong" else None
    total = _total(parts)
    if isinstance(need, int) and total is not None and 0 <= total < need < 1 << 16:
        base = " + ".join(part.text for part in parts if constant(part.file, part.text, part.item) is None)
        yield _candidate(one, told, f"{_number(address, base)} + {need}", str(need))


def _candidate(one: Expr, told: Compared, address: str, size: str) -> Candidate:
    end = told.end.text
    text = f"{address} {told.op} {end}" if told.address.start < told.end.start else f"{end} {told.back} {address}"
    many = size if size.isdigit() else f"`{size}`"
    said = f"compare with the end of the packet for all {many} bytes that are read"
    returns = fails_with(one)
    return Candidate(
        TIGHTENED, [replaced(one, text)], said, FAILING_BRANCH, returns,
        "as the check that is there does",
    )  # fmt: skip


def _number(address: Expr, text: str) -> str:
    """An address as a number, where it is a pointer."""
    return f"{text} as usize" if type_text(address).startswith("*") else text


def _total(parts: list[Expr]) -> int | None:
    """Bytes that are added to the packet's start; None where something else is added too."""
    total, bases = 0, 0
    for part in parts:
        value = constant(part.file, part.text, part.item)
        if value is not None:
            total += value
        elif stripped(part).kind in ("path", "method", "field"):
            bases += 1
        else:
            return None
    return total if bases == 1 else None


def _sizes(item: Item, parts: list[Expr]) -> list[str]:
    """How large what is read at an address may be: what the function makes of the address, what it returns."""
    out: list[str] = []
    wanted = sorted(_plain(part) for part in parts)
    body = item.expr
    for cast in body.within("cast") if body is not None else ():
        inner = cast.inner
        if inner is not None and sorted(_plain(part) for part in terms(inner)) == wanted:
            out.append(_pointee(cast.cast_type))
    if not any(out):
        out.append(_returned(item.type))
    return list(dict.fromkeys(size for size in map(size_of, out) if size))


def _plain(expr: Expr) -> str:
    return "".join(stripped(expr).text.split())


def _returned(type_: str) -> str:
    """What a pointer points to that a function returns."""
    text = type_.strip()
    head, angle, rest = text.partition("<")
    if angle and head.strip().rpartition("::")[2] in _WRAPS and rest.endswith(">"):
        depth = 0
        for at, letter in enumerate(rest[:-1]):
            depth += (letter in "<[(") - (letter in ">])")
            if letter == "," and not depth:
                return _pointee(rest[:at])
        return _pointee(rest[:-1])
    return _pointee(text)


def _pointee(type_: str) -> str:
    text = type_.strip()
    for start in ("*const ", "*mut "):
        if text.startswith(start):
            return text.removeprefix(start).strip()
    if text.startswith("&"):
        words = text[1:].split()
        while words and (words[0].startswith("'") or words[0] == "mut"):
            del words[0]
        found = " ".join(words)
        return "" if found in ("str",) or (found.startswith("[") and ";" not in found) else found
    return ""

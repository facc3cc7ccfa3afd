"""Changes of Rust that say the same in other words: each with the reason why nothing else changes."""

from __future__ import annotations

import re

from bpfsmith.repair.report import REWRITE, SAME_WORK, Candidate
from bpfsmith.repair.rust.common import ASSIGNS, checked, pure, replaced, stripped
from bpfsmith.repair.rust.fallible import fails_at
from bpfsmith.repair.rust.place import guarded
from bpfsmith.repair.rust.spot import edit, everywhere, indent, spots, statement
from bpfsmith.source.layout import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.ground import Ground
    from bpfsmith.repair.rust.spot import Spot
    from bpfsmith.source.rust import Expr

__all__ = ["candidates"]

_NEVER = re.compile(r"#\[inline\(never\)\]")
_CONTEXT = re.compile(r"\b\w*Context\b")
_SAME_CODE = "every instruction is the same one: only a declaration is another"


def candidates(ground: Ground) -> Iterator[Candidate]:
    """Inlining, other declarations, the context itself, reads in parts, a typed task, a full socket."""
    cls = ground.cause.cls
    for spot in spots(ground):
        if cls == "argument-type":
            yield from _context(spot)
            yield from _task(spot)
        if cls in ("context-access", "pointer-arithmetic"):
            yield from _split(spot)
            yield from _array(spot)
        if cls == "context-access":
            yield from _full(spot, ground)
            yield from _written(spot)
        if cls in ("verifier-imprecision", "check-lost", "check-on-copy"):
            yield from _barrier(spot)
    if cls == "context-access":
        yield from _flag(ground)
    if cls not in ("context-access", "pointer-arithmetic"):
        yield from _inline(ground)


# ------------------------------------------------------------ inlining


def _inline(ground: Ground) -> Iterator[Candidate]:
    done: set[str] = set()
    edits = []
    sure = True
    for spot in everywhere(ground):
        file = spot.file
        if file.path in done:
            continue
        done.add(file.path)
        for item in file.items_of_kind("fn"):
            attr = next((one for one in item.attrs if one.path == "inline" and "never" in _text(file, one)), None)
            if attr is None or item.expr is None or item.extern:
                continue
            found = None
            for one in _NEVER.finditer(file.text, max(0, item.name_start - 400), item.name_start):
                found = one
            if found is None or "fn " in file.text[found.end() : item.name_start - 3]:
                continue
            if any(one.name == "tail_call" for one in item.expr.within("method")):
                # In a function of its own a tail call returns to the caller; in the program it does not.
                sure = False
            edits.append(edit(file, found.start(), found.end(), "#[inline(always)]"))
    if not edits:
        return
    why = "inlining changes where the code stands, not what it does"
    shape = SAME_WORK if sure else REWRITE
    for group in [*([[one] for one in edits] if 1 < len(edits) < 4 else []), edits]:
        yield Candidate("inline", group, "make it part of its callers (`#[inline(always)]`)", shape, why=why)


def _text(file, attr) -> str:  # type: ignore[no-untyped-def]
    return str(file.text[attr.start : attr.end])


def _barrier(spot: Spot) -> Iterator[Candidate]:
    """A comparison that the compiler rewrites into one the verifier learns nothing from."""
    body = spot.item.expr
    for one in body.within("binary") if body is not None else ():
        left, right = one.operands
        if one.op not in (">", ">=", "<", "<=") or left is None or right is None:
            continue
        for side, other in ((left, right), (right, left)):
            word = stripped(other)
            ends = (word.kind == "path" and word.path in ("end", "data_end")) or word.name == "data_end"
            if ends and side.kind == "binary" and side.op == "+":
                said = f"keep the comparison of `{side.text[:40]}` as it is written"
                why = "`black_box` gives back what it is given"
                made = replaced(side, f"core::hint::black_box({side.text})")
                yield Candidate("barrier", [made], said, SAME_WORK, why=why)


# ------------------------------------------------------------ arguments


def _context(spot: Spot) -> Iterator[Candidate]:
    """`&ctx` of aya's wrapper where the helper takes the context that is in it."""
    params = {one.name for one in spot.item.params if one.name and _CONTEXT.search(one.type)}
    for call in spot.around("call"):
        for given in call.args:
            inner: Expr = given
            while inner.kind in ("cast", "paren") and inner.inner is not None:
                inner = inner.inner
            while inner.kind == "method" and inner.name in ("cast", "cast_mut") and inner.receiver is not None:
                inner = inner.receiver
            while inner.kind == "paren" and inner.inner is not None:
                inner = inner.inner
            target = inner.inner if inner.kind == "ref" else None
            if target is None and inner.kind == "macro" and "addr_of" in inner.path and inner.args:
                target = inner.args[0]
            if target is not None and target.kind == "path" and target.path in params and given != inner:
                text = f"aya_ebpf::EbpfContext::as_ptr(&{target.path}).cast()"
                said = f"pass the context that `{target.path}` holds, not the place where `{target.path}` is kept"
                why = f"only what was refused is another: the pointer in `{target.path}` instead of a pointer to it"
                yield Candidate("context", [replaced(given, text)], said, SAME_WORK, why=why)


def _task(spot: Spot) -> Iterator[Candidate]:
    body = spot.item.expr
    for one in body.within("call") if body is not None else ():
        name = one.callee.path if one.callee is not None else ""
        if name.rpartition("::")[2] != "bpf_get_current_task" or one.args:
            continue
        said = "take the current task as a typed pointer, by `bpf_get_current_task_btf`"
        made = replaced(one, "aya_ebpf::helpers::bpf_get_current_task_btf()")
        yield Candidate("typed-task", [made], said, SAME_WORK, why="both helpers give the same address")


# ------------------------------------------------------------ the context


def _split(spot: Spot) -> Iterator[Candidate]:
    """Eight bytes of the context at once as two times four: the same bytes."""
    body = spot.item.expr
    for one in body.within("unary", "method") if body is not None else ():
        if one.kind == "unary":
            target = one.inner if one.op == "*" else None
        else:
            target = one.receiver if one.name in ("read", "read_unaligned", "read_volatile") and not one.args else None
        parent = one.parent
        if target is None or (
            parent is not None and parent.kind == "binary" and parent.op in ASSIGNS and parent.operands[0] == one
        ):
            continue
        while target.kind == "paren" and target.inner is not None:
            target = target.inner
        plain = "".join(target.text.split())
        if not plain.endswith(("cast::<u64>()", "as*constu64", "as*mutu64")) or not pure(stripped(target)):
            continue
        text = (
            f"{{ let half = ({target.text}).cast::<u32>(); "
            "half.read_volatile() as u64 | (half.add(1).read_volatile() as u64) << 32 }"
        )
        said = f"read `{stripped(target).text[:40]}` four bytes at a time"
        yield Candidate(
            "split-read", [replaced(one, text)], said, SAME_WORK, why="the same bytes are read, four at a time"
        )


def _array(spot: Spot) -> Iterator[Candidate]:
    """An array of the context that is written as a whole: element by element."""
    for one in spot.around("binary"):
        left, right = one.operands
        if one.op != "=" or left is None or right is None or left.kind != "field" or not pure(right):
            continue
        inner = stripped(left.receiver) if left.receiver is not None else None
        if inner is None or not (inner.kind == "unary" and inner.op == "*"):
            continue
        place = statement(one)
        if place != one:
            continue
        count = 4 if left.name.endswith("ip6") else 5 if left.name == "cb" else 0
        if not count:
            continue
        space = indent(spot.file, one.start)
        lines = [f"let whole: [u32; {count}] = {right.text};"]
        lines += [f"(&raw mut {left.text}[{at}]).write_volatile(whole[{at}]);" for at in range(count)]
        end = one.end + (spot.file.text[one.end : one.end + 1] == ";")
        text = f"{{\n{space}    " + f"\n{space}    ".join(lines) + f"\n{space}}}"
        said = f"write `{left.text[:40]}` element by element, at fixed offsets"
        why = "the same elements get the same values, one by one"
        yield Candidate("split-write", [edit(spot.file, one.start, end, text)], said, SAME_WORK, why=why)


def _full(spot: Spot, ground: Ground) -> Iterator[Candidate]:
    """Fields that only full sockets have: the full socket, or the failing branch."""
    if "sock" not in f"{ground.why.message} {ground.cause.headline}":
        return
    for one in spot.around("unary"):
        if one.op != "*" or one.inner is None or one.inner.kind != "path" or "::" in one.inner.path:
            continue
        name = one.inner.path
        fails = fails_at(spot.item, ground, one)
        if fails is None:
            continue
        lines = [
            f"let {name} = unsafe {{ aya_ebpf::helpers::bpf_sk_fullsock({name}) }};",
            f"if {name}.is_null() {{",
            f"    {fails.statement}",
            "}",
        ]
        edits = guarded(one, lines)
        said = f"take the full socket of `{name}` by `bpf_sk_fullsock`, and return where there is none"
        yield checked("full-socket", edits, said, fails)


# ------------------------------------------------------------ declarations


def _written(spot: Spot) -> Iterator[Candidate]:
    """A `static` that is written through a pointer: `static mut`."""
    body = spot.item.expr
    names = {one.path for one in body.within("path") if one.path.isupper()} if body is not None else set()
    for name in sorted(names):
        for item in spot.file.items_named(name):
            if item.kind != "static" or item.mutable or any(attr.path in ("map", "btf_map") for attr in item.attrs):
                continue
            if layout(spot.file, item.type, item) is None:
                continue
            said = f"declare `{name}` as what is written: `static mut`"
            made = edit(spot.file, item.name_start, item.name_start, "mut ")
            yield Candidate("declaration", [made], said, SAME_WORK, why=_SAME_CODE)


def _flag(ground: Ground) -> Iterator[Candidate]:
    """A map that programs may only read, written by one."""
    done: set[str] = set()
    for spot in everywhere(ground):
        file = spot.file
        if file.path in done:
            continue
        done.add(file.path)
        for item in file.items_of_kind("static"):
            found = re.search(r"\b(?:\w+::)*BPF_F_RDONLY_PROG\b", file.text[item.name_end : item.end])
            if found is not None and any(attr.path == "map" for attr in item.attrs):
                start = item.name_end + found.start()
                said = f"let programs write to `{item.name}`"
                made = edit(file, start, item.name_end + found.end(), "0")
                yield Candidate("declaration", [made], said, SAME_WORK, why=_SAME_CODE)

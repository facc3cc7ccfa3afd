"""A packet is read without a comparison with its end.

## What it does
Finds reads through a pointer made of `ctx.data()` (and an offset) in a function of a kernel crate where no path to
the read has compared anything with `ctx.data_end()`. Where the pointer comes from another function, or a function is
called that looks at `data_end`, nothing is said.

## Why is this bad
The verifier lets a program read only what a comparison has shown to be inside the packet: "invalid access to packet",
"R1 offset is outside of the packet".

## Example
```rust
let ether = ctx.data() as *const EthHdr;
let kind = unsafe { (*ether).ether_type };
```

## Use instead
```rust
let start = ctx.data();
if start + size_of::<EthHdr>() > ctx.data_end() {
    return Err(());
}
let kind = unsafe { (*(start as *const EthHdr)).ether_type };
```

## Fix
Display: compare start plus offset plus size with `data_end` first, in one expression with the read.

## Kernels
All.

## Source
Kernel, `check_packet_access`; reproduced on Linux 5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts, local
from bpfsmith.rules._packet import accessor, pointer
from bpfsmith.rules._rust import cited, covered
from bpfsmith.source.calls import graph
from bpfsmith.source.flow import flow
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, SourceFile

_READS = ("read", "read_unaligned", "read_volatile")
# Methods of the contexts that compare nothing.
_KNOWN = frozenset({"data", "data_end", "metadata", "metadata_end", "as_ptr", "len", "pull_data", "pid", "tgid"})
_COMPARES = frozenset({"<", "<=", ">", ">=", "==", "!="})


def _reads(file: SourceFile) -> Iterator[tuple[Expr, Expr]]:
    """(read, pointer) of every read through a pointer."""
    for one in file.of_kind("unary"):
        if one.op == "*" and one.inner is not None:
            outer = one.parent
            while outer is not None and outer.kind == "paren":
                outer = outer.parent
            field = outer is not None and outer.kind == "field"
            if outer is not None and outer.kind == "ref":
                continue  # a reference: what is read of it is elsewhere
            yield (outer if field and outer is not None else one), one.inner
    for one in file.methods(*_READS):
        if not one.args and one.receiver is not None:
            yield one, one.receiver
    for one in file.calls(*_READS):
        if len(one.args) == 1:
            yield one, one.args[0]


def _named(item: Item) -> set[str]:
    """Locals of a function that hold `data_end()`."""
    known: dict[int, set[str]] | None = item.file.cache.get("data_end")
    if known is None:
        known = item.file.cache["data_end"] = {}
        for call in item.file.methods("data_end"):
            found = known.setdefault(item.file.native.owner(call.id), set())
            for at in call.ancestors():
                if at.kind == "block":
                    found.update(let.name for let in at.lets if let.start <= call.start < let.end and let.name)
    return known.get(item.id, set())


def _looks_at_end(expr: Expr, names: set[str]) -> bool:
    return any(
        accessor(one) == "data_end" or (one.kind == "path" and one.path in names)
        for one in expr.within("method", "path")
    )


def _checked(read: Expr, item: Item) -> bool:  # noqa: PLR0911 - one return a reason
    """Whether anything on the way to the read may have compared with the end, here or in a function that is called."""
    names = _named(item)
    body = item.expr
    if body is None:
        return True
    paths = flow(item)
    if not paths.known:
        return True
    if any(_looks_at_end(condition, names) for condition, _ in paths.conditions(read)):
        return True
    # A comparison kept in a local, handed on, or used in a way this does not follow.
    for one in body.within("binary", "call", "method", "macro"):
        if one.start >= read.start:
            continue
        if one.kind == "macro" and one.path.rpartition("::")[2] not in ("info", "debug", "trace", "warn", "error"):
            return True
        if one.kind == "binary" and one.op in _COMPARES and _looks_at_end(one, names):
            outer = one.parent
            while outer is not None and outer.kind in ("paren", "unary", "binary"):
                outer = outer.parent
            if outer is None or outer.kind not in ("if", "while") or paths.before(one, read):
                return True
    if item.file.crate is None:
        return True
    calls = graph(item.file.crate, item.file)
    called = [call.callee for call in calls.calls_of(item) if call.expr.start < read.start]
    if any(
        any(True for _ in one.expr.within("method") if _.name == "data_end")
        for one in calls.reached(called)
        if one.expr
    ):
        return True
    return _unknown_call(body, read, {call.expr.start for call in calls.calls_of(item)})


def _unknown_call(body: Expr, read: Expr, known: set[int]) -> bool:
    """A call before the read that is given the context and goes who knows where."""
    for one in body.within("call", "method"):
        if one.start >= read.start or one.start in known:
            continue
        if one.kind == "method" and one.name not in _KNOWN and _context(one.receiver):
            return True
        if any(_context(argument) for argument in one.args):
            return True
    return False


def _context(expr: Expr | None) -> bool:
    """A local that is one of Aya's contexts, or may hold one."""
    while expr is not None and expr.kind in ("ref", "paren"):
        expr = expr.inner
    if expr is None or expr.kind != "path" or local(expr) is None:
        return expr is not None and expr.text == "self"
    found = type_of(expr)
    return expr.path in ("ctx", "context", "self") or (found is not None and "::programs::" in found.path)


class PacketReadWithoutCheck(SourceRule):
    severity = "error"
    group = "unsafe"
    phase = "verify"
    words = ("data",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "data"):
            if not any(accessor(one) for one in file.methods("data")):
                continue
            done: set[tuple[int, str]] = set()
            for read, target in _reads(file):
                found = pointer(target)
                item = read.item
                if found is None or found[0] != "data" or item is None or not counts(read):
                    continue
                if (item.id, target.text) in done or _checked(read, item):
                    continue
                done.add((item.id, target.text))
                yield self.finding(
                    ctx,
                    f"{cited(read.text)} reads the packet, and nothing before it compares with `data_end()`",
                    span=covered(ctx, read),
                    fixes=[Fix("display", "compare start plus offset plus size with `ctx.data_end()` first")],
                )


RULE = PacketReadWithoutCheck()

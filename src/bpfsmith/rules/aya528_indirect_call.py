"""A function is called through a pointer that is only known when the program runs.

## What it does
Finds calls of an element of an array or slice of functions at an index that is not constant, and of a local that an
`if` or `match` sets to one function or another; and methods of a `&dyn Trait` that an `if` or `match` chooses, in
kernel crates.

## Why is this bad
BPF has no instruction for a call through a pointer. LLVM emits one all the same, and the verifier ends with "unknown
opcode 8d" (5.10 sometimes earlier: "number of funcs in func_info doesn't match number of subprogs"). Where the
compiler sees one function only, it calls that one, which is why smaller examples work.

## Example
```rust
static HANDLERS: [fn(&XdpContext) -> u32; 2] = [tcp, udp];
HANDLERS[kind & 1](&ctx)
```

## Use instead
```rust
match kind {
    TCP => tcp(&ctx),
    UDP => udp(&ctx),
    _ => xdp_action::XDP_PASS,
}
```

## Fix
Display: `match`, or a tail call through a `ProgramArray`.

## Kernels
All.

## Source
Reproduced with rustc 1.96 and bpf-linker 0.13 on Linux 5.10, 6.1, 6.12, 6.18 and 7.3.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._bounds import is_constant
from bpfsmith.rules._kernel_code import code_files, counts, local
from bpfsmith.rules._rust import cited, place
from bpfsmith.source.names import resolve
from bpfsmith.source.types import item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let


def _choices(expr: Expr | None) -> list[Expr]:
    """What an `if` or `match` may give; nothing for other expressions or when a branch is unclear."""
    parts: list[Expr | None] = []
    if expr is not None and expr.kind == "if":
        parts = list(expr.branches[1:])
    elif expr is not None and expr.kind == "match":
        parts = [one for _, _, one in expr.arms]
    out: list[Expr] = []
    for part in parts:
        at = part
        while at is not None and at.kind in ("block", "paren", "ref", "cast"):
            at = at.tail if at.kind == "block" else at.inner
        if at is not None and at.kind == "if":
            out.extend(_choices(at))
        elif at is not None and at.kind not in ("return", "break", "continue"):
            out.append(at)
    return out


def _functions(expr: Expr | None) -> bool:
    """An `if` or `match` between functions of the crate."""
    found = _choices(expr)
    if len(found) > 1 and all(one.kind == "closure" for one in found):
        return True
    names = {resolve(one.file, one.path, one.item) if one.kind == "path" else None for one in found}
    if None in names or len(names) < 2:
        return False
    items = [item_of(found[0].file, name) for name in names if name is not None]
    return all(one is not None and one.kind == "fn" for one in items)


class IndirectCall(SourceRule):
    severity = "error"
    group = "no-std"
    phase = "verify"
    words = ("fn", "dyn")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project):
            for index in file.of_kind("index"):
                child = index
                call = index.parent
                while call is not None and call.kind == "paren":
                    child, call = call, call.parent
                if call is None or call.kind != "call" or call.callee != child:
                    continue
                at = index.operands[1]
                if at is not None and not is_constant(at) and counts(call):
                    yield self._found(ctx, call, f"{cited(index.text)} is a function that only the run decides on")
            for choice in file.of_kind("if", "match"):
                block = choice.parent
                if block is None or block.kind != "block" or len(_choices(choice)) < 2:
                    continue
                let = next((one for one in block.lets if one.init == choice), None)
                if let is not None and let.name is not None and counts(choice):
                    yield from self._chosen(ctx, choice, let)

    def _chosen(self, ctx: CheckContext, choice: Expr, let: Let) -> Iterator[Finding]:
        """What a `let` with a choice between functions or types leads to."""
        if "dyn " in let.type:
            if len({one.text for one in _choices(choice)}) > 1:
                yield self._found(ctx, choice, f"`{let.name}` is one type or another, and its methods")
            return
        if let.name is None or not _functions(choice):
            return
        for call in choice.file.calls(let.name):
            held = local(call.callee) if call.callee is not None else None
            if held is not None and held.let is not None and held.let.start == let.start:
                yield self._found(ctx, call, f"`{let.name}` is a function that only the run decides on")
                return

    def _found(self, ctx: CheckContext, expr: Expr, what: str) -> Finding:
        if what.endswith("methods"):
            what += " are called through pointers"
        return self.finding(
            ctx,
            f"{what}, and BPF cannot call through a pointer",
            span=place(ctx, expr.file, expr.start, expr.end),
            fixes=[Fix("display", "call each in its own branch of a `match`, or tail call through a `ProgramArray`")],
        )


RULE = IndirectCall()

"""A link, or the `Ebpf` that holds it, is dropped at once, which detaches the program.

## What it does
Finds `take_link(..)` whose result is not kept (`let _ =`, a statement, `drop(..)`, a local that ends with its
function), and a local `Ebpf` that attaches programs and ends with its function, when nothing in between can wait.

## Why is this bad
Dropping a link detaches the program, and dropping the `Ebpf` drops all links it holds. The program runs for a moment
or never, without any message.

## Example
```rust
let id = program.attach("eth0", XdpMode::Skb)?;
let _ = program.take_link(id)?;
```

## Use instead
```rust
program.attach("eth0", XdpMode::Skb)?; // the Ebpf keeps the link
```

## Fix
Display: do not take the link, keep it in a variable or field that lives as long as the program should run, or pin it.

## Kernels
All.

## Source
aya, `aya/src/programs/links.rs` (`Drop` of links).
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._lifetimes import dropped_early, receivers
from bpfsmith.rules._rust import EBPF, blocks_around, covered, place, user_files
from bpfsmith.source.rust import Let
from bpfsmith.source.types import mentions, named, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _taken(expr: Expr) -> Expr | None:
    """The `take_link` call on a program whose result the expression is."""
    call = expr.stripped()
    if call.kind != "method" or call.name != "take_link":
        return None
    known = type_of(call.receiver)
    if known is None or not known.within("aya::programs") or known.name == "SocketFilter":
        return None  # the socket keeps a filter, whatever becomes of its link
    return call


def _attachments(let: Let) -> list[Expr]:
    """The `attach..` calls on programs borrowed from an `Ebpf` in its block; none when links are taken or pinned."""
    programs = []
    for call in let.block.within():
        if call.kind == "method" and call.name in ("take_link", "pin", "forget"):
            return []
        if call.kind == "method" and call.name.startswith("attach") and call.start > let.end:
            known = type_of(call.receiver)
            if known is not None and known.within("aya::programs"):
                programs.append(call)
    return programs if any(call.name == "program_mut" for call in receivers(let)) else []


class LinkDropped(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            # Nothing is dropped but a link that is taken and an `Ebpf` with programs that are attached beside it.
            for block in blocks_around(file, file.methods("take_link", *file.native.methods_like("attach"))):
                for statement in block.statements:
                    if isinstance(statement, Let):
                        found = self._let(ctx, statement)
                    elif statement == block.tail:
                        continue
                    else:
                        found = self._statement(ctx, statement)
                    if found is not None:
                        yield found

    def _let(self, ctx: CheckContext, let: Let) -> Finding | None:  # noqa: PLR0911 - one return a form
        init = let.init
        if init is None or init.file.in_test(init.item):
            return None
        taken = _taken(init)
        if taken is not None and let.pattern == "_":
            return self._dropped(ctx, taken, "`let _ =` drops the link at once, and the program is detached")
        if taken is not None and let.name is not None:
            if not any(True for _ in mentions(let)) and dropped_early(let, let.end):
                message = f"`{let.name}` is dropped when this function returns, and the program is detached"
                return self._dropped(ctx, taken, message)
            return None
        if let.name is None:
            return None
        known = named(init.file, let.type, init.item) if let.type else type_of(init)
        if known is None or known.path not in EBPF or known.reference:
            return None
        attached = [call for call in _attachments(let) if let.start < call.start]
        if not attached or not dropped_early(let, attached[-1].end):
            return None
        return self.finding(
            ctx,
            f"`{let.name}` is dropped when this function returns, and all its programs are detached",
            span=place(ctx, init.file, let.start, let.end),
            fixes=[Fix("display", f"return `{let.name}`, or keep it as long as the programs should run")],
        )

    def _statement(self, ctx: CheckContext, expr: Expr) -> Finding | None:
        if expr.file.in_test(expr.item):
            return None
        if expr.kind == "call" and expr.callee is not None and expr.callee.path.rpartition("::")[2] == "drop":
            return None  # on purpose
        taken = _taken(expr)
        if taken is None:
            return None
        return self._dropped(ctx, taken, "the link is dropped at once, and the program is detached")

    def _dropped(self, ctx: CheckContext, taken: Expr, message: str) -> Finding:
        return self.finding(
            ctx,
            message,
            span=covered(ctx, taken),
            fixes=[
                Fix("display", "leave the link in the program, keep it as long as the program should run, or pin it")
            ],
        )


RULE = LinkDropped()

"""A ring buffer is read in an endless loop that never waits.

## What it does
Finds `loop` and `while true` around `RingBuf::next` in which nothing can wait or end: no `.await`, no call that
sleeps, polls or receives, no `break`, `return` or `?`.

## Why is this bad
`next` gives `None` at once when there is nothing to read. The loop burns one CPU; in an async task it never gives the
thread back, so other tasks of that thread, often the signal handler among them, never run again.

## Example
```rust
loop {
    while let Some(event) = events.next() { handle(&event); }
}
```

## Use instead
```rust
let mut events = AsyncFd::new(events)?;
loop {
    let mut ready = events.readable_mut().await?;
    while let Some(event) = ready.get_inner_mut().next() { handle(&event); }
    ready.clear_ready();
}
```

## Fix
Display: wait for the file descriptor (`AsyncFd`, `epoll`, `poll`), or sleep.

## Kernels
All that have ring buffers (5.8).

## Source
`aya/src/maps/ring_buf.rs`; edr-new, pull request 326.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label, Span
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import owner
from bpfsmith.rules._rust import covered, place, user_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import item_of, mentions, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Let, SourceFile


_WAITS = (
    *("sleep", "poll", "wait", "park", "yield", "recv", "select", "readable", "block", "timeout", "read", "lock"),
    *("join", "accept", "tick", "exit", "abort"),
)

# Reads of memory, which wait for nothing.
_POINTERS = frozenset({"read_unaligned", "read_volatile", "pod_read_unaligned", "as_bytes", "from_utf8_lossy"})


def _may_wait(loop: Expr) -> bool:
    """Whether anything in the loop may wait, end it, or is not known."""
    for one in loop.within():
        if one.kind in ("await", "break", "return", "try", "tokens"):
            return True
        name = ""
        if one.kind == "method":
            name = one.name
        elif one.kind == "macro":
            name = one.path.rpartition("::")[2]
        elif one.kind == "call" and one.callee is not None:
            name = one.callee.path.rpartition("::")[2]
            path = resolve(one.file, one.callee.path, one.item)
            item = item_of(one.file, path) if path is not None and path.startswith("crate::") else None
            if item is not None and any(word in item.file.text[item.start : item.end].lower() for word in _WAITS):
                return True
            if not name:
                return True
        if name not in _POINTERS and any(word in name.lower() for word in _WAITS):
            return True
    return False


class RingBufferSpun(SourceRule):
    severity = "warning"
    group = "maps"
    phase = "silent"
    words = ("RingBuf",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            yield from self._never_cleared(ctx, file)
            seen = set()
            for call in file.methods("next"):
                known = owner(call)
                if known is None or known.path != "aya::maps::RingBuf":
                    continue
                loop = _endless(call)
                if loop is None or loop in seen or _may_wait(loop):
                    continue
                seen.add(loop)
                item = call.item
                task = (item is not None and item.async_) or any(
                    one.kind == "other" and one.text.startswith("async") for one in call.ancestors()
                )
                what = "other tasks of this thread never run" if task else "it burns a CPU"
                yield self.finding(
                    ctx,
                    f"this loop never waits for the ring buffer: {what}",
                    span=_head(ctx, loop),
                    labels=[Label(covered(ctx, call), "gives `None` at once when there is nothing to read")],
                    fixes=[Fix("display", "wait until the file descriptor is readable (`AsyncFd`, `epoll`), or sleep")],
                )

    def _never_cleared(self, ctx: CheckContext, file: SourceFile) -> Iterator[Finding]:
        """A guard of tokio's `AsyncFd` in a loop that says of nothing that it was read."""
        if not file.has("AsyncFd") or any(True for _ in file.methods(*_CLEARS)):
            return
        for call in file.methods("readable", "readable_mut"):
            known = type_of(call.receiver)
            loop = _endless(call) if known is not None and known.path == "tokio::io::unix::AsyncFd" else None
            let = next(
                (one for at in call.ancestors() if at.kind == "block" for one in at.lets if _takes(one, call)), None
            )
            if loop is None or let is None or let.name is None:
                continue
            uses = [one.parent for one in mentions(let)]
            if all(one is not None and one.kind == "method" and one.name in _LOOKS for one in uses):
                yield self.finding(
                    ctx,
                    f"`clear_ready` is never called: after the first event `{call.name}` returns at once, and this "
                    "loop burns a CPU",
                    span=place(ctx, file, call.fields[2], call.end),
                    labels=[Label(_head(ctx, loop), "this loop")],
                    fixes=[Fix("display", f"call `{let.name}.clear_ready()` when everything was read")],
                )


_CLEARS = ("clear_ready", "clear_ready_matching", "try_io", "retain_ready")
_LOOKS = ("get_inner", "get_inner_mut", "get_ref", "get_mut", "ready")


def _takes(let: Let, call: Expr) -> bool:
    return let.init is not None and let.init.stripped() == call


def _endless(call: Expr) -> Expr | None:
    for one in call.ancestors():
        if one.kind == "closure":
            return None
        if one.kind == "loop":
            return one
        if one.kind == "while":
            condition = one.expr_of_condition()
            if condition is not None and condition.text == "true":
                return one
    return None


def _head(ctx: CheckContext, loop: Expr) -> Span:
    """The keyword and condition of a loop."""
    body = loop.body
    return place(ctx, loop.file, loop.start, body.start if body is not None else loop.end)


RULE = RingBufferSpun()

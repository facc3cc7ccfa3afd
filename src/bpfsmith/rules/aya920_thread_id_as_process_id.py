"""A thread id is used as a process id, or the other way round.

## What it does
Follows `ctx.pid()`, `ctx.tgid()` and the halves of `bpf_get_current_pid_tgid()` into locals, struct fields and map
keys that say what they hold: `tgid`, `process_id`, `tid`, `thread_id`, a `pid` beside a `tid` (a `pid` alone is only
a note), and a map that the user side fills with `std::process::id()` or a `Child`'s `id()`.

## Why is this bad
What the kernel calls pid is what users call a thread. For the main thread both are the same number, so that it works
in every small test; in a program with threads the filter misses all but one of them, and events carry ids that `ps`
does not know.

## Example
```rust
let event = Event { tgid: ctx.pid(), .. };
```

## Use instead
```rust
let event = Event { tgid: ctx.tgid(), .. };
```

## Fix
Unsafe: the other call, where it is a call.

## Kernels
All. `ps -eLf` shows both, as PID (process) and LWP (thread).

## Source
Linux, `include/uapi/linux/bpf.h`, `bpf_get_current_pid_tgid`: `tgid << 32 | pid`; aya-ebpf, `EbpfContext::pid`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import cited, covered, kernel_files, place
from bpfsmith.source.aya import MapUse, model
from bpfsmith.source.types import binding, type_of
from bpfsmith.source.values import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_PROCESS = frozenset({"tgid", "process_id", "proc_id", "processid"})
_THREAD = frozenset({"tid", "thread_id", "threadid", "lwp"})


def _task(expr: Expr | None, depth: int = 0) -> str | None:  # noqa: PLR0911 - one return a kind
    """`thread` or `process` for a value that certainly is that id; `both` for the 64 bits of the helper."""
    if expr is None or depth > 12:
        return None
    kind = expr.kind
    if kind in ("paren", "ref"):
        return _task(expr.inner, depth + 1)
    if kind == "block":
        return _task(expr.tail, depth + 1) if not expr.statements[:-1] else None
    if kind == "cast":
        inner = _task(expr.inner, depth + 1)
        return "thread" if inner == "both" and expr.cast_type in ("u32", "i32") else inner
    if kind == "binary":
        left, right = expr.operands
        inner = _task(left, depth + 1)
        if inner == "both" and expr.op == ">>":
            return "process" if constant(right) == 32 else None
        if inner == "both" and expr.op == "&":
            return "thread" if constant(right) == 0xFFFFFFFF else None
        return None
    if kind == "method" and expr.name in ("pid", "tgid") and not expr.args:
        owner = type_of(expr.receiver)
        if owner is not None and owner.within("aya_ebpf::programs", "aya_bpf::programs"):
            return "thread" if expr.name == "pid" else "process"
        return None
    if kind == "call" and expr.callee is not None:
        name = expr.callee.path.rpartition("::")[2]
        return "both" if name == "bpf_get_current_pid_tgid" and not expr.args else None
    if kind == "path" and "::" not in expr.path:
        found = binding(expr)
        let = found.let if found is not None and found.kind == "let" else None
        return _task(let.init, depth + 1) if let is not None and not let.pattern.startswith("mut ") else None
    return None


def _meant(name: str) -> str | None:
    bare = name.lower().lstrip("_")
    return "process" if bare in _PROCESS else "thread" if bare in _THREAD else None


def _filled(body: Expr, field: Expr) -> dict[str, Expr | None]:
    """What a function writes into the struct that a field is of."""
    owner = "".join(field.receiver.text.split()) if field.receiver is not None else ""
    return {
        left.name: right
        for left, right in (one.operands for one in body.within("binary") if one.op == "=")
        if left is not None and left.kind == "field" and left.receiver is not None
        if "".join(left.receiver.text.split()) == owner
    }


class ThreadIdAsProcessId(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"
    words = ("pid", "tgid", "bpf_get_current_pid_tgid")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has("pid", "tgid", "bpf_get_current_pid_tgid"):
                continue
            sources = [*file.methods("pid", "tgid"), *file.calls("bpf_get_current_pid_tgid")]
            for item in {one.item for one in sources}:
                if item is None or item.expr is None:
                    continue
                for expr in item.expr.within("struct", "binary", "block"):
                    yield from self._in(ctx, expr)
        yield from self._filters(project, ctx)

    def _in(self, ctx: CheckContext, expr: Expr) -> Iterator[Finding]:
        if expr.kind == "struct":
            names = dict(expr.struct_fields)
            for name, value in names.items():
                meant = _meant(name)
                if meant is None and name == "pid" and _THREAD & {one.lower() for one in names}:
                    meant = "process"  # beside a thread id
                yield from self._given(ctx, name, meant, value)
            yield from self._lone(ctx, names)
        elif expr.kind == "binary":
            left, right = expr.operands
            if expr.op == "=" and left is not None and left.kind == "field":
                yield from self._given(ctx, left.name, _meant(left.name), right)
                if left.name == "pid" and expr.item is not None and expr.item.expr is not None:
                    yield from self._lone(ctx, _filled(expr.item.expr, left))
        else:
            for let in expr.lets:
                if let.name is not None:
                    # Only a name: what it is used for may be right.
                    yield from self._given(ctx, let.name, _meant(let.name), let.init, "warning")

    def _given(
        self, ctx: CheckContext, name: str, meant: str | None, value: Expr | None, severity: str | None = None
    ) -> Iterator[Finding]:
        if meant is None or value is None:
            return
        known = _task(value)
        if known not in ("thread", "process") or known == meant or value.file.in_test(value.item):
            return
        yield self.finding(
            ctx,
            f"`{name}` is given {cited(value.text)}, which is the id of the {known}, not of the {meant}",
            span=covered(ctx, value),
            severity=severity,
            fixes=[self._fix(ctx, value, meant)],
        )

    def _lone(self, ctx: CheckContext, names: dict[str, Expr | None]) -> Iterator[Finding]:
        """The only id of an event is called `pid`, and is the thread's: who reads it takes it for the process's."""
        value = names.get("pid")
        if value is None or (_PROCESS | _THREAD) & {one.lower().lstrip("_") for one in names}:
            return
        if _task(value) == "thread" and not value.file.in_test(value.item):
            yield self.finding(
                ctx,
                f"`pid` is given {cited(value.text)}, the id of the thread: what users call pid is the `tgid`",
                span=covered(ctx, value),
                severity="note",
                fixes=[self._fix(ctx, value, "process")],
            )

    @staticmethod
    def _fix(ctx: CheckContext, value: Expr, meant: str) -> Fix:
        wanted = "tgid" if meant == "process" else "pid"
        if value.kind == "method" and value.name in ("pid", "tgid"):
            start = value.fields[2]
            return Fix(
                "unsafe",
                f"call `{wanted}()`",
                [Edit(place(ctx, value.file, start, start + len(value.name)), wanted)],
            )
        return Fix("display", f"the id of the {meant} is `ctx.{wanted}()`")

    def _filters(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        """A map of process ids that is asked with a thread id."""
        made = model(project)
        for one in made.maps:
            joined = made.map(one.name)
            if not one.key or len(joined.kernel) != 1:
                continue
            filled = any(
                call.name == "insert" and call.args and self._own_id(call.args[0])
                for use in joined.uses
                if isinstance(use, MapUse)
                for call in use.calls
            )
            if not filled:
                continue
            for call in one.calls() or []:
                if call.name in ("get", "get_ptr", "get_ptr_mut") and call.args and _task(call.args[0]) == "thread":
                    yield self.finding(
                        ctx,
                        f"`{one.name}` holds process ids (the user side inserts its own), and is asked with a thread's",
                        span=covered(ctx, call.args[0]),
                        fixes=[Fix("display", "ask with `ctx.tgid()`")],
                    )

    @staticmethod
    def _own_id(expr: Expr, depth: int = 0) -> bool:
        while expr.kind in ("ref", "paren", "cast") and expr.inner is not None:
            expr = expr.inner
        if expr.kind == "path" and "::" not in expr.path and depth < 4:
            found = binding(expr)
            init = found.let.init if found is not None and found.let is not None and found.kind == "let" else None
            return init is not None and ThreadIdAsProcessId._own_id(init, depth + 1)
        return expr.kind == "call" and expr.callee is not None and expr.callee.path.endswith("process::id")


RULE = ThreadIdAsProcessId()

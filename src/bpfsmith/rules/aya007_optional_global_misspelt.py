"""A global that need not exist, and does not: its value is ignored without a word.

## What it does
Finds `override_global(name, value, false)` (and `set_global`) where no `static` of the kernel crate, nor of the crates
it uses, has the name: where one has nearly the same name, or where the project builds the object itself and
all of its statics are known.

## Why is this bad
With `false` a name that is not found is no error: the program runs with the value it was compiled with.

## Example
```rust
EbpfLoader::new().override_global("TARGT_PID", &pid, false) // the kernel crate has TARGET_PID
```

## Use instead
```rust
EbpfLoader::new().override_global("TARGET_PID", &pid, true)
```

## Fix
Unsafe where there is a global of nearly the same name: that name, and `true`. Else display.

## Kernels
All.

## Source
aya, `aya/BREAKING-CHANGES.md`; `aya-obj/src/relocation.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import close_name, literal, pairs
from bpfsmith.rules._rust import covered, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import GlobalSet, Pair
    from bpfsmith.source.project import Project


class OptionalGlobalMisspelt(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("override_global", "set_global")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            if not pair.named:
                continue
            for user in pair.users:
                for call in user.globals:
                    if call.must_exist is False and len(call.expr.args) == 3:
                        yield from self._call(pair, call, ctx)

    def _call(self, pair: Pair, call: GlobalSet, ctx: CheckContext) -> Iterator[Finding]:
        known = pair.global_names
        for name in sorted(call.names or ()):
            close = close_name(name, known)
            if name in known or (close is None and not pair.kernel_complete):
                continue
            where, flag = literal(pair, call, name), call.expr.args[2]
            fix = Fix(
                "display", "name a global of the kernel crate, and pass `true` so that a misspelt one is an error"
            )
            if close is not None and where.string is not None and where.text.startswith('"'):
                edits = [
                    replace(ctx, where.file, where.start, where.end, f'"{close}"'),
                    replace(ctx, flag.file, flag.start, flag.end, "true"),
                ]
                fix = Fix("unsafe", f"set `{close}`, and pass `true` so that a misspelt name is an error", edits)
            yield self.finding(
                ctx,
                f"the kernel crate has no global `{name}`, and with `false` its value is ignored without a word",
                span=covered(ctx, where),
                fixes=[fix],
            )


RULE = OptionalGlobalMisspelt()

"""The return value of a kretprobe used as an `Option`, which it was until aya-ebpf 0.2.

## What it does
Finds `ctx.ret()` of a `RetProbeContext` that is unwrapped, tested or matched as an `Option` where aya-ebpf is 0.2.0 or
newer.

## Why is this bad
It does not compile: `ret` gives the value itself.

## Example
```rust
let size: i64 = ctx.ret().ok_or(0u32)?;
```

## Use instead
```rust
let size: i64 = ctx.ret();
```

## Fix
Safe for `ok_or`, `unwrap` and the like, which go away. Display elsewhere.

## Kernels
All.

## Source
aya-ebpf 0.1.1 and 0.2.1, `src/programs/retprobe.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import called_on, compat, covered, kernel_files, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_UNWRAPS = frozenset({"ok_or", "ok_or_else", "unwrap", "expect", "unwrap_or", "unwrap_or_else", "unwrap_or_default"})
_ASKS = frozenset({"is_some", "is_none", "map", "and_then", "filter"})


def _as_option(call: Expr) -> Expr | None:  # noqa: PLR0911 - one return a use
    """What unwraps the call (and can go with it), or the call itself where it is asked or matched as an `Option`."""
    parent = call.parent
    if parent is None:
        return None
    if parent.kind == "try":
        return parent
    if parent.kind == "method" and parent.receiver == call and parent.name in _UNWRAPS:
        whole, outer = parent, parent.parent
        result = parent.name.startswith("ok_or")
        while result and outer is not None and (outer.kind == "try" or (outer.name in _UNWRAPS)):
            result = outer.name.startswith("map_err")
            whole, outer = outer, outer.parent
        return whole
    if parent.kind == "method" and parent.receiver == call and parent.name in _ASKS:
        return call
    if parent.kind == "let":
        pattern = call.file.text[parent.fields[0] : parent.fields[1]]
        return call if pattern.startswith(("Some", "None")) else None
    if parent.kind == "match" and parent.fields[0] == call.id:
        return call if any(pattern.startswith(("Some", "None")) for pattern, _, _ in parent.arms) else None
    if parent.kind == "block":
        let = next((one for one in parent.lets if one.init == call), None)
        return call if let is not None and let.pattern.startswith("Some") else None
    return None


class ReturnValueIsNoOption(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project, since="0.2.0"):
            for call in file.of_kind("method"):
                if call.name != "ret" or call.args or not called_on(call, {"aya_ebpf::programs::RetProbeContext"}):
                    continue
                whole = _as_option(call)
                if whole is None or compat(file, call.item, call.start):
                    continue
                fix = Fix("display", "use the value directly")
                if whole != call:
                    fix = Fix("safe", "use the value directly", [replace(ctx, file, call.end, whole.end, "")])
                yield self.finding(
                    ctx,
                    "`ret` gives the value itself since aya-ebpf 0.2, not an `Option`",
                    span=covered(ctx, call),
                    fixes=[fix],
                )


RULE = ReturnValueIsNoOption()

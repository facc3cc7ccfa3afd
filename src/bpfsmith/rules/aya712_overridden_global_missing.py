"""A global is overridden that the kernel side does not have.

## What it does
Compares the names in `override_global(name, value, true)` (and `set_global`, with which every name had to exist before
0.12) with the statics of the project's kernel crates and of what these use, where all of them are known. With `false`
the same mistake is silent, which another rule reports.

## Why is this bad
Loading fails: "symbol with name .. not found in the symbols table". Nothing is loaded at all.

## Example
```rust
// kernel side: static TARGET_PID: Global<u32>
EbpfLoader::new().override_global("TARGT_PID", &pid, true).load(bytes)?;
```

## Use instead
```rust
EbpfLoader::new().override_global("TARGET_PID", &pid, true).load(bytes)?;
```

## Fix
Unsafe where there is a global of nearly the same name, else display.

## Kernels
All.

## Source
aya-obj, `Object::patch_map_data` in `aya-obj/src/obj.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import close_name, listed, literal, name_fix, pairs
from bpfsmith.rules._rust import covered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class OverriddenGlobalMissing(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("override_global", "set_global")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            if not pair.named:
                continue
            known = pair.global_names
            for user in pair.users:
                for call in user.globals:
                    if not (call.must_exist or (len(call.expr.args) == 2 and user.crate.below("aya", "0.12.0"))):
                        continue
                    for name in sorted(call.names or ()):
                        close = close_name(name, known)
                        if name in known or (close is None and not pair.kernel_complete):
                            continue
                        where = literal(pair, call, name)
                        fix = Fix("display", f"name a global of the kernel side: {listed(known, 'global')}")
                        yield self.finding(
                            ctx,
                            f"the kernel side has no global `{name}`: loading ends with `symbol with name {name} not "
                            "found in the symbols table`",
                            span=covered(ctx, where),
                            fixes=[fix if close is None else name_fix(ctx, where, close, "global")],
                        )


RULE = OverriddenGlobalMissing()

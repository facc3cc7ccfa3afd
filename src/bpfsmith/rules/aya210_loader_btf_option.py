"""`EbpfLoader::btf` takes a `&Btf` since aya 0.15, not an `Option`.

## What it does
Finds `btf(..)` on an `EbpfLoader` whose argument is `None`, `Some(..)` or ends in `.ok()` or `.as_ref()`, where aya
is 0.15.0 or newer.

## Why is this bad
It does not compile. The running kernel's BTF is the default now and read only when needed, so the call is usually
superfluous; there is no way left to switch BTF off.

## Example
```rust
EbpfLoader::new().btf(Btf::from_sys_fs().ok().as_ref()).load(data)?;
```

## Use instead
```rust
EbpfLoader::new().load(data)?;
```

## Fix
Safe for exactly `.btf(Btf::from_sys_fs().ok().as_ref())`, which is deleted; else display.

## Kernels
All.

## Source
aya 0.15.0, `aya/src/bpf.rs`; compiled with 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import LOADER, called_on, compat, covered, replace, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


class LoaderBtfOption(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.15.0"):
            for call in file.of_kind("method"):
                if call.name != "btf" or len(call.args) != 1 or not called_on(call, LOADER):
                    continue
                argument = call.args[0]
                option = argument.text.startswith(("Some(", "None")) or (
                    argument.kind == "method" and argument.name in ("ok", "as_ref") and ".ok()" in argument.text
                )
                if not option or compat(file, call.item, call.start) or call.receiver is None:
                    continue
                fix = Fix("display", "pass a `&Btf`, or leave the call out: the running kernel's BTF is the default")
                head, _, rest = "".join(argument.text.split()).partition("::from_sys_fs")
                if rest == "().ok().as_ref()" and resolve(file, head, call.item) == "aya::Btf":
                    fix = Fix("safe", "leave the call out", [replace(ctx, file, call.receiver.end, call.end, "")])
                yield self.finding(
                    ctx,
                    "`EbpfLoader::btf` takes a `&Btf` since aya 0.15, not an `Option`",
                    span=covered(ctx, argument),
                    fixes=[fix],
                )


RULE = LoaderBtfOption()

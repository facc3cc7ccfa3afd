"""An object included with `include_bytes!` may not be aligned for the ELF parser.

## What it does
Finds `include_bytes!` whose bytes go to `Ebpf::load` or `EbpfLoader::load`, directly, through a `let`, a `const` or a
`static`.

## Why is this bad
`include_bytes!` gives bytes of alignment 1. The parser wants 8: where the linker happens to put them elsewhere,
loading fails with "Invalid ELF header size or alignment", in one build and not in the next.

## Example
```rust
let mut ebpf = Ebpf::load(include_bytes!(concat!(env!("OUT_DIR"), "/counter")))?;
```

## Use instead
```rust
let mut ebpf = Ebpf::load(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/counter")))?;
```

## Fix
Safe: `aya::include_bytes_aligned!` takes the same argument.

## Kernels
All.

## Source
aya#24; `aya/src/util.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import EBPF, LOADER, called_on, place, replace, user_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding, item_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


def _loads(call: Expr) -> bool:
    if call.kind == "method":
        return call.name == "load" and called_on(call, LOADER)
    callee = call.callee
    if callee is None or callee.kind != "path" or callee.path.rpartition("::")[2] != "load":
        return False
    path = resolve(call.file, callee.path, call.item)
    return path is not None and path.rpartition("::")[0] in EBPF


def _included(data: Expr | None) -> Expr | None:
    """The `include_bytes!` behind an argument."""
    while data is not None and data.kind in ("ref", "paren", "unary"):
        data = data.inner
    if data is not None and data.kind == "index":
        data = data.operands[0]
    if data is None:
        return None
    if data.kind == "macro":
        return data if data.path in ("include_bytes", "std::include_bytes", "core::include_bytes") else None
    if data.kind != "path":
        return None
    found = binding(data) if "::" not in data.path else None
    if found is not None:
        init = found.let.init if found.kind == "let" and found.let is not None else None
        return _included(init) if init is not None and init.kind in ("macro", "ref") else None
    path = resolve(data.file, data.path, data.item)
    item = item_of(data.file, path) if path is not None else None
    if item is None or item.kind not in ("const", "static") or item.expr is None:
        return None
    return _included(item.expr) if item.expr.kind in ("macro", "ref", "unary") else None


class ObjectNotAligned(SourceRule):
    severity = "warning"
    group = "build"
    phase = "load"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        seen = set()
        for file in user_files(project):
            for call in file.of_kind("call", "method"):
                if not call.args or not _loads(call):
                    continue
                included = _included(call.args[0])
                if included is None or included in seen:
                    continue
                seen.add(included)
                start = included.start
                end = start + len(included.path) + 1
                yield self.finding(
                    ctx,
                    '`include_bytes!` does not align the object: "Invalid ELF header size or alignment" when unlucky',
                    span=place(ctx, included.file, start, end),
                    fixes=[
                        Fix(
                            "safe",
                            "use `aya::include_bytes_aligned!`",
                            [replace(ctx, included.file, start, end, "aya::include_bytes_aligned!")],
                        )
                    ],
                )


RULE = ObjectNotAligned()

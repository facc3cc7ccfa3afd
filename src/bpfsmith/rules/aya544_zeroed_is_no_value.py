"""Zeros are made into a type that zero is no value of.

## What it does
Finds `mem::zeroed` and `MaybeUninit::zeroed().assume_init()` for references, `NonNull`, `NonZero`, function pointers,
enums of the project without a variant 0, and structs with such fields, in kernel crates.

## Why is this bad
The compiler knows such values from zero, and makes a panic of `mem::zeroed` where it sees one: the verifier refuses
the program ("last insn is not an exit or jmp"). From `MaybeUninit::zeroed` the value comes to life: tests for null
are left out, `Option` of it takes it for `None`, and a `match` has no arm for it.

## Example
```rust
let mut event: Event = unsafe { core::mem::zeroed() }; // has `kind: Kind`, and `Kind` starts at 1
```

## Use instead
```rust
let mut event = Event { pid: 0, kind: Kind::Open };
```

## Fix
Display: write the value, or hold a number instead of an enum.

## Kernels
All: a matter of the language.

## Source
The documentation of `core::mem::zeroed`; reproduced with rustc 1.96 on Linux 5.10
to 7.3.
"""

from __future__ import annotations

import re

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import code_files, counts, spelled, written_type
from bpfsmith.rules._rust import covered
from bpfsmith.source.across import item_across, resolve_across
from bpfsmith.source.names import resolve
from bpfsmith.source.types import parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item, SourceFile

_NEVER = re.compile(r"^(NonNull<|NonZero(U|I|<)|Box<|(unsafe )?(extern \"C\" )?fn\s*\()")
_DEPTH = 6


def _why(file: SourceFile, text: str, item: Item | None, depth: int = 0) -> str | None:  # noqa: PLR0911
    """What of the type zero is no value of; None when there is nothing, or nothing is known."""
    text = " ".join(text.split())
    if text.startswith("&"):
        return f"the reference `{text}`"
    if _NEVER.match(text.rpartition("::")[2] if "<" not in text.partition("::")[0] else text):
        return f"`{text}`"
    if text.startswith("[") and ";" in text:
        return _why(file, text[1:].rpartition(";")[0], item, depth + 1) if depth < _DEPTH else None
    parsed = parse_type(text)
    if parsed is None or parsed[1] or parsed[2] or depth > _DEPTH:
        return None
    path = resolve_across(file, parsed[0], item)
    found = item_across(file, path) if path is not None else None
    if found is None or found.generic:
        return None
    if found.kind == "enum" and _starts_late(found):
        return f"the enum `{found.name}` without a variant 0"
    if found.kind == "struct":
        for field in found.params:
            why = _why(found.file, field.type, found, depth + 1)
            if why is not None:
                return why
    return None


def _starts_late(item: Item) -> bool:
    """An enum whose variants all have a number that is written, none of them 0."""
    values = []
    for variant in item.params:
        match = re.search(r"=\s*(\w+)\s*$", item.file.text[variant.start : variant.end])
        if match is None:
            return False
        try:
            values.append(int(match[1].replace("_", "").rstrip("uisze"), 0))
        except ValueError:
            return False
    return bool(values) and 0 not in values


class ZeroedIsNoValue(SourceRule):
    severity = "error"
    group = "unsafe"
    phase = "verify"
    words = ("zeroed",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in code_files(project, "zeroed"):
            for call in file.calls(*spelled(file, "zeroed")):
                callee = call.callee
                path = resolve(file, callee.path, call.item) if callee is not None else None
                made = call
                if path == "core::mem::MaybeUninit::zeroed":
                    outer = call.parent
                    if outer is None or outer.kind != "method" or outer.name != "assume_init":
                        continue
                    made = outer
                elif path != "core::mem::zeroed":
                    continue
                text = callee.text.partition("<")[2].rpartition(">")[0] if callee is not None else ""
                why = _why(file, text or written_type(made), call.item)
                if why is not None and counts(call):
                    yield self.finding(
                        ctx,
                        f"zeros are no value of {why}: a panic or undefined behaviour",
                        span=covered(ctx, made),
                        fixes=[Fix("display", "write the value, or hold a number where zero must be possible")],
                    )


RULE = ZeroedIsNoValue()

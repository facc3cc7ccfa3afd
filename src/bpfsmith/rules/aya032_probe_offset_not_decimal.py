"""A probe's offset that is no decimal number.

## What it does
Finds `offset = "0x10"` and the like in `#[kprobe]`, `#[kretprobe]`, `#[uprobe]` and `#[uretprobe]`.

## Why is this bad
It does not compile: "failed to parse `offset` argument".

## Example
```rust
#[kprobe(function = "do_exit", offset = "0x10")]
```

## Use instead
```rust
#[kprobe(function = "do_exit", offset = "16")]
```

## Fix
Safe for hexadecimal, octal and binary numbers: the same one in decimal.

## Kernels
All.

## Source
aya-ebpf-macros, `src/kprobe.rs`, `src/uprobe.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._macro_args import arguments
from bpfsmith.rules._rust import kernel_files, place, programs, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


def _number(text: str) -> int | None:
    if not text[:2].lower().startswith(("0x", "0o", "0b")):
        return None
    try:
        return int(text, 0)
    except ValueError:
        return None


class ProbeOffsetNotDecimal(SourceRule):
    severity = "error"
    group = "programs"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for item, macro, attr in programs(file):
                if macro not in ("kprobe", "kretprobe", "uprobe", "uretprobe"):
                    continue
                for one in arguments(file, attr):
                    if one.name != "offset" or one.value is None or one.value.removeprefix("+").isdecimal():
                        continue
                    fix = Fix("display", "write a decimal number")
                    number = _number(one.value)
                    if number is not None:
                        edit = replace(ctx, file, one.value_start, one.end, f'"{number}"')
                        fix = Fix("safe", f'write `"{number}"`', [edit])
                    yield self.finding(
                        ctx,
                        f"the offset of `#[{macro}]` is a decimal number, not `{one.value}`",
                        span=place(ctx, file, one.value_start, one.end),
                        program=item.name,
                        fixes=[fix],
                    )


RULE = ProbeOffsetNotDecimal()

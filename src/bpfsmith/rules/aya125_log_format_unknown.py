"""A log message with a format that aya-log does not know.

## What it does
Finds `{:ipv4}`, `{:?}`, `{name}` and other braces in the messages of aya-log's macros that none of its releases takes.
It knows `{}`, `{:x}`, `{:X}`, `{:i}` for addresses, `{:mac}`, `{:MAC}` and `{:p}`.

## Why is this bad
It does not compile: "unknown display hint", "unexpected content in format string". `{:ipv4}` is what older pages write.

## Example
```rust
info!(&ctx, "from {:ipv4}, {:?}", source, action);
```

## Use instead
```rust
info!(&ctx, "from {:i}, {}", source, action);
```

## Fix
Safe for `{:ipv4}` and `{:ipv6}`, which are `{:i}`; else display.

## Kernels
All.

## Source
aya-log-parser, `src/lib.rs`, 0.1.13 and 0.2.0.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import kernel_files, place, replace
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_MACROS = ("trace", "debug", "info", "warn", "error", "log")
_KNOWN = frozenset({"", ":x", ":X", ":i", ":mac", ":MAC", ":p"})
_HELP = "use `{}`, `{:x}`, `{:X}`, `{:i}`, `{:mac}`, `{:MAC}` or `{:p}`, with the values after the message"


def _braces(text: str) -> Iterator[tuple[int, str]]:
    """(where, what is inside) of every pair of braces that is not doubled."""
    at = text.find("{")
    while at >= 0:
        if text[at + 1 : at + 2] == "{":
            at = text.find("{", at + 2)
            continue
        end = text.find("}", at)
        if end < 0:
            return
        yield at, text[at + 1 : end]
        at = text.find("{", end)


class LogFormatUnknown(SourceRule):
    severity = "error"
    group = "logging"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for macro in file.macros(*_MACROS):
                path = resolve(file, macro.path, macro.item)
                if path is None or not path.startswith("aya_log_ebpf::"):
                    continue
                # The context comes first, and a level before the message in `log!`.
                text = next((one for one in macro.args[:4] if one.string is not None), None)
                if text is None or text.text[0] != '"':
                    continue
                released = file.crate is not None and file.crate.at_least("aya-log-ebpf", "0.1.0")
                for start, inside in _braces(text.string or ""):
                    address = inside in (":ipv4", ":ipv6")
                    if inside in _KNOWN or (address and not released):
                        continue
                    at = text.start + 1 + start
                    edit = replace(ctx, file, at, at + len(inside) + 2, "{:i}")
                    fix = Fix("safe", "write `{:i}`", [edit]) if address else Fix("display", _HELP)
                    yield self.finding(
                        ctx,
                        f"aya-log does not know the format `{{{inside}}}`",
                        span=place(ctx, file, at, at + len(inside) + 2),
                        fixes=[fix],
                    )


RULE = LogFormatUnknown()

"""A value in network byte order is shown, or made an address, as if it were a number.

## What it does
Finds fields in network byte order as arguments of the log macros of `aya-log-ebpf` (`{}` for ports and lengths, `{:i}`
for addresses) and in `Ipv4Addr::from(..)` and `Ipv4Addr::from_bits(..)`.

## Why is this bad
`{:i}` and `Ipv4Addr::from` take a number: 10.0.0.1 that came from a packet is shown as 1.0.0.10, port 443 as 47873.
What is looked for in the log is never there, and an address made so matches other hosts.

## Example
```rust
info!(&ctx, "from {:i} to port {}", unsafe { (*ip).src_addr }, unsafe { (*tcp).dest });
```

## Use instead
```rust
let source = u32::from_be(unsafe { (*ip).src_addr });
let port = u16::from_be(unsafe { (*tcp).dest });
info!(&ctx, "from {:i} to port {}", source, port);
```

## Fix
Unsafe: convert with `from_be`.

## Kernels
All.

## Source
aya-log-common, `Formatter` (`{:i}` of a `u32` is `Ipv4Addr::from`); Rust, `core::net::Ipv4Addr`.
"""

from __future__ import annotations

from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._orders import convert_fix, fact, shown, skipped
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_LOGS = ("info", "debug", "warn", "error", "trace", "log")
_NUMBERS = frozenset({"port", "length"})


def _shown(call: Expr) -> Iterator[tuple[str, Expr]]:
    """(format, argument) of a log macro; nothing where the format has names or more."""
    args = call.args
    text = next((at for at, one in enumerate(args) if one.literal == "str"), None)
    if text is None:
        return
    format_ = args[text].text
    holes = []
    at = 0
    while at < len(format_):
        if format_[at : at + 2] in ("{{", "}}"):
            at += 2
            continue
        if format_[at] == "{":
            end = format_.find("}", at)
            if end < 0:
                return
            holes.append(format_[at + 1 : end])
            at = end
        at += 1
    values = args[text + 1 :]
    if len(holes) == len(values) and all(not hole or hole.startswith(":") for hole in holes):
        yield from zip(holes, values, strict=True)


class NetworkOrderShown(SourceRule):
    severity = "warning"
    group = "meaning"
    phase = "silent"
    words = ("network_types", "bindings", "aya_log_ebpf", "Ipv4Addr")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for call in file.macros(*_LOGS):
                path = resolve(file, call.path, call.item)
                if path is None or not path.startswith("aya_log_ebpf::") or skipped(call):
                    continue
                for hole, value in _shown(call):
                    yield from self._of(ctx, hole, value)
            for call in file.calls("from", "from_bits"):
                callee = call.callee
                if callee is None or len(call.args) != 1 or not callee.path.rpartition("::")[0].endswith("Ipv4Addr"):
                    continue
                owner = resolve(file, callee.path.rpartition("::")[0], call.item)
                if owner in ("core::net::Ipv4Addr", "std::net::Ipv4Addr") and not skipped(call):
                    yield from self._of(ctx, ":i", call.args[0])

    def _of(self, ctx: CheckContext, hole: str, value: Expr) -> Iterator[Finding]:
        if value.kind == "lit" or hole not in ("", ":i"):
            return
        known = fact(value)
        if known is None or known.kind != "big" or known.width != known.bits:
            return
        if hole == ":i" and known.bits == 32:
            text = "the address is shown the wrong way round"
        elif hole == "" and known.what in _NUMBERS and known.bits == 16:
            text = f"the {known.what} is shown with its bytes swapped (80 as 20480)"
        else:
            return
        yield self.finding(
            ctx,
            f"{shown(known)} is in network byte order: {text}",
            span=covered(ctx, value),
            fixes=[convert_fix(ctx, value, known)],
        )


RULE = NetworkOrderShown()

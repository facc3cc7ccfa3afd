"""`XdpFlags` was replaced by `XdpMode`.

## What it does
Finds `aya::programs::XdpFlags` where aya is 0.14.0 or newer.

## Why is this bad
The type is gone since 0.14.0: the code does not compile. The published notes of that release do not mention it.

## Example
```rust
program.attach("eth0", XdpFlags::SKB_MODE)?;
```

## Use instead
```rust
program.attach("eth0", XdpMode::Skb)?;
```

## Fix
Safe where only `default()`, `SKB_MODE`, `DRV_MODE` and `HW_MODE` are used, else display: other flags have no
counterpart.

## Kernels
All.

## Source
aya, `aya/src/programs/xdp.rs` at the tags 0.13.1 and 0.14.0.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import compat, mentions, place, replace, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_MODES = {"default": "default", "SKB_MODE": "Skb", "DRV_MODE": "Driver", "HW_MODE": "Hardware"}


class XdpFlagsRemoved(SourceRule):
    severity = "error"
    group = "aya-version"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project, since="0.14.0"):
            found = [
                one for one in mentions(file, {"aya::programs::XdpFlags"}) if not compat(file, one.item, one.start)
            ]
            if not found:
                continue
            edits = []
            for one in found:
                if one.text == "XdpFlags":
                    edits.append(replace(ctx, file, one.start, one.end, "XdpMode"))
                if one.use:
                    continue
                after = file.text[one.end :].lstrip()
                word = after.removeprefix("::").lstrip()
                word = word[: len(word) - len(word.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"))]
                if not after.startswith("::"):
                    continue  # a type
                if word not in _MODES:
                    edits.clear()
                    break
                start = file.text.index(word, one.end)
                edits.append(replace(ctx, file, start, start + len(word), _MODES[word]))
            fix = Fix("display", "use `XdpMode`; the other flags have no counterpart")
            if edits:
                fix = Fix("safe", "use `XdpMode`", edits)
            uses = [one for one in found if one.use]
            for at, one in enumerate(uses or found):
                yield self.finding(
                    ctx,
                    "`XdpFlags` does not exist since aya 0.14, `attach` takes an `XdpMode`",
                    span=place(ctx, file, one.start, one.end),
                    fixes=[fix] if at == 0 else [],
                )


RULE = XdpFlagsRemoved()

"""A perf buffer or perf event is opened for CPUs counted from 0, some of which may be offline.

## What it does
Finds loops over `0..nr_cpus()`, `0..num_cpus::get()` and their like that open a perf buffer or attach a perf event
for the CPU of that number.

## Why is this bad
`perf_event_open` fails with `ENODEV` for a CPU that is offline. `nr_cpus` counts the possible CPUs, more than are
online on many virtual machines; and a plain count does not tell which numbers are online.

## Example
```rust
for cpu in 0..nr_cpus().map_err(|(_, error)| error)? as u32 {
    let buffer = events.open(cpu, None)?;
}
```

## Use instead
```rust
for cpu in online_cpus().map_err(|(_, error)| error)? {
    let buffer = events.open(cpu, None)?;
}
```

## Fix
Display: loop over `aya::util::online_cpus`.

## Kernels
All.

## Source
`aya/src/util.rs`; kernel, `find_get_context` in `kernel/events/core.c`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import counts_online, fatal, given, owner, possible_cpus
from bpfsmith.rules._rust import covered, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_BUFFERS = frozenset({"aya::maps::PerfEventArray", "aya::maps::AsyncPerfEventArray"})


class OpenedForPossibleCpus(SourceRule):
    severity = "warning"
    group = "maps"
    phase = "attach"
    words = ("open", "PerfEventScope")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            if not file.has("PerfEventArray", "PerfEventScope"):
                continue
            for loop in file.of_kind("for"):
                count = _counted(loop)
                if count is None or loop.body is None or file.in_test(loop.item):
                    continue
                opened = _opened(loop.body, loop.fields[2])
                if opened is None:
                    continue
                yield self.finding(
                    ctx,
                    "not every CPU counted here is online: opening one that is not fails with `ENODEV`",
                    span=covered(ctx, count),
                    labels=[Label(covered(ctx, opened), "opened here")],
                    fixes=[Fix("display", "loop over `aya::util::online_cpus()`")],
                )


def _counted(loop: Expr) -> Expr | None:
    """The end of a loop's `0..n` that is a number of CPUs."""
    over = loop.file.expr(loop.fields[3])
    over = given(over) if over is not None else None
    if over is None or over.kind != "range":
        return None
    end = over.file.expr(over.fields[1])
    if end is None:
        return None
    return end if possible_cpus(end) or counts_online(end) else None


def _opened(body: Expr, names: list[str]) -> Expr | None:
    """What is opened for the CPU that the loop counts."""
    for one in body.within():
        if one.kind == "method" and one.name == "open" and one.args and _names(one.args[0], names):
            known = owner(one)
            if known is not None and known.path in _BUFFERS and fatal(one):
                return one
        elif one.kind == "call" and one.callee is not None and one.callee.path.endswith("::open"):
            path = resolve(one.file, one.callee.path, one.item) or ""
            if (
                path.startswith("aya::maps::")
                and "PerfEventArrayBuffer" in path
                and _names(one.args[0], names)
                and fatal(one)
            ):
                return one
        elif one.kind == "struct" and one.path.endswith(("OneCpu", "OneCPU")):
            path = resolve(one.file, one.path, one.item) or ""
            fields = dict(one.struct_fields)
            cpu = fields.get("cpu")
            attach = next((up for up in one.ancestors() if up.kind == "method"), None)
            ends = attach is not None and fatal(attach)
            if path.startswith("aya::programs") and "cpu" in fields and ends and (cpu is None or _names(cpu, names)):
                return one
    return None


def _names(argument: Expr, names: list[str]) -> bool:
    return any(one.kind == "path" and one.path in names for one in argument.within())


RULE = OpenedForPossibleCpus()

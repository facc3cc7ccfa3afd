"""A program is attached to an interface index that nobody checked.

## What it does
Finds XDP programs and classifiers that are attached to an interface by a literal index, or by the result of
`if_nametoindex` without a test for 0.

## Why is this bad
Aya checks names, not indices. Numbers of interfaces differ from machine to machine and change when one is made anew,
so a literal is another interface elsewhere. `if_nametoindex` gives 0 for a name that does not exist: attaching to 0
fails with `EINVAL`, attaching to a wrong number with "netlink error: [] <- No such device", neither of which names
the interface.

## Example
```rust
let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
program.attach(index, XdpMode::default())?;
```

## Use instead
```rust
program.attach(name, XdpMode::default())?; // a C string: an unknown name is an error that says so
```

## Fix
Display: pass the name, or test the index for 0.

## Kernels
All.

## Source
`aya/src/programs/xdp.rs`; both messages seen with aya 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import given, on
from bpfsmith.rules._rust import covered, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_TYPES = frozenset({"aya::programs::Xdp", "aya::programs::SchedClassifier", "aya::programs::tc::SchedClassifier"})


class InterfaceIndexNotChecked(SourceRule):
    severity = "warning"
    group = "attach"
    phase = "attach"
    words = ("attach_to_if_index", "Xdp", "SchedClassifier")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            for call in on(file, ("attach", "attach_to_if_index"), _TYPES):
                if len(call.args) != 2:
                    continue
                index = call.args[0]
                made = given(index)
                note = made.integer is not None and made.integer != 0
                if made.integer is not None and made.integer != 1:
                    said = (
                        "interface 0 does not exist: attaching fails with `EINVAL`"
                        if made.integer == 0
                        else f"interface {made.integer} is another one on the next machine"
                    )
                elif _by_name(made) and not _tested(index, made):
                    said = "`if_nametoindex` gives 0 for a name that does not exist, and attaching fails with `EINVAL`"
                else:
                    continue
                yield self.finding(
                    ctx,
                    said,
                    span=covered(ctx, index),
                    severity="note" if note else None,
                    fixes=[Fix("display", "pass the name, or test the index for 0 before")],
                )


def _by_name(made: Expr) -> bool:
    if made.kind != "call" or made.callee is None or made.callee.kind != "path":
        return False
    if made.callee.path.rpartition("::")[2] != "if_nametoindex":
        return False
    path = resolve(made.file, made.callee.path, made.item) or made.callee.path
    return path.startswith("libc::")


def _tested(index: Expr, made: Expr) -> bool:
    """Whether the function compares the index with something."""
    if index.kind != "path":
        return False
    item = made.item
    for one in made.file.of_kind("binary", "match", "macro"):
        if one.item == item and made.end <= one.start < index.start:
            if one.kind == "binary" and one.op not in ("==", "!=", ">", "<", ">=", "<="):
                continue
            if any(inner.kind == "path" and inner.path == index.path for inner in one.within()):
                return True
    return False


RULE = InterfaceIndexNotChecked()

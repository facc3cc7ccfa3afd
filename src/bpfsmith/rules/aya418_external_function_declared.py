"""A kernel function or helper is declared as `extern "C"`, and nothing will ever link it.

## What it does
Finds functions in `extern "C"` blocks of kernel crates that no item of the crate defines: helpers of the kernel by
their name, which are called by number, and with aya before 0.15 everything else but compiler intrinsics.

## Why is this bad
It compiles and links: bpf-linker leaves the call open. Only loading fails, for all programs of the object: "function
0x8 not found while relocating `probe`" with aya up to 0.14, "extern `bpf_get_current_pid` not found" later. From 0.15
on kernel functions (kfuncs) are found in the kernel's BTF, helpers are not.

## Example
```rust
extern "C" {
    fn bpf_ktime_get_ns() -> u64;
}
```

## Use instead
```rust
use aya_ebpf::helpers::bpf_ktime_get_ns;
```

## Fix
Display: use the helper of `aya_ebpf::helpers`, or aya 0.15 for kernel functions.

## Kernels
All.

## Source
`aya-obj/src/relocation.rs`; both messages seen, with aya 0.14 and 0.16.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import kernel_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item


_INTRINSICS = frozenset({"memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen"})


class ExternalFunctionDeclared(SourceRule):
    severity = "error"
    group = "programs"
    phase = "load"
    words = ("extern",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import helpers, kfuncs

        loaders = [crate for crate in project.crates if crate.dependency("aya") is not None and crate.role == "user"]
        old = bool(loaders) and all(crate.below("aya", "0.15.0") for crate in loaders)
        for file in kernel_files(project):
            if "extern" not in file.text:
                continue
            for item in file.items:
                if item.kind != "fn" or item.parent is None or item.parent.kind != "extern_block":
                    continue
                if item.name in _INTRINSICS or item.name.startswith("llvm") or _odd(item) or _defined(item):
                    continue
                helper = helpers.by_name(item.name) if item.name.startswith("bpf_") else None
                if helper is not None and kfuncs.get(item.name) is None:
                    said = f"`{item.name}` is a helper, which is called by its number: nothing defines this function"
                    help_ = f"use `aya_ebpf::helpers::{item.name}`"
                elif old:
                    said = f"nothing defines `{item.name}`, and aya before 0.15 does not look for it in the kernel"
                    help_ = "use aya 0.15 for kernel functions, or define it"
                else:
                    continue
                yield self.finding(
                    ctx,
                    f"{said}: no program of the object loads",
                    span=item.name_span.replace(path=ctx.shown(file.path)),
                    fixes=[Fix("display", help_)],
                )


def _odd(item: Item) -> bool:
    """Linked under another name, or only for some targets."""
    file, parent = item.file, item.parent
    owners = {item.id, parent.id if parent is not None else -1}
    return any(attr.owner in owners and attr.path in ("link_name", "cfg", "linkage", "link") for attr in file.attrs)


def _defined(item: Item) -> bool:
    """Whether the crate, or a crate of the workspace, has a function of that name for others to link."""
    crate = item.file.crate
    project = crate.project if crate is not None else None
    crates = project.crates if project is not None else [crate] if crate is not None else []
    for one in crates:
        for file in one.files:
            if item.name not in file.text:
                continue
            for other in file.items:
                if other.name == item.name and other.kind == "fn" and other.body_end and other.id != item.id:
                    return True
            if "global_asm" in file.text:
                return True
    return False


RULE = ExternalFunctionDeclared()

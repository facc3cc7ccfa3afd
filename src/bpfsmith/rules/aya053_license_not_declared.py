"""The kernel crate declares no licence.

## What it does
Looks for a static in section `license` in each kernel crate that builds an object, and in the crates it is made of.

## Why is this bad
aya loads such an object as if it said "GPL"; nobody else does. libbpf, bpftool and veristat pass an empty licence, and
the verifier then refuses every GPL-only helper, `bpf_trace_printk` and `bpf_probe_read_kernel` among them. What you
ship also says nothing of its licence where the kernel and `bpftool prog` would show it.

## Example
```rust
#[xdp]
pub fn pass(_ctx: XdpContext) -> u32 { xdp_action::XDP_PASS }
```

## Use instead
```rust
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\\0";
```

## Fix
Display: add the static, with the zero byte at its end.

## Kernels
All.

## Source
aya-obj, `Object::parse`: "GPL" where there is no section; `kernel/bpf/syscall.c`, `bpf_prog_load`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import place, programs
from bpfsmith.source.aya.kernel import unread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project


def _linked(project: Project, crate: Crate) -> list[Crate]:
    """The crate and those of the project that it is made of."""
    by_folder = {one.folder: one for one in project.all_crates}
    out = [crate]
    for one in out:
        for dependency in one.dependencies:
            other = by_folder.get(dependency.path or "")
            if other is not None and other not in out:
                out.append(other)
    return out


class LicenseNotDeclared(SourceRule):
    severity = "note"
    group = "build"
    phase = "load"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate in project.of_role("kernel"):
            linked = _linked(project, crate)
            files = [file for one in linked for file in one.files]
            if not crate.binaries() or any(file.has("license", "include", "global_asm") for file in files):
                continue
            if any(unread(one) for one in linked):
                continue  # it may stand there
            # A macro of one's own may make it.
            if any(True for file in files for _ in file.items_of_kind("macro")):
                continue
            first = next(((file, item) for file in crate.files for item, _, _ in programs(file)), None)
            if first is None:
                continue
            file, item = first
            yield self.finding(
                ctx,
                f"`{crate.name}` declares no licence: aya takes it for GPL, other loaders get GPL-only helpers refused",
                span=place(ctx, file, item.name_start, item.name_end),
                fixes=[Fix("display", 'add `#[unsafe(link_section = "license")]` and a static `*b"Dual MIT/GPL\\0"`')],
            )


RULE = LicenseNotDeclared()

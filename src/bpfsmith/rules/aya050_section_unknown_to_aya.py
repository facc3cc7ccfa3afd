"""A function of the kernel crate lies in a section that aya does not know.

## What it does
Finds functions with `#[link_section = ".."]` whose name aya's loader takes for no program: not one of its own
(`tc`, `action`, `kprobe.multi`, `usdt`, `struct_ops`, `syscall` are libbpf's, others are nobody's), or one that the aya
in use is too old for (`uprobe.multi` since 0.15, `iter`, `sk_reuseport`, `flow_dissector`, `lsm_cgroup` since 0.14).

## Why is this bad
Every section with code is a program to aya. One it does not know makes the whole object unloadable, its other programs
included: "invalid program section `tc`".

## Example
```rust
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc")]
pub extern "C" fn ingress(ctx: *mut __sk_buff) -> i32 { 0 }
```

## Use instead
```rust
#[classifier]
pub fn ingress(ctx: TcContext) -> i32 { 0 }
```

## Fix
Display: use aya-ebpf's macros, which write the section, or put what is for another loader into an object of its own.

## Kernels
All; section names are the loader's matter.

## Source
`ProgramSection::from_str` in aya-obj 0.1, 0.2, 0.3 and 0.6.
"""

from __future__ import annotations

from bpfsmith.facts import sections
from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import kernel_files, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project

# First part of a section's name -> the aya that knows it first.
_SINCE = {
    "flow_dissector": "0.14.0", "iter": "0.14.0", "lsm_cgroup": "0.14.0", "sk_reuseport": "0.14.0",
    "uprobe.multi": "0.15.0", "uretprobe.multi": "0.15.0",
}  # fmt: skip
_INSTEAD = {"tc": "classifier", "tcx": "classifier", "action": "classifier"}


class SectionUnknownToAya(SourceRule):
    severity = "error"
    group = "build"
    phase = "load"
    words = ("link_section",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        users = [crate for crate in project.all_crates if crate.role == "user" and crate.dependency("aya") is not None]
        if not users:
            return  # another loader's programs, or a library's
        for file in kernel_files(project):
            for attr in file.attrs_named("link_section"):
                item = file.item_at(attr.owner) if attr.on_item else None
                if item is None or item.kind != "fn" or file.gates(item):
                    continue
                name = attr.args.lstrip("= ").strip()
                if len(name) < 3 or name[0] != '"' or name[-1] != '"' or "\\" in name:
                    continue
                name = name[1:-1]
                if name.startswith(".text"):
                    continue
                said = self._said(name, users)
                if said:
                    kind = name.partition("/")[0]
                    instead = _INSTEAD.get(kind)
                    yield self.finding(
                        ctx,
                        said,
                        span=place(ctx, file, attr.start, attr.end),
                        fixes=[Fix("display", f"write `#[{instead}]`" if instead else "use one of aya-ebpf's macros")],
                    )

    def _said(self, name: str, users: list[Crate]) -> str:
        found = sections.match(name)
        if found is None or "aya" not in found.loaders:
            whose = "libbpf knows it, aya does not" if found is not None else "no loader knows it"
            return f"section `{name}`: {whose}, and refuses the whole object"
        kind = name.partition("/")[0].removesuffix(".s")
        since = _SINCE.get(kind)
        if since is not None and all(user.below("aya", since) for user in users):
            return f"aya knows section `{name}` since {since} only, yours refuses the whole object"
        return ""


RULE = SectionUnknownToAya()

"""The included object is none that the build script makes.

## What it does
Compares the file name in `include_bytes_aligned!(concat!(env!("OUT_DIR"), "/name"))` with the binaries of the project's
kernel crates, where the build script does nothing but call aya-build.

## Why is this bad
aya-build puts each binary of the kernel crate into `OUT_DIR` under the binary's name, which is the package's unless a
`[[bin]]` says otherwise. Another name does not compile: "couldn't read `../out/name`: No such file or directory".

## Example
```rust
let ebpf = aya::Ebpf::load(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/counter-ebpf")))?;
```

## Use instead
```rust
let ebpf = aya::Ebpf::load(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/counter")))?;
```

## Fix
Display: the name of a binary of the kernel crate.

## Kernels
All.

## Source
aya-build, `build_ebpf`: copies each executable to `OUT_DIR`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered
from bpfsmith.source.scripts import builds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import SourceFile

_WRITES = ("fs", "File", "Command", "copy", "write", "rename", "bindgen", "OUT_DIR")


class IncludedObjectNotBuilt(SourceRule):
    severity = "error"
    group = "build"
    phase = "compile"
    words = ("OUT_DIR",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        made = builds(project)
        names = {name for crate in project.all_crates if crate.role == "kernel" for name in crate.binaries()}
        if not names:
            return
        for crate in made.with_aya_build:
            if crate not in project.crates or made.scripts[crate.folder].has(*_WRITES):
                continue
            if not _packages(made.scripts[crate.folder]) <= {one.name for one in project.all_crates}:
                continue
            for file in crate.files:
                for call in file.macros("concat"):
                    parent = call.parent
                    if len(call.args) != 2 or parent is None or parent.kind != "macro" or file.in_test(call.item):
                        continue
                    if not parent.path.rpartition("::")[2].startswith("include_bytes"):
                        continue
                    where, name = call.args[0].text.replace(" ", ""), call.args[1].string
                    if where != 'env!("OUT_DIR")' or name is None or not name.startswith("/") or name[1:] in names:
                        continue
                    if file.gates(call.item, call.start):
                        continue
                    from bpfsmith.model.near import did_you_mean

                    known = ", ".join(f"`/{one}`" for one in sorted(names))
                    yield self.finding(
                        ctx,
                        f"the build leaves no `{name[1:]}` in `OUT_DIR`: the kernel side's binaries are {known}",
                        span=covered(ctx, call.args[1]),
                        fixes=[Fix("display", did_you_mean(name[1:], sorted(names), f"name {known}"))],
                    )


def _packages(script: SourceFile) -> set[str]:
    """The packages that the script names, `?` for what is no literal."""
    out = set()
    for one in script.of_kind("struct"):
        if one.path.rpartition("::")[2] == "Package":
            for name, value in one.struct_fields:
                if name == "name":
                    out.add((value.string if value is not None else None) or "?")
    return out or {"?"}


RULE = IncludedObjectNotBuilt()

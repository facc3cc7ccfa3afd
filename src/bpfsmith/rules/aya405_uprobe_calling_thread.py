"""`UProbeScope::CallingProcess` watches only the thread that attaches.

## What it does
Finds `UProbeScope::CallingProcess` with aya 0.14 and later, unless the kernel side has programs of the section
`uprobe.multi`, for which it means the process.

## Why is this bad
For a single uprobe Aya hands the kernel the process id 0, which stands for the calling *thread*. Other threads of the
same process, a runtime's workers for instance, hit the function unseen. With `#[uprobe(multi)]` it is the whole
process, so the same call sees other events.

## Example
```rust
probe.attach("malloc", "libc", UProbeScope::CallingProcess)?;
```

## Use instead
```rust
let own = NonZeroU32::new(std::process::id()).unwrap();
probe.attach("malloc", "libc", UProbeScope::OneProcess(own))?;
```

## Fix
Display: name the process, or watch all and compare the process id in the program.

## Kernels
All.

## Source
`aya/src/programs/uprobe.rs`; kernel, `perf_event_open(2)`: `pid == 0` is the calling thread.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._macro_args import arguments
from bpfsmith.rules._rust import covered, kernel_files, programs, user_files
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import SourceFile


class UprobeCallingThread(SourceRule):
    severity = "note"
    group = "attach"
    phase = "silent"
    words = ("CallingProcess",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        if any(multi(file) for file in kernel_files(project)):
            return
        for file in user_files(project, since="0.14.0"):
            for one in file.of_kind("path"):
                if not one.path.endswith("CallingProcess") or file.in_test(one.item):
                    continue
                if resolve(file, one.path, one.item) != "aya::programs::UProbeScope::CallingProcess":
                    continue
                yield self.finding(
                    ctx,
                    "`CallingProcess` is the calling thread here: other threads of the process are not seen",
                    span=covered(ctx, one),
                    fixes=[Fix("display", "use `OneProcess` with the own process id, or compare it in the program")],
                )


def multi(file: SourceFile) -> bool:
    """Whether a kernel file has uprobes for many places at once."""
    return file.has("multi") and any(
        macro in ("uprobe", "uretprobe") and any(argument.name == "multi" for argument in arguments(file, attr))
        for _, macro, attr in programs(file)
    )


RULE = UprobeCallingThread()

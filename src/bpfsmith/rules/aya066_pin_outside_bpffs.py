"""Something is pinned to a path that is not on a BPF file system.

## What it does
Finds literal paths given to `pin`, `map_pin_path`, `default_map_pin_directory`, `from_pin` and their kin that are
relative or lie in folders that no system has a BPF file system in: `/tmp`, `/var`, `/home`, `/etc`, `/root`, `/usr`,
`/opt`, `/dev`, `/proc`.

## Why is this bad
Only a BPF file system (usually `/sys/fs/bpf`) can hold pins: elsewhere the kernel refuses with `EPERM` or `EINVAL`.
Folders below it are not made by Aya either, a missing one gives `ENOENT`.

## Example
```rust
program.pin("/tmp/firewall")?;
```

## Use instead
```rust
std::fs::create_dir_all("/sys/fs/bpf/firewall")?;
program.pin("/sys/fs/bpf/firewall/program")?;
```

## Fix
Display: pin below `/sys/fs/bpf`.

## Kernels
All.

## Source
Kernel, `bpf_obj_do_pin` in `kernel/bpf/inode.c`; `aya/src/pin.rs`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import given
from bpfsmith.rules._rust import EBPF, LOADER, cited, covered, user_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr


_FOLDERS = ("/tmp", "/var", "/home", "/etc", "/root", "/usr", "/opt", "/dev", "/proc", "/srv", "/lib", "/bin")
_LOADER = {"map_pin_path": -1, "default_map_pin_directory": 0}


class PinOutsideBpffs(SourceRule):
    severity = "error"
    group = "attach"
    phase = "attach"
    words = ("pin", "map_pin_path", "default_map_pin_directory", "from_pin")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            for call in file.methods("pin", *_LOADER):
                if call.args and not file.in_test(call.item) and _ours(call):
                    yield from self._path(ctx, call.args[_LOADER.get(call.name, 0)])
            for call in file.calls("from_pin"):
                path = resolve(file, call.callee.path, call.item) if call.callee is not None else None
                if path is not None and path.startswith("aya::") and call.args and not file.in_test(call.item):
                    yield from self._path(ctx, call.args[0])

    def _path(self, ctx: CheckContext, argument: Expr) -> Iterator[Finding]:
        text = given(argument).string
        if text is None or not _elsewhere(text):
            return
        where = "is relative" if not text.startswith("/") else "lies on no BPF file system"
        yield self.finding(
            ctx,
            f"{cited(argument.text)} {where}: only a BPF file system can hold pins",
            span=covered(ctx, argument),
            fixes=[Fix("display", "pin below `/sys/fs/bpf`, and make the folder first")],
        )


def _elsewhere(path: str) -> bool:
    """Whether a BPF file system is hardly mounted there."""
    if "bpf" in path.lower().rpartition("/")[0]:
        return False
    if not path.startswith("/"):
        return bool(path)
    return any(path.startswith(f"{folder}/") or path == folder for folder in _FOLDERS)


def _ours(call: Expr) -> bool:
    known = type_of(call.receiver)
    if known is None:
        return False
    if call.name in _LOADER:
        return known.path in LOADER
    return known.within("aya::programs", "aya::maps", "aya::programs::links") or known.path in EBPF


RULE = PinOutsideBpffs()

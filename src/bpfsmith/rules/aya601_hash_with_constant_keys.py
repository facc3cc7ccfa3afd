"""A hash map is only ever asked for constant keys: an array does.

## What it does
Finds `HashMap`, `LruHashMap` and their per-CPU kin with an integer as key whose every use in the kernel crate has a
small constant (0 to 255) as key. One use with another key, or a map that is handed on, and nothing is said.

## Why is this bad
A hash is computed and a bucket searched for what is known when the program is compiled: 24.8 ns for a lookup against
0.8 in an array (Linux 6.18), where the JIT compiler emits a few instructions in place of the call. The entry need not
exist either, so that each use needs an `insert` somewhere; an array's entries are there from the start.

## Example
```rust
#[map]
static COUNTS: HashMap<u32, u64> = HashMap::with_max_entries(4, 0);
COUNTS.get_ptr_mut(&PACKETS)
```

## Use instead
```rust
#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(4, 0);
COUNTS.get_ptr_mut(PACKETS)
```

## Fix
Display: an `Array` or `PerCpuArray` on both sides. Its entries cannot be removed, only set to zero.

## Kernels
All; array lookups are inlined since 4.10.

## Source
Kernel, `array_map_gen_lookup`; measured on Linux 6.18: take the ratio.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_code import MapCall, map_call
from bpfsmith.rules._rust import covered, maps, place
from bpfsmith.source.aya import model
from bpfsmith.source.layout import constant
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item

_KINDS = frozenset({"HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap"})
_INTEGERS = frozenset({"u8", "u16", "u32", "u64", "i32", "usize"})
_USES = frozenset({"get", "get_ptr", "get_ptr_mut", "insert", "remove"})


def _key(call: MapCall) -> int | None:
    key = call.key
    return constant(key.file, key.text, key.item) if key is not None else None


class HashWithConstantKeys(SourceRule):
    severity = "note"
    group = "performance"
    phase = "silent"
    words = ("HashMap", "LruHashMap", "PerCpuHashMap", "LruPerCpuHashMap")
    supersedes = ("OBJ028",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        users = model(project).users
        for crate in project.of_role("kernel"):
            rows = [item for file in crate.files if file.has(*_KINDS) for item, _ in maps(file)]
            for item in rows:
                calls = self._calls(item) if any(kind in item.type for kind in _KINDS) else []
                if (
                    not calls
                    or calls[0].kind not in _KINDS
                    or not calls[0].args
                    or calls[0].args[0].strip() not in _INTEGERS
                ):
                    continue
                keys = [_key(call) for call in calls]
                looked = [call for call in calls if call.expr.name in ("get", "get_ptr", "get_ptr_mut")]
                if not looked or any(key is None or not 0 <= key < 256 for key in keys):
                    continue
                if any(call.expr.name == "remove" for call in calls) or all(_presence(call.expr) for call in looked):
                    continue
                if any(use.name == item.name and _taken_out(use.calls) for user in users for use in user.maps):
                    continue
                span = place(ctx, item.file, item.name_start, item.name_end)
                yield self.finding(
                    ctx,
                    f"the hash map `{item.name}` is only asked for constant keys: an array finds them at once",
                    span=span,
                    labels=[Label(covered(ctx, looked[0].expr), "for example here")],
                    fixes=[Fix("display", "make it an `Array`, or a `PerCpuArray` where it counts")],
                )

    def _calls(self, item: Item) -> list[MapCall]:
        """All uses of the map in its crate; none when one of them is not a plain call."""
        out: list[MapCall] = []
        for file in item.file.crate.files if item.file.crate is not None else [item.file]:
            if file.root != item.file.root or not file.has(item.name):
                continue
            for path in file.path_exprs(item.name):
                if path.path.rpartition("::")[2] != item.name or not _names(path, item):
                    continue
                call = path.parent
                while call is not None and call.kind in ("paren", "ref"):
                    call = call.parent
                found = map_call(call) if call is not None and call.kind == "method" else None
                if found is None or found.expr.name not in _USES:
                    return []
                out.append(found)
            if any(item.name in one.text for one in file.of_kind("tokens")):
                return []
        return out


def _presence(looked: Expr) -> bool:
    """Only whether there is an entry is asked, which an array cannot tell."""
    at = looked.parent
    while at is not None and (at.kind in ("paren", "block") or (at.kind == "method" and at.name == "copied")):
        at = at.parent
    return at is not None and at.kind == "method" and at.name in ("is_some", "is_none")


def _taken_out(calls: list[Expr]) -> bool:
    return any(call.name == "remove" for call in calls)


def _names(path: Expr, item: Item) -> bool:
    """Whether a path names the static, or may do so."""
    found = resolve(path.file, path.path, path.item)
    return found is None or found.rpartition("::")[2] == item.name


RULE = HashWithConstantKeys()

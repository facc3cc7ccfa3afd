"""A map is opened with a key or value type that no map may have.

## What it does
Finds maps in user-space code whose key or value is `bool`, `char`, `usize`, `isize`, `()`, a string or a reference.

## Why is this bad
Aya copies bytes between the kernel and the type, so every pattern of bytes must be a valid value and the size must be
the same on both sides (`Pod`). A byte that is neither 0 nor 1 is no `bool`; `usize` has another size in a 32-bit
program than in the kernel. The compiler refuses it: "the trait bound `bool: Pod` is not satisfied".

## Example
```rust
let flags: HashMap<_, u32, bool> = HashMap::try_from(ebpf.map_mut("FLAGS").unwrap())?;
```

## Use instead
```rust
let flags: HashMap<_, u32, u8> = HashMap::try_from(ebpf.map_mut("FLAGS").unwrap())?;
```

## Fix
Display: `u8` for a `bool`, `u64` for a `usize`, a byte array for text, on both sides.

## Kernels
All.

## Source
`aya/src/bpf.rs`, `unsafe_impl_pod!`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._handles import enclosing
from bpfsmith.rules._rust import covered, user_files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import named, parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project


# Type -> where key and value stand among its arguments (the first is the map's data).
_KINDS = {
    "HashMap": (1, 2), "PerCpuHashMap": (1, 2), "Array": (1,), "PerCpuArray": (1,), "LpmTrie": (1, 2), "Queue": (1,),
    "Stack": (1,), "BloomFilter": (1,), "SockHash": (1,),
}  # fmt: skip
_INSTEAD = {
    "bool": "u8", "char": "u32", "usize": "u64", "isize": "i64", "String": "a byte array", "str": "a byte array",
}  # fmt: skip


class MapTypeNotPod(SourceRule):
    severity = "error"
    group = "maps"
    phase = "compile"
    words = ("try_from",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in user_files(project):
            for call in file.calls("try_from"):
                if call.callee is None:
                    continue
                path = resolve(file, call.callee.path, call.item) or ""
                kind = path.removesuffix("::try_from").removeprefix("aya::maps::")
                if kind not in _KINDS or not path.startswith("aya::maps::"):
                    continue
                text = call.callee.text.rpartition("::")[0].replace("::<", "<")
                let = enclosing(call)
                if "<" not in text and let is not None and let.type:
                    known = named(file, let.type, call.item)
                    arguments = known.args if known is not None and known.path == f"aya::maps::{kind}" else ()
                else:
                    parsed = parse_type(text)
                    arguments = parsed[1] if parsed is not None else ()
                for at in _KINDS[kind]:
                    wrong = arguments[at].strip() if at < len(arguments) else ""
                    bare = wrong.removeprefix("&").removeprefix("'static ").strip()
                    if wrong != "()" and bare not in _INSTEAD:
                        continue
                    if bare == "String" and resolve(file, "String", call.item) is not None:
                        continue  # a type of their own
                    better = f"write `{_INSTEAD[bare]}`" if bare in _INSTEAD else "give it a type of some size"
                    better = better.replace("`a byte array`", "a byte array")
                    yield self.finding(
                        ctx,
                        f"`{wrong}` cannot be a key or value of a map: it is not `Pod`",
                        span=covered(ctx, call),
                        fixes=[Fix("display", f"{better}, in the kernel's map too")],
                    )


RULE = MapTypeNotPod()

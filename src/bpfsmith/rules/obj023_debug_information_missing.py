"""The object carries no BTF, or no line information.

## What it does
Reports objects without types (`.BTF`), without `.BTF.ext`, or with programs that have no line information, and names
what of this object suffers. It is an error where maps are declared in `.maps`: BTF alone says what those are,
so that no loader can create them.

## Why is this bad
The kernel keeps types and lines to explain itself: without them the verifier's log shows no source, `bpftool` shows
bytes and no names, functions cannot be verified on their own, and nothing can be relocated to another kernel's
structures (CO-RE). A map in `.maps` is nothing but its type: libbpf, Aya and bpfsmith all refuse the object. This
tool cannot point at lines either.

## Example
```sh
clang --target=bpf -O2 -c prog.bpf.c
```

## Use instead
```sh
clang --target=bpf -O2 -g -c prog.bpf.c
```

## Fix
C: compile with `-g`, and strip with `llvm-strip -g`, which keeps BTF. Rust: `debug = 2` in the profile of the kernel
crate and bpf-linker's `--btf` (aya-build passes it).

## Kernels
All; types are used since 4.18, lines since 5.0.

## Source
`Documentation/bpf/btf.rst`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext


class DebugInformationMissing(ObjectRule):
    severity = "warning"
    group = "build"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        undefined = [one.name for one in obj.maps if one.origin == "btf" and not one.type]
        if undefined and any(kind == "maps-without-btf" for kind, _ in obj.notes):
            dwarf = [Evidence("object", "it has DWARF: the linker was not asked for BTF")] if obj.has_dwarf else []
            yield self.finding(
                ctx,
                f"`.maps` has no BTF: no loader can create {listed(undefined)}",
                obj=obj,
                severity="error",
                evidence=[*dwarf, Evidence("lost", "what the maps are: type, key, value and size stand in BTF only")],
                fixes=[
                    Fix(
                        "display",
                        "compile with `-g`; Aya: `debug = 2` in the kernel crate's profile, bpf-linker `--btf`",
                    )
                ],
            )
            return
        if not obj.programs:
            return
        if not obj.has_btf:
            dwarf = [Evidence("object", "it has DWARF: the linker was not asked for BTF")] if obj.has_dwarf else []
            lost = [*_types(obj), *_functions(obj), "no CO-RE relocation"]
            yield self.finding(
                ctx,
                "the object has no BTF: no source lines in the verifier's log, no types",
                obj=obj,
                evidence=[*dwarf, *(Evidence("lost", text) for text in lost)],
            )
            return
        if not obj.has_btf_ext:
            yield self.finding(
                ctx,
                "the object has no `.BTF.ext`: no source lines in the verifier's log",
                obj=obj,
                evidence=[Evidence("lost", text) for text in (*_functions(obj), "no CO-RE relocation")],
            )
            return
        bare = [program.name for program in linkable(obj) if not program.files()]
        if bare:
            yield self.finding(
                ctx,
                f"no line information for {listed(bare)}: no source lines in the verifier's log",
                obj=obj,
                severity="note",
            )


def _types(obj: Object) -> list[str]:
    maps = [one.name for one in obj.maps if one.origin == "legacy"]
    data = [one.name for one in obj.maps if one.origin == "data"]
    return [
        *([f"types of key and value of {listed(maps)}"] if maps else []),
        *([f"names and types of the variables in {listed(data)}"] if data else []),
    ]


def _functions(obj: Object) -> list[str]:
    names = dict.fromkeys(name for program in linkable(obj) for name in program.subprograms)
    return [f"names of the functions {listed(names)} in stack traces and `bpftool`"] if names else []


RULE = DebugInformationMissing()

"""A field of a kernel struct that is read at an offset where an asked kernel has something else.

## What it does
Lays out the kernel structs that the project has copies of (bindings by bindgen or `aya-tool`, `#[repr(C)]` written by
hand) and compares the fields that the program reads with the BTF of each asked kernel: fields that are elsewhere, that
are not there, or that are shorter than what is read. Fields that are not read are not compared.

A struct written by hand counts when its name is one of the kernel's and the pointer to it comes from the kernel:
`ctx.arg`, `bpf_get_current_task`, a read by `bpf_probe_read_kernel`, a pointer in another such struct.

## Why is this bad
Offsets in Rust are those of the kernel that the bindings were made from. For C, clang leaves word of each field, and
the loader puts in the running kernel's offset (CO-RE); rustc does not: the offset is a number in the instruction. On
another kernel, or on the same one with other options, the program loads, and reads another field.

## Example
```rust
#[repr(C)]
pub struct task_struct {
    _before: [u8; 2432], // as on 6.12
    pub pid: i32,
}
let pid = bpf_probe_read_kernel(&raw const (*task).pid)?;
```

## Use instead
```rust
#[unsafe(no_mangle)]
static TASK_STRUCT_PID: Global<u32> = Global::new(2432);
// user side: `EbpfLoader::new().override_global("TASK_STRUCT_PID", &offset, true)`, `offset` taken from the BTF of the
// running kernel
let pid = bpf_probe_read_kernel(task.byte_add(TASK_STRUCT_PID.load() as usize).cast::<i32>())?;
```

## Fix
Display: where the asked kernels agree, the struct as they have it; else the offset as a global that the user side sets
before it loads, a helper (`bpf_get_current_pid_tgid`,
`bpf_get_current_comm`), or a tracepoint that has the value.

## Kernels
Those asked for: of `--kernels` what the lab has prepared, the files of `--btf`, or else the running one.

## Source
Linux, `Documentation/bpf/btf.rst`; bindgen's generated structs; aya-rs/aya#349 (no CO-RE in rustc).
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_copies import WORDS, accesses, generated
from bpfsmith.rules._kernel_targets import severity_of
from bpfsmith.rules._kernel_types import asked, names_of, table
from bpfsmith.rules._rust import covered, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._kernel_copies import Access
    from bpfsmith.rules._kernel_types import Types
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Item

_LABELS = 8
_HELPERS = {
    "pid": "`bpf_get_current_pid_tgid() as u32`",
    "tgid": "`(bpf_get_current_pid_tgid() >> 32) as u32`",
    "comm": "`bpf_get_current_comm()`",
}


class KernelStructDiffers(SourceRule):
    severity = "error"
    group = "kernel-layout"
    phase = "silent"
    words = WORDS

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        by_struct: dict[tuple[str, int], list[Access]] = {}
        for one in accesses(project):
            by_struct.setdefault((one.struct.file.path, one.struct.id), []).append(one)
        for read in by_struct.values():
            kernels = asked(ctx)
            if not kernels:
                return
            yield from self._struct(read, kernels, ctx)

    def _struct(self, read: list[Access], kernels: list[Types], ctx: CheckContext) -> Iterator[Finding]:
        struct = read[0].struct
        compared = [(one, at) for one, at in ((one, _struct_in(one, struct)) for one in kernels) if at is not None]
        wrong: list[tuple[Access, Types, str]] = []
        for one in read:
            told = [(kernel, _wrong(one, kernel, at)) for kernel, at in compared]
            # Written by hand, with a field that no kernel has: not a copy of this struct.
            if not generated(struct.file) and all(_found(one, kernel, at) is None for kernel, at in compared):
                continue
            wrong.extend((one, kernel, text) for kernel, text in told if text)
        if not wrong:
            return
        first = min((one for one, _, _ in wrong), key=lambda one: (one.expr.file.path, one.expr.start))
        on = [kernel for kernel, _ in compared if any(other is kernel for _, other, _ in wrong)]
        fields = {".".join(one.path) for one, _, _ in wrong}
        text = next(text for one, _, text in wrong if one is first)
        where = [kernel for one, kernel, other in wrong if one is first and other == text]
        more = f"; {len(fields) - 1} more differ{'s' if len(fields) == 2 else ''}" if len(fields) > 1 else ""
        yield self.finding(
            ctx,
            f"`{struct.name}` is another on {names_of(where)}: {text}{more}",
            span=covered(ctx, first.expr),
            severity=severity_of(on),
            labels=_labels(ctx, struct, first, wrong),
            evidence=[Evidence("kernels", _table(read, compared, struct))],
            fixes=[_fix(struct, first, compared)],
            kernels=[one.series for one in on if one.series],
        )


def _kernel_names(struct: Item) -> list[str]:
    """What the kernel may call it: as written, and `TaskStruct` as `task_struct`."""
    snake = "".join(f"_{char.lower()}" if char.isupper() else char for char in struct.name).lstrip("_")
    return [struct.name] if snake == struct.name else [struct.name, snake]


def _struct_in(kernel: Types, struct: Item) -> int | None:
    return next((at for at in map(kernel.struct, _kernel_names(struct)) if at is not None), None)


def _paths(one: Access) -> list[str]:
    """The member as the kernel may call it: bindgen gives anonymous ones names, and keywords an underscore."""
    plain = [part for part in one.path if not part.startswith("__bindgen_anon_")]
    bare = [part[2:] if part.startswith("r#") else part for part in plain]
    return list(dict.fromkeys([".".join(bare), ".".join(part.rstrip("_") for part in bare)]))


def _found(one: Access, kernel: Types, at: int) -> tuple[int, int, int] | None:
    if one.path[-1].startswith("__bindgen_anon_"):
        return None
    return next((found for found in (kernel.offset(at, path) for path in _paths(one)) if found is not None), None)


def _wrong(one: Access, kernel: Types, at: int) -> str:
    """What is wrong with a field on a kernel, empty for nothing."""
    if one.path[-1].startswith("__bindgen_anon_"):
        return ""
    name = _paths(one)[0]
    found = _found(one, kernel, at)
    if found is None:
        return f"it has no `{name}`, which is read at {one.offset // 8}"
    offset, size, _ = found
    if offset != one.offset:
        return f"`{name}` is at {offset // 8} there, and is read at {one.offset // 8}"
    if size and one.size > size:
        return f"`{name}` has {size // 8} bytes there, and {one.size // 8} are read"
    return ""


def _labels(ctx: CheckContext, struct: Item, first: Access, wrong: list[tuple[Access, Types, str]]) -> list[Label]:
    labels = [Label(place(ctx, struct.file, struct.name_start, struct.name_end), "laid out here")]
    seen = {first.expr.start}
    for one, kernel, text in wrong:
        if one.expr.start not in seen and len(labels) <= _LABELS:
            seen.add(one.expr.start)
            labels.append(Label(covered(ctx, one.expr), f"on {kernel.name}: {text}"))
    return labels


def _table(read: list[Access], compared: list[tuple[Types, int]], struct: Item) -> str:
    rows: dict[str, list[str]] = {}
    for one in sorted(read, key=lambda access: access.offset):
        name = _paths(one)[0]
        cells = []
        for kernel, at in compared:
            found = _found(one, kernel, at)
            cell = "none" if found is None else str(found[0] // 8)
            if found is not None and found[1] and one.size > found[1]:
                cell += f" ({found[1] // 8} bytes)"
            cells.append(cell)
        if not one.path[-1].startswith("__bindgen_anon_"):
            rows.setdefault(name, [name, str(one.offset // 8), *cells])
    head = ["field", "in the source", *(kernel.name for kernel, _ in compared)]
    return f"offsets in `{struct.name}`, in bytes\n{table(head, list(rows.values()))}"


def _fix(struct: Item, first: Access, compared: list[tuple[Types, int]]) -> Fix:
    found = {_found(first, kernel, at) for kernel, at in compared}
    places = {one[0] // 8 for one in found if one is not None}
    if None not in found and len(places) == 1 and first.offset // 8 not in places:
        where = f"`{_paths(first)[0]}` is at {places.pop()} on {names_of(kernel for kernel, _ in compared)}"
        return Fix("display", f"give the struct the kernel's layout: {where}")
    name = f"{struct.name}_{'_'.join(_paths(first)[0].split('.'))}".upper()
    helper = _HELPERS.get(first.path[-1]) if struct.name == "task_struct" and len(first.path) == 1 else None
    instead = f"; of the current task, {helper} gives it" if helper is not None else ""
    return Fix(
        "display",
        f"make the offset a global, `#[unsafe(no_mangle)] static {name}: Global<u32> = "
        f"Global::new({first.offset // 8})`, "
        f"and read with `bpf_probe_read_kernel(pointer.byte_add({name}.load() as usize).cast::<T>())`; the user side "
        f'sets it from the kernel\'s BTF with `EbpfLoader::override_global("{name}", &offset, true)`{instead}',
    )


RULE = KernelStructDiffers()

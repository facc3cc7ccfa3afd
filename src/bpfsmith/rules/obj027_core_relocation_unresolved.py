"""A CO-RE relocation, kernel function or kernel variable does not exist on a kernel given with `--btf`.

## What it does
Relocates every program against each kernel whose BTF is given, and reports fields, types and enumeration values that
are not there, and kernel functions and typed variables that are missing or have another type. Nothing is said about a
type whose presence the program tests itself (`bpf_core_field_exists`, `bpf_core_type_exists`,
`bpf_core_enum_value_exists`) and about weak symbols.

## Why is this bad
The loader puts an invalid instruction there, and the verifier refuses the program when it can be reached: `invalid func
unknown#195896080`. A missing kernel function stops the loading of the whole object.

## Example
```c
struct task_struct {
        long state; // __state since Linux 5.14
} __attribute__((preserve_access_index));
...
state = BPF_CORE_READ(task, state);
```

## Use instead
```c
struct task_struct___before_5_14 {
        long state;
} __attribute__((preserve_access_index));
...
if (bpf_core_field_exists(struct task_struct___before_5_14, state))
        state = BPF_CORE_READ((struct task_struct___before_5_14 *)task, state);
else
        state = BPF_CORE_READ(task, __state);
```

## Fix
Test for the field and read the other one; correct a misspelt name.

## Kernels
Those whose BTF was given. What only a module defines is looked for with `--btf host`, where modules are read too.

## Source
`bpf_core_calc_relo_insn` and `bpf_core_patch_insn` in libbpf 1.7 (`relo_core.c`), `bpf_object__resolve_ksyms_btf_id`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import linkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext

_TESTS = frozenset(("field_exists", "type_exists", "type_matches", "type_size", "enumval_exists"))

_MODULES = (Evidence("note", "no types of modules were given: one of them may define it"),)


class CoreRelocationUnresolved(ObjectRule):
    severity = "error"
    group = "portability"
    phase = "load"
    asks = "btf"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        if not ctx.btf:
            return
        yield from self._externs(obj, ctx)
        for program in linkable(obj):
            if not program.core_relocations:
                continue
            dead = set(program.unreachable())
            # What is missing -> (slot, reason, kernels without it); the first place stands for all.
            found: dict[str, tuple[int, str, list[str]]] = {}
            for kernel in ctx.btf:
                relocations = program.core(kernel)
                tested = {_stem(str(one["type"])) for one in relocations if one["kind"] in _TESTS}
                for one in relocations:
                    slot = int(str(one["slot"]))
                    if one["resolved"] or slot in dead or _stem(str(one["type"])) in tested:
                        continue
                    row = found.setdefault(str(one["access"]), (slot, str(one["reason"] or ""), []))
                    if kernel.name not in row[2]:
                        row[2].append(kernel.name)
            for access, (slot, reason, names) in found.items():
                yield self._report(obj, ctx, program, slot, access, reason, names)

    def _report(
        self, obj: Object, ctx: CheckContext, program: Program, slot: int, access: str, reason: str, names: list[str]
    ) -> Finding:
        lacking = reason.startswith("the target has no")
        return self.finding(
            ctx,
            f"`{access}` does not exist on {_kernels(names)}",
            obj=obj,
            program=program,
            slot=_naming(program, slot, access),
            # A module may define a type that vmlinux lacks.
            severity="warning" if lacking and not _modules_known(ctx) else None,
            evidence=[Evidence("btf", reason), *(_MODULES if lacking and not _modules_known(ctx) else ())],
            fixes=[Fix("display", "test with `bpf_core_field_exists` or `bpf_core_type_exists`, and go another way")],
        )

    def _externs(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        needed = [one.name for one in obj.externs if one.typed and not one.weak]
        if not needed:
            return
        missing: dict[str, list[str]] = {}
        for kernel in ctx.btf:
            for one in obj.missing_externs(kernel):
                if not one.weak:
                    missing.setdefault(one.name, []).append(kernel.name)
        kinds = {one.name: one.kind for one in obj.externs}
        for name, names in missing.items():
            place = _used(obj, name)
            what = "kernel function" if kinds[name] == "kfunc" else "kernel variable"
            yield self.finding(
                ctx,
                f"{what} `{name}` does not exist with this type on {_kernels(names)}",
                obj=obj,
                program=place[0] if place else None,
                slot=place[1] if place else None,
                severity=None if _modules_known(ctx) else "warning",
                evidence=[
                    Evidence("object", "it is not weak, so the loader refuses the whole object"),
                    *(() if _modules_known(ctx) else _MODULES),
                ],
                fixes=[Fix("display", "declare it `__weak` and test it with `bpf_ksym_exists`")],
            )


def _used(obj: Object, name: str) -> tuple[Program, int] | None:
    for program in linkable(obj):
        for slot, kind, word, _ in program.native.refs():
            if kind == "extern" and word == name:
                return program, slot
    return None


_NEAR = 6  # line records; the compiler moves the address of a field away from its use, not far


def _naming(program: Program, slot: int, access: str) -> int:
    """The slot whose source line names the member: the relocated instruction often stands with an earlier line."""
    from bisect import bisect_right

    member = access.replace("::", ".").rpartition(".")[2].partition(" ")[0].partition("[")[0]
    lines = program.lines()
    at = bisect_right(lines, slot, key=lambda row: row[0]) - 1
    if at < 0:
        return slot
    for index in (*range(at, at + _NEAR), *range(at - 1, at - _NEAR, -1)):
        if 0 <= index < len(lines):
            text = program.line_text(lines[index][0]) or ""
            start = text.find(member)
            end = start + len(member)
            if start >= 0 and not (text[end : end + 1].isalnum() or text[start - 1 : start].isalnum()):
                return slot if index == at else lines[index][0]
    return slot


def _stem(name: str) -> str:
    """A type's name without its flavour: `task_struct___before_5_14` is `task_struct` to CO-RE."""
    return name.partition("___")[0]


def _modules_known(ctx: CheckContext) -> bool:
    return all(kernel.modules for kernel in ctx.btf)


def _kernels(names: list[str]) -> str:
    from os.path import basename

    return ", ".join(f"`{basename(name)}`" for name in names)


RULE = CoreRelocationUnresolved()

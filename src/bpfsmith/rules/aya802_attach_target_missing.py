"""A kernel function, hook or tracepoint that a program is attached to and that an asked kernel does not have.

## What it does
Looks up what programs are attached to (the string that the user side gives to `load` or `attach`, else the argument of
the program's attribute) in the BTF of each asked kernel: functions of `#[fentry]` and `#[fexit]`, hooks of `#[lsm]`,
tracepoints of `#[btf_tracepoint]` and `#[raw_tracepoint]`. Functions of `#[kprobe]` are a note, and only where the
kernel has something close by: BTF does not list every function that a kprobe can be at.

Kernels are those of `--kernels` that `bpfsmith lab get` has prepared, the files of `--btf`, or else the running one.

## Why is this bad
`load` or `attach` fails on that kernel. Functions are renamed, made static and inlined from one release to the next,
and nothing at compile time knows the kernel.

## Example
```rust
#[fentry(function = "tcp_conect")]
pub fn connect(ctx: FEntryContext) -> u32 {
```

## Use instead
```rust
#[fentry(function = "tcp_connect")]
pub fn connect(ctx: FEntryContext) -> u32 {
```

## Fix
Unsafe where one name is close and every asked kernel has it: that name. Display otherwise: take what all of them have
(a tracepoint is kept for longer than a function), or attach to what there is, by trying.

## Kernels
Those asked for. Aya looks for functions in the BTF of vmlinux only: what a module has is not found either.

## Source
aya, `aya/src/programs/fentry.rs`, `lsm.rs`, `tp_btf.rs`; Linux, `bpf_check_attach_target` (`kernel/bpf/verifier.c`).
"""

from __future__ import annotations

from bpfsmith.model.finding import Edit, Evidence, Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_targets import aims, severity_of
from bpfsmith.rules._kernel_types import asked, names_of, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._kernel_targets import Aim
    from bpfsmith.rules._kernel_types import Types
    from bpfsmith.source.project import Project

# Macro -> (what it is at, prefix of its name in BTF, kind of type there).
_AT = {
    "fentry": ("function", "", "FUNC"),
    "fexit": ("function", "", "FUNC"),
    "kprobe": ("function", "", "FUNC"),
    "kretprobe": ("function", "", "FUNC"),
    "lsm": ("LSM hook", "bpf_lsm_", "FUNC"),
    "lsm_cgroup": ("LSM hook", "bpf_lsm_", "FUNC"),
    "btf_tracepoint": ("tracepoint", "btf_trace_", "TYPEDEF"),
    "raw_tracepoint": ("tracepoint", "btf_trace_", "TYPEDEF"),
}
_PROBES = ("kprobe", "kretprobe")
_SYSCALLS = ("__x64_sys_", "__arm64_sys_")


class AttachTargetMissing(SourceRule):
    severity = "error"
    group = "kernel-layout"
    phase = "attach"
    words = ("fentry", "fexit", "lsm", "lsm_cgroup", "btf_tracepoint", "raw_tracepoint", "kprobe", "kretprobe")

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for aim in aims(project):
            if aim.program.macro not in _AT or not aim.name.replace(".", "_").isidentifier():
                continue
            what, prefix, kind = _AT[aim.program.macro]
            kernels = [one for one in asked(ctx) if _lists(one, what)]
            lacking = [one for one in kernels if one.btf.find(prefix + aim.name, kind) is None]
            if lacking:
                yield from self._finding(aim, what, prefix, kind, kernels, lacking, ctx)

    def _finding(
        self, aim: Aim, what: str, prefix: str, kind: str, kernels: list[Types], lacking: list[Types], ctx: CheckContext
    ) -> Iterator[Finding]:
        name, macro = aim.name, aim.program.macro
        close = _close(name, prefix, kind, what, lacking)
        has = [one for one in kernels if one not in lacking]
        # A kprobe's function may be there without being in BTF, a raw tracepoint in a module.
        if close is None and (macro in _PROBES or (macro == "raw_tracepoint" and not has)):
            return
        unsure = macro in _PROBES or (macro == "raw_tracepoint" and close is None)
        evidence = [Evidence("kernels", _listed(what, name, kernels, lacking, close))]
        fixes = []
        if close is not None and aim.literal and not has:
            edit = Edit(aim.span(ctx), f'"{close}"')
            fixes.append(Fix("unsafe", f"attach to `{close}`", [edit]))
        elif close is not None:
            fixes.append(Fix("display", f"`{close}` is in {names_of(lacking)}: take the one that is there, by trying"))
        elif has:
            fixes.append(Fix("display", f"attach to what {names_of(kernels)} all have, or go on without this program"))
        where = names_of(lacking)
        then = "attaching fails there" if macro == "raw_tracepoint" else "loading fails there"
        message = f"{where} {'have' if len(lacking) > 1 else 'has'} no {what} `{name}`: {then}"
        if unsure:
            message = f"the types of {where} list no {what} `{name}`: attaching may fail there"
        yield self.finding(
            ctx,
            message,
            program=aim.program.name,
            span=aim.span(ctx),
            severity="note" if unsure else severity_of(lacking),
            evidence=evidence,
            fixes=fixes,
            kernels=[one.series for one in lacking if one.series],
        )


def _lists(kernel: Types, what: str) -> bool:
    """Whether the kernel's BTF has such things at all: hooks need CONFIG_BPF_LSM, a cut-down BTF has no functions."""
    if what == "LSM hook":
        return kernel.btf.find("bpf_lsm_file_open", "FUNC") is not None
    if what == "tracepoint":
        return kernel.btf.find("btf_trace_sched_switch", "TYPEDEF") is not None
    return kernel.btf.find("schedule", "FUNC") is not None or kernel.btf.find("vfs_read", "FUNC") is not None


def _close(name: str, prefix: str, kind: str, what: str, lacking: list[Types]) -> str | None:
    """The one name that was probably meant, and that each kernel without the written one has."""

    def known(one: str) -> bool:
        return all(kernel.btf.find(prefix + one, kind) is not None for kernel in lacking)

    stem = name.partition(".")[0]
    tries = [stem, f"__{stem}", stem.removeprefix("__")]
    if what != "function":
        tries += [name.removeprefix(prefix), *(name.removeprefix(f"{one}:") for one in ("sched", "syscalls"))]
    for start in ("sys_", "__sys_", "__se_sys_", "ksys_", *_SYSCALLS):
        if what == "function" and name.startswith(start):
            tries += [wrapper + name.removeprefix(start) for wrapper in _SYSCALLS]
    for one in tries:
        if one not in (name, "") and known(one):
            return one
    near = [one for one in _edits(name) if known(one)] if len(name) > 5 else []
    return near[0] if len(near) == 1 else None


def _edits(name: str) -> Iterator[str]:
    """What one slip of the fingers makes: a letter too many, missing, wrong or in the other order."""
    letters = "abcdefghijklmnopqrstuvwxyz_0123456789"
    seen = {name}
    for at in range(len(name) + 1):
        head, tail = name[:at], name[at:]
        made = [head + tail[1:], head + tail[1:2] + tail[:1] + tail[2:]] if tail else []
        made += [head + letter + rest for letter in letters for rest in (tail, tail[1:])]
        for one in made:
            if one not in seen and one:
                seen.add(one)
                yield one


def _listed(what: str, name: str, kernels: list[Types], lacking: list[Types], close: str | None) -> str:
    rows = [[one.name, f"no `{name}`" + (f", but `{close}`" if close else "") if one in lacking else f"`{name}`"]
            for one in kernels]  # fmt: skip
    return f"{what} `{name}`\n{table(['kernel', 'its types have'], rows)}"


RULE = AttachTargetMissing()

"""A program array is filled with a program of another type than those that call through it.

## What it does
Follows `stages.set(i, program.fd()?, ..)` on the user side to the kernel side's program, and `STAGES.tail_call(..)` on
the kernel side to the programs that reach it, and compares their types.

## Why is this bad
The kernel lets a program be called only by programs of its own type. A program array takes the type of the first
program that has to do with it; setting a slot to one of another type is refused with `EINVAL`, and so is loading a
program that calls through an array of another type, without a word in the verifier's log.

## Example
```rust
// kernel side: #[classifier] fn first(..) { unsafe { STAGES.tail_call(&ctx, 0) }; .. }  #[xdp] fn second(..)
stages.set(0, second.fd()?, 0)?;
```

## Use instead
```rust
// #[classifier] fn second(..)
stages.set(0, second.fd()?, 0)?;
```

## Fix
Display: programs of one type in one array.

## Kernels
All: program arrays came with 4.2.

## Source
Kernel, `bpf_prog_map_compatible` in `kernel/bpf/core.c`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import item_place, pairs
from bpfsmith.rules._rust import covered
from bpfsmith.source.calls import graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import KernelMap, KernelProgram, Pair
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

# Macros whose programs are of one type for the kernel.
_TYPES = {
    "kprobe": "kprobe", "kretprobe": "kprobe", "uprobe": "kprobe", "uretprobe": "kprobe", "xdp": "xdp",
    "classifier": "sched_cls", "tracepoint": "tracepoint", "raw_tracepoint": "raw_tracepoint",
    "perf_event": "perf_event", "cgroup_skb": "cgroup_skb", "socket_filter": "socket_filter", "sk_msg": "sk_msg",
    "stream_parser": "sk_skb", "stream_verdict": "sk_skb", "sock_ops": "sock_ops", "flow_dissector": "flow_dissector",
}  # fmt: skip


def _callers(made: KernelMap) -> list[tuple[Expr, str, str]]:
    """(tail call, macro, name of the program) for each program that certainly reaches one."""
    out: list[tuple[Expr, str, str]] = []
    for call in made.calls() or ():
        item = call.item
        if call.name != "tail_call" or item is None or item.file.crate is None:
            continue
        every = graph(item.file.crate, item.file)
        out.extend((call, one.macro, one.item.name) for one in every.programs_of(item))
    return out


class ProgramArrayOfOtherType(SourceRule):
    severity = "error"
    group = "cross"
    phase = "load"
    words = ("ProgramArray",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for use in pair.map_uses:
                if use.type != "ProgramArray" or use.name is None or use.file.crate not in project.crates:
                    continue
                found = pair.map(use.name)
                callers = _callers(found[0]) if len(found) == 1 else []
                kinds = {_TYPES.get(macro, "") for _, macro, _ in callers}
                if len(kinds) != 1 or "" in kinds:
                    continue
                for call in use.calls:
                    if call.name == "set" and len(call.args) > 1:
                        yield from self._slot(pair, call, callers[0], ctx)

    def _slot(self, pair: Pair, call: Expr, caller: tuple[Expr, str, str], ctx: CheckContext) -> Iterator[Finding]:
        given = call.args[1]
        for use in pair.program_uses:
            name = use.name
            if name is None or not any(one.name == "fd" and _inside(one, given) for one in use.calls):
                continue
            found: list[KernelProgram] = pair.program(name)
            made = found[0] if len(found) == 1 else None
            if made is None or made.macro not in _TYPES or _TYPES[made.macro] == _TYPES[caller[1]]:
                continue
            yield self.finding(
                ctx,
                f"program `{name}` is a `{made.macro}`, and `{caller[2]}`, which calls through this array, a "
                f"`{caller[1]}`: the kernel refuses that with `EINVAL`",
                span=covered(ctx, given),
                labels=[
                    Label(item_place(ctx, made.item), f"`#[{made.macro}]` here"),
                    Label(covered(ctx, caller[0]), f"called from a `{caller[1]}`"),
                ],
                fixes=[Fix("display", "put programs of one type into one array")],
            )


def _inside(part: Expr, whole: Expr) -> bool:
    return part.file is whole.file and whole.start <= part.start and part.end <= whole.end


RULE = ProgramArrayOfOtherType()

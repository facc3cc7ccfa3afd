"""A `cgroup_skb` program that is attached for ingress returns 2 or 3, which only egress has.

## What it does
Follows `cgroup_skb` programs to their one use on the user side. Where that attaches them with
`CgroupSkbAttachType::Ingress`, finds paths of the program, through helper functions, that return 2 or 3. Programs
marked `ingress` in the kernel crate have a rule of their own, AYA092.

## Why is this bad
0 drops and 1 passes in both directions; 2 and 3 do the same and tell TCP about congestion, for egress alone. A program
that is marked `egress` and returns one of them can be attached for egress only: `attach` fails with "Invalid
argument". One that is marked as neither is loaded as one for ingress, and the verifier refuses it: "At program exit the
register R0 has .. should have been in [0, 1]".

## Example
```rust
#[cgroup_skb(egress)]
pub fn limit(ctx: SkBuffContext) -> i32 {
    if ctx.len() > 1500 { 2 } else { 1 }
}
// user side
program.attach(cgroup, CgroupSkbAttachType::Ingress, CgroupAttachMode::Single)?;
```

## Use instead
```rust
#[cgroup_skb(ingress)]
pub fn limit(ctx: SkBuffContext) -> i32 {
    if ctx.len() > 1500 { 0 } else { 1 }
}
```

## Fix
Display: return 0 or 1, or attach it for egress.

## Kernels
All: before 5.3 the verifier refuses 2 and 3 in both directions.

## Source
Kernel, `check_return_code` in `kernel/bpf/verifier.c` (`enforce_attach_type_range`) and
`bpf_prog_attach_check_attach_type` in `kernel/bpf/syscall.c`; commit 5cf1e9145630.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cross import pairs
from bpfsmith.rules._rust import covered
from bpfsmith.rules._verdicts import outcomes
from bpfsmith.source.names import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import KernelProgram, Pair
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_INGRESS = "aya::programs::CgroupSkbAttachType::Ingress"
_EGRESS_ONLY = (2, 3)


class EgressVerdictAtIngress(SourceRule):
    severity = "error"
    group = "attach"
    phase = "attach"
    words = ("CgroupSkbAttachType",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for pair in pairs(project):
            for made in pair.programs:
                if made.macro != "cgroup_skb" or "ingress" in made.attrs or len(pair.program(made.name)) != 1:
                    continue
                at = _ingress(pair, made)
                if at is not None and at.file.crate in project.crates:
                    yield from self._program(ctx, made, at)

    def _program(self, ctx: CheckContext, made: KernelProgram, at: Expr) -> Iterator[Finding]:
        seen = set()
        for one in outcomes(made.item):
            if one.value not in _EGRESS_ONLY or one.expr in seen:
                continue
            seen.add(one.expr)
            what = "`attach` fails" if "egress" in made.attrs else "the kernel refuses it"
            yield self.finding(
                ctx,
                f"`{made.name}` may return {one.value}, which only egress has, and is attached for ingress: {what}",
                span=covered(ctx, one.expr),
                program=made.name,
                labels=[Label(covered(ctx, at), "attached for ingress here")],
                fixes=[Fix("display", "return 0 (drop) or 1 (pass), or attach it with `CgroupSkbAttachType::Egress`")],
            )


def _ingress(pair: Pair, made: KernelProgram) -> Expr | None:
    """Where the program certainly is attached for ingress."""
    for use in pair.program_uses:
        if use.names is None or len(use.names) != 1 or made.name not in use.names or use.several:
            continue
        if use.cast != "CgroupSkb":
            continue
        for call in use.attaches:
            for given in call.args[1:2]:
                if given.kind == "path" and resolve(given.file, given.path, given.item) == _INGRESS:
                    return given
    return None


RULE = EgressVerdictAtIngress()

"""A program may return a value that the verifier does not take for its type.

## What it does
Follows the value of cgroup, `sk_lookup` and LSM programs through helper functions, `match`, `unwrap_or` and the errors
that `?` hands on. Finds constants outside of what the program type allows, and errors of maps, helpers and contexts
that become the program's value (`Err(ret) => ret`): they are negative numbers of any size.

## Why is this bad
The verifier knows which values each program type may return and refuses to load a program with a path that returns
another: "At program exit the register R0 has .. should have been in [0, 1]".

## Example
```rust
#[cgroup_skb]
pub fn filter(ctx: SkBuffContext) -> i32 {
    match try_filter(&ctx) { Ok(ret) => ret, Err(ret) => ret }
}
fn try_filter(ctx: &SkBuffContext) -> Result<i32, i32> {
    let protocol: u8 = ctx.load(9)?;
    Ok(i32::from(protocol != 17))
}
```

## Use instead
```rust
#[cgroup_skb]
pub fn filter(ctx: SkBuffContext) -> i32 {
    match try_filter(&ctx) { Ok(ret) => ret, Err(_) => 1 } // what cannot be judged passes
}
```

## Fix
Display: give every path, errors included, one of the allowed values.

## Kernels
From the release that checks the type: 4.15 for most cgroup programs, 5.9 for `sk_lookup`, 6.12 for LSM hooks.

## Source
Kernel, `check_return_code` in `kernel/bpf/verifier.c`; gobpf, pull requests 116 and 125.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._macro_args import arguments
from bpfsmith.rules._object import on as on_kernels
from bpfsmith.rules._rust import cited, covered, kernel_files, programs
from bpfsmith.rules._verdicts import Outcome, errno, outcomes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.facts.program_types import ReturnRange
    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Attribute, Item, SourceFile


_TYPES = {
    "cgroup_skb": "cgroup_skb",
    "cgroup_sock": "cgroup_sock",
    "cgroup_sock_addr": "cgroup_sock_addr",
    "cgroup_sockopt": "cgroup_sockopt",
    "cgroup_sysctl": "cgroup_sysctl",
    "cgroup_device": "cgroup_device",
    "sk_lookup": "sk_lookup",
    "lsm": "lsm",
    "lsm_cgroup": "lsm",
}
_ATTACH = {
    ("cgroup_skb", "egress"): "cgroup_inet_egress",
    ("cgroup_skb", "ingress"): "cgroup_inet_ingress",
    ("cgroup_sock", "sock_release"): "cgroup_inet_sock_release",
    ("cgroup_sock_addr", "bind4"): "cgroup_inet4_bind",
    ("cgroup_sock_addr", "bind6"): "cgroup_inet6_bind",
    **{
        ("cgroup_sock_addr", f"{what}{version}"): f"cgroup_{'udp' if what == 'recvmsg' else 'inet'}{version}_{what}"
        for what in ("recvmsg", "getpeername", "getsockname")
        for version in (4, 6)
    },
}


class ReturnValueRefused(SourceRule):
    severity = "error"
    group = "programs"
    phase = "verify"
    words = tuple(sorted(_TYPES))
    supersedes_in_program = ("OBJ012",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import program_types

        for file in kernel_files(project):
            for item, macro, attr in programs(file):
                row = program_types.get(_TYPES[macro]) if macro in _TYPES else None
                if row is None or item.expr is None:
                    continue
                given = [one.name for one in arguments(file, attr)]
                attach = (
                    "lsm_cgroup"
                    if macro == "lsm_cgroup"
                    else next((_ATTACH[macro, name] for name in given if (macro, name) in _ATTACH), None)
                )
                if macro in ("cgroup_skb", "cgroup_sock_addr") and not given:
                    continue  # decided where it is attached
                if macro == "lsm" and not _refusing(file, attr):
                    continue  # the hook has no result, or a yes and no
                entry = row.return_range(attach)
                if entry is None or entry.low is None:
                    continue
                yield from self._program(ctx, item, macro, entry, outcomes(item))

    def _program(
        self, ctx: CheckContext, item: Item, macro: str, entry: ReturnRange, found: list[Outcome]
    ) -> Iterator[Finding]:
        seen = set()
        for one in found:
            if one.value is None:
                if one.kind != "err" or not errno(one.expr) or (macro == "lsm"):
                    continue
                kernels = [series for series in ctx.kernels.series if entry.rejected(-1, series)]
                said = f"the error of {cited(one.expr.text)} becomes the value of `{item.name}`, which must be"
            else:
                kernels = [series for series in ctx.kernels.series if entry.rejected(one.value, series)]
                said = f"`{item.name}` may return {one.value}, but a `{macro}` program must return"
            if not kernels or one.expr in seen:
                continue
            seen.add(one.expr)
            some = kernels if len(kernels) < len(ctx.kernels.series) else []
            yield self.finding(
                ctx,
                f"{said} {entry.describe()}" + (f" on {on_kernels(some)}" if some else ""),
                span=covered(ctx, one.expr),
                program=item.name,
                severity="error" if ctx.kernels.specified or not some else "warning",
                kernels=some,
                fixes=[Fix("display", f"end every path with one of: {_listed(entry)}")],
            )


def _refusing(file: SourceFile, attr: Attribute) -> bool:
    """Whether an LSM hook certainly returns 0 or an error."""
    from bpfsmith.facts import lsm_hooks

    name = next((one.value for one in arguments(file, attr) if one.name == "hook"), None)
    hook = lsm_hooks.get(name) if name is not None else None
    return hook is not None and hook.result == "int"


def _listed(entry: ReturnRange) -> str:
    return "; ".join(f"{value} ({text})" for value, text in entry.values.items())


RULE = ReturnValueRefused()

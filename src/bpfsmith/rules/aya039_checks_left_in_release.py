"""The profile that the kernel crate is built with keeps overflow checks.

## What it does
Looks at what holds for the kernel crate in `[profile.release]` (which aya-build always builds with) and its
`[profile.release.package.x]`: `overflow-checks = true` and `debug-assertions = true`, which implies the former. Where a
script builds for a BPF target without `--release`, it asks the same of `[profile.dev]`, which has both unless told
otherwise.

## Why is this bad
Every `+` that could overflow then carries a branch to the panic handler, whose endless loop ends no program: the
verifier says "last insn is not an exit or jmp". To see it, build a counter with `overflow-checks = true`: the same
object loads without. (`opt-level = 0` alone does no harm; bpf-linker inlines all the same.)

## Example
```toml
[profile.release]
overflow-checks = true
```

## Use instead
```toml
[profile.release]
overflow-checks = true

[profile.release.package.counter-ebpf]
overflow-checks = false
```

## Fix
Display: turn it off for the kernel crate alone, with `[profile.release.package.NAME]`, or build with `--release`.

## Kernels
All.

## Source
Cargo book, profiles; aya-build, `build_ebpf`, which passes `--release`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import command_span, key_span, root_text
from bpfsmith.source.scripts import builds, commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

_CHECKS = ("overflow-checks", "debug-assertions")


class ChecksLeftInRelease(SourceRule):
    severity = "warning"
    group = "build"
    phase = "verify"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        said = set()
        for crate in project.of_role("kernel"):
            if crate.broken:
                continue
            profile = crate.profile("release")
            for key in _CHECKS:
                # With the first one off the second only keeps `debug_assert!`.
                if profile.get(key) is not True or (key == _CHECKS[1] and "overflow-checks" in profile):
                    continue
                path, text = root_text(crate)
                own = f"profile.release.package.{crate.name}"
                span = key_span(ctx, path, text, key, own, "profile.release")
                if (span.path, span.line) in said:
                    continue
                said.add((span.path, span.line))
                yield self.finding(
                    ctx,
                    f"`{key} = true` holds for `{crate.name}` too: panics stay in, the verifier refuses them",
                    span=span,
                    fixes=[Fix("display", f"set it otherwise in `[{own}]`")],
                )
        yield from self._by_hand(project, ctx)

    def _by_hand(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        """`cargo build --target bpfel-unknown-none` in a script, without a profile."""
        kernel = [crate for crate in project.of_role("kernel") if not crate.broken and crate.binaries()]
        plain = [crate for crate in kernel if crate.profile("dev").get("overflow-checks") is not False]
        if not plain or len(plain) != len(kernel) or builds(project).with_aya_build:
            return
        for one in commands(project, "-unknown-none"):
            words = one.text.split()
            build = "cargo" in one.text and ("build" in words or "b" in words) and "unknown-none" in one.text
            release = any(word in one.text for word in ("--release", "--profile", " -r", "PROFILE", "$"))
            if build and not release and "bpfe" in one.text:
                yield self.finding(
                    ctx,
                    "built without `--release`: overflow checks stay in, and the verifier refuses what can panic",
                    span=command_span(ctx, one, "cargo"),
                    fixes=[Fix("display", "add `--release`, or set `overflow-checks = false` in `[profile.dev]`")],
                )


RULE = ChecksLeftInRelease()

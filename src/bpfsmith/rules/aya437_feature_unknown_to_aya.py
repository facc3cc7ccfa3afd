"""A feature is asked of a crate of Aya that has no such feature in any release.

## What it does
Looks at the `features` of dependencies on released crates of the Aya family, and finds names that no release of the
crate has. Features that went away (`async_tokio`) are left to the rules of that release.

## Why is this bad
Cargo does not get as far as compiling: "package depends on `aya-ebpf` with feature `bpf-probe-read` but `aya-ebpf` does
not have that feature". Nothing of the workspace is built.

## Example
```toml
aya-ebpf = { version = "0.1", features = ["bpf-probe-read"] }
```

## Use instead
```toml
aya-ebpf = "0.1"
```

## Fix
Display: leave it out. Helpers and map types of aya-ebpf are always there.

## Kernels
All.

## Source
The `[features]` and optional dependencies of aya 0.10 to 0.16, aya-ebpf 0.1 to 0.3, aya-log 0.1 to 0.4, aya-log-ebpf
0.1 to 0.3, aya-obj 0.1 to 0.6.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._cargo import dependency_span, family

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project

# What any release has, optional dependencies too; and the first release that nobody here has seen.
_FEATURES = {
    "aya": (
        frozenset({"async", "async_std", "async_tokio", "test-helpers"})
        | {"async-io", "async-std", "futures", "tokio", "anyhow", "nix"},
        "0.17.0",
    ),
    "aya-ebpf": (frozenset({"const_assert", "const-assert"}), "0.4.0"),
    "aya-log": (frozenset(), "0.5.0"),
    "aya-log-ebpf": (frozenset(), "0.4.0"),
    "aya-obj": (frozenset({"std"}), "0.7.0"),
}


class FeatureUnknownToAya(SourceRule):
    severity = "error"
    group = "build"
    phase = "compile"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for crate, one in family(project):
            known, unseen = _FEATURES.get(one.package, (None, ""))
            if known is None or one.git or one.path or not crate.below(one.package, unseen):
                continue
            for name in one.features:
                if name in known or name == "default" or "/" in name:
                    continue
                yield self.finding(
                    ctx,
                    f"no release of {one.package} has a feature `{name}`: Cargo stops there, and nothing is built",
                    span=dependency_span(ctx, crate, one),
                    fixes=[Fix("display", f"leave `{name}` out")],
                )


RULE = FeatureUnknownToAya()

"""A program lies in a section whose name no known loader understands.

## What it does
Reports programs whose section name is neither in libbpf 1.7's table nor known to aya.

## Why is this bad
aya refuses the whole object (`invalid program section`). libbpf opens it but cannot load the program
(`missing BPF prog type, check ELF section name`) unless the loading code sets a type itself.

## Example
```c
SEC("kprobes/do_unlinkat")
int watch(void *ctx)
{
        return 0;
}
```

## Use instead
```c
SEC("kprobe/do_unlinkat")
int watch(void *ctx)
{
        return 0;
}
```

## Fix
Correct the name (`bpfsmith explain PROGRAM-TYPE` lists the sections of a type); where the type is set by
`bpf_program__set_type()` on purpose, suppress this with the reason.

## Kernels
All; section names are the loader's matter.

## Source
`section_defs` in libbpf 1.7; `ProgramSection::from_str` in aya-obj 0.2, 0.3 and 0.6.
"""

from __future__ import annotations

from functools import cache

from bpfsmith.model.finding import Evidence, Fix
from bpfsmith.rules._base import ObjectRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext


class UnknownSection(ObjectRule):
    severity = "warning"
    group = "programs"
    phase = "load"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for program in obj.programs:
            if program.meaning is not None or program.section == ".text":
                continue
            near = _near(program.section)
            yield self.finding(
                ctx,
                f"no known loader understands section `{program.section}`",
                obj=obj,
                program=program,
                slot=0,
                evidence=[Evidence("fact", "libbpf needs a program type set by hand; aya refuses the whole object")],
                fixes=[Fix("display", f"did you mean `{near}`?")] if near else [],
            )


@cache  # the same mistake is often made in many programs, and looking for what is near is slow
def _near(section: str) -> str:
    """A known section that looks like it, with what it attaches to kept."""
    from difflib import get_close_matches

    from bpfsmith.facts import sections

    names = [row.name for row in sections.all()]
    parts = section.removeprefix("?").split("/")
    for kept in range(len(parts), 0, -1):
        found = get_close_matches("/".join(parts[:kept]), names, n=1, cutoff=0.75)
        for name in found:
            whole = "/".join([name, *parts[kept:]])
            if sections.match(whole) is not None:
                return whole
    return ""


RULE = UnknownSection()

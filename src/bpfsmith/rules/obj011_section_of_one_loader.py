"""A program lies in a section that only one of libbpf and aya understands.

## What it does
Reports section names that the loader in use (aya unless `--loaders` or the configuration says otherwise) does not know
though the other one does. An object the Rust compiler did not make, checked without naming a loader, gets one note.

## Why is this bad
aya refuses the whole object, its other programs included (`invalid program section`); libbpf finds no program type.

## Example
```c
SEC("tc") // libbpf only
int in(struct __sk_buff *skb)
{
        return 0;
}
```

## Use instead
```c
SEC("classifier") // libbpf and aya
int in(struct __sk_buff *skb)
{
        return 0;
}
```

## Fix
Use a name both know, or split the object by loader.

## Kernels
All; section names are the loader's matter.

## Source
`section_defs` in libbpf 1.7; `ProgramSection::from_str` in aya-obj 0.2, 0.3 and 0.6.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.rules._base import CheckContext


class SectionOfOneLoader(ObjectRule):
    severity = "warning"
    group = "portability"
    phase = "load"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        # Without a word about the loader, a C object is more likely libbpf's.
        sure = ctx.project is not None or "rustc" in (obj.producer or "") or ctx.loaders != ("aya",)
        found = []
        for program in obj.programs:
            meaning = program.meaning
            unknown = [] if meaning is None else [name for name in ctx.loaders if name not in meaning.loaders]
            if meaning is None or not unknown:
                continue
            known = f"known to {' and '.join(sorted(meaning.loaders))}, not to {' and '.join(unknown)}"
            found.append((program, known))
        if sure:
            for program, known in found:
                yield self._report(obj, ctx, program, f"section `{program.section}` is {known}")
            return
        for known in dict.fromkeys(known for _, known in found):
            programs = [program for program, other in found if other == known]
            names = list(dict.fromkeys(program.section for program in programs))
            some = f"section {listed(names)} is" if len(names) == 1 else f"sections {listed(names)} are"
            yield self._report(obj, ctx, programs[0], f"{some} {known}", "note", len(programs))

    def _report(
        self,
        obj: Object,
        ctx: CheckContext,
        program: Program,
        message: str,
        severity: str | None = None,
        count: int = 1,
    ) -> Finding:
        from bpfsmith.facts import program_types

        row = program_types.get(program.type or "")
        evidence = [Evidence("fact", f"sections of this type: {listed(row.sections, 8)}")] if row else []
        if count > 1:
            evidence.append(Evidence("object", f"{count} programs lie in such sections"))
        return self.finding(ctx, message, obj=obj, program=program, slot=0, severity=severity, evidence=evidence)


RULE = SectionOfOneLoader()

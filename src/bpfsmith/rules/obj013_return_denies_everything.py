"""Every path of a program returns the value that refuses or drops what it is asked about.

## What it does
Reports programs whose every exit returns one constant, where that constant means `refuse` or `drop` at their hook:
`0` in sk_msg, socket filters, cgroup hooks, sk_skb verdicts, sk_lookup, sk_reuseport and netfilter. Programs that say
that it is meant, by their name (`deny_all`), on the line (`return SK_DROP;`) or by choosing the error themselves
(`bpf_set_retval`), are left alone.

## Why is this bad
`return 0` looks like success and is the opposite here: every message is dropped, every connect fails with `EPERM`, the
socket receives nothing. The verifier is content, so nothing says so.

## Example
```c
SEC("cgroup/connect4")
int watch(struct bpf_sock_addr *ctx)
{
        bpf_printk("connect");
        return 0; // nobody in this cgroup can connect
}
```

## Use instead
```c
SEC("cgroup/connect4")
int watch(struct bpf_sock_addr *ctx)
{
        bpf_printk("connect");
        return 1;
}
```

## Fix
Return the value that lets things pass (`1`, `SK_PASS`; the packet's length in a socket filter). A program that is meant
to refuse everything: name it so (`deny`, `drop`, `reject`, `block`), or suppress this with the reason.

## Kernels
All.

## Source
The hooks' own code, cited by `bpfsmith explain PROGRAM-TYPE`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule
from bpfsmith.rules._object import DELIBERATE, linkable, return_slot, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext

# After a tail call only its failure returns here; who calls `bpf_set_retval` chooses what the system call returns.
_ELSEWHERE = frozenset((12, 187))


class ReturnDeniesEverything(ObjectRule):
    severity = "warning"
    group = "programs"
    phase = "silent"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        from bpfsmith.facts import program_types

        for program in linkable(obj):
            row = program_types.get(program.type) if program.type is not None else None
            entry = None if row is None else row.return_range(program.attach_type)
            if entry is None or entry.deny is None or not _ELSEWHERE.isdisjoint(program.helper_numbers):
                continue
            exits = program.exits()
            values = {None if raw is None else signed(raw, 32) for _, raw in exits}
            if values != {entry.deny}:
                continue
            slot = return_slot(program, entry.deny, exits[0][0])
            line = (program.line_text(slot) or "").partition("//")[0].partition("/*")[0]
            said = f"{program.name} {line}".lower()
            if any(word in said for word in DELIBERATE):
                continue
            others = "; ".join(f"{key} = {text}" for key, text in entry.values.items() if key != entry.deny)
            yield self.finding(
                ctx,
                f"`{program.name}` returns {entry.deny} on every path, which means: {entry.meaning(entry.deny)}",
                obj=obj,
                program=program,
                slot=slot,
                evidence=[Evidence("fact", others), Evidence("provenance", entry.source)],
                see=[program.type] if program.type else [],
            )


RULE = ReturnDeniesEverything()

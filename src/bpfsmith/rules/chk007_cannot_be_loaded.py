"""A kernel lacks what the program stands on, so its verifier was not asked.

## What it does
Reports what `bpfsmith verify` saw: on the kernels named the program could not be tried, and why in one word:
`prog-type`, `map`, `attach-target`, `kfunc`, `btf`, `config`, `loader`, `no-target-given`, `memory`; `crash` and
`timeout` when the lab's guest died or hung while it judged.

## Why is this bad
The program does not load there, or nobody knows whether it does.

## Example
```c
SEC("fentry") int seen(void *ctx) /* which function? */
{
        return 0;
}
```

## Use instead
```c
SEC("fentry/do_unlinkat") int seen(void *ctx)
{
        return 0;
}
```

## Fix
Say what is missing (`bpfsmith verify --attach-to seen=do_unlinkat`), ask whether the kernel has it before using it, or
leave these kernels out.

## Kernels
Those of the message.

## Source
The kernels themselves, by `bpfsmith verify`.
"""

from __future__ import annotations

from bpfsmith.rules._base import EngineRule


class CannotBeLoaded(EngineRule):
    severity = "note"
    phase = "load"


RULE = CannotBeLoaded()

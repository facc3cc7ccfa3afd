"""A program of the object cannot be linked, so nothing else is said about it.

## What it does
Reports a program whose subprograms, maps or externs cannot be put together as a loader would: a call to a function that
is nowhere, a relocation against nothing, instructions that cannot be decoded.

## Why is this bad
libbpf and Aya fail on it while they load the object, before the kernel sees the program.

## Example
```c
extern int helper_of_another_file(int);

SEC("xdp") int drop_all(void *ctx) { return helper_of_another_file(1); }
```

## Use instead
Link the objects into one first, or put the function into the same crate:
```console
$ bpftool gen object whole.o part1.o part2.o
```

## Fix
Give the loader one object that holds every function, or mark the extern `__ksym` if the kernel has it.

## Kernels
All.

## Source
libbpf 1.7, `bpf_object__relocate_calls` and `bpf_object__relocate_data`; aya-obj 0.6, `relocation.rs`.
"""

from __future__ import annotations

from bpfsmith.rules._base import EngineRule


class ProgramNotLinkable(EngineRule):
    severity = "error"
    phase = "load"


RULE = ProgramNotLinkable()

"""The checked object is older than the sources it was built from.

## What it does
Compares the time of a workspace's built object with the newest file of its kernel crate (and the crates it depends on
by path).

## Why is this bad
Findings about the object describe a program that is no longer there; lines may point at the wrong place.

## Example
```console
$ touch counter-ebpf/src/main.rs && bpfsmith check .
```

## Use instead
```console
$ bpfsmith check . --build
```

## Fix
Build again, or let `--build` run the project's own build.

## Kernels
All.

## Source
File times; `docs/suppress.md` of this project.
"""

from __future__ import annotations

from bpfsmith.rules._base import EngineRule


class ObjectOlderThanSources(EngineRule):
    severity = "note"


RULE = ObjectOlderThanSources()

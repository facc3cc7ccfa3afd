"""A suppression comment gives no reason, or cannot be read.

## What it does
Reports a comment that starts with `bpfsmith:` and is not of the form `expect(CODE, reason = "...")`, or whose reason is
empty. One without a reason still suppresses.

## Why is this bad
Whoever reads the code next cannot tell a considered exception from a silenced problem.

## Example
```c
// bpfsmith: expect(OBJ001)
```

## Use instead
```c
// bpfsmith: expect(OBJ001, reason = "loaded only on 6.1 and later")
```

## Fix
Write why the finding does not matter here.

## Kernels
All.

## Source
`docs/suppress.md` of this project; the idea is clippy's `allow_attributes_without_reason`.
"""

from __future__ import annotations

from bpfsmith.rules._base import EngineRule


class ExpectationWithoutReason(EngineRule):
    severity = "warning"


RULE = ExpectationWithoutReason()

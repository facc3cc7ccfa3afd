"""A suppression comment names a rule that does not exist.

## What it does
Reports a code or name in `// bpfsmith: expect(...)` that no rule has.

## Why is this bad
The comment suppresses nothing, and the mistake looks like a decision.

## Example
```c
// bpfsmith: expect(OBJ0001, reason = "...")
```

## Use instead
```c
// bpfsmith: expect(OBJ001, reason = "...")
```

## Fix
Write the code or the name as `bpfsmith explain rules` lists it.

## Kernels
All.

## Source
`docs/suppress.md` of this project; the idea is rustc's `unknown_lints`.
"""

from __future__ import annotations

from bpfsmith.rules._base import EngineRule


class UnknownRuleExpected(EngineRule):
    severity = "warning"


RULE = UnknownRuleExpected()

"""A suppression comment expects a finding that did not come.

## What it does
Reports a `// bpfsmith: expect(CODE, reason = "...")` whose rule ran and found nothing on the line it covers. The
comment covers its own line when code stands before it, else the next line only.

## Why is this bad
The problem was solved or has moved. A comment that suppresses nothing hides the next real one.

## Example
```c
// bpfsmith: expect(OBJ001, reason = "old kernels are gone")
return XDP_PASS;
```

## Use instead
```c
return XDP_PASS;
```

## Fix
Delete the comment, or move it to the line above the one that is reported.

## Kernels
All.

## Source
`docs/suppress.md` of this project; the idea is rustc's `#[expect(lint, reason = "...")]` (RFC 2383).
"""

from __future__ import annotations

from bpfsmith.rules._base import EngineRule


class UnusedExpectation(EngineRule):
    severity = "note"


RULE = UnusedExpectation()

"""A kernel's verifier rejects the program.

## What it does
Reports what `bpfsmith verify` saw: real kernels were given the program, and the verifiers of those named refused it.
The message is the verifier's last line, the place the source line of the instruction it ended at.

## Why is this bad
The program does not load there.

## Example
```c
SEC("xdp") int first_byte(struct xdp_md *ctx)
{
        return *(char *)(long)ctx->data; /* no comparison with data_end */
}
```

## Use instead
```c
SEC("xdp") int first_byte(struct xdp_md *ctx)
{
        char *data = (void *)(long)ctx->data;

        return data + 1 > (char *)(long)ctx->data_end ? XDP_PASS : *data;
}
```

## Fix
`bpfsmith verify --log` shows how the verifier came there; `bpfsmith explain verifier` has the usual causes.

## Kernels
Those of the message.

## Source
The kernels themselves, by `bpfsmith verify`.
"""

from __future__ import annotations

from bpfsmith.rules._base import EngineRule


class RejectedByKernel(EngineRule):
    severity = "error"
    phase = "verify"


RULE = RejectedByKernel()

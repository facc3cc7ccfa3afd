"""A ring buffer is declared with a size that the kernel does not take.

## What it does
Reports ring buffers (`ringbuf`, `user_ringbuf`) whose `max_entries` is not a power of two or smaller than a page of
4096 bytes. 0 is left alone: it means that the loader sets the size.

## Why is this bad
The kernel wants a power of two that is a multiple of its page size, else `EINVAL`. libbpf and aya round the size up
silently, so that the buffer is not as big as written (10 MB become 16); older libbpf, and aya for `user_ringbuf`, pass
it on and loading fails.

## Example
```c
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 10000); // bytes, not records
} events SEC(".maps");
```

## Use instead
```c
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 256 * 1024);
} events SEC(".maps");
```

## Fix
Write the power of two you mean; 65536 and its multiples fit every page size in use.

## Kernels
All.

## Source
`ringbuf_map_alloc` in `kernel/bpf/ringbuf.c`; `adjust_ringbuf_sz` in libbpf (0.8 and later); `adjust_to_page_size` in
aya (0.12 and later).
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence
from bpfsmith.rules._base import ObjectRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.model.object import Object
    from bpfsmith.rules._base import CheckContext

_RINGBUF, _USER_RINGBUF = 27, 31
_PAGE = 4096
_BIGGEST = 1 << 31  # max_entries has 32 bits


class RingBufferSize(ObjectRule):
    severity = "warning"
    group = "maps"
    phase = "load"

    def check(self, obj: Object, ctx: CheckContext) -> Iterator[Finding]:
        for one in obj.maps:
            for part, what in ((one, "ring buffer"), (one.inner, "the ring buffer inside")):
                if part is None or part.type not in (_RINGBUF, _USER_RINGBUF):
                    continue
                size = part.max_entries
                if size == 0 or (size >= _PAGE and size & (size - 1) == 0):
                    continue
                rounded = max(1 << (size - 1).bit_length(), _PAGE)
                refused = rounded > _BIGGEST or (
                    part.type == _USER_RINGBUF and "aya" in ctx.loaders and self._rust(obj)
                )
                why = "is smaller than a page" if size < _PAGE else "is not a power of two"
                became = "loading fails with `EINVAL`" if refused else f"the loader makes it {rounded}"
                yield self.finding(
                    ctx,
                    f"{what} `{one.name}` is declared with {size} bytes, which {why}: {became}",
                    obj=obj,
                    severity="error" if refused else None,
                    evidence=[Evidence("fact", _what_loaders_do(part.type))],
                    see=["user_ringbuf" if part.type == _USER_RINGBUF else "ringbuf"],
                )

    @staticmethod
    def _rust(obj: Object) -> bool:
        return "rustc" in (obj.producer or "")


def _what_loaders_do(kind: int) -> str:
    if kind == _USER_RINGBUF:
        return "libbpf since 0.8 rounds up to a power of two of whole pages; aya passes the size on"
    return "libbpf since 0.8 and aya since 0.12 round up to a power of two of whole pages; others pass the size on"


RULE = RingBufferSize()

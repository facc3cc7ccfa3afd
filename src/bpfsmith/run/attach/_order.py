"""Where in a list of programs one is put: `before`, `after`, `first`, `last`, `replace` (TCX, netkit, cgroups)."""

from __future__ import annotations

from contextlib import contextmanager

from bpfsmith.model.errors import InputError
from bpfsmith.run.link import Link, LinkFd, program_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

REPLACE, BEFORE, AFTER, BY_ID, BY_LINK = 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 13


@contextmanager
def order_fields(
    prefix: str, before: Any, after: Any, first: bool, last: bool, replace: Any = None
) -> Iterator[dict[str, Any]]:
    """Fields of BPF_LINK_CREATE (`tcx_relative_fd` ...); valid inside the block, which holds what they refer to."""
    given = [word for word, value in
             (("before", before), ("after", after), ("first", first), ("last", last), ("replace", replace))
             if value not in (None, False)]  # fmt: skip
    if len(given) > 1:
        raise InputError(f"`{given[0]}` and `{given[1]}` exclude each other")
    if not given:
        yield {}
        return
    flags = {"before": BEFORE, "first": BEFORE, "after": AFTER, "last": AFTER, "replace": REPLACE}[given[0]]
    other = before if before is not None else after if after is not None else replace
    if other is None:
        yield {"flags": flags}
    elif isinstance(other, LinkFd):
        yield {"flags": flags | BY_LINK, f"{prefix}_relative_fd": other.fileno()}
    elif isinstance(other, Link):
        raise InputError(f"{other} has no place in this order", hint="only links of the same kind have")
    elif isinstance(other, int) and not isinstance(other, bool):
        yield {"flags": flags | BY_ID, f"{prefix}_relative_id": other}
    elif other is True:
        raise InputError("`replace=True` needs a single program there", hint="pass the program or link to replace")
    else:
        fd, hold = program_fd(other)
        yield {"flags": flags, f"{prefix}_relative_fd": fd}
        del hold

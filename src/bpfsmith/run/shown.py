"""The entries of a map that `bpfsmith run` shows."""

from __future__ import annotations

from itertools import islice

from bpfsmith.run.runreport import MapShown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["show_map"]

_LARGE = 4096  # entries; a larger table is walked key by key as far as it is shown, and not read whole
_MISSED = object()


def show_map(opened: Any, most: int | None) -> MapShown:
    """Its first `most` entries (None: all); of arrays those that are not zero."""
    if most is not None and opened.max_entries > _LARGE and ("hash" in opened.type or opened.type == "lpm_trie"):
        items = _walk(opened, most + 1)
    else:
        items = opened.items()
    if "array" in opened.type:
        items = ((key, value) for key, value in items if not _zero(value))
    entries = list(islice(items, None if most is None else most + 1))
    more = most is not None and len(entries) > most
    return MapShown(opened.name, opened.type, entries[:most], more)


def _walk(opened: Any, most: int) -> Iterator[tuple[Any, Any]]:
    """Up to `most` entries in the kernel's order; what goes away meanwhile is left out."""
    from bpfsmith import kernel

    at: bytes | None = None
    following = bytearray(opened.key_size)
    for _ in range(most):
        if kernel.try_call("BPF_MAP_GET_NEXT_KEY", map_fd=opened.fileno(), key=at, next_key=following) < 0:
            return
        at = bytes(following)
        key = opened.key_type.decode(at)
        value = opened.get(key, _MISSED)
        if value is not _MISSED:
            yield key, value


def _zero(value: Any) -> bool:
    if isinstance(value, str | bytes):
        return not str(value).strip("\0") if isinstance(value, str) else not any(value)
    try:
        return all(map(_zero, value))
    except TypeError:
        return not value

"""Results that say the same, with the kernels that say it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["grouped"]


def grouped(results: Iterable[Any]) -> list[list[Any]]:
    """Those that were not accepted, by what they say and the source line; kernels in their order."""
    groups: dict[tuple[object, ...], list[Any]] = {}
    for one in results:
        if one.verdict != "accepted":
            groups.setdefault((one.verdict, one.reason, one.message, one.path, one.line), []).append(one)
    return list(groups.values())

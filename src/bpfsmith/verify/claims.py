"""What the facts say of a program, held against what kernels did: the earliest kernel it loads on."""

from __future__ import annotations

from bpfsmith.model.kernels import series_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfsmith.verify._work import Item
    from bpfsmith.verify.report import Result, Row

__all__ = ["claims", "loads"]


def claims(items: Iterable[Item], rows: Iterable[Row]) -> list[str]:
    """A sentence per program."""
    return [_claim(item, row) for item, row in zip(items, rows, strict=True)]


def _claim(item: Item, row: Row) -> str:
    from bpfsmith.read.earliest import earliest_kernel

    proved = f"{row.program} {loads(row.results)}"
    if item.program.link_error:
        return proved
    since = earliest_kernel(item.program).version
    if since is None:
        return proved
    bar = series_key(since)
    early = [one.kernel for one in row.results if one.verdict == "accepted" and _before(one.kernel, bar)]
    late = [one.kernel for one in row.results if one.verdict == "rejected" and not _before(one.kernel, bar)]
    if early:
        return f"{proved}; the facts say from {since} on, so {' and '.join(early)} has it backported"
    if late:
        return f"{proved}; what it calls is there from {since} on"
    return f"{proved}, as the facts say (from {since} on)"


def _before(kernel: str, bar: tuple[int, int]) -> bool:
    try:
        return series_key(kernel) < bar
    except ValueError:  # `host`, a name
        return False


def loads(results: Sequence[Result]) -> str:
    """`loads on 5.10 .. 7.3 except 6.1, because R1 invalid mem access 'inv'`.

    >>> loads([])
    'was asked of no kernel'
    """
    if not results:
        return "was asked of no kernel"
    taken = [one.kernel for one in results if one.verdict == "accepted"]
    others = [one for one in results if one.verdict != "accepted"]
    if not taken:
        return f"loads on none of {_spoken([one.kernel for one in results])}: {_because(others)}"
    first, last = (next(at for at, one in order if one.verdict == "accepted") for order in _both(results))
    within = results[first : last + 1]
    said = f"loads on {_spoken(taken) if len(within) < 3 else f'{taken[0]} .. {taken[-1]}'}"
    missing = [one for one in within if one.verdict != "accepted"]
    if missing:
        said += f" except {_spoken([one.kernel for one in missing])}, because {_because(missing)}"
    outside = [one for one in others if one not in missing]
    if outside:
        said += f"; not on {_spoken([one.kernel for one in outside])}, because {_because(outside)}"
    return said


def _both(results: Sequence[Result]) -> tuple[Iterable[tuple[int, Result]], Iterable[tuple[int, Result]]]:
    order = list(enumerate(results))
    return order, order[::-1]


def _spoken(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _because(results: Sequence[Result]) -> str:
    """The reasons, each once, with its kernels when they differ."""
    reasons: dict[str, list[str]] = {}
    for one in results:
        said = (
            one.why.partition(" (ask ")[0]
            if one.verdict == "rejected" and one.why.startswith(("needs ", "calls "))
            else ""
        )
        reasons.setdefault(said or one.message or one.reason or "it is refused", []).append(one.kernel)
    if len(reasons) == 1:
        return next(iter(reasons))
    return "; ".join(f"{', '.join(kernels)}: {reason}" for reason, kernels in reasons.items())

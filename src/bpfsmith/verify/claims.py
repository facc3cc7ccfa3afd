"""What the facts say of a program, held against what kernels did: the earliest kernel it loads on."""

from __future__ import annotations

from itertools import takewhile

from bpfsmith.model.kernels import series_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bpfsmith.verdict.items import Item
    from bpfsmith.verify.report import Result, Row

__all__ = ["claims", "held", "loads"]


def claims(items: Iterable[Item], rows: Iterable[Row], releases: Mapping[str, str]) -> list[str]:
    """A sentence per program. `releases`: kernel, as the rows call it -> what `uname -r` answers in it."""
    return [_claim(item, row, releases) for item, row in zip(items, rows, strict=True)]


def _claim(item: Item, row: Row, releases: Mapping[str, str]) -> str:
    from bpfsmith.read.earliest import earliest_kernel

    proved = f"{row.program} {loads(row.results)}"
    if item.program.link_error:
        return proved
    since = earliest_kernel(item.program).version
    if since is None or not row.results:
        return proved
    return f"{proved}; {held(row.results, since, releases)}"


def held(results: Sequence[Result], since: str, releases: Mapping[str, str]) -> str:
    """What kernels make of the claim that a program loads from series `since` on.

    It is as the facts say only when every kernel from there on accepts the program, and none before does."""
    bar = series_key(since)
    keys = {one.kernel: _series(releases.get(one.kernel, one.kernel)) for one in results}
    early, against, open_ones, fits = [], [], [], 0
    for one in results:
        key = keys[one.kernel]
        if key is None:
            open_ones.append(f"{one.kernel} (of no known series)")
        elif key < bar:
            early += [one.kernel] if one.verdict == "accepted" else []
        elif one.verdict == "accepted":
            fits += 1
        elif one.verdict == "rejected":
            against.append(one.kernel)
        else:
            open_ones.append(f"{one.kernel} ({one.reason})")
    said = []
    if early:
        said.append(f"earlier than the facts say (from {since} on): {_spoken(early)}")
    if against:
        said.append(f"contradicted by {_spoken(against)}: the facts say from {since} on, for what it calls")
    if not against and open_ones:
        said.append(f"not proved for {_spoken(open_ones)}: the facts say from {since} on")
    if not said and not fits:
        said.append(f"not proved: no kernel from {since} on, as the facts say, was asked")
    return "; ".join(said) or f"as the facts say (from {since} on)"


def _series(release: str) -> tuple[int, int] | None:
    """`5.10.0-46-cloud-amd64` -> (5, 10); None for what does not begin so."""
    parts = release.partition("-")[0].split(".")
    digits = ["".join(takewhile(str.isdecimal, one)) for one in parts[:2]]
    return (int(digits[0]), int(digits[1])) if len(digits) == 2 and all(digits) else None


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
        names = [one.kernel for one in results]
        where = f"does not load on {names[0]}" if len(names) == 1 else f"loads on none of {_spoken(names)}"
        return f"{where}: {_because(others)}"
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

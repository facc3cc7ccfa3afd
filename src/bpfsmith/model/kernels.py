"""Sets of kernel series, and the one grammar of `--kernels`.

    set    = item {"," item}
    item   = series | range | "host" | name
    range  = [series] ".." [series]          both ends included; open ends reach the oldest and newest known series
    series = MAJOR "." MINOR                 such as 6.12

Names are added by the caller (configuration, lab kernels) and stand for a set of their own.
"""

from __future__ import annotations

from bpfsmith.model.errors import InputError
from bpfsmith.model.near import near_matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ALL_KERNELS", "SERIES", "KernelSet", "parse_kernels", "series_key"]

# Every mainline series from 4.19, the oldest one bpfsmith speaks about (kernel.org's release list).
SERIES: tuple[str, ...] = (
    "4.19",
    "4.20",
    *(f"5.{minor}" for minor in range(20)),
    *(f"6.{minor}" for minor in range(20)),
    *(f"7.{minor}" for minor in range(4)),
)
# Rules compare series for each object: half of a long check would go by taking `6.12` apart.
_KEYS = {one: (int(major), int(minor)) for one in SERIES for major, _, minor in [one.partition(".")]}
_INDEX = {one: at for at, one in enumerate(SERIES)}


def series_key(series: str) -> tuple[int, int]:
    """`6.12` -> `(6, 12)`, for ordering; `ValueError` when it is not a series."""
    known = _KEYS.get(series)
    if known is not None:
        return known
    major, dot, minor = series.partition(".")
    if not dot or not (_digits(major) and _digits(minor)):
        raise ValueError(f"`{series}` is not a kernel series such as `6.12`")
    return int(major), int(minor)


class KernelSet:
    """The kernels asked for, oldest first. `specified` is False when nobody asked: then nothing is too new."""

    __slots__ = ("_missing", "series", "specified", "text")
    series: tuple[str, ...]
    specified: bool
    text: str
    _missing: dict[str, tuple[str, ...]]

    def __init__(self, series: Iterable[str], specified: bool = True, text: str = "") -> None:
        ordered = tuple(sorted(dict.fromkeys(series), key=series_key))
        object.__setattr__(self, "series", ordered)
        object.__setattr__(self, "specified", specified)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "_missing", {})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"`KernelSet.{name}` cannot be changed")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KernelSet):
            return NotImplemented
        return self.series == other.series and self.specified == other.specified

    def __hash__(self) -> int:
        return hash((self.series, self.specified))

    def __contains__(self, series: str) -> bool:
        return series in self.series

    def __len__(self) -> int:
        return len(self.series)

    def __repr__(self) -> str:
        return f"KernelSet({self}{'' if self.specified else ', specified=False'})"

    def __str__(self) -> str:
        """Runs are folded: `5.10..6.1, 6.12`."""
        return fold_series(self.series)

    def oldest(self) -> str:
        """The oldest series of the set."""
        return self.series[0]

    def newest(self) -> str:
        """The newest series of the set."""
        return self.series[-1]

    def missing_before(self, since: str | None) -> tuple[str, ...]:
        """The asked series that lack what came with `since`; empty when nobody asked or `since` is None."""
        if not self.specified or since is None:
            return ()
        if since not in self._missing:
            first = series_key(since)
            self._missing[since] = tuple(one for one in self.series if series_key(one) < first)
        return self._missing[since]

    def all_have(self, since: str) -> bool:
        """True when kernels were asked for and each has what came with `since`."""
        return self.specified and not self.missing_before(since)


def fold_series(series: Iterable[str]) -> str:
    """A list of series with runs folded, in the grammar of `--kernels`: `5.10..6.1,6.12`."""
    runs: list[list[str]] = []
    for one in sorted(dict.fromkeys(series), key=series_key):
        at = _INDEX.get(one)
        if runs and at is not None and _INDEX.get(runs[-1][-1]) == at - 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return ",".join(run[0] if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def parse_kernels(text: str, *, names: Mapping[str, str] | None = None, host: str | None = None) -> KernelSet:
    """Reads the grammar above. `host` is the release text of the running kernel (default: ask `uname`).

    `InputError` names the part it could not read and what is near it.
    """
    chosen: list[str] = []
    for part in text.split(","):
        chosen.extend(_item(part.strip(), text, names or {}, host, ()))
    return KernelSet(chosen, specified=True, text=text)


def _item(part: str, text: str, names: Mapping[str, str], host: str | None, seen: tuple[str, ...]) -> list[str]:
    if not part:
        raise InputError(f"empty part in the kernels `{text}`", hint="write series and ranges such as `5.10..6.1,6.12`")
    if part in names and part not in seen:
        found: list[str] = []
        for inner in names[part].split(","):
            found.extend(_item(inner.strip(), names[part], names, host, (*seen, part)))
        return found
    if part == "host":
        return [_host_series(host)]
    first, dots, last = part.partition("..")
    if not dots:
        return [_known(part, names)]
    if "host" in (first.strip(), last.strip()):
        raise InputError(f"`host` cannot end the range `{part}`", hint="write its series, or `host` on its own")
    oldest = _known(first.strip(), names) if first.strip() else SERIES[0]
    newest = _known(last.strip(), names) if last.strip() else SERIES[-1]
    low, high = series_key(oldest), series_key(newest)
    if low > high:
        raise InputError(f"the kernel range `{part}` ends before it starts", hint=f"write `{newest}..{oldest}`")
    return [one for one in SERIES if low <= series_key(one) <= high]


def _known(word: str, names: Mapping[str, str]) -> str:
    if word in SERIES:
        return word
    near: list[str] = []
    parts = word.lstrip("v").split(".")
    if len(parts) >= 2 and all(_digits(one.split("-")[0]) for one in parts[:2]):
        series = f"{int(parts[0])}.{int(parts[1].split('-')[0])}"
        # `6.12.5`, `v6.12`, `6.12-rc1`: the series is meant.
        near = [series if series in SERIES else _closest(series)]
    near = near or near_matches(word, [*SERIES, "host", *names])
    hint = f"known are {SERIES[0]} to {SERIES[-1]}, ranges such as `5.10..`, and `host`"
    if near:
        hint = f"did you mean {' or '.join(f'`{one}`' for one in near)}? {hint}"
    raise InputError(f"unknown kernel `{word}`", hint=hint)


def _closest(series: str) -> str:
    key = series_key(series)
    older = [one for one in SERIES if series_key(one) <= key]
    return older[-1] if older else SERIES[0]


def _host_series(release: str | None) -> str:
    if release is None:
        from os import uname

        release = uname().release
    major, _, rest = release.partition(".")
    minor = ""
    for char in rest:
        if char not in "0123456789":
            break
        minor += char
    if not _digits(major) or not minor:
        raise InputError(f"cannot tell the series of the running kernel `{release}`", hint="name one such as `6.12`")
    # A kernel newer than our table is compared by number all the same.
    return f"{int(major)}.{int(minor)}"


def _digits(text: str) -> bool:
    return bool(text) and text.isascii() and text.isdigit()


ALL_KERNELS = KernelSet(SERIES, specified=False)

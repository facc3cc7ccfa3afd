"""Which kernels the lab offers, and in which suites of Debian's archive each series is kept.

The suites are only where is looked first and last: the newest build is chosen from what an archive's index says now.
"""

from __future__ import annotations

from os import uname

__all__ = ["ARCHES", "DEFAULT", "SERIES", "SUITES", "native_arch", "series_name", "suites_for"]

# One long-term series after the other and the newest: all have their modules.
DEFAULT: tuple[str, ...] = ("5.10", "6.1", "6.12", "6.18", "7.3")
# Series of which some suite had a kernel when this was written; others are looked for in `_ELSEWHERE`.
SUITES: dict[str, tuple[str, ...]] = {
    "5.10": ("bullseye-security", "bullseye"),
    "6.1": ("bookworm-security", "bookworm"),
    "6.12": ("bookworm-security", "trixie-security", "trixie"),
    "6.16": ("trixie-backports",),
    "6.17": ("trixie-backports",),
    "6.18": ("trixie-backports",),
    "6.19": ("trixie-backports",),
    "7.0": ("trixie-backports",),
    "7.1": ("trixie-backports", "forky", "sid"),
    "7.2": ("trixie-backports", "forky", "sid"),
    "7.3": ("trixie-backports", "sid", "experimental"),
}
SERIES: tuple[str, ...] = tuple(SUITES)
# Where a series this table does not know may be: the small indexes first.
_ELSEWHERE = (
    "trixie-backports", "experimental", "bookworm-security", "trixie-security", "bullseye-security", "forky-security",
    "forky-backports", "sid", "forky", "trixie", "bookworm", "bullseye",
)  # fmt: skip

# `uname -m` -> Debian's word.
ARCHES: dict[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}


def native_arch() -> str:
    """The architecture whose kernels need no word: this machine's, or x86_64 where the lab has none of its own."""
    machine = uname().machine
    return machine if machine in ARCHES else "x86_64"


def series_name(series: str, arch: str, release: str = "-cloud-") -> str:
    """How a series is called: `6.12`; with all drivers `6.12-full`, of another architecture than here `6.12-arm64`."""
    full = "" if "-cloud-" in release else "-full"
    return f"{series}{full}" if arch == native_arch() else f"{series}{full}-{ARCHES.get(arch, arch)}"


def suites_for(series: str) -> tuple[str, ...]:
    """The suites to read for a series, in this order; reading ends with the first that has it."""
    known = SUITES.get(series, ())
    return (*known, *(one for one in _ELSEWHERE if one not in known))

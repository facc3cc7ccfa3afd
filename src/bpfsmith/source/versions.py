"""Versions of crates: exact ones from a lock file, ranges from a requirement, with the two questions rules ask."""

from __future__ import annotations

__all__ = ["VersionRange", "parse_version"]

Version = tuple[int, int, int]
_MAX = 1 << 30


def parse_version(text: str) -> Version | None:
    """`0.14.0-beta.1+x` -> (0, 14, 0); missing parts are 0; None when it is no version."""
    parts = text.strip().split("+")[0].split("-")[0].split(".")
    if not 1 <= len(parts) <= 3 or not all(part.isdigit() for part in parts):
        return None
    numbers = [int(part) for part in parts] + [0, 0]
    return numbers[0], numbers[1], numbers[2]


class VersionRange:
    """Versions from `low` to `high` (inclusive when `exact`, else exclusive); what is not certain is False."""

    __slots__ = ("exact", "high", "low")

    def __init__(self, low: Version, high: Version, exact: bool = False) -> None:
        self.low = low
        self.high = high
        self.exact = exact

    def __repr__(self) -> str:
        return f"VersionRange({self})"

    def __str__(self) -> str:
        return ".".join(str(part) for part in self.low) + ("" if self.exact else "+")

    @classmethod
    def of(cls, version: str) -> VersionRange | None:
        """Exactly this version."""
        parsed = parse_version(version)
        return cls(parsed, parsed, True) if parsed is not None else None

    @classmethod
    def since(cls, version: str) -> VersionRange | None:
        """A checkout that calls itself `version`: the number of the release before it, whatever was merged since then.

        So it has what that release has, may have anything of the next one, and nothing of those that came later.
        """
        parsed = parse_version(version)
        if parsed is None:
            return None
        major, minor, _ = parsed
        return cls(parsed, (major, minor + 1, 1) if major == 0 else (major + 1, 0, 1))

    @classmethod
    def required(cls, requirement: str) -> VersionRange | None:
        """What Cargo may choose for a requirement: `0.14`, `^0.14.1`, `~0.14`, `=0.14.0`, `>=0.13, <0.15`, `0.14.*`."""
        low: Version = (0, 0, 0)
        high: Version = (_MAX, 0, 0)
        for part in requirement.split(","):
            text = part.strip()
            operator = text[: len(text) - len(text.lstrip("^~=<>"))]
            text = text.lstrip("^~=<> ")
            if text.endswith(".*"):
                text, operator = text[:-2], "~"
            version = parse_version(text)
            if version is None or operator not in ("", "^", "~", "=", ">=", ">", "<", "<="):
                return None
            given = text.split("-")[0].count(".") + 1
            if operator in ("", "^", "~", "=", ">=", ">"):
                low = max(low, version)
            if operator in ("", "^"):
                high = min(high, _caret(version, given))
            elif operator == "~" or (operator == "=" and given < 3):
                high = min(high, (version[0] + 1, 0, 0) if given == 1 else (version[0], version[1] + 1, 0))
            elif operator == "=":
                high = min(high, (version[0], version[1], version[2] + 1))
            elif operator == "<":
                high = min(high, version)
            elif operator == "<=":
                high = min(high, (version[0], version[1], version[2] + 1))
        return cls(low, high) if low < high else None

    def at_least(self, version: str) -> bool:
        """True when every version it may be is `version` or newer."""
        wanted = parse_version(version)
        return wanted is not None and self.low >= wanted

    def below(self, version: str) -> bool:
        """True when every version it may be is older than `version`."""
        wanted = parse_version(version)
        return wanted is not None and (self.high < wanted if self.exact else self.high <= wanted)

    def may_be(self, version: str) -> bool:
        """Whether a version lies in it."""
        found = parse_version(version)
        return found is not None and self.low <= found and (found <= self.high if self.exact else found < self.high)

    def may_reach(self, low: str, high: str) -> bool:
        """Whether some version of it lies in [`low`, `high`)."""
        return not self.below(low) and not self.at_least(high)


def _caret(version: Version, given: int) -> Version:
    major, minor, patch = version
    if major or given == 1:
        return major + 1, 0, 0
    if minor or given == 2:
        return 0, minor + 1, 0
    return 0, 0, patch + 1

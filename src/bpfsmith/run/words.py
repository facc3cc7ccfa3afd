"""What `bpfsmith run` is told in words: durations, sizes, values, entries of maps."""

from __future__ import annotations

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["entries", "pairs", "seconds_of", "sizes", "value_of", "values"]

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "us": 1e-6, "": 1.0}
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def seconds_of(text: str | float, where: str = "") -> float:
    """`500ms`, `10s`, `2m`, `1h`, or a number of seconds.

    >>> seconds_of("1.5m"), seconds_of("250ms"), seconds_of(3)
    (90.0, 0.25, 3.0)
    """
    word = str(text).strip().lower()
    digits = word.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = _UNITS.get(word[len(digits) :].strip())
    try:
        number = float(digits)
    except ValueError:
        number = -1.0
    if unit is None or not 0 <= number < 1e9:
        raise InputError(f"`{text}` is no time", where, "write `500ms`, `10s`, `2m` or `1h`")
    return number * unit


def sizes(texts: Iterable[str]) -> dict[str, int]:
    """`NAME=64k` -> {NAME: 65536}.

    >>> sizes(["FLOWS=1M", "RING=4096"])
    {'FLOWS': 1048576, 'RING': 4096}
    """
    found = {}
    for name, text in pairs(texts, "--map-size").items():
        word = text.strip().lower().replace("_", "")
        digits = word.rstrip("kmg")
        unit = _SIZES.get(word[len(digits) :])
        if unit is None or not digits.isdecimal() or not 0 < int(digits[:20]) * unit < 1 << 32:
            raise InputError(
                f"`{text}` is no size (`--map-size {name}={text}`)",
                hint="a number of entries up to 4294967295: 1000, 64k, 1M",
            )
        found[name] = int(digits) * unit
    return found


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """`NAME=TEXT` of a repeated option."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(f"`{option} {text}` has no `=`", hint=f"write `{option} NAME=VALUE`")
        found[name.strip()] = value
    return found


def values(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`NAME=VALUE` of `--set`: global variables, and what the object wants to know of the kernel's configuration.

    >>> values(["LIMIT=10", "CONFIG_HZ=250"])
    {'globals': {'LIMIT': 10}, 'kconfig': {'CONFIG_HZ': 250}}
    """
    found: dict[str, dict[str, Any]] = {"globals": {}, "kconfig": {}}
    for name, text in pairs(texts, "--set").items():
        found["kconfig" if name.startswith("CONFIG_") else "globals"][name] = value_of(text)
    return found


def entries(texts: Iterable[str]) -> dict[str, dict[Any, Any]]:
    """`MAP[KEY]=VALUE` of `--put`.

    >>> entries(['CONFIG[0]={"enforce": 1}', "STAGES[0x1]=filter"])
    {'CONFIG': {0: {'enforce': 1}}, 'STAGES': {1: 'filter'}}
    """
    found: dict[str, dict[Any, Any]] = {}
    for text in texts:
        left, _, rest = text.partition("[")
        key, closed, value = rest.partition("]=")
        if not closed or not left.strip():
            raise InputError(f"`--put {text}` is no entry", hint="write `--put 'MAP[KEY]=VALUE'`")
        made = value_of(key)
        found.setdefault(left.strip(), {})[tuple(made.values()) if isinstance(made, dict) else _hashable(made)] = (
            value_of(value)
        )
    return found


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def value_of(text: str) -> Any:
    """A number (decimal, `0x`, `0b`, `0o`), JSON, or the text itself.

    >>> value_of("0x10"), value_of("1.5"), value_of("[1, 2]"), value_of("eth0"), value_of("true"), value_of('"7"')
    (16, 1.5, [1, 2], 'eth0', True, '7')
    """
    word = text.strip()
    try:
        return int(word, 0)
    except ValueError:
        pass
    import json

    try:
        return json.loads(word)
    except ValueError:
        return text

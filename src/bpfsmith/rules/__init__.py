"""Rules: one module each, found by file name; nothing is listed by hand and nothing is imported before it is needed.

`obj001_helper_not_allowed.py` holds the rule with code `OBJ001` and name `helper-not-allowed`. Codes and names are both
accepted wherever a rule is named.
"""

from __future__ import annotations

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.rules._base import Rule

__all__ = ["GROUPS", "PHASES", "Entry", "find", "get", "listing", "select"]

GROUPS = (
    "aya-version", "build", "maps", "programs", "attach", "logging", "no-std", "performance", "unsafe", "cross",
    "kernel-layout", "meaning", "portability", "engine",
)  # fmt: skip
PHASES = ("compile", "link", "load", "verify", "attach", "silent")


class Entry:
    """A rule known by its file name; `rule` imports it."""

    __slots__ = ("_rule", "code", "module", "name")

    def __init__(self, code: str, name: str, module: str) -> None:
        self.code = code
        self.name = name
        self.module = module
        self._rule: Rule | None = None

    def __repr__(self) -> str:
        return f"Entry({self.code} {self.name})"

    @property
    def kind(self) -> str:
        """What it looks at, by the code alone: `object`, `source` or `engine`."""
        return {"OBJ": "object", "CHK": "engine"}.get(self.code[:3], "source")

    @property
    def rule(self) -> Rule:
        """The rule itself; the module is imported on first use."""
        if self._rule is None:
            if self.module.startswith("moves."):  # a row of the table of moves
                from bpfsmith.rules import moves

                self._rule = moves.rule(self.code)
                return self._rule
            from importlib import import_module

            rule: Rule = import_module(f"{__name__}.{self.module}").RULE
            self._rule = rule
        return self._rule


_cache: dict[str, Entry] | None = None


def _entries() -> dict[str, Entry]:
    global _cache  # noqa: PLW0603 - one listing per process
    if _cache is None:
        from os import listdir

        found = {}
        for folder in __path__:
            for file in listdir(folder):
                stem, dot, suffix = file.partition(".")
                if suffix != "py" or not dot:
                    continue
                code, _, rest = stem.partition("_")
                if rest and code and code[0].isalpha() and code[-3:].isdigit():
                    entry = Entry(code.upper(), rest.replace("_", "-"), stem)
                    found[entry.code] = entry
        from bpfsmith.rules import moves

        for code, name, module in moves.rows():
            found[code] = Entry(code, name, module)
        _cache = dict(sorted(found.items()))
    return _cache


def listing() -> tuple[Entry, ...]:
    """Every rule, sorted by code."""
    return tuple(_entries().values())


def find(word: str) -> Entry | None:
    """The rule with this code or name (case does not count), or None."""
    entries = _entries()
    found = entries.get(word.upper())
    if found is not None:
        return found
    name = word.lower().replace("_", "-")
    for entry in entries.values():
        if entry.name == name:
            return entry
    return None


def get(word: str) -> Rule:
    """The rule with this code or name; `InputError` with near matches otherwise."""
    entry = find(word)
    if entry is None:
        raise InputError(f"unknown rule `{word}`", hint=_hint(word))
    return entry.rule


def select(words: Iterable[str] | None, ignore: Iterable[str] = ()) -> tuple[Entry, ...]:
    """The rules that `words` name (None: all) without those that `ignore` names; ignoring wins.

    A word is a code, a name, the start of a code (`OBJ`, `AYA1`), a group (`maps`), `phase:silent`, `severity:error`
    or `all`. `InputError` with near matches for any other word.
    """
    chosen = set(_entries()) if words is None else {code for word in words for code in _matching(word)}
    dropped = {code for word in ignore for code in _matching(word)}
    return tuple(entry for code, entry in _entries().items() if code in chosen and code not in dropped)


def _matching(word: str) -> list[str]:
    entries = _entries()
    if word == "all":
        return list(entries)
    entry = find(word)
    if entry is not None:
        return [entry.code]
    upper = word.upper()
    if word and upper[0].isalpha() and upper.isalnum() and upper == word:
        found = [code for code in entries if code.startswith(upper)]
        if found:
            return found
    kind, _, value = word.partition(":")
    if kind in {"group", "phase", "severity"} and value:
        found = [code for code, one in entries.items() if getattr(one.rule, kind) == value]
        if found:
            return found
    if word in GROUPS:
        return [code for code, one in entries.items() if one.rule.group == word]
    raise InputError(f"unknown rule `{word}`", hint=_hint(word))


def _hint(word: str) -> str:
    from bpfsmith.model.near import did_you_mean

    entries = _entries()
    known = [*entries, *(one.name for one in entries.values()), *GROUPS, *(f"phase:{one}" for one in PHASES)]
    return did_you_mean(word, known, "`bpfsmith explain rules` lists them")

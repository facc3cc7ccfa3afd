"""Rules: one module each, found by file name; nothing is listed by hand and nothing is imported before it is needed.

`obj001_helper_not_allowed.py` holds the rule with code `OBJ001` and name `helper-not-allowed`; rows of the table in
`moves/` are rules too. Codes and names are both accepted wherever a rule is named.

What selecting asks of a rule (group, phase, words, ..) stands in `_index.py`, written by `tools/docs/rules.py`. Files
are the truth: a rule that the index does not have is imported for it, one without a file is none.
"""

from __future__ import annotations

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.rules._base import Rule

    Facts = tuple[str, str, str, str, bool, tuple[str, ...]]

__all__ = ["GROUPS", "PHASES", "Entry", "facts_of", "files", "find", "get", "listing", "select"]

GROUPS = (
    "aya-version", "build", "maps", "programs", "attach", "logging", "no-std", "performance", "unsafe", "cross",
    "kernel-layout", "meaning", "portability", "engine",
)  # fmt: skip
PHASES = ("compile", "link", "load", "verify", "attach", "silent")


class Entry:
    """A rule known by its file name; `rule` imports it. What the index has of it, it tells without."""

    __slots__ = ("_facts", "_rule", "code", "module", "name")

    def __init__(self, code: str, name: str, module: str, facts: Facts | None = None) -> None:
        self.code = code
        self.name = name
        self.module = module
        self._facts = facts
        self._rule: Rule | None = None

    def __repr__(self) -> str:
        return f"Entry({self.code} {self.name})"

    @property
    def kind(self) -> str:
        """What it looks at, by the code alone: `object`, `source` or `engine`."""
        return {"OBJ": "object", "CHK": "engine"}.get(self.code[:3], "source")

    @property
    def facts(self) -> Facts:
        """Severity, group, phase, asks, preview, words."""
        if self._facts is None:
            self._facts = facts_of(self.rule)
        return self._facts

    @property
    def preview(self) -> bool:
        """Whether it runs only when asked for."""
        return self.facts[4]

    severity = property(lambda self: self.facts[0])
    group = property(lambda self: self.facts[1])
    phase = property(lambda self: self.facts[2])
    asks = property(lambda self: self.facts[3])
    words = property(lambda self: self.facts[5])

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


def facts_of(rule: Rule) -> Facts:
    """What the index keeps of a rule."""
    words = tuple(rule.words)
    return rule.severity, rule.group, rule.phase, rule.asks, rule.preview, words


_cache: dict[str, Entry] | None = None


def _entries() -> dict[str, Entry]:
    global _cache  # noqa: PLW0603 - one listing per process
    if _cache is None:
        from bpfsmith.rules._index import FILES, RULES

        found = {}
        moves_known = True
        for file, size in files().items():
            known = FILES.get(file) == size
            stem = file[:-3]
            if stem.startswith("moves/"):
                moves_known = moves_known and known
                continue
            code, _, rest = stem.partition("_")
            if rest and code and code[0].isalpha() and code[-3:].isdigit():
                code = code.upper()
                row = RULES.get(code) if known else None
                found[code] = Entry(code, rest.replace("_", "-"), stem, row[2:] if row is not None else None)
        if moves_known:
            for code, row in RULES.items():
                if row[1].startswith("moves."):
                    found[code] = Entry(code, row[0], row[1], row[2:])
        else:
            from bpfsmith.rules import moves

            for code, name, module in moves.rows():
                found[code] = Entry(code, name, module)
        _cache = dict(sorted(found.items()))
    return _cache


def files() -> dict[str, int]:
    """The files that rules are made of, and how long they are: the index holds for a file of the same length."""
    from os import scandir

    found = {}
    for folder in __path__:
        for below in ("", "moves/"):
            try:
                with scandir(f"{folder}/{below}") as entries:
                    for one in entries:
                        if one.name.endswith(".py") and (below or not one.name.startswith("_")):
                            found[below + one.name] = one.stat().st_size
            except OSError:
                continue
    return found


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


def select(words: Iterable[str] | None, ignore: Iterable[str] = (), *, preview: bool = True) -> tuple[Entry, ...]:
    """The rules that `words` name (None: all) without those that `ignore` names; ignoring wins.

    A word is a code, a name, the start of a code (`OBJ`, `AYA1`), a group (`maps`), `phase:silent`, `severity:error`
    or `all`. Without `preview`, rules in preview are those named by their own code or name only. `InputError` with near
    matches for any other word.
    """
    words = None if words is None else list(words)
    chosen = set(_entries()) if words is None else {code for word in words for code in _matching(word)}
    dropped = {code for word in ignore for code in _matching(word)}
    if not preview:
        named = {entry.code for entry in map(find, words or ()) if entry is not None}
        dropped |= {code for code in chosen - named if _in_preview(_entries()[code])}
    return tuple(entry for code, entry in _entries().items() if code in chosen and code not in dropped)


def _in_preview(entry: Entry) -> bool:
    try:
        return entry.preview
    except Exception:  # who runs it says that it cannot be imported
        return False


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
        found = [code for code, one in entries.items() if getattr(one, kind) == value]
        if found:
            return found
    if word in GROUPS:
        return [code for code, one in entries.items() if one.group == word]
    raise InputError(f"unknown rule `{word}`", hint=_hint(word))


def _hint(word: str) -> str:
    from bpfsmith.model.near import did_you_mean

    entries = _entries()
    known = [*entries, *(one.name for one in entries.values()), *GROUPS, *(f"phase:{one}" for one in PHASES)]
    return did_you_mean(word, known, "`bpfsmith explain rules` lists them")

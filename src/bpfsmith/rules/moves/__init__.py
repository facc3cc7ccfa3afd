"""What moved between Aya's releases: the rows of one table, one module for each side and era (`user_014.py`).

rows()      (code, name, module) of every row
rules()     the rules they are
engine.findings(project, ctx)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.rules.moves._table import Row
    from bpfsmith.rules.moves.engine import MoveRule

__all__ = ["rows", "rule", "rules", "table"]

_listed: dict[str, tuple[Row, str]] | None = None
_rules: dict[str, MoveRule] = {}


def _read() -> dict[str, tuple[Row, str]]:
    global _listed  # noqa: PLW0603 - one table per process
    if _listed is None:
        from importlib import import_module
        from os import listdir

        found: dict[str, tuple[Row, str]] = {}
        for folder in __path__:
            for file in sorted(listdir(folder)):
                stem, dot, suffix = file.partition(".")
                if dot and suffix == "py" and stem.partition("_")[0] in ("user", "kernel", "log"):
                    for row in import_module(f"{__name__}.{stem}").ROWS:
                        found[row.code] = (row, f"moves.{stem}")
        _listed = dict(sorted(found.items()))
    return _listed


def table() -> tuple[Row, ...]:
    """Every row, sorted by code."""
    return tuple(row for row, _ in _read().values())


def rows() -> tuple[tuple[str, str, str], ...]:
    """(code, name, module below `bpfsmith.rules`) of every row: what the listing of rules wants to know."""
    return tuple((code, row.name, module) for code, (row, module) in _read().items())


def rule(code: str) -> MoveRule:
    """The rule for the row with this code."""
    if code not in _rules:
        from bpfsmith.rules.moves.engine import rule_of

        _rules[code] = rule_of(_read()[code][0])
    return _rules[code]


def rules() -> tuple[MoveRule, ...]:
    """Every row's rule."""
    return tuple(rule(code) for code in _read())

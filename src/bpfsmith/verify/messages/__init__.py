"""What the verifier's messages mean: a table of all formats of kernels 4.18 .. 7.3, and the families they belong to.

match = classify("R0 invalid mem access 'map_value_or_null'")
match.family, match.operands      # "V06", {"reg": 0, "type": "map_value_or_null"}
family("V06").title               # "a pointer that may be null is used unchecked"
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.messages._families import FAMILIES, Family, family
    from bpfsmith.verify.messages._match import Match, classify
    from bpfsmith.verify.messages._quoted import quoted
    from bpfsmith.verify.messages._rows import Row, rows

__all__ = ["FAMILIES", "Family", "Match", "Row", "classify", "family", "quoted", "rows"]

_WHERE = {
    "FAMILIES": "_families", "Family": "_families", "family": "_families",
    "Match": "_match", "classify": "_match", "quoted": "_quoted", "Row": "_rows", "rows": "_rows",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(f"bpfsmith.verify.messages.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""From a word to the rows it names, over all tables."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from . import (
    attach_types,
    contexts,
    flags,
    helpers,
    insn_features,
    kfuncs,
    lsm_hooks,
    map_types,
    program_types,
    sections,
)

if TYPE_CHECKING:
    from ._row import Row


def lookup(word: str) -> list[tuple[str, Row]]:
    word = word.strip()
    lower = word.lower()
    found: list[Row | None] = [
        program_types.get(word) or program_types.get(lower) or program_types.get(word.upper()),
        map_types.get(word) or map_types.get(lower) or map_types.get(word.upper()),
        attach_types.get(word) or attach_types.get(lower) or attach_types.get(word.upper()),
        helpers.by_name(lower.removeprefix("bpf_func_")),
        kfuncs.get(word) or (None if helpers.by_name(lower) else kfuncs.get(f"bpf_{word}")),
        flags.get(word.upper()) or flags.get(f"BPF_F_{word.upper()}"),
        insn_features.get(lower),
        lsm_hooks.get(word),
        contexts.get(word),
        contexts.field(word),
        sections.match(word),
    ]
    return [(row.kind, row) for row in found if row is not None]


@cache
def _names() -> dict[str, str]:
    """Every name in lower case -> as it is written."""
    rows: list[Row] = [
        *program_types.all(), *map_types.all(), *attach_types.all(), *helpers.all(), *kfuncs.all(), *flags.all(),
        *insn_features.all(), *lsm_hooks.all(), *sections.all(), *contexts.all(),
    ]  # fmt: skip
    return {row.name.lower(): row.name for row in rows}


def near(word: str, count: int = 3) -> list[str]:
    from difflib import get_close_matches

    names = _names()
    lower = word.strip().lower()
    # Two letters of three exchanged make 0.67.
    close = get_close_matches(lower, names, n=count, cutoff=0.7 if len(lower) > 4 else 0.6)
    if not lower.startswith("bpf_"):
        close += get_close_matches(f"bpf_{lower}", names, n=count, cutoff=0.8)
    return [names[name] for name in dict.fromkeys(close)][:count]

"""Facts about eBPF with provenance: one row per program type, attach type, map type, helper, kernel function, flag,
instruction feature, section name and context.

    from bpfsmith import facts
    facts.helpers.by_name("bpf_loop").since          # "5.17"
    facts.program_types.get("xdp").return_range(None).values
    facts.sections.match("kprobe/do_unlinkat").program_type

Everything is pure data, read from generated tables on first use; importing this package loads none of them. A kernel
is named by its series (`"5.10"`); `""` means not known. Every row says where it comes from in `source`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from . import attach_types as attach_types
    from . import contexts as contexts
    from . import flags as flags
    from . import helpers as helpers
    from . import insn_features as insn_features
    from . import kfuncs as kfuncs
    from . import lsm_hooks as lsm_hooks
    from . import map_types as map_types
    from . import program_types as program_types
    from . import sections as sections
    from . import seen as seen
    from ._row import Row
    from ._row import series_key as series_key

TABLES = (
    "program_types",
    "attach_types",
    "map_types",
    "helpers",
    "kfuncs",
    "flags",
    "insn_features",
    "sections",
    "lsm_hooks",
    "contexts",
)


def __getattr__(name: str) -> ModuleType:
    if name in TABLES or name == "seen":
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    if name == "series_key":
        from ._row import series_key

        return series_key  # type: ignore[return-value]
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")


def lookup(word: str) -> list[tuple[str, Row]]:
    """Every row `word` names, as (kind, row): by word (`xdp`), kernel name (`BPF_PROG_TYPE_XDP`), helper with or
    without `bpf_`, or section name (`kprobe/do_unlinkat`). Kinds are those of `Row.kind`."""
    from ._words import lookup as find

    return find(word)


def near(word: str, count: int = 3) -> list[str]:
    """Known names that look like `word`, best first."""
    from ._words import near as find

    return find(word, count)

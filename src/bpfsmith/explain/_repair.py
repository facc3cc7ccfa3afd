"""`explain --prove`: fixes that were built and that kernels were asked about."""

from __future__ import annotations

import os

from bpfsmith.model.errors import BpfsmithError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["repaired"]


def repaired(found: Any, what: Any, of: Any, sources: Any, kernels: Any, say: Any) -> None:
    """Puts the fixes into the report; without sources the explanation stands, and an error says what is missing."""
    from bpfsmith.explain._job import kind_of
    from bpfsmith.repair.explained import prove

    path = os.fspath(what) if isinstance(what, str) or hasattr(what, "__fspath__") else ""
    if "\n" in path or not path or kind_of(path, path=path != "-") == "log":
        from bpfsmith.explain._nearby import around

        told = (sources if sources is not None else around(), of)
        paths = [
            os.fspath(one) for one in told if one is not None and (isinstance(one, str) or hasattr(one, "__fspath__"))
        ]
    else:
        paths = [path.removesuffix("Cargo.toml") or "."]
        if kernels is None:
            from bpfsmith.explain._objects import _default

            kernels = _default()
    try:
        prove(found.programs, paths, kernels, say or (lambda _: None))
    except BpfsmithError as error:
        found.errors = (*found.errors, error)

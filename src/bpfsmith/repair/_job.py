"""What `bpfsmith.repair` does."""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from bpfsmith.repair.report import Proof

__all__ = ["run", "source_of"]


def source_of(path: str, command: Sequence[str] | None = None, cache: str | None = None) -> Any:
    """How what is at `path` is copied and built."""
    if not os.path.exists(path):
        raise InputError("there is no such file or folder", where=path)
    if command is None and not path.endswith((".c", ".h")):
        from bpfsmith.source.project import find_project

        if path.endswith(".rs") or find_project(path) is not None:
            from bpfsmith.repair.cargo import CargoProject

            return CargoProject(path, cache=cache)
    from bpfsmith.repair.cfiles import CProject

    return CProject(path, command=command, cache=cache)


def run(
    path: Any, kernels: Any, program: str | Collection[str] | None, command: Sequence[str] | None, cache: str | None,
    builds: int, seconds: float, timeout: float, say: Callable[[str], None],
) -> list[Proof]:  # fmt: skip
    """See `repair`; of several programs those that the sources have."""
    from bpfsmith.repair.search import Search, Settings
    from bpfsmith.repair.tools import Runner

    source = source_of(os.fspath(path), command, cache)
    settings = Settings(kernels, builds=builds, seconds=seconds, timeout=timeout, say=say)
    with source.copy() as copy:
        say("building ..")
        search = Search(source, copy, Runner(timeout), settings)
        if isinstance(program, str) and not any(key[1] == program for key in search.first.rows):
            raise InputError(
                f"there is no program `{program}`",
                where=os.fspath(path),
                hint=f"it has {', '.join(sorted({key[1] for key in search.first.rows})) or 'none'}",
            )
        return [search.repair(key) for key in search.rejected(program)]

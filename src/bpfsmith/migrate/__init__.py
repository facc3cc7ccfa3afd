"""The job behind `bpfsmith migrate`: an Aya workspace from one release of Aya to another.

>>> import bpfsmith
>>> report = bpfsmith.migrate(".", to="0.14", write=False)                                  # doctest: +SKIP
>>> for one in report.decisions: print(one.path, one.line, one.message, one.advice)         # doctest: +SKIP
"""

from __future__ import annotations

from bpfsmith._verbs import make_callable
from bpfsmith.migrate.report import MigrateReport

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

__all__ = ["MigrateReport", "migrate"]


def migrate(
    path: str | os.PathLike[str] = ".",
    *,
    to: str,
    write: bool = True,
    unsafe_fixes: bool = False,
    allow_dirty: bool = False,
) -> MigrateReport:
    """Brings the Cargo workspace at or around `path` to Aya `to` (`0.12` to `0.16`): manifests of both sides, what
    moved in the sources, and the logger's set-up. Nothing is built or run.

    The report says what was done (`done`), what only a person can decide (`decisions`) and which commands come next;
    `diff` is all of it as text. With `write=False` nothing is written. `unsafe_fixes`: edits too that may change what
    the program does. `allow_dirty`: also where Git holds changes that are not committed.

    Raises `InputError` when there is no such release, no Aya project, a newer one already, or a dirty tree.
    """
    from os import PathLike, fspath

    from bpfsmith.migrate._job import run
    from bpfsmith.model.errors import InputError

    if not isinstance(path, str | PathLike):
        raise InputError(f"`path=` is {path!r:.60}", hint="give the folder of a workspace")
    if not isinstance(to, str):
        raise InputError(f"`to=` is {to!r:.60}", hint='give a release, such as "0.14"')
    return run(fspath(path), to, write=write, unsafe_fixes=unsafe_fixes, allow_dirty=allow_dirty)


make_callable(__name__)

"""Floor 4: `ps`, what is loaded into the running kernel.

>>> import bpfsmith
>>> for program in bpfsmith.ps().programs: print(program.id, program.type, program.name)     # doctest: +SKIP
"""

from __future__ import annotations

from bpfsmith._verbs import make_callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.ps.report import PsReport

__all__ = ["ps"]


def ps(
    kinds: str | Iterable[str] = ("programs", "maps", "links", "btf"),
    *,
    name: str = "",
    type: str = "",  # noqa: A002 - the word users know
    pid: int | None = None,
    id: int | None = None,  # noqa: A002
) -> PsReport:
    """Lists programs, maps, links and BTF of the running kernel, with who holds them, where they are pinned and what
    they are attached to. Needs CAP_SYS_ADMIN (`PermissionMissing` without); owners are those this user may look into.

    `kinds`: some of `programs`, `maps`, `links`, `btf`. Filters, all of which must hold: `name` (a glob: `count_*`),
    `type` (`xdp`, `ringbuf`, `tcx`), `pid` of a process holding it, `id`. Reading takes some milliseconds; what
    vanishes meanwhile is left out."""
    from bpfsmith.ps._job import run

    return run((kinds,) if isinstance(kinds, str) else tuple(kinds), name, type, pid, id)


make_callable(__name__)

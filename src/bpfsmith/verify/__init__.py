"""Floor 4: `verify`, which real kernels take a program.

>>> import bpfsmith
>>> report = bpfsmith.verify("prog.o", kernels="5.10..")                                    # doctest: +SKIP
>>> for row in report.programs: print(row.program, [one.verdict for one in row.results])    # doctest: +SKIP
count ['accepted', 'accepted', 'rejected']
"""

from __future__ import annotations

from bpfsmith._verbs import make_callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike
    from typing import Any

    from bpfsmith.model.object import Object
    from bpfsmith.verify.report import VerifyReport

__all__ = ["verify"]


def verify(
    paths: str | PathLike[str] | Object | Iterable[str | PathLike[str] | Object],
    *,
    kernels: str | Iterable[str] | None = None,
    programs: str | Iterable[str] | None = None,
    against: str | PathLike[str] | Object | None = None,
    attach_to: Mapping[str, Any] | None = None,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the domain
    map_sizes: Mapping[str, int] | None = None,
    loader: str | None = None,
    effort: bool = False,
    prove: bool = False,
    log: bool = False,
    log_level: int = 0,
    log_dir: str | PathLike[str] | None = None,
    timeout: float | None = None,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Has real kernels judge programs: each program of each object, alone, on each kernel. Needs no root for kernels of
    the lab; a verdict of one that is prepared takes a third of a second, and kernels are asked side by side.

    paths: objects, folders with objects, or what `bpfsmith.read` answered.
    kernels: series (`6.12`), ranges (`5.10..`: what is prepared of the default matrix within), `host` (the running
        kernel), releases, names given to `lab add`; a comma list or several. Without it every prepared kernel, and the
        running one where this process may load programs.
    programs: names (`fnmatch` patterns) of the programs to judge.
    against: an older version of the object, judged too: the report's `changes` say what got worse where.
    attach_to: program -> what it is bound to when it is loaded, for sections that do not say: a kernel function, hook
        or tracepoint; for `freplace` programs `PROGRAM[/FUNCTION]` of the same object or `FILE:PROGRAM[/FUNCTION]`.
    globals, map_sizes: as for `load`; those an object does not have are skipped as long as another has them.
    loader: `aya` or `libbpf`: what that loader refuses by itself is `cannot`, reason `loader` (default: by the object).
    effort: asks once more for where the verifier's effort goes: `Result.effort`.
    prove: compares what the facts say of each program (the earliest kernel) with what the kernels did, in the notes.
    log: keep whole logs (else their last 16 KiB). log_level: 1, 2, 4 (statistics) or a sum, asked for and kept whole
        for all programs; the kernel empties a log of level 1 when it accepts.
    log_dir: a folder the whole logs are written to, one file each: `Result.log` is then its path.
    timeout: seconds a guest may take for one program (default 300).
    strict: `cannot` counts as rejected, and a range must be prepared as a whole. progress: called with (cells done,
        cells in all), from any thread.

    Raises `InputError` for wrong arguments and files, `EnvironmentMissing` when there is no kernel to ask, with the
    command that gets one. What happens to a cell (a crash, a hang, no memory) costs that cell only."""
    from bpfsmith.verify._job import run

    return run(
        paths, kernels, programs, against, attach_to, globals, map_sizes, loader, effort, prove, log, log_level,
        log_dir, timeout, strict, progress,
    )  # fmt: skip


make_callable(__name__)

"""Floor 4: `repair`, changes to a rejected program that the real verifier accepts and that are shown to do no more."""

from __future__ import annotations

from bpfsmith._verbs import make_callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from os import PathLike

    from bpfsmith.repair.report import Proof

__all__ = ["repair"]

# What the search for one program may cost: changes that are built, seconds; seconds for one build.
BUILDS, SECONDS, TIMEOUT = 24, 900.0, 300.0


def repair(
    path: str | PathLike[str],
    kernels: str | Iterable[str] | None = None,
    program: str | None = None,
    *,
    command: Sequence[str] | None = None,
    cache: str | None = None,
    builds: int = BUILDS,
    seconds: float = SECONDS,
    timeout: float = TIMEOUT,
    say: Callable[[str], None] = lambda _: None,
) -> list[Proof]:
    """For each program that one of the kernels rejects: a change of the sources that all of them accept, and what was
    shown of it. Nothing of the user's is written: the project is copied, changed and built in the cache folder.

    path: an Aya workspace (or a file or folder in it), a C source, or a folder of C sources.
    kernels: as for `verify`. program: only this one.
    command: of C sources, the words that build one, with `{source}` and `{output}`; without it compile_commands.json, a
        Makefile, or clang with `--target=bpf -mcpu=v3 -O2 -g`.
    cache: where copies and what is built are kept (default: bpfsmith's cache folder).
    builds, seconds: what the search for one program may cost; timeout: seconds for one build, and for one program in a
    guest. say: told what is done.

    The project's own build is run, and with it its build scripts. Raises `InputError` for paths without a project,
    `BuildFailed` where the project as it is does not build, `EnvironmentMissing` for missing tools and kernels."""
    from bpfsmith.repair._job import run

    return run(path, kernels, program, command, cache, builds, seconds, timeout, say)


make_callable(__name__)

"""The job behind `bpfsmith check`: what is wrong with an object, a folder of objects, or a Cargo workspace."""

from __future__ import annotations

from bpfsmith._verbs import make_callable
from bpfsmith.check.report import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from typing import Any

    from bpfsmith.model.kernels import KernelSet

__all__ = ["Report", "check"]

ends_here = False  # set by a command line: the process ends after this check, so nothing need be taken apart


def check(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    kernels: str | KernelSet | None = None,
    select: str | Iterable[str] | None = None,
    ignore: str | Iterable[str] = (),
    loaders: str | Iterable[str] | None = None,
    btf: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    build: bool = False,
    fail_on: str | None = None,
    config: str | os.PathLike[str] | None = None,
    baseline: str | os.PathLike[str] | None = None,
    prove: bool = False,
    fix: bool = False,
    unsafe_fixes: bool = False,
    diff: bool = False,
    preview: bool = False,
    cache: bool = False,
    say: Callable[[str], None] | None = None,
) -> Report:
    """Checks objects and workspaces; the report holds findings sorted by place, and everything that went wrong.

    `kernels` is a set in the grammar of `--kernels` (`5.10..`); without it (and without one in `bpfsmith.toml`) nothing
    is too new. `select` and `ignore` name rules by code, name, prefix or group; those in preview run with `preview`,
    else when named by code or name. `btf` are BTF files of kernels to
    resolve CO-RE relocations against. One of a kind needs no list. Nothing of a project is executed unless `build` is
    true. `prove`: real kernels judge the programs (as `verify` has them), and back or contradict what is said of
    kernels; without it none is booted or asked.

    `fix`: makes the safe fixes (with `unsafe_fixes` those too that change what a program does), in files of the project
    only; the report is about what is left, and `Report.mended` says what was done. `diff` says what would be done, as
    `Report.mended.diff`, and writes nothing. With `prove` too: programs that kernels reject are repaired; candidates
    are built in a copy by the project's own build, verified, and shown to do no more than fail where the program was
    refused (see `bpfsmith.repair`). `say` is told what is done meanwhile.

    `cache`: what an earlier call in another process found is taken when nothing it looked at has changed since; it must
    be the first check of this process.

    Raises `InputError` when the arguments or the configuration cannot be used at all; a single bad file is in
    `Report.errors` instead, and the others are still checked.
    """
    from os import PathLike, fspath

    from bpfsmith.model.errors import InputError

    listed = _paths("paths", paths)
    _words("select", select)
    _words("ignore", ignore)
    _words("loaders", loaders)
    if kernels is not None and not isinstance(kernels, str):
        from bpfsmith.model.kernels import KernelSet

        if not isinstance(kernels, KernelSet):
            raise InputError(f"`kernels=` is {kernels!r:.60}", hint="give a set such as `5.10..`")
    for name, value in (("config", config), ("baseline", baseline)):
        if value is not None and not isinstance(value, str | PathLike):
            raise InputError(f"`{name}=` is {value!r:.60}", hint="give the path of a file")
    asked: dict[str, Any] = {
        "kernels": kernels,
        "select": None if select is None else _listed(select),
        "ignore": _listed(ignore),
        "loaders": None if loaders is None else _listed(loaders),
        "btf": tuple(_paths("btf", () if btf is None else btf)),
        "build": build,
        "fail_on": fail_on,
        "config": None if config is None else fspath(config),
        "baseline": None if baseline is None else fspath(baseline),
        "prove": prove,
        "preview": preview,
    }

    def work(**other: bool) -> Report:
        from bpfsmith.check.engine import Options, run

        return run(listed, Options(**(asked | other), last=ends_here and not (fix or diff)))

    if fix or diff:
        from bpfsmith.check.fix import SAFE, UNSAFE, mend
        from bpfsmith.check.repairs import Repairs

        repairs = Repairs(listed, kernels, say or (lambda _: None)) if prove else None
        rounds = iter(range(1 << 30))

        def a_round() -> Report:
            # The project's own build runs once; kernels are asked about what the rounds end with, and by `repairs`
            # before the first one.
            report = work(prove=False)
            asked["build"] = False
            return repairs.into(report) if repairs is not None and not next(rounds) else report

        accept = UNSAFE if unsafe_fixes else SAFE
        report = mend(a_round, accept, write=not diff, last=work if prove else None)
        if repairs is not None and report.mended is not None:
            report = repairs.left(report, report.mended.mended, unsafe=unsafe_fixes, diff=diff)
        return report
    if cache and not build and not prove and (kernels is None or isinstance(kernels, str)):
        from bpfsmith.check.cache import through

        return through((*listed, *asked.items()), work)
    return work()


def _paths(name: str, told: object) -> list[str]:
    """One path or several, as text."""
    from os import PathLike, fspath

    from bpfsmith.model.errors import InputError

    several: list[Any] = list(told) if hasattr(told, "__iter__") and not isinstance(told, str | bytes) else [told]
    if not all(isinstance(one, str | PathLike) for one in several):
        raise InputError(f"`{name}=` is {told!r:.60}", hint="give a path, or several")
    return [fspath(one) for one in several]


def _words(name: str, told: object) -> None:
    if told is not None and not (hasattr(told, "__iter__") and all(isinstance(one, str) for one in told)):
        from bpfsmith.model.errors import InputError

        raise InputError(f"`{name}=` is {told!r:.60}", hint="give a word, or several")


def _listed(words: str | Iterable[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)


make_callable(__name__)

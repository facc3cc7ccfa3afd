"""The job behind `bpfsmith check`: what is wrong with an object, a folder of objects, or a Cargo workspace."""

from __future__ import annotations

from bpfsmith._verbs import make_callable
from bpfsmith.check.report import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from bpfsmith.model.kernels import KernelSet

__all__ = ["Report", "check"]


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
) -> Report:
    """Checks objects and workspaces; the report holds findings sorted by place, and everything that went wrong.

    `kernels` is a set in the grammar of `--kernels` (`5.10..`); without it (and without one in `bpfsmith.toml`) nothing
    is too new. `select` and `ignore` name rules by code, name, prefix or group. `btf` are BTF files of kernels to
    resolve CO-RE relocations against. One of a kind needs no list. Nothing of a project is executed unless `build` is
    true.

    Raises `InputError` when the arguments or the configuration cannot be used at all; a single bad file is in
    `Report.errors` instead, and the others are still checked.
    """
    from os import PathLike, fspath

    from bpfsmith.check.engine import Options, run

    listed = [paths] if isinstance(paths, str | PathLike) else list(paths)
    options = Options(
        kernels=kernels,
        select=None if select is None else _listed(select),
        ignore=_listed(ignore),
        loaders=None if loaders is None else _listed(loaders),
        btf=tuple(fspath(one) for one in ([btf] if isinstance(btf, str | PathLike) else btf or ())),
        build=build,
        fail_on=fail_on,
        config=None if config is None else fspath(config),
        baseline=None if baseline is None else fspath(baseline),
    )
    return run([fspath(path) for path in listed], options)


def _listed(words: str | Iterable[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)


make_callable(__name__)

"""What `bpfsmith.verify` does: files and kernels to cells, verdicts to a report."""

from __future__ import annotations

from os import fspath
from os.path import isdir

from bpfsmith.model.errors import BpfsmithError, InputError
from bpfsmith.model.object import Object
from bpfsmith.verdict import loaders
from bpfsmith.verdict.items import Given, chosen
from bpfsmith.verify._kernels import get_command, targets
from bpfsmith.verify._work import Work
from bpfsmith.verify.report import JudgedKernel, Result, Row, VerifyReport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from bpfsmith.model.program import Program
    from bpfsmith.verdict import Judged
    from bpfsmith.verdict.items import Item

__all__ = ["run"]

EXT = 28


def run(
    paths: Any, kernels: Any, programs: Any, against: Any, attach_to: Mapping[str, Any] | None,
    values: Mapping[str, Any] | None, map_sizes: Mapping[str, int] | None, loader: str | None, effort: bool,
    prove: bool, log: bool, log_level: int, log_dir: Any, timeout: float | None, strict: bool, progress: Any,
    steps: bool = False,
) -> VerifyReport:  # fmt: skip
    """See `verify`. `steps`: logs of what is rejected have the state behind every instruction."""
    _check(loader, log_level, timeout)
    objects, errors = _objects(paths)
    old, old_errors = _objects(against) if against is not None else ([], [])
    if old_errors:
        raise old_errors[0]
    left: list[str] = []
    asked = targets(kernels, complete=strict, left=left)
    given = Given(attach_to or {}, values or {}, map_sizes or {}, loader, log_level)
    notes = [f"not prepared: {', '.join(left)}; `{get_command(left)}` gets them"] if left else []
    items = given.items([(obj, program) for obj in objects for program in chosen(obj, programs)], notes)
    given.check(objects)
    if programs is not None and not items and not errors:
        raise _no_such(programs, objects)
    earlier = given.items([(obj, program) for obj in old for program in chosen(obj, programs)], []) if old else []
    whole = log or bool(log_level) or log_dir is not None
    extra = _effort if effort else _steps if steps else None
    writer = _Writer(log_dir) if log_dir is not None else None  # before guests are asked for minutes
    report = getattr(progress, "say", lambda _: None)  # of one that can tell more than counts
    work = Work([*items, *earlier], asked, timeout=timeout, progress=progress, extra=extra, whole=whole, report=report)
    work.run()
    columns = _columns(work, asked)
    _near(work, items, [at for at in columns if at not in work.errors])
    rows = _rows(work, items, 0, columns, writer)
    old_rows = _rows(work, earlier, len(items), columns, None)
    if prove:
        from bpfsmith.verify.claims import claims

        notes += claims(items, rows, {one.name: one.release for one in asked})
    changes = None
    if old:
        from bpfsmith.verify.against import changes as compared

        changes = compared(old_rows, rows)
    return VerifyReport(
        [JudgedKernel(asked[at].name, asked[at].release) for at in columns],
        rows,
        errors=[*errors, *_once(error for error in work.errors.values() if error.exit_code == 3)],
        notes=notes,
        changes=changes,
        old=fspath(against) if isinstance(against, str) or hasattr(against, "__fspath__") else "",
        strict=strict,
        unprepared=left,
        untried=[asked[at].name for at in columns if at in work.errors],
    )


def _check(loader: str | None, log_level: int, timeout: float | None) -> None:
    if loader is not None and loader not in loaders.LOADERS:
        raise InputError(f"unknown loader `{loader}`", hint=f"known are {' and '.join(loaders.LOADERS)}")
    if not isinstance(log_level, int) or not 0 <= log_level < 8:
        raise InputError(
            f"`log_level={log_level}` (`--log-level`) is no log level",
            hint="1, 2 (more), 4 (statistics), or a sum of them",
        )
    if timeout is not None and not 0 < timeout < 1e6:
        raise InputError(
            f"`timeout={timeout}` (`--timeout`) is no time limit", hint="seconds a guest may take for one program"
        )


# ------------------------------------------------------------ which programs


def _objects(paths: Any) -> tuple[list[Object], list[BpfsmithError]]:
    """Objects in the order of the paths, folders walked; what is wrong with others."""
    from bpfsmith.read import find_objects, read_many

    told = [paths] if isinstance(paths, str | Object) or hasattr(paths, "__fspath__") else list(paths)
    found: list[Any] = []
    errors: list[BpfsmithError] = []
    for one in told:
        if isinstance(one, Object):
            found.append(one)
            continue
        path = fspath(one)
        inside = find_objects(path) if isdir(path) else [path]
        if not inside:
            errors.append(
                InputError(f"no eBPF object in `{path}`", path, "build the programs first, or name an object")
            )
        found += inside
    names = list(dict.fromkeys(one for one in found if not isinstance(one, Object)))
    read = dict(zip(names, read_many(names), strict=True)) if names else {}
    objects: list[Object] = []
    for one in found:
        made = one if isinstance(one, Object) else read.pop(one, None)
        if isinstance(made, Object) and not made.programs:
            from bpfsmith.read._diagnose import no_program

            errors.append(no_program(made.path))
        elif isinstance(made, Object):
            objects.append(made)
        elif made is not None:
            errors.append(made)
    if not objects and errors:
        raise errors[0]
    return objects, errors


def _no_such(patterns: Any, objects: list[Object]) -> BpfsmithError:
    from bpfsmith.run.options import unknown

    word = patterns if isinstance(patterns, str) else ", ".join(map(str, patterns))
    return unknown("program", word, [one.name for obj in objects for one in obj.programs], objects[0].path)


# ------------------------------------------------------------ what came of it


def _columns(work: Work, asked: list[Any]) -> list[int]:
    """All kernels: the cells of one that could not be tried say why. When this machine can start none of them, the
    first error is raised."""
    every = range(len(asked))
    if work.errors and all(at in work.errors and work.errors[at].exit_code == 3 for at in every):
        raise next(iter(work.errors.values()))
    return list(every)


def _once(errors: Iterable[BpfsmithError]) -> list[BpfsmithError]:
    """What this machine lacks is the same for each kernel: said once."""
    return list({str(error): error for error in errors}.values())


def _near(work: Work, items: list[Item], columns: list[int]) -> None:
    """What no kernel has at all may be a slip of the pen: names like it, of the last kernel."""
    from bpfsmith.run.planner import plan_object

    known: dict[str, str] = {}
    for number, item in enumerate(items):
        cells = [work.cells[number][at] for at in columns]
        if not cells or any(one is None or one.reason not in ("attach-target", "kfunc") for one in cells):
            continue
        kernel = work.kernel(columns[-1])
        said = next(one.message for one in cells if one is not None)
        if kernel is not None and said not in known:
            options = item.request.options(item.object, item.program)
            options.near = True
            try:
                plan_object(item.object, kernel, options)
            except BpfsmithError as error:
                known[said] = error.hint
        for one in cells:
            if one is not None and "did you mean" in (hint := known.get(said, "")):
                one.why = hint


def _rows(work: Work, items: list[Item], first: int, columns: list[int], writer: _Writer | None) -> list[Row]:
    rows = []
    for number, item in enumerate(items, first):
        row = Row(item.object.path, item.program.name, _section(item.program), item.loader)
        for at in columns:
            judged = work.cells[number][at]
            if judged is None:
                continue
            result = Result(work.targets[at].name, judged, item.program)
            if result.path and result.instruction is not None:
                _own_line(item.program, result)
            result.effort = work.extras.get((number, at))
            if writer is not None:
                result.log = writer.write(row, result, judged.log)
            row.results.append(result)
        rows.append(row)
    return rows


def _own_line(program: Program, result: Result) -> None:
    from bpfsmith.verify.places import own, text

    assert result.path is not None
    assert result.instruction is not None
    path, line = own(program, result.instruction, result.path, result.line or 0)
    if (path, line) != (result.path, result.line):
        inlined = f"inlined from {result.path}:{result.line}"
        result.why = f"{result.why} ({inlined})" if result.why else inlined
        result.path, result.line = path, line
    result.source = text(program, result.instruction, path, line)


def _section(program: Program) -> str:
    return program.section if program.autoload else f"?{program.section}"


class _Writer:
    """Logs as files of a folder: OBJECT.PROGRAM.KERNEL.log."""

    def __init__(self, folder: Any) -> None:
        from os import makedirs

        self.folder = fspath(folder)
        try:
            makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise self._failed(error) from None
        self._taken: set[str] = set()

    def write(self, row: Row, result: Result, log: str) -> str | None:
        """Its path; None without a log."""
        from os.path import basename, join

        if not log:
            return None
        stem = "".join(
            one if one.isalnum() or one in "._-" else "_"
            for one in f"{basename(row.object).partition('.')[0]}.{row.program}.{result.kernel}"
        )
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}.{number}"
        self._taken.add(name)
        path = join(self.folder, f"{name}.log")
        try:
            with open(path, "w", encoding="utf-8", errors="replace") as file:
                file.write(log)
        except OSError as error:
            raise self._failed(error) from None
        return path

    def _failed(self, error: OSError) -> InputError:
        why = (error.strerror or str(error)).lower()
        return InputError(f"cannot write logs to `{self.folder}`: {why}", self.folder, "give another `--log-dir`")


def _effort(item: Item, judged: Judged) -> Any:
    """Once more, with every instruction the verifier follows."""
    if judged.verdict == "cannot":
        return None
    from bpfsmith.kernel import live
    from bpfsmith.verdict import judge
    from bpfsmith.verify.effort import Effort

    traced = judge(item.object, item.program, item.request.copy(log_level=2))
    asked = live()
    return Effort(item.program, judged, traced.log, asked.series, asked.arch)


FIXED = 8  # of the log's levels, since 6.4: the beginning of a log that is too long is kept, and the kernel stops there
LARGE = 4 << 20  # bytes of the log of a program that is followed to the limit
LONG = 50_000  # instructions: beyond, a state for each of them would be hundreds of megabytes


def _steps(item: Item, judged: Judged) -> None:
    """Once more with a state behind each instruction; of a program that was too much only the beginning."""
    if judged.verdict != "rejected" or judged.errno == 0:
        return
    from bpfsmith.kernel import live
    from bpfsmith.model.kernels import series_key
    from bpfsmith.verdict import judge

    if (judged.told.processed or 0) <= LONG:
        traced = judge(item.object, item.program, item.request.copy(log_level=2))
        if traced.message == judged.message and traced.told.message:
            judged.log, judged.instruction = traced.log, traced.instruction
        return
    series = live().series
    level = 1 | FIXED if series and series_key(series) >= (6, 4) else 1
    traced = judge(item.object, item.program, item.request.copy(log_level=level, log_limit=LARGE))
    if traced.message == judged.message and traced.log:
        judged.log = f"{traced.log.rstrip()}\n{judged.log.lstrip()}"

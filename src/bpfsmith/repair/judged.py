"""What kernels say of the programs of a build, and why they refuse one."""

from __future__ import annotations

import os
import shutil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.verify.cause import Cause, Trace
    from bpfsmith.verify.report import Result, Row

__all__ = ["Built", "Why", "why"]

# What a change of the program's lines does not mend.
OUTSIDE = frozenset({"environment", "kernel-bug", "attach-target", "loader-or-metadata"})


class Built:
    """One build: `objects` by name, `rows` by (object, program) with what the kernels said."""

    __slots__ = ("objects", "rows")

    def __init__(self, paths: Iterable[str], folder: str) -> None:
        """`folder`: where objects are kept while the next build writes to `paths` again."""
        from bpfsmith.read import read

        os.makedirs(folder, exist_ok=True)
        self.objects: dict[str, Object] = {}
        for path in paths:
            name = os.path.basename(path)
            self.objects[name] = read(shutil.copy(path, os.path.join(folder, name)))
        self.rows: dict[tuple[str, str], Row] = {}

    def ask(
        self, kernels: Sequence[str] | str | None, programs: Sequence[str] | None = None, *, log: bool, timeout: float
    ) -> None:
        """Has the kernels judge programs (all without `programs`); `log`: with the verifier's whole log."""
        from bpfsmith.verify import verify

        chosen = [
            one for one in self.objects.values()
            if programs is None or any(program.name in programs for program in one.programs)
        ]  # fmt: skip
        if not chosen:
            return
        report = verify(chosen, kernels=kernels, programs=programs, log=log, log_level=2 if log else 0, timeout=timeout)
        by_path = {one.path: name for name, one in self.objects.items()}
        for row in report.programs:
            self.rows[by_path.get(row.object, row.object), row.program] = row

    def results(self, key: tuple[str, str]) -> dict[str, Result]:
        """Kernel -> what it said of one program; those that could not be asked are left out."""
        row = self.rows.get(key)
        return {} if row is None else {one.kernel: one for one in row.results if one.verdict != "cannot"}

    def program(self, key: tuple[str, str]) -> Program:
        found = self.objects[key[0]].program(key[1])
        if found is None:
            raise KeyError(key[1])
        return found


class Why:
    """Why one kernel refuses a program: `cause` with its `trace`; `kernel`, `message`: of that kernel; `family`: of the
    message."""

    __slots__ = ("cause", "family", "kernel", "message", "trace")

    def __init__(self, kernel: str, message: str, cause: Cause, trace: Trace | None, family: str = "") -> None:
        self.kernel = kernel
        self.message = message
        self.cause = cause
        self.trace = trace
        self.family = family

    @property
    def outside(self) -> bool:
        """Whether no change of the program's lines mends it."""
        return self.cause.cls in OUTSIDE

    def __repr__(self) -> str:
        return f"<Why {self.kernel}: {self.cause!r}>"


def why(result: Result, program: Program) -> Why:
    """The cause of a rejection."""
    from bpfsmith.verify.explained import explained, parsed

    log = parsed(result.log or result.message or "")
    one = explained(log, program=program, release=result.kernel, rejected=result.verdict == "rejected")
    cause = one.cause
    if cause is None or (cause.cls == "unknown" and not one.message):
        from bpfsmith.verify.cause import Cause

        cause = Cause("unknown", "low", result.message or "the kernel does not say why")
    return Why(result.kernel, result.message or "", cause, one.trace, one.family or "")

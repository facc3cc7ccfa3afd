"""Verdicts for a user without capabilities, in guests of the lab that let such users load programs.

    for kernel, path, said in judge(["filter.o"], ["5.10", "6.12"]): print(kernel, said["verdict"], said["message"])

What such a user may not make (types, some kinds of maps) is made by root; the program is loaded without capabilities.
The file runs itself inside the guest: `unprivileged.py inside ANSWER OBJECT...`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

NOBODY = 65534
_SWITCH = "/proc/sys/kernel/unprivileged_bpf_disabled"
_ANSWER = "answer.json"
_ENDING = 120  # seconds one guest may take for all objects


def judge(paths: Sequence[str], kernels: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(kernel, path, {program, verdict, reason, message, log}) of each program of each object on each kernel. Raises
    `AssertionError` with what the guest printed when it gave no answer."""
    import bpfsmith

    # The one that runs here, installed or a source tree: in a folder of its own the child would not find it.
    env = {**os.environ, "PYTHONPATH": str(Path(bpfsmith.__file__ or "").resolve().parents[1])}
    for kernel in kernels:
        with tempfile.TemporaryDirectory() as folder:
            names = {}
            for number, path in enumerate(paths):
                names[f"{number}.o"] = path
                shutil.copyfile(path, Path(folder) / f"{number}.o")
            shutil.copyfile(__file__, Path(folder) / "unprivileged.py")
            inside = ["python3", "unprivileged.py", "inside", _ANSWER, *names]
            main = "import sys; from bpfsmith.cli import main; sys.exit(main())"
            words = ["lab", "exec", kernel, "--get", _ANSWER, "--timeout", f"{_ENDING}s", "--", *inside]
            done = subprocess.run(
                [sys.executable, "-c", main, *words], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            answer = Path(folder) / _ANSWER
            assert done.returncode == 0 and answer.exists(), f"{kernel}: {done.stdout}{done.stderr}"
            for name, said in json.loads(answer.read_text(encoding="utf-8")):
                yield kernel, names[name], said


def _inside(answer: str, names: Sequence[str]) -> None:
    """In the guest, as root: judges the objects of the current folder."""
    import bpfsmith
    from bpfsmith.kernel._door import Door

    Path(_SWITCH).write_text("0", encoding="ascii")
    whole = Door.replay_once

    def as_nobody(
        self: Door, steps: Sequence[Any], slots: int, given: Sequence[tuple[int, int]] = (), log_level: int = 0,
        log_limit: int = 1 << 30,
    ) -> Any:  # fmt: skip
        """Every step as nobody; those before the last as root where nobody else may."""
        kept, known, last = [], list(given), len(steps) - 1
        for at, step in enumerate(steps[:-1]):
            for user in (NOBODY, 0):
                os.seteuid(user)
                try:
                    made, failure, logs = self.replay([step], slots, known, log_level)
                finally:
                    os.seteuid(0)
                if failure is None:
                    break
            else:
                return (at, *failure[1:]), [(at, log) for _, log in logs], []
            kept.append(made)
            known += [(slot, fd.fileno()) for slot, fd in enumerate(made) if fd is not None]
        os.seteuid(NOBODY)
        try:
            failure, logs, infos = whole(self, [steps[last]], slots, known, log_level, log_limit)
        finally:
            os.seteuid(0)
        if failure is not None:
            failure = (failure[0] + last, *failure[1:])
        return failure, [(at + last, log) for at, log in logs], [(at + last, info) for at, info in infos]

    out = []
    Door.replay_once = as_nobody  # type: ignore[method-assign]
    for name in names:
        report = bpfsmith.verify(name, kernels="host", log=True)
        for error in report.errors:
            raise SystemExit(f"{name}: {error}")
        for row in report.programs:
            for one in row.results:
                said = {"verdict": one.verdict, "reason": one.reason or "", "message": one.message or ""}
                out.append((name, {"program": row.program, **said, "log": one.log or ""}))
    Path(answer).write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    assert sys.argv[1] == "inside"
    _inside(sys.argv[2], sys.argv[3:])

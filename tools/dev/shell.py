"""What every step of `dev` stands on: where things are, running a command and saying so, stamps, what is missing."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
BIN = VENV / "bin"
BUILD = ROOT / "build"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bpfsmith"

# `_agent` is built from `crates`, which count.
NOT_CONTENT = frozenset({
    "__pycache__", "target", "_agent", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache",
})  # fmt: skip


class Missing(Exception):
    """This machine lacks something: what, and the command that gets it. Exit code 3."""

    def __init__(self, what: str, command: str = "") -> None:
        super().__init__(what)
        self.command = command

    def __str__(self) -> str:
        what = str(self.args[0])
        return f"{what}; `{self.command}` gets it" if self.command else what


class Failed(Exception):
    """A command ended with an error; its output has been shown. Exit code 1."""


def say(text: str) -> None:
    """One line for the developer, on standard error, so that the output of what runs stays by itself."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    """Ends the step with one line that says why."""
    raise Failed(text)


def environment(extra: Mapping[str, str] | None = None, path: Iterable[Path] = ()) -> dict[str, str]:
    """The environment of a child: our venv first, no PYTHONPATH of the caller that puts `src/` before the wheel."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    env["PATH"] = os.pathsep.join([*(str(folder) for folder in path), str(BIN), env.get("PATH", os.defpath)])
    env["VIRTUAL_ENV"] = str(VENV)
    env.update(extra or {})
    return env


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    path: Iterable[Path] = (),
    quiet: bool = False,
    cwd: Path = ROOT,
    about: str = "",
) -> None:
    """Runs `command` from the root, saying so. `quiet` shows its output only when it fails; `about` says first what a
    long step does and how long that takes on an idle machine. Raises `Failed`."""
    words = [str(word) for word in command]
    shown = [relative(word) for word in words]
    say(f"+ {about}: {shlex.join(shown)}" if about else f"+ {shlex.join(shown)}")
    where = environment(env, path)
    if not quiet:
        code = subprocess.run(words, cwd=cwd, env=where, check=False, stdin=subprocess.DEVNULL).returncode
    else:
        done = subprocess.run(
            words, cwd=cwd, env=where, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        code = done.returncode
        if code:
            say(done.stdout.rstrip())
    if code:
        raise Failed(f"`{shlex.join(shown[:4])}{' ...' if len(shown) > 4 else ''}` ended with {code}")


def capture(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> str:
    """The output of a command that asks something; empty when it cannot be run or fails."""
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False, env=env,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def relative(word: str) -> str:
    """A path under the root as a person would type it there."""
    return word.removeprefix(f"{ROOT}/") if word != str(ROOT) else "."


def content_hash(*names: str, also: str = "") -> str:
    """SHA-256 over names and bytes of the given files and folders under the root, and over `also`."""
    digest = hashlib.sha256(also.encode())
    for name in names:
        start = ROOT / name
        for path in sorted(_files(start)):
            digest.update(f"{path.relative_to(ROOT)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(start: Path) -> Iterable[Path]:
    if start.is_file():
        yield start
        return
    for folder, folders, files in os.walk(start):
        folders[:] = [name for name in folders if name not in NOT_CONTENT]
        yield from (Path(folder) / name for name in files if not name.endswith((".so", ".pyc")))


class Stamp:
    """Says whether a step was done for the same content before; kept inside `.venv`, so it goes with it."""

    def __init__(self, name: str, key: str) -> None:
        self.path = VENV / f".stamp-{name}"
        self.key = key

    @property
    def fresh(self) -> bool:
        try:
            return self.path.read_text() == self.key
        except OSError:
            return False

    def set(self) -> None:
        self.path.write_text(self.key)


class Timer:
    """Times of the parts of a run, for the table at the end."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float]] = []

    def part(self, name: str) -> _Part:
        return _Part(self, name)

    def table(self) -> str:
        width = max((len(name) for name, _ in self.rows), default=0)
        return "\n".join(f"  {name:{width}}  {seconds:7.1f} s" for name, seconds in self.rows)


class _Part:
    def __init__(self, timer: Timer, name: str) -> None:
        self.timer, self.name = timer, name

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.timer.rows.append((self.name, time.monotonic() - self.start))

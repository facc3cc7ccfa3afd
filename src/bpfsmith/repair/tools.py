"""Running a build: with a time limit, ended with all it started, and nothing on the terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess

from bpfsmith.model.errors import EnvironmentMissing, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BuildFailed", "Runner", "tail"]

_LINES = 12
_ERROR = re.compile(r"(^|[\s:])(fatal )?error(\[\w+\])?:")


class BuildFailed(InputError):
    """A build ended with an error, or took too long. `output`: all it printed."""

    block = True

    def __init__(self, message: str, where: str = "", hint: str = "", output: str = "") -> None:
        super().__init__(message, where, hint)
        self.output = output


def rendered(output: str) -> list[str]:
    """The lines a build printed; of messages that Cargo wrote as JSON those that the compiler made for people."""
    out: list[str] = []
    for line in output.strip().splitlines():
        start = line.find('{"reason":')
        if start < 0:
            out.append(line)
            continue
        import json

        try:
            message = json.loads(line[start:]).get("message")
        except (ValueError, RecursionError):
            out.append(line)
            continue
        text = message.get("rendered") if isinstance(message, dict) else None
        if isinstance(text, str):
            out += text.strip().splitlines()
    return out


def tail(output: str) -> str:
    """What a person reads first of what a build printed: the first error and some lines after it, else the end."""
    lines = rendered(output)
    first = next((at for at, line in enumerate(lines) if _ERROR.search(line)), max(0, len(lines) - _LINES))
    return "\n".join(lines[first : first + _LINES])


class Runner:
    """Runs commands, each for `seconds` at most. What a command started is ended with it, also on Ctrl-C."""

    __slots__ = ("last", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last = ""  # the command that was run last, as a person types it

    def __call__(self, command: Sequence[str], folder: str, env: Mapping[str, str]) -> str:
        """What it printed. `BuildFailed` when it fails, `EnvironmentMissing` when it cannot be started."""
        import shlex

        self.last = shlex.join(command)
        try:
            process = subprocess.Popen(
                list(command), cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise EnvironmentMissing(
                f"cannot run `{command[0]}`: {error.strerror}", "install it, or put it in PATH", where=folder
            ) from error
        try:
            data, _ = process.communicate(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            raise BuildFailed(
                f"the build took more than {self.seconds:g} s and was ended: `{self.last}`",
                folder,
                "build it by hand once, or give it more time",
            ) from None
        except BaseException:
            _end(process)
            raise
        output = data.decode("utf-8", "replace")
        if process.returncode:
            raise BuildFailed(
                f"the build failed: `{self.last}`\n{tail(output)}", folder, "build it by hand to see all of it", output
            )
        return output


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends it and what it started: it leads a session of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            continue
        break

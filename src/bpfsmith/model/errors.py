"""The tree of errors bpfsmith raises; catch the base class to catch them all.

BpfsmithError                 anything below
|- InputError                 exit 2: the caller's arguments, files or configuration
|- EnvironmentMissing         exit 3: this machine lacks something; says what and the command that gets it
`- ToolError                  exit 4: our bug; says how to report it

>>> try:
...     raise InputError("`a.o` is not an ELF file", where="a.o", hint="pass an object built with `clang --target=bpf`")
... except BpfsmithError as error:
...     print(error.exit_code, error)
2 `a.o` is not an ELF file (pass an object built with `clang --target=bpf`)
"""

from __future__ import annotations

__all__ = ["BpfsmithError", "EnvironmentMissing", "InputError", "ToolError"]

# There is no address in it on purpose: a wheel may come from a fork, and only its README knows where that lives.
REPORT = "this is a bug in bpfsmith; report it with the command, its output under BPFSMITH_DEBUG=1 and the file"


class BpfsmithError(Exception):
    """Base of every error raised on purpose; `message` is one lower-case sentence without a full stop."""

    exit_code = 4

    def __init__(self, message: str, where: str = "", hint: str = "") -> None:
        super().__init__(message, where, hint)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = self.message
        # `where` is repeated only when the message does not name it already.
        if self.where and self.where not in text:
            text = f"{self.where}: {text}"
        return f"{text} ({self.hint})" if self.hint else text

    def to_json(self) -> dict[str, str]:
        """`{"kind","message","where","hint"}` as `check --format json` lists it under `errors`."""
        return {"kind": type(self).__name__, "message": self.message, "where": self.where, "hint": self.hint}


class InputError(BpfsmithError):
    """Wrong usage or input: exit 2. The hint is the next step."""

    exit_code = 2


class EnvironmentMissing(BpfsmithError):
    """The machine lacks something: exit 3. `command` is what gets it."""

    exit_code = 3

    def __init__(self, message: str, command: str, where: str = "") -> None:
        super().__init__(message, where, f"get it with `{command}`" if command else "")
        self.command = command


class ToolError(BpfsmithError):
    """Our bug: exit 4. The text says how to report it."""

    exit_code = 4

    def __init__(self, message: str, where: str = "", hint: str = "") -> None:
        super().__init__(
            message,
            where,
            hint or REPORT,
        )

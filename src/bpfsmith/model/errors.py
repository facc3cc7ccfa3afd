"""The tree of errors bpfsmith raises; catch the base class to catch them all.

BpfsmithError                 anything below
|- InputError                 exit 2: the caller's arguments, files or configuration
|  |- UnknownName             no program, map, global, field or link of that name (near matches in the hint)
|  |- KeyMissing              no such key in a map; also a `KeyError`
|  |- ValueMismatch           a key, value or global of the wrong type or size
|  |- TargetMissing           nothing to attach to: symbol, tracepoint, interface, cgroup, file
|  `- PinMismatch             a pinned object that is not the one this object declares
|- EnvironmentMissing         exit 3: this machine lacks something; says what and the command that gets it
|  |- PermissionMissing       a capability, lockdown or a setting forbids it
|  `- Unsupported             this kernel does not have it: what, since when, what instead
|- KernelError                exit 1: the kernel refused a command: `command`, `errno`
|  |- VerifierRejected        ... a program: `program`, `log`, `reason`
|  |- GuestFailed             a lab guest crashed, hung or ran out of memory: `what`, `console`
|  |- MapFull                 ... more entries: `stored` says how many of those given are in
|  `- TargetGone              what a link was attached to is no longer there
|- Closed                     exit 2: a map, program, link or object used after it was closed
|- BadRecord                  exit 1: an event that does not fit its type: `data` holds its bytes
`- ToolError                  exit 4: our bug; says how to report it

>>> try:
...     raise InputError("`a.o` is not an ELF file", where="a.o", hint="pass an object built with `clang --target=bpf`")
... except BpfsmithError as error:
...     print(error.exit_code, error)
2 `a.o` is not an ELF file (pass an object built with `clang --target=bpf`)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from bpfsmith._rejection import Cause, Explained
    from bpfsmith.model.program import Program

__all__ = [
    "BadRecord",
    "BpfsmithError",
    "Closed",
    "EnvironmentMissing",
    "GuestFailed",
    "InputError",
    "KernelError",
    "KeyMissing",
    "MapFull",
    "PermissionMissing",
    "PinMismatch",
    "TargetGone",
    "TargetMissing",
    "ToolError",
    "UnknownName",
    "Unsupported",
    "ValueMismatch",
    "VerifierRejected",
]

# There is no address in it on purpose: a wheel may come from a fork, and only its README knows where that lives.
REPORT = "this is a bug in bpfsmith; report it with the command, its output under BPFSMITH_DEBUG=1 and the file"


class BpfsmithError(Exception):
    """Base of every error raised on purpose; `message` is one lower-case sentence without a full stop.

    `lacks`: what an object that cannot be loaded lacks, in the words of `verify`: `prog-type`, `map`, `attach-target`,
    `kfunc`, `btf`, `config`, `loader`, `no-target-given`, `memory`; "" when nobody said. `block`: the message's further
    lines are what a program printed."""

    exit_code = 4
    block = False
    lacks = ""

    def __init__(self, message: str, where: str = "", hint: str = "") -> None:
        super().__init__(message, where, hint)
        self.message = message
        self.where = where
        self.hint = hint

    def lacking(self, what: str) -> Self:
        """Itself, with `lacks` set."""
        self.lacks = what
        return self

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
    """The machine lacks something: exit 3. `command` is what gets it; `hint`: the sentence where that is not "get it
    with" the command."""

    exit_code = 3

    def __init__(self, message: str, command: str, where: str = "", hint: str = "") -> None:
        super().__init__(message, where, hint or (f"get it with `{command}`" if command else ""))
        self.command = command


class UnknownName(InputError):
    """No program, map, global, field or link of that name; the hint offers near matches."""


class KeyMissing(InputError, KeyError):
    """No such key in a map, or no such index in an array; a `KeyError` too, as the mapping protocol wants it."""


class ValueMismatch(InputError):
    """A key, value or global of the wrong type or size; the message says what was expected."""


class TargetMissing(InputError):
    """What should be attached to does not exist: a symbol, tracepoint, interface, cgroup or file."""


class PinMismatch(InputError):
    """What is pinned there is not what the object declares; the message lists every difference."""


class PermissionMissing(EnvironmentMissing):
    """A capability (`capability`: `CAP_BPF`), lockdown or a sysctl forbids it."""

    def __init__(self, message: str, command: str = "", where: str = "", capability: str = "") -> None:
        super().__init__(message, command, where)
        self.capability = capability


class Unsupported(EnvironmentMissing):
    """This kernel does not have or does not allow it. `feature`: our word for it; `since`: first series that has it
    ("" = not known, or a matter of configuration); `instead`: what works here, as a sentence."""

    def __init__(self, message: str, feature: str = "", since: str = "", instead: str = "", where: str = "") -> None:
        super().__init__(message, "", where)
        self.feature = feature
        self.since = since
        self.instead = instead
        told = [f"since Linux {since}"] * bool(since) + [instead] * bool(instead)
        self.hint = "; ".join(told)
        self.args = (message, where, self.hint)


class KernelError(BpfsmithError):
    """The kernel refused a command. `command`: its name (`BPF_MAP_CREATE`, `perf_event_open`); `errno`: the number."""

    exit_code = 1

    def __init__(self, message: str, command: str = "", errno: int = 0, where: str = "", hint: str = "") -> None:
        super().__init__(message, where, hint)
        self.command = command
        self.errno = errno


class VerifierRejected(KernelError):
    """The verifier refused a program. `log`: its whole text; `reason`: its last message; `path`, `line`: the source
    line of the instruction it ended at ("" and 0 when unknown); `source`: the program, `kernel`: who refused it.
    `cause` says why (class, source line, chain); as text the error has it too."""

    source: Program | None = None
    kernel: str | None = None
    _explained: Explained | None = None
    _asked = False

    def __init__(
        self, message: str, program: str, log: str, reason: str = "", errno: int = 0, path: str = "", line: int = 0,
        hint: str = "",
    ) -> None:  # fmt: skip
        super().__init__(message, "BPF_PROG_LOAD", errno, f"{path}:{line}" if path else "", hint)
        self.program = program
        self.log = log
        self.reason = reason
        self.path = path
        self.line = line

    @property
    def explained(self) -> Explained | None:
        """All that is known of why, worked out on first use; None where the log does not tell."""
        if not self._asked:
            self._asked = True
            if self.log:
                from bpfsmith._rejection import explained

                self._explained = explained(self.log, self.source, self.program, self.kernel, self.reason)
        return self._explained

    @property
    def cause(self) -> Cause | None:
        """Where the proof was lost: `cls` (`missing-null-check`, ..), `place`, `headline`, `because`, `confidence`."""
        one = self.explained
        return None if one is None else one.cause

    def __str__(self) -> str:
        """The kernel's words; below them the explained reason."""
        one = self.explained
        return super().__str__() if one is None else f"{super().__str__()}\n\n{one}"


class GuestFailed(KernelError):
    """A lab guest did not live to answer. `what`: `crash` (oops, BUG, lockup, panic), `hang` (a time limit of the
    host), `memory` (out of memory), `boot` (it never came up), `lost` (its process ended); `console`: the last lines
    its kernel printed. The guest is thrown away."""

    def __init__(self, message: str, what: str, console: str = "", where: str = "", hint: str = "") -> None:
        super().__init__(message, "", 0, where, hint)
        self.what = what
        self.console = console


class MapFull(KernelError):
    """A map has no room for more. `stored`: how many of the entries given are in it now, the first in their order;
    `keys`: theirs, as they were given (empty for kinds without keys)."""

    def __init__(
        self, message: str, stored: int, errno: int = 7, where: str = "", hint: str = "", keys: Sequence[object] = ()
    ) -> None:
        super().__init__(message, "BPF_MAP_UPDATE_ELEM", errno, where, hint)
        self.stored = stored
        self.keys = keys


class TargetGone(KernelError):
    """What a link was attached to is no longer there (an interface that was deleted)."""


class Closed(BpfsmithError):
    """A map, program, link or loaded object used after it was closed."""

    exit_code = 2


class BadRecord(BpfsmithError):
    """An event that does not fit its type: too short, or its selector names no type. `data`: its bytes."""

    exit_code = 1

    def __init__(self, message: str, data: bytes = b"", where: str = "", hint: str = "") -> None:
        super().__init__(message, where, hint)
        self.data = data


class ToolError(BpfsmithError):
    """Our bug: exit 4. The text says how to report it."""

    exit_code = 4

    def __init__(self, message: str, where: str = "", hint: str = "") -> None:
        super().__init__(
            message,
            where,
            hint or REPORT,
        )

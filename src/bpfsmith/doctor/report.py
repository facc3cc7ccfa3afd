"""What `doctor` returns."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Check", "DoctorReport", "Feature", "LeftBehind"]


class Check:
    """One thing about the machine. `group`: `kernel`, `rights`, `mounts`, `tracing` or `lab`; `status`: `ok`, `missing`
    (something does not work without it) or `note`; `detail`: what was found; `command`: what changes it ("" = nothing
    to do)."""

    __slots__ = ("command", "detail", "group", "name", "status")

    def __init__(self, group: str, name: str, status: str, detail: str, command: str = "") -> None:
        self.group = group
        self.name = name
        self.status = status
        self.detail = detail
        self.command = command

    def to_json(self) -> dict[str, Any]:
        return {"group": self.group, "name": self.name, "status": self.status, "detail": self.detail,
                "command": self.command}  # fmt: skip

    def __repr__(self) -> str:
        return f"<Check {self.name}: {self.status}>"


class Feature:
    """One thing the kernel has or has not. `family`: `program_type`, `map_type`, `attach_type`, `link_type` or
    `feature`; `status`: `yes`, `no` or `denied` (it may be there, but this user, or a policy, may not); `since`:
    first series that has it ("" = not known); `why`: what is in the way, "" for yes."""

    __slots__ = ("family", "name", "since", "status", "why")

    def __init__(self, family: str, name: str, status: str, since: str, why: str) -> None:
        self.family = family
        self.name = name
        self.status = status
        self.since = since
        self.why = why

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "status": self.status, "since": self.since, "why": self.why}

    def __repr__(self) -> str:
        return f"<Feature {self.family}:{self.name}: {self.status}>"


class LeftBehind:
    """What a killed process of bpfsmith left. `what`: in words; `outcome`: "" (still there), `removed`, `gone` (it
    was not there any more), or why it could not be removed."""

    __slots__ = ("kind", "outcome", "pid", "what", "where")

    def __init__(self, kind: str, where: str, pid: int, what: str, outcome: str = "") -> None:
        self.kind = kind
        self.where = where
        self.pid = pid
        self.what = what
        self.outcome = outcome

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "where": self.where, "pid": self.pid, "what": self.what, "outcome": self.outcome}

    def __repr__(self) -> str:
        return f"<LeftBehind {self.what}>"


class DoctorReport:
    """What this machine allows. `kernel`: its version, `arch` as `uname -m`; `helpers`: program type -> names of the
    helpers it may call (None: this type cannot be asked), {} when they were not asked for."""

    __slots__ = ("arch", "checks", "features", "helpers", "kernel", "left")

    def __init__(self, kernel: str, arch: str) -> None:
        self.kernel = kernel
        self.arch = arch
        self.checks: list[Check] = []
        self.features: list[Feature] = []
        self.helpers: dict[str, list[str] | None] = {}
        self.left: list[LeftBehind] = []

    def of(self, family: str) -> list[Feature]:
        """The features of one family."""
        return [one for one in self.features if one.family == family]

    @property
    def usable(self) -> bool:
        """Whether this user can load any program at all."""
        return any(one.status == "yes" for one in self.of("program_type"))

    @property
    def exit_code(self) -> int:
        """0 when programs can be loaded, else 3: the environment lacks something."""
        return 0 if self.usable else 3

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md, every key present."""
        families = ("program_type", "map_type", "attach_type", "link_type", "feature")
        return {
            "version": 1,
            "kernel": self.kernel,
            "arch": self.arch,
            "usable": self.usable,
            "checks": [one.to_json() for one in self.checks],
            **{f"{family}s": [one.to_json() for one in self.of(family)] for family in families},
            "helpers": self.helpers,
            "left": [one.to_json() for one in self.left],
        }

    def __repr__(self) -> str:
        missing = [one.name for one in self.checks if one.status == "missing"]
        word = "usable" if self.usable else "not usable"
        return f"<DoctorReport Linux {self.kernel}: {word}{', missing ' if missing else ''}{', '.join(missing)}>"

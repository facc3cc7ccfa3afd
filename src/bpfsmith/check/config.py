"""`bpfsmith.toml`: found upwards from the checked path; or `[workspace.metadata.bpfsmith]` in the `Cargo.toml` there.

select = ["OBJ", "AYA"]             # rules to run; default: all
ignore = ["OBJ014"]                 # rules not to run
kernels = "5.10.."                  # a set, or a list of sets
loaders = ["aya", "libbpf"]         # what loads the objects; default: aya
fail-on = "warning"                 # error, warning, note or never
preview = true                      # rules in preview too
[per-path]
"tests/**" = ["AYA075"]             # not reported in files that match
[kernel-names]
fleet = "5.15,6.1"                  # `--kernels fleet`
"""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError
from bpfsmith.model.near import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LOADERS", "Config", "find_config", "load_config"]

LOADERS = ("aya", "libbpf")
_KEYS = ("fail-on", "ignore", "kernel-names", "kernels", "loaders", "per-path", "preview", "select")
FILE = "bpfsmith.toml"


class Config:
    """The settings of one file; `path` is None and everything empty when there is none."""

    __slots__ = (
        "fail_on", "folder", "ignore", "kernel_names", "kernels", "loaders", "path", "per_path", "preview", "select",
    )  # fmt: skip

    def __init__(self, path: str | None = None, data: dict[str, Any] | None = None) -> None:
        data = data or {}
        self.path = path
        self.folder = os.path.dirname(os.path.abspath(path)) if path else None
        for key in data:
            if key not in _KEYS:
                hint = did_you_mean(key, _KEYS, f"known are {', '.join(f'`{one}`' for one in _KEYS)}")
                raise InputError(f"unknown key `{key}`", where=path or "", hint=hint)
        self.select = None if data.get("select") is None else self._strings("select", data["select"])
        self.ignore = self._strings("ignore", data.get("ignore", []))
        self.loaders = None if data.get("loaders") is None else self._strings("loaders", data["loaders"])
        for loader in self.loaders or ():
            if loader not in LOADERS:
                raise InputError(
                    f"unknown loader `{loader}`",
                    where=path or "",
                    hint=did_you_mean(loader, LOADERS, "known are `aya`, `libbpf`"),
                )
        kernels = data.get("kernels")
        self.kernels = None if kernels is None else ",".join(self._strings("kernels", kernels))
        self.kernel_names = self._table("kernel-names", data.get("kernel-names", {}))
        self.per_path = self._table("per-path", data.get("per-path", {}))
        self.preview: bool = data.get("preview", False)
        if not isinstance(self.preview, bool):
            raise InputError("`preview` must be true or false", where=path or "", hint="write `preview = true`")
        self.fail_on: str | None = data.get("fail-on")
        if self.fail_on is not None:
            from bpfsmith.check.report import FAIL_ON

            if self.fail_on not in FAIL_ON:
                raise InputError(
                    f"unknown severity `{self.fail_on}` in `fail-on`",
                    where=path or "",
                    hint=f"known are {', '.join(FAIL_ON)}",
                )

    def _strings(self, key: str, value: object) -> tuple[str, ...]:
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            raise InputError(
                f"`{key}` must be a string or a list of strings", where=self.path or "", hint=f'write `{key} = ["..."]`'
            )
        return tuple(values)

    def _table(self, key: str, value: object) -> dict[str, tuple[str, ...]]:
        if not isinstance(value, dict):
            raise InputError(
                f"`{key}` must be a table", where=self.path or "", hint=f"write `[{key}]` and one line per entry"
            )
        return {name: self._strings(f"{key}.{name}", one) for name, one in value.items()}

    @property
    def names(self) -> dict[str, str]:
        """Kernel name -> set text."""
        return {name: ",".join(sets) for name, sets in self.kernel_names.items()}

    def ignored_in(self, path: str) -> tuple[str, ...]:
        """The rules that `per-path` switches off for a file; patterns are relative to the configuration's folder."""
        if not self.per_path or self.folder is None:
            return ()
        relative = os.path.relpath(os.path.abspath(path), self.folder)
        return tuple(word for pattern, words in self.per_path.items() if _matches(relative, pattern) for word in words)


def find_config(start: str) -> str | None:
    """The nearest configuration at or above a file or folder; a `bpfsmith.toml` wins over `Cargo.toml` metadata."""
    folder = os.path.abspath(start)
    if not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    while True:
        own = os.path.join(folder, FILE)
        if os.path.isfile(own):
            return own
        cargo = os.path.join(folder, "Cargo.toml")
        if os.path.isfile(cargo) and _mentions_us(cargo):
            return cargo
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def load_config(path: str) -> Config:
    """Reads one configuration file; `InputError` says file, line and what is wrong."""
    from bpfsmith.source.cargo import read_toml

    data = read_toml(path)
    if os.path.basename(path) == "Cargo.toml":
        for name in ("workspace", "metadata", "bpfsmith"):
            inner = data.get(name, {})
            if not isinstance(inner, dict):
                raise InputError(
                    "`workspace.metadata.bpfsmith` must be a table",
                    where=path,
                    hint="write `[workspace.metadata.bpfsmith]` and one line per setting",
                )
            data = inner
    return Config(path, data)


def _mentions_us(cargo: str) -> bool:
    try:
        with open(cargo, "rb") as file:
            return b"workspace.metadata.bpfsmith" in file.read(1 << 20)
    except OSError:
        return False


def _matches(relative: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    path = relative.replace(os.sep, "/")
    pattern = pattern.removeprefix("./")
    if pattern.endswith("/"):
        pattern += "**"
    # `**` may also stand for nothing: `a/**/b` matches `a/b`.
    return any(fnmatchcase(path, one) for one in {pattern, pattern.replace("**/", ""), pattern.replace("/**/", "/")})

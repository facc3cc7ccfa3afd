"""What stands beside the manifests and decides how Cargo builds: `.cargo/config.toml` and `rust-toolchain.toml`."""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError
from bpfsmith.source.manifest import Lines, read_text, read_toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["Settings", "Toolchain", "cargo_configs", "find_toolchain", "settings", "toolchain", "toolchain_file"]

BPF_TARGETS = ("bpfel-unknown-none", "bpfeb-unknown-none")


def _above(folder: str, stop: str | None = None) -> Iterator[str]:
    """The folder and those above it, up to `stop`."""
    at = os.path.abspath(folder)
    while True:
        yield at
        parent = os.path.dirname(at)
        if at in (stop, parent):
            return
        at = parent


def config_files(folder: str, stop: str | None = None) -> Iterator[tuple[str, str]]:
    """(the folder it is for, its path) of the Cargo configurations in force for a folder, nearest first."""
    for at in _above(folder, stop):
        for name in ("config", "config.toml"):
            path = os.path.join(at, ".cargo", name)
            if os.path.isfile(path):
                yield at, path
                break


def cargo_configs(folder: str, stop: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The `.cargo/config.toml` files in force for a folder, nearest first, each with its folder's path.

    One that cannot be read says nothing here; opening the project has said so.
    """
    out = []
    for at, path in config_files(folder, stop):
        try:
            out.append((at, read_toml(path)))
        except InputError:
            continue
    return out


class Toolchain:
    """A `rust-toolchain(.toml)`: `channel` as written (`nightly-2025-01-01`, `1.87`, `stable`), None for a path."""

    __slots__ = ("channel", "components", "line", "path", "targets")

    def __init__(self, path: str) -> None:
        self.path = path
        self.channel: str | None = None
        self.components: list[str] = []
        self.targets: list[str] = []
        self.line = 1
        try:
            text = read_text(path, 1 << 16)
        except InputError:
            return
        if "[toolchain]" not in text:
            words = text.split()
            self.channel = words[0] if len(words) == 1 else None
            self.line = next((at for at, line in enumerate(text.split("\n"), 1) if line.strip()), 1)
            return
        try:
            found = read_toml(path).get("toolchain")
        except InputError:
            return
        table = found if isinstance(found, dict) else {}
        channel = table.get("channel")
        self.channel = channel if isinstance(channel, str) else None
        self.components = _strings(table.get("components"))
        self.targets = _strings(table.get("targets"))
        self.line = Lines(text).find("channel", "toolchain") or 1

    @property
    def nightly(self) -> bool:
        return (self.channel or "").startswith("nightly")

    @property
    def stable(self) -> bool:
        """Certainly no nightly: `stable`, `beta` or a number."""
        channel = self.channel or ""
        return channel.startswith(("stable", "beta")) or channel[:1].isdigit()


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def toolchain_file(folder: str, stop: str | None = None) -> str | None:
    """The `rust-toolchain(.toml)` in force for a folder."""
    for at in _above(folder, stop):
        for name in ("rust-toolchain", "rust-toolchain.toml"):
            path = os.path.join(at, name)
            if os.path.isfile(path):
                return path
    return None


def find_toolchain(folder: str, stop: str | None = None) -> Toolchain | None:
    """What `rust-toolchain(.toml)` asks for here or above."""
    path = toolchain_file(folder, stop)
    return Toolchain(path) if path is not None else None


def toolchain(folder: str) -> str | None:
    """The channel that `rust-toolchain(.toml)` asks for here or above; None when it says nothing."""
    found = find_toolchain(folder)
    return found.channel if found is not None else None


class Flags:
    """One `rustflags` of a configuration: `key` is `build` or the target's name, `path` and `line` where it stands."""

    __slots__ = ("flags", "key", "line", "path")

    def __init__(self, flags: list[str], key: str, path: str, line: int) -> None:
        self.flags = flags
        self.key = key
        self.path = path
        self.line = line

    def has(self, *words: str) -> bool:
        """Whether a flag contains one of these, `-C` joined to what follows it."""
        joined = " ".join(self.flags)
        return any(word in joined for word in words)


class Settings:
    """Cargo's configuration for a folder; the nearest file wins, lists are joined as Cargo joins them."""

    __slots__ = ("configs",)

    def __init__(self, folder: str, stop: str | None = None) -> None:
        self.configs: list[tuple[str, str, dict[str, Any]]] = []
        for at, path in config_files(folder, stop):
            try:
                self.configs.append((at, path, read_toml(path)))
            except InputError:
                continue

    def get(self, *keys: str) -> Any:
        """The nearest value of `build`, `target`; None when nobody says."""
        for _, _, data in self.configs:
            value: Any = data
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                return value
        return None

    @property
    def target(self) -> str | None:
        """`build.target`, when it is one."""
        value = self.get("build", "target")
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        return value if isinstance(value, str) else None

    @property
    def build_std(self) -> bool:
        """Whether `core` is built from source: `[unstable] build-std`."""
        return bool(self.get("unstable", "build-std"))

    def env(self, name: str) -> str | None:
        """A variable of `[env]`."""
        value = self.get("env", name)
        if isinstance(value, dict):
            value = value.get("value")
        return value if isinstance(value, str) else None

    def rustflags(self) -> list[Flags]:
        """Every `rustflags`, of `[build]` and of `[target.x]`."""
        out = []
        for _, path, data in self.configs:
            lines: Lines | None = None
            tables = [("build", data.get("build"))]
            targets = data.get("target")
            tables += list(targets.items()) if isinstance(targets, dict) else []
            for key, table in tables:
                value = table.get("rustflags") if isinstance(table, dict) else None
                flags = value.split() if isinstance(value, str) else _strings(value)
                if not flags:
                    continue
                if lines is None:
                    lines = Lines(_text(path))
                line = lines.find("rustflags", key, key if key == "build" else f"target.{key}") or 1
                out.append(Flags(flags, key, path, line))
        return out

    def for_bpf(self) -> list[Flags]:
        """The flags a build for a BPF target gets: those of the target and of `cfg`s about it, else `[build]`'s."""
        every = self.rustflags()
        own = [one for one in every if one.key in BPF_TARGETS or ("cfg(" in one.key and "bpf" in one.key)]
        return own or [one for one in every if one.key == "build"]

    def linker(self) -> str | None:
        """The linker of a BPF target."""
        for target in BPF_TARGETS:
            value = self.get("target", target, "linker")
            if isinstance(value, str):
                return value
        return None


def _text(path: str) -> str:
    try:
        return read_text(path)
    except InputError:
        return ""


def settings(folder: str, stop: str | None = None) -> Settings:
    """Cargo's configuration for a folder, nothing above `stop` counted."""
    return Settings(folder, stop)

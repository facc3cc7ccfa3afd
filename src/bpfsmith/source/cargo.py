"""Cargo manifests, lock files and settings, read as Cargo reads them; nothing is run."""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError
from bpfsmith.read.overlay import text_of
from bpfsmith.source.versions import VersionRange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import SourceFile

__all__ = [
    "FAMILY", "Crate", "Dependency", "Lock", "Locked", "cargo_configs", "read_toml", "toolchain", "toolchain_file",
]  # fmt: skip

# The crates that are released together with Aya.
FAMILY = (
    "aya", "aya-obj", "aya-build", "aya-log", "aya-log-common", "aya-log-parser", "aya-log-ebpf", "aya-log-ebpf-macros",
    "aya-ebpf", "aya-ebpf-macros", "aya-ebpf-bindings", "aya-ebpf-cty", "aya-bpf", "aya-bpf-macros", "aya-bpf-bindings",
)  # fmt: skip
_MAX_TOML = 16 << 20


def read_toml(path: str) -> dict[str, Any]:
    """A TOML file; `InputError` names file and line when it is none."""
    import tomllib

    from bpfsmith.read._find import open_input

    try:
        with open_input(path) as file:
            data = file.read(_MAX_TOML)
        return tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise InputError(
            f"cannot read `{path}`: {said}", where=path, hint="check the path and its permissions"
        ) from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError("not valid TOML: not UTF-8", where=f"{path}:{line}", hint="save the file as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        text = str(error).rstrip(".")
        where = path
        head, at, place = text.rpartition(" (at line ")
        if at:
            where = f"{path}:{place.split(',')[0]}"
            text = head
        raise InputError(
            f"not valid TOML: {text[:1].lower()}{text[1:]}", where=where, hint="correct the file"
        ) from error


class Dependency:
    """One dependency. `alias` is the name in code and manifest, `package` the crate's own; `kind`: normal build dev."""

    __slots__ = ("alias", "features", "git", "kind", "line", "optional", "package", "path", "requirement", "tag")

    def __init__(self, alias: str, spec: dict[str, Any], kind: str, folder: str) -> None:
        self.alias = alias
        self.package: str = _text(spec.get("package")) or alias
        self.kind = kind
        self.requirement: str | None = _text(spec.get("version"))
        self.git: str | None = _text(spec.get("git"))
        self.tag: str | None = _text(spec.get("tag"))
        path = _text(spec.get("path"))
        self.path: str | None = os.path.normpath(os.path.join(folder, path)) if path else None
        features = spec.get("features")
        self.features: list[str] = (
            [one for one in features if isinstance(one, str)] if isinstance(features, list) else []
        )
        self.optional = bool(spec.get("optional"))
        self.line = 0

    def __repr__(self) -> str:
        return f"Dependency({self.alias})"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class Locked:
    """One package of a lock file. `source` is None for path packages."""

    __slots__ = ("dependencies", "name", "source", "version")

    def __init__(self, raw: dict[str, Any]) -> None:
        self.name = _text(raw.get("name")) or ""
        self.version = _text(raw.get("version")) or ""
        self.source = _text(raw.get("source"))
        listed = raw.get("dependencies")
        self.dependencies = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


class Lock:
    """A `Cargo.lock`. Without one, everything is empty."""

    __slots__ = ("packages", "path")

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        self.packages: dict[str, list[Locked]] = {}
        listed = read_toml(path).get("package") if path is not None else None
        for raw in listed if isinstance(listed, list) else ():
            if isinstance(raw, dict):
                package = Locked(raw)
                self.packages.setdefault(package.name, []).append(package)

    @property
    def versions(self) -> dict[str, list[str]]:
        """Crate -> its versions, each once."""
        return {name: sorted({one.version for one in many}) for name, many in self.packages.items()}

    def used_by(self, package: str, dependency: str, version: str | None = None) -> Locked | None:
        """Which `dependency` a package was locked to; None when it cannot be told."""
        for one in self.packages.get(package, ()):
            if version is not None and one.version != version:
                continue
            for entry in one.dependencies:
                name, _, rest = entry.partition(" ")
                if name != dependency:
                    continue
                many = self.packages.get(dependency, [])
                if rest:
                    many = [other for other in many if other.version == rest.split(" ")[0]]
                return many[0] if len(many) == 1 else None
        return None


class Crate:
    """One package of a project. `role`: kernel, user, common or other; `files` are its parsed sources."""

    __slots__ = (
        "build_rs", "data", "dependencies", "edition", "files", "folder", "lock", "manifest", "manifest_text",
        "name", "profiles", "project", "role", "workspace",
    )  # fmt: skip

    def __init__(
        self, folder: str, data: dict[str, Any], workspace: str, workspace_data: dict[str, Any], lock: Lock
    ) -> None:
        self.folder = folder
        self.manifest = os.path.join(folder, "Cargo.toml")
        self.data = data
        self.workspace = workspace
        self.lock = lock
        package = _table(data.get("package"))
        inherited = _table(_table(workspace_data.get("workspace")).get("package"))
        self.name: str = _text(package.get("name")) or os.path.basename(folder)
        edition = package.get("edition")
        if isinstance(edition, dict):
            edition = inherited.get("edition")
        self.edition: int = int(edition) if isinstance(edition, str) and edition.isdigit() else 2015
        self.dependencies = _dependencies(data, workspace_data, folder, workspace)
        self.profiles: dict[str, Any] = _table(workspace_data.get("profile"))
        build = package.get("build")
        own = os.path.join(folder, build if isinstance(build, str) else "build.rs")
        self.build_rs: str | None = own if build is not False and os.path.isfile(own) else None
        self.files: list[SourceFile] = []
        self.role = "other"
        self.project: Project | None = None  # where its path dependencies are found
        self.manifest_text: str | None = None

    def __repr__(self) -> str:
        return f"Crate({self.name} {self.role})"

    def dependency(self, package: str, kind: str | None = None) -> Dependency | None:
        """The dependency on a package by its own name."""
        for one in self.dependencies:
            if one.package == package and kind in (None, one.kind):
                return one
        return None

    def dependency_crate(self, name: str) -> str | None:
        """The crate a name in code stands for: a dependency's own name with underscores; None for no dependency."""
        for one in self.dependencies:
            if one.alias.replace("-", "_") == name:
                return one.package.replace("-", "_")
        return None

    def version(self, package: str) -> VersionRange | None:
        """The version of a direct dependency: as locked, else as required; None when unknown (git or path, no lock)."""
        wanted = self.dependency(package)
        if wanted is None:
            return None
        target = self.project.target if self.project is not None else None
        if target is not None and package in target and wanted.git is None and wanted.path is None:
            return VersionRange.of(target[package])
        locked = self.lock.used_by(self.name, package)
        if locked is None and self.name not in self.lock.packages:
            many = self.lock.packages.get(package, [])
            locked = many[0] if len(many) == 1 else None  # a lock file that does not list this crate (yet)
        if locked is not None:
            return _locked_version(locked, package)
        if wanted.git is not None:
            return _tagged(wanted.tag, package)
        if wanted.path is not None or wanted.requirement is None:
            return None
        return VersionRange.required(wanted.requirement)

    def at_least(self, package: str, version: str) -> bool:
        """True when the dependency is certainly `version` or newer."""
        known = self.version(package)
        return known is not None and known.at_least(version)

    def below(self, package: str, version: str) -> bool:
        """True when the dependency is certainly older than `version`."""
        known = self.version(package)
        return known is not None and known.below(version)

    def targets(self) -> list[str]:
        """The files its library, binaries and examples start at. Tests and benches are left out."""
        out = [os.path.join(self.folder, "src", name) for name in ("lib.rs", "main.rs")]
        library = _text(_table(self.data.get("lib")).get("path"))
        if library:
            out.append(os.path.join(self.folder, library))
        for table in ("bin", "example"):
            listed = self.data.get(table)
            for one in listed if isinstance(listed, list) else ():
                path = _text(_table(one).get("path"))
                if path:
                    out.append(os.path.join(self.folder, path))
        for sub in (os.path.join("src", "bin"), "examples"):
            folder = os.path.join(self.folder, sub)
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                continue
            for name in names:
                path = os.path.join(folder, name)
                out.append(path if name.endswith(".rs") else os.path.join(path, "main.rs"))
        return list(dict.fromkeys(os.path.normpath(path) for path in out if os.path.isfile(path)))

    def binaries(self) -> list[str]:
        """The names of the binaries it builds."""
        out = []
        listed = self.data.get("bin")
        explicit = set()
        for one in listed if isinstance(listed, list) else ():
            name = _text(_table(one).get("name"))
            if name:
                out.append(name)
                explicit.add(
                    os.path.normpath(os.path.join(self.folder, _text(_table(one).get("path")) or "src/main.rs"))
                )
        main = os.path.join(self.folder, "src", "main.rs")
        if os.path.isfile(main) and os.path.normpath(main) not in explicit:
            out.append(self.name)
        folder = os.path.join(self.folder, "src", "bin")
        if os.path.isdir(folder):
            out.extend(os.path.splitext(name)[0] for name in sorted(os.listdir(folder)))
        return list(dict.fromkeys(out))

    def line_of(self, text: str) -> int:
        """The line of the manifest on which `text` is a key, 1 when it is not found."""
        if self.manifest_text is None:
            try:
                self.manifest_text = text_of(self.manifest, _MAX_TOML)
            except OSError:
                self.manifest_text = ""
        for number, line in enumerate(self.manifest_text.split("\n"), 1):
            key = line.split("=")[0].split(".")[0].strip().strip("\"'")
            if key == text or line.strip().startswith((f"[dependencies.{text}]", f"[build-dependencies.{text}]")):
                return number
        return 1


def _locked_version(locked: Locked, package: str) -> VersionRange | None:
    source = locked.source or ""
    if source.startswith("registry+"):
        return VersionRange.of(locked.version)
    # A checkout carries the number of the last release; a path may hold a changed copy of anything.
    if not source.startswith("git+"):
        return None
    tag = source.partition("tag=")[2].partition("#")[0].partition("&")[0]
    return _tagged(tag, package) or VersionRange.since(locked.version)


def _tagged(tag: str | None, package: str) -> VersionRange | None:
    """A release by its tag in the repository: `aya-v0.13.1`."""
    name, found, version = (tag or "").rpartition("-v")
    return VersionRange.of(version) if found and name == package else None


def _dependencies(data: dict[str, Any], workspace: dict[str, Any], folder: str, root: str) -> list[Dependency]:
    shared = _table(_table(workspace.get("workspace")).get("dependencies"))
    out = []
    tables = [data, *(_table(one) for one in _table(data.get("target")).values())]
    for table in tables:
        for key, kind in (("dependencies", "normal"), ("build-dependencies", "build"), ("dev-dependencies", "dev")):
            for alias, given in _table(table.get(key)).items():
                spec = given if isinstance(given, dict) else {"version": given}
                base = folder
                if spec.get("workspace") is True:
                    inherited = shared.get(alias)
                    inherited = inherited if isinstance(inherited, dict) else {"version": inherited}
                    spec = {
                        **inherited,
                        **{name: one for name, one in spec.items() if name in ("features", "optional")},
                    }
                    base = root
                out.append(Dependency(alias, spec, kind, base))
    return out


def cargo_configs(folder: str) -> list[tuple[str, dict[str, Any]]]:
    """The `.cargo/config.toml` files in force for a folder, nearest first, each with its folder's path."""
    out = []
    at = os.path.abspath(folder)
    while True:
        for name in ("config", "config.toml"):
            path = os.path.join(at, ".cargo", name)
            if os.path.isfile(path):
                out.append((at, read_toml(path)))
                break
        parent = os.path.dirname(at)
        if parent == at:
            return out
        at = parent


def toolchain(folder: str) -> str | None:
    """The channel that `rust-toolchain(.toml)` asks for here or above; None when it says nothing."""
    found = toolchain_file(folder)
    return _channel(found) if found is not None else None


def toolchain_file(folder: str) -> str | None:
    """The `rust-toolchain(.toml)` in force for a folder."""
    at = os.path.abspath(folder)
    while True:
        for name in ("rust-toolchain", "rust-toolchain.toml"):
            path = os.path.join(at, name)
            if os.path.isfile(path):
                return path
        parent = os.path.dirname(at)
        if parent == at:
            return None
        at = parent


def _channel(path: str) -> str | None:
    try:
        text = text_of(path, 1 << 16)
    except OSError:
        return None
    if "[toolchain]" not in text:
        return text.strip() or None
    return _text(_table(read_toml(path).get("toolchain")).get("channel"))

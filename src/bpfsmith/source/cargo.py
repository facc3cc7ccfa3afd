"""Cargo manifests as Cargo reads them: packages, dependencies, features, profiles, versions; nothing is run."""

from __future__ import annotations

import os

from bpfsmith.read.overlay import text_of
from bpfsmith.source.lock import Lock, Locked
from bpfsmith.source.manifest import MAX_TOML, Lines, read_toml
from bpfsmith.source.settings import cargo_configs, toolchain, toolchain_file
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
_DEPENDENCY_TABLES = ("dependencies", "build-dependencies", "dev-dependencies", "build_dependencies")


class Dependency:
    """One dependency. `alias` is the name in code and manifest, `package` the crate's own; `kind`: normal build dev.

    `inherited`: from `[workspace.dependencies]`; `target`: the `cfg(..)` or triple of a `[target.x.dependencies]`.
    """

    __slots__ = (
        "alias", "branch", "default_features", "features", "git", "inherited", "kind", "optional", "package", "path",
        "registry", "requirement", "rev", "tag", "target",
    )  # fmt: skip

    def __init__(
        self, alias: str, spec: dict[str, Any], kind: str, folder: str, target: str = "", inherited: bool = False
    ) -> None:
        self.alias = alias
        self.package: str = _text(spec.get("package")) or alias
        self.kind = kind
        self.requirement: str | None = _text(spec.get("version"))
        self.git: str | None = _text(spec.get("git"))
        self.tag: str | None = _text(spec.get("tag"))
        self.rev: str | None = _text(spec.get("rev"))
        self.branch: str | None = _text(spec.get("branch"))
        self.registry: str | None = _text(spec.get("registry"))
        path = _text(spec.get("path"))
        self.path: str | None = os.path.normpath(os.path.join(folder, path)) if path else None
        self.features: list[str] = _strings(spec.get("features"))
        default = spec.get("default-features", spec.get("default_features"))
        self.default_features = default is not False
        self.optional = bool(spec.get("optional"))
        self.target = target
        self.inherited = inherited

    def __repr__(self) -> str:
        return f"Dependency({self.alias})"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


class Crate:
    """One package of a project. `role`: kernel, user, common or other; `files` are its parsed sources.

    `workspace` is the folder of its workspace (its own without one), `space` its manifest; `profiles`, `patches` and
    `lock` are that one's.
    `broken`: parts of its manifest could not be read.
    """

    __slots__ = (
        "broken", "build_rs", "data", "dependencies", "edition", "features", "files", "folder", "lock", "manifest",
        "manifest_text", "name", "number", "patches", "profiles", "project", "role", "rust_version", "space", "unread",
        "workspace",
    )  # fmt: skip

    def __init__(
        self, folder: str, data: dict[str, Any], workspace: str, workspace_data: dict[str, Any], lock: Lock
    ) -> None:
        self.folder = folder
        self.manifest = os.path.join(folder, "Cargo.toml")
        self.data = data
        self.workspace = workspace
        self.lock = lock
        self.space = workspace_data
        self.broken = False
        self.unread: list[str] = []  # modules that it declares and that have no file here
        package = _table(data.get("package"))
        inherited = _table(_table(workspace_data.get("workspace")).get("package"))

        def said(key: str) -> str | None:
            value = package.get(key)
            if isinstance(value, dict) and value.get("workspace") is True:
                value = inherited.get(key)
            return _text(value)

        self.name: str = _text(package.get("name")) or os.path.basename(folder)
        self.number = said("version") or "0.0.0"
        edition = said("edition") or ""
        self.edition: int = int(edition) if edition.isdigit() else 2015
        self.rust_version: str | None = said("rust-version")
        self.features: dict[str, list[str]] = {
            name: _strings(value) for name, value in _table(data.get("features")).items()
        }
        self.dependencies = _dependencies(data, workspace_data, folder, workspace)
        self.profiles: dict[str, Any] = _table(workspace_data.get("profile"))
        self.patches = _patches(workspace_data, workspace)
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
        """The version of a direct dependency: as locked, else as required; None when unknown (git or path, no lock).

        `Project.target` answers instead where it names the package.
        """
        wanted = self.dependency(package)
        if wanted is None:
            return None
        target = self.project.target if self.project is not None else None
        if target and package in target and wanted.git is None and wanted.path is None:
            return VersionRange.of(target[package])
        patched = self.patches.get(package)
        source = patched if patched is not None else wanted
        required = VersionRange.required(wanted.requirement) if wanted.requirement is not None else None
        locked = self.lock.used_by(self.name, package, None, required if patched is None else None)
        if locked is None and self.name not in self.lock.packages:
            many = self.lock.packages.get(package, [])
            locked = many[0] if len(many) == 1 else None  # a lock file that does not list this crate (yet)
        if locked is not None:
            return _locked_version(locked, package)
        if source.git is not None:
            return _tagged(source.tag, package)
        if source.path is not None:
            return None
        return required

    def locked(self, package: str) -> Locked | None:
        """The entry of the lock file that a direct dependency stands for."""
        wanted = self.dependency(package)
        if wanted is None:
            return None
        required = VersionRange.required(wanted.requirement) if wanted.requirement is not None else None
        return self.lock.used_by(self.name, package, None, required)

    def profile(self, name: str) -> dict[str, Any]:
        """A profile of the workspace: with what it inherits and what it says of this package."""
        out: dict[str, Any] = {}
        chain: list[dict[str, Any]] = []
        seen: set[str] = set()
        at: str | None = name
        while at is not None and at not in seen:
            seen.add(at)
            table = _table(self.profiles.get(at))
            chain.append(table)
            at = _text(table.get("inherits"))
        for table in reversed(chain):
            out.update({key: value for key, value in table.items() if key not in ("package", "build-override")})
            packages = _table(table.get("package"))
            for key in (self.name, f"{self.name}@{self.number}"):  # `*` is every package but those of the workspace
                out.update(_table(packages.get(key)))
        return out

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
        """The line of the manifest on which `text` is a dependency, else any key; 1 when it is not found."""
        lines = Lines(self.text)
        found = lines.find(text, *_DEPENDENCY_TABLES)
        if found:
            return found
        for number, line in enumerate(self.text.split("\n"), 1):
            key = line.split("=")[0].split(".")[0].strip().strip("\"'")
            if key == text:
                return number
        return 1

    @property
    def text(self) -> str:
        """The manifest as it stands, empty when it cannot be read."""
        if self.manifest_text is None:
            try:
                self.manifest_text = text_of(self.manifest, MAX_TOML)
            except OSError:
                self.manifest_text = ""
        return self.manifest_text


def _locked_version(locked: Locked, package: str) -> VersionRange | None:
    source = locked.source or ""
    if source.startswith(("registry+", "sparse+")):
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
    tables = [("", data), *((target, _table(one)) for target, one in _table(data.get("target")).items())]
    for target, table in tables:
        for key, kind in (
            ("dependencies", "normal"), ("build-dependencies", "build"), ("build_dependencies", "build"),
            ("dev-dependencies", "dev"), ("dev_dependencies", "dev"),
        ):  # fmt: skip
            for alias, given in _table(table.get(key)).items():
                spec = given if isinstance(given, dict) else {"version": given}
                base = folder
                inherited = spec.get("workspace") is True
                if inherited:
                    base = root
                    spec = _merged(shared.get(alias), spec)
                out.append(Dependency(alias, spec, kind, base, target, inherited))
    return out


def _merged(shared: object, spec: dict[str, Any]) -> dict[str, Any]:
    """A dependency of the workspace with what the member adds: features are joined."""
    base = shared if isinstance(shared, dict) else {"version": shared}
    out = {**base, **{name: one for name, one in spec.items() if name in ("optional", "default-features")}}
    out["features"] = [*_strings(base.get("features")), *_strings(spec.get("features"))]
    return out


def _patches(workspace: dict[str, Any], root: str) -> dict[str, Dependency]:
    """Crate -> what `[patch.x]` or `[replace]` puts in its place."""
    out = {}
    for table in _table(workspace.get("patch")).values():
        for alias, spec in _table(table).items():
            if isinstance(spec, dict):
                one = Dependency(alias, spec, "patch", root)
                out[one.package] = one
    for key, spec in _table(workspace.get("replace")).items():
        if isinstance(spec, dict):
            name = key.rpartition("#")[2].partition(":")[0].partition("@")[0]
            out[name] = Dependency(name, spec, "patch", root)
    return out

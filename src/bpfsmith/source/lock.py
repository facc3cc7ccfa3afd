"""Lock files: which version of a crate a package was locked to. Versions 1 to 4 differ in nothing that matters here."""

from __future__ import annotations

from bpfsmith.source.manifest import parse, read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith.source.versions import VersionRange

__all__ = ["Lock", "Locked"]

_MAX_LOCK = 32 << 20


class Locked:
    """One package of a lock file. `source` is None for path packages."""

    __slots__ = ("dependencies", "name", "source", "version")

    def __init__(self, raw: dict[str, Any]) -> None:
        name, version, source = raw.get("name"), raw.get("version"), raw.get("source")
        self.name = name if isinstance(name, str) else ""
        self.version = version if isinstance(version, str) else ""
        self.source = source if isinstance(source, str) else None
        listed = raw.get("dependencies")
        self.dependencies = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []

    def __repr__(self) -> str:
        return f"Locked({self.name} {self.version})"


class Lock:
    """A `Cargo.lock`. Without one, everything is empty. `InputError` when it cannot be read."""

    __slots__ = ("packages", "path")

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        self.packages: dict[str, list[Locked]] = {}
        for raw in _packages(path) if path is not None else ():
            package = Locked(raw)
            self.packages.setdefault(package.name, []).append(package)

    @property
    def versions(self) -> dict[str, list[str]]:
        """Crate -> its versions, each once."""
        return {name: sorted({one.version for one in many}) for name, many in self.packages.items()}

    def used_by(
        self, package: str, dependency: str, version: str | None = None, within: VersionRange | None = None
    ) -> Locked | None:
        """Which `dependency` a package was locked to; None when it cannot be told.

        `version` is the package's own; `within` is what it requires, which tells two versions of one crate apart.
        """
        users = [one for one in self.packages.get(package, ()) if version in (None, one.version)]
        own = [one for one in users if one.source is None]
        found: list[Locked] = []
        for one in own or users:
            for entry in one.dependencies:
                name, _, rest = entry.partition(" ")
                if name == dependency:
                    found.extend(self._named(name, rest))
        if len(found) > 1 and within is not None:
            found = [one for one in found if within.may_be(one.version)]
        return found[0] if len(found) == 1 else None

    def _named(self, name: str, rest: str) -> list[Locked]:
        many = self.packages.get(name, [])
        if rest:
            version, _, source = rest.partition(" ")
            many = [one for one in many if one.version == version]
            if source and len(many) > 1:
                wanted = source.strip("()").partition("#")[0]
                many = [one for one in many if (one.source or "").partition("#")[0] == wanted] or many
        return many


def _packages(path: str) -> Iterator[dict[str, Any]]:
    text = read_text(path, _MAX_LOCK)
    quick = _quick(text)
    if quick is not None:
        yield from quick
        return
    listed = parse(text, path).get("package")
    for raw in listed if isinstance(listed, list) else ():
        if isinstance(raw, dict):
            yield raw


def _quick(text: str) -> list[dict[str, Any]] | None:  # noqa: PLR0912 - one line shape each
    """A file as Cargo writes it, read line by line; None for anything else."""
    out: list[dict[str, Any]] = []
    now: dict[str, Any] | None = None
    listing: list[str] | None = None
    for line in text.replace("\r\n", "\n").split("\n"):
        if listing is not None:
            if line.startswith(' "') and line.endswith('",') and "\\" not in line:
                listing.append(line[2:-2])
            elif line == "]":
                listing = None
            else:
                return None
        elif not line or line.startswith("#"):
            continue
        elif line == "[[package]]":
            now = {}
            out.append(now)
        elif line == "[metadata]" or line.startswith("[[patch"):
            now = None
        elif line == "dependencies = [" and now is not None and "dependencies" not in now:
            listing = now["dependencies"] = []
        else:
            key, equals, value = line.partition(" = ")
            if not equals:
                return None
            if now is None:
                continue
            if key in now or not (len(value) > 1 and value[0] == value[-1] == '"') or "\\" in value:
                return None
            if '"' in value[1:-1] or not key.isidentifier():
                return None
            now[key] = value[1:-1]
    return out if listing is None else None

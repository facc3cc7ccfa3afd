"""The edits of one `Cargo.toml`: the whole family at one set of releases, everything else as it was written."""

from __future__ import annotations

from bpfsmith.migrate._releases import GONE_FEATURES, RENAMED
from bpfsmith.source.tomltext import read
from bpfsmith.source.versions import VersionRange, parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.migrate._releases import Release
    from bpfsmith.source.tomltext import Entry, Toml

__all__ = ["Manifest"]

_TABLES = ("dependencies", "build-dependencies", "dev-dependencies")
_GIT = ("git", "branch", "rev", "tag")


class Manifest:
    """Edits as (start, end, text), `done` as (line, what), `open` as (line, what, what to do)."""

    def __init__(self, text: str, release: Release) -> None:
        self.release = release
        self.toml: Toml = read(text)
        self.edits: list[tuple[int, int, str]] = []
        self.done: list[tuple[int, str]] = []
        self.open: list[tuple[int, str, str]] = []
        self.renamed: dict[str, str] = {}  # name in code -> its new one
        self._names: dict[str, str] = {}  # alias in a table -> its new one

    @property
    def text(self) -> str:
        """The text with the edits made."""
        out = []
        at = 0
        gone = [(start, end) for start, end, new in self.edits if not new]
        for start, end, new in sorted(set(self.edits)):
            if start < at or any(one <= start and end <= stop and end - start < stop - one for one, stop in gone):
                continue  # inside of something that is gone
            out += [self.toml.text[at:start], new]
            at = end
        return "".join([*out, self.toml.text[at:]])

    def line(self, offset: int) -> int:
        return self.toml.text.count("\n", 0, offset) + 1

    def run(self) -> None:
        for prefix in self._tables():
            for alias in dict.fromkeys(one.path[len(prefix)] for one in self.toml.below(*prefix)):
                self._dependency(prefix, alias)
        self._features()
        self._patches()
        self._rust_version()

    def _tables(self) -> Iterator[tuple[str, ...]]:
        """The paths of the tables of dependencies, in the order in which they are written."""
        found: dict[tuple[str, ...], None] = {}
        for one in self.toml.entries:
            path = one.path
            if path[0] in _TABLES:
                found[path[:1]] = None
            elif path[:2] == ("workspace", "dependencies"):
                found[path[:2]] = None
            elif path[0] == "target" and len(path) > 2 and path[2] in _TABLES:
                found[path[:3]] = None
        yield from found

    # ------------------------------------------------------------ one dependency

    def _dependency(self, prefix: tuple[str, ...], alias: str) -> None:
        path = (*prefix, alias)
        spec = _Spec(self.toml, path)
        package = spec.string("package") or alias
        new = RENAMED.get(package, package)
        if new not in self.release.versions:
            return
        if new == "aya-log" and self.release.name == "0.15" and not spec.has("workspace"):
            self.open.append(
                (
                    self.line(spec.start),
                    "no release of aya-log fits aya 0.15: with it there are two aya in one program, and it does not"
                    " compile",
                    "migrate to 0.16, or do without the log",
                )
            )
        if spec.has("path"):
            self.open.append(
                (
                    self.line(spec.start),
                    f"`{package}` is a folder beside the project, and stays what it is",
                    f'check it out at {new} {self.release.versions[new]}, or write `{alias} = "{self._wanted(new)}"`',
                )
            )
            return
        git = spec.string("git")
        if git is not None and not _official(git):
            self.open.append(
                (
                    self.line(spec.start),
                    f"`{package}` comes from {git}, which is not Aya's own repository",
                    f"bring that up to {new} {self.release.versions[new]}, or use the release",
                )
            )
            return
        if new != package and not self._rename(prefix, alias, spec, package, new):
            return
        self._lost_features(spec, new)
        if not spec.has("workspace"):
            self._version(spec, new, git is not None)

    def _wanted(self, package: str) -> str:
        return self.release.required[package]

    def _rename(self, prefix: tuple[str, ...], alias: str, spec: _Spec, package: str, new: str) -> bool:
        """False when there is one with the new name already."""
        if spec.has("package"):  # the code calls it something else anyway
            entry = spec.entry("package")
            assert entry is not None
            self._replace(entry.start, entry.end, f'"{new}"', f"`{package}` is `{new}` now")
            return True
        if any(one.path[: len(prefix) + 1] == (*prefix, new) for one in self.toml.entries):
            self.open.append(
                (self.line(spec.start), f"both `{alias}` and `{new}` are asked for", f"remove `{alias}` by hand")
            )
            return False
        for start, end in spec.own_names():
            self.edits.append((start, end, new))
        self.done.append((self.line(spec.start), f"`{package}` is `{new}` now"))
        self.renamed[alias.replace("-", "_")] = new.replace("-", "_")
        self._names[alias] = new
        return True

    def _version(self, spec: _Spec, package: str, git: bool) -> None:
        wanted = self._wanted(package)
        said = f"{package} {wanted}" if not git else f"{package} {wanted} instead of the repository"
        entry = spec.entry("version")
        if git:
            first = spec.entry("git")
            assert first is not None
            if entry is None:
                self.edits.append((first.keys[-1][0], first.end, f'version = "{wanted}"'))
            gone = [one for key in _GIT if (one := spec.entry(key)) is not None and (one is not first or entry)]
            for one in gone:
                self._remove(one)
            self.done.append((self.line(first.start), said))
        if entry is not None:
            old = entry.string
            if old is None or (not git and _fits(old, wanted, self.release.versions[package])):
                return
            self._replace(entry.start, entry.end, f'"{wanted}"', "" if git else f"{said} (was `{old}`)")
        if spec.inline is not None:
            left = [one for one in spec.inline.members if not self._removed(one)]
            if [one.path[-1] for one in left] in (["version"], ["git"]) and len(left) < len(spec.inline.members):
                # `{ version = ".." }` alone is written shorter.
                self._drop_edits(spec.inline.start, spec.inline.end)
                self.edits.append((spec.inline.start, spec.inline.end, f'"{wanted}"'))

    def _lost_features(self, spec: _Spec, package: str) -> None:
        entry = spec.entry("features")
        if entry is None or entry.kind != "array":
            return
        gone = self._gone(package)
        lost = [one for one in entry.items if self.toml.text[slice(*one)].strip("\"'") in gone]
        if not lost:
            return
        names = ", ".join(f"`{self.toml.text[slice(*one)][1:-1]}`" for one in lost)
        self.done.append((self.line(entry.start), f"{package} {self.release.name} has no feature {names}"))
        if len(lost) == len(entry.items):
            self._remove(entry)
        else:
            self._remove_items(entry, lost)

    def _gone(self, package: str) -> set[str]:
        has = parse_version(self.release.versions[package])
        return {
            name
            for (one, first), names in GONE_FEATURES.items()
            if one == package and has is not None and has >= (parse_version(first) or has)
            for name in names
        }

    # ------------------------------------------------------------ the rest of the manifest

    def _features(self) -> None:
        """`[features]` of the crate's own that switch on what is renamed or gone."""
        for entry in self.toml.below("features"):
            lost = []
            for start, end in entry.items:
                value = self.toml.text[start + 1 : end - 1]
                name, slash, feature = value.partition("/")
                bare = name.removeprefix("dep:").removesuffix("?")
                package = self._names.get(bare, bare)
                if slash and package in self.release.versions and feature in self._gone(package):
                    lost.append((start, end))
                elif bare in self._names:
                    at = start + 1 + len(name) - len(name.removeprefix("dep:"))
                    self._replace(at, at + len(bare), package, "")
            if lost:
                names = ", ".join(self.toml.text[slice(*one)] for one in lost)
                self.done.append((self.line(entry.start), f"the feature {names} is gone".replace('"', "`")))
                self._remove_items(entry, lost)

    def _patches(self) -> None:
        """A patch of the family with Aya's repository would bring back what is left behind."""
        for table in ("patch", "replace"):
            depth = 2 if table == "patch" else 1
            for path in dict.fromkeys(one.path[: depth + 1] for one in self.toml.below(table)):
                if len(path) <= depth:
                    continue
                spec = _Spec(self.toml, path)
                package = (spec.string("package") or path[-1]).partition(":")[0]
                if RENAMED.get(package, package) not in self.release.versions:
                    continue
                git = spec.string("git")
                line = self.line(spec.start)
                if table == "patch" and git is not None and _official(git) and spec.inline is not None:
                    self._remove_statement(spec.inline)
                    self.done.append((line, f"the patch of `{package}` is gone: the release is used"))
                else:
                    self.open.append((line, f"`{package}` is patched", "remove the patch, or bring it up to date"))

    def _rust_version(self) -> None:
        for path in (("package", "rust-version"), ("workspace", "package", "rust-version")):
            entry = self.toml.find(*path)
            has = parse_version(entry.string or "") if entry is not None else None
            wanted = parse_version(self.release.rust)
            if entry is not None and has is not None and wanted is not None and has < wanted and self._concerned(path):
                self._replace(
                    entry.start,
                    entry.end,
                    f'"{self.release.rust}"',
                    f"rust-version {self.release.rust}: aya {self.release.name} needs it",
                )

    def _concerned(self, path: tuple[str, ...]) -> bool:
        if path[0] == "workspace":
            return True
        names = {
            one for prefix in self._tables() for one in (entry.path[len(prefix)] for entry in self.toml.below(*prefix))
        }
        return any(RENAMED.get(one, one) in self.release.versions for one in names)

    # ------------------------------------------------------------ edits

    def _replace(self, start: int, end: int, text: str, what: str) -> None:
        if self.toml.text[start:end] == text:
            return
        self.edits.append((start, end, text))
        if what:
            self.done.append((self.line(start), what))

    def _removed(self, entry: Entry) -> bool:
        return any(start <= entry.keys[0][0] and entry.end <= end and not text for start, end, text in self.edits)

    def _drop_edits(self, start: int, end: int) -> None:
        self.edits = [one for one in self.edits if not (start <= one[0] and one[1] <= end)]

    def _remove(self, entry: Entry) -> None:
        if entry.inline is not None:
            around = [(one.keys[0][0], one.end) for one in entry.inline.members]
            self._remove_listed(around, [(entry.keys[0][0], entry.end)], entry.inline.end)
        else:
            self._remove_statement(entry)

    def _remove_statement(self, entry: Entry) -> None:
        """With its line, if nothing else is there."""
        text = self.toml.text
        start = text.rfind("\n", 0, entry.keys[0][0]) + 1
        end = text.find("\n", entry.end)
        self.edits.append((start, len(text) if end < 0 else end + 1, ""))

    def _remove_items(self, entry: Entry, lost: list[tuple[int, int]]) -> None:
        self._remove_listed(entry.items, lost, entry.end)

    def _remove_listed(self, every: list[tuple[int, int]], lost: list[tuple[int, int]], stop: int) -> None:
        """Parts of a list, each with the comma after it, the last with the one before it."""
        text = self.toml.text
        for start, end in lost:
            at = every.index((start, end))
            if at + 1 < len(every):
                comma = text.find(",", end, every[at + 1][0]) + 1
                while comma < every[at + 1][0] and text[comma] in " \t":
                    comma += 1
                same = "\n" not in text[end : every[at + 1][0]]
                self.edits.append((start, every[at + 1][0] if same else self._whole_line(comma), ""))
            elif at and every[at - 1] not in lost:
                self.edits.append((every[at - 1][1], end, ""))
            else:
                comma = text.find(",", end, stop)
                before = every[at - 1][0] if at and every[at - 1] in lost else start
                while before > 0 and text[before - 1] in " \t" and at:
                    before -= 1
                self.edits.append((start, end if comma < 0 else comma + 1, ""))
                if at:  # everything from some item on is gone: so is the comma before it
                    kept = next((one for one in range(at, -1, -1) if every[one] not in lost), None)
                    if kept is not None:
                        self.edits = [one for one in self.edits if not every[kept][1] <= one[0] < end]
                        self.edits.append((every[kept][1], end, ""))

    def _whole_line(self, comma: int) -> int:
        """Where the item's line ends, so that no empty one stays behind."""
        end = self.toml.text.find("\n", comma)
        rest = self.toml.text[comma:end]
        if end < 0 or rest.strip():
            return comma
        at = end + 1
        while at < len(self.toml.text) and self.toml.text[at] in " \t":
            at += 1
        return at


class _Spec:
    """A dependency in any of its forms: a string, an inline table, a table of its own, dotted keys."""

    def __init__(self, toml: Toml, path: tuple[str, ...]) -> None:
        self.path = path
        self.whole = toml.find(*path)
        self.inline = self.whole if self.whole is not None and self.whole.kind == "table" else None
        self.parts = {one.path[len(path)]: one for one in toml.entries if one.path[:-1] == path and one.path != path}
        self._entries = [one for one in toml.entries if one.path[: len(path)] == path]
        self._headers = [one for one in toml.headers if one.path[: len(path)] == path]
        starts = [one.keys[0][0] for one in self._entries] + [one.start for one in self._headers]
        self.start = min(starts, default=0)

    def entry(self, key: str) -> Entry | None:
        if key == "version" and self.whole is not None and self.whole.kind == "string":
            return self.whole
        return self.parts.get(key)

    def has(self, key: str) -> bool:
        return self.entry(key) is not None

    def string(self, key: str) -> str | None:
        entry = self.entry(key)
        return entry.string if entry is not None else None

    def own_names(self) -> Iterator[tuple[int, int]]:
        """Every place where the dependency's own name is written."""
        at = len(self.path) - 1
        for one in self._entries:
            if one.inline is not None:
                continue
            index = at - (len(one.path) - len(one.keys))
            if 0 <= index < len(one.keys):
                yield one.keys[index]
        for header in self._headers:
            yield header.keys[at]


def _official(url: str) -> bool:
    plain = url.lower().rstrip("/").removesuffix(".git")
    return plain.endswith(("github.com/aya-rs/aya", "github.com:aya-rs/aya"))


def _fits(required: str, wanted: str, version: str) -> bool:
    """Whether a requirement asks for what the set has, and for nothing else."""
    has, want, number = VersionRange.required(required), VersionRange.required(wanted), parse_version(version)
    if has is None or want is None or number is None:
        return False
    return want.low <= has.low <= number < has.high <= want.high

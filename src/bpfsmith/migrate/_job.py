"""One migration: manifests first, then the table of moves release by release, the logger, and what is left."""

from __future__ import annotations

import os

from bpfsmith.check.fix import SAFE, UNSAFE, Mender, fix_for
from bpfsmith.migrate._manifest import Manifest
from bpfsmith.migrate._releases import RELEASES
from bpfsmith.migrate.report import Decision, Done, MigrateReport
from bpfsmith.model.errors import BpfsmithError, InputError, ToolError
from bpfsmith.rules._context import CheckContext
from bpfsmith.rules._sources import Sources
from bpfsmith.source.versions import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from bpfsmith.migrate._releases import Release
    from bpfsmith.model.finding import Finding
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project

__all__ = ["run"]

_ROUNDS = 24
# What else keeps a program from working after a move: how programs are looked up, the compiler, the logger, handles.
_BESIDE = ("AYA010", "AYA037", "AYA121", "AYA122", "AYA125", "AYA401")
_OLDEST = "0.11"
_ALL_OR_NOTHING = "a workspace moves as a whole: as long as one of its files cannot be written, none is"
# Kernel side -> the oldest release of aya that it belongs to.
_KERNEL = (("0.3.0", "0.15"), ("0.2.0", "0.14"), ("0.1.0", "0.12"))


def run(path: str, to: str, *, write: bool, unsafe_fixes: bool, allow_dirty: bool) -> MigrateReport:
    """See `bpfsmith.migrate.migrate`."""
    release = _release(to)
    mender = Mender(UNSAFE if unsafe_fixes else SAFE)
    with mender.overlay:
        job = _Job(_project(path), release, mender)
        job.settle_start()
        if write and not allow_dirty:
            from bpfsmith.migrate._git import require_clean

            job.notes += [note for note in (require_clean(job.root),) if note]
        job.manifests()
        job.moves()
        job.logger()
        job.build_scripts()
        job.left()
        files, diff = list(mender.changed()), mender.diff()
    commands = job.commands(files) if files or job.decisions else ()
    refused = any(isinstance(error, InputError) for error in mender.errors)
    if write and files and not refused:
        refused = not mender.write_all()
    if refused:
        # Half of a migration fits neither release.
        return MigrateReport(
            job.since, release.name, release.rust, notes=[*job.notes, _ALL_OR_NOTHING], errors=mender.errors
        )
    return MigrateReport(
        job.since,
        release.name,
        release.rust,
        done=job.done,
        decisions=sorted(job.decisions, key=lambda one: (one.path, one.line, one.column, one.code)),
        files=files,
        diff=diff,
        commands=commands,
        notes=job.notes,
        errors=mender.errors,
        written=write,
    )


def _release(to: str) -> Release:
    name = ".".join(to.removeprefix("v").split(".")[:2])
    found = RELEASES.get(name)
    if found is None or parse_version(to.removeprefix("v")) is None:
        from bpfsmith.model.near import did_you_mean

        raise InputError(
            f"cannot migrate to `{to}`", hint=did_you_mean(to, list(RELEASES), f"known are {', '.join(RELEASES)}")
        )
    return found


def _project(path: str) -> Project:
    from bpfsmith.source.project import find_project

    if not os.path.exists(path):
        raise InputError("no such folder", where=path, hint="give the folder of a Cargo workspace")
    found = find_project(path)
    if found is None:
        raise InputError(
            "there is no Cargo workspace that uses Aya",
            where=path,
            hint="give the folder with the workspace's `Cargo.toml`",
        )
    # The whole workspace moves: two of its members at two releases would not fit together.
    whole = (find_project(found.root) if found.crates != found.all_crates else found) or found
    if whole.broken:
        raise whole.broken[0]  # what it asks for is not known: no half of it may move
    return whole


class _Job:
    def __init__(self, project: Project, release: Release, mender: Mender) -> None:
        self.project = project
        self.root = project.root
        self.release = release
        self.mender = mender
        self.since = _OLDEST
        self.done: list[Done] = []
        self.decisions: list[Decision] = []
        self.notes: list[str] = []
        self.sources = Sources([project.root])

    # ------------------------------------------------------------ from where

    def settle_start(self) -> None:
        """The oldest release that a crate of the project may have."""
        user = [one for crate in self.project.all_crates for one in _user_release(crate)]
        kernel = [one for crate in self.project.all_crates for one in _kernel_release(crate)]
        known = user + kernel
        if not known:
            raise InputError("no crate of the project uses Aya", where=self.root)
        self._not_newer()
        # Releases of the kernel side belong to several of the user side.
        self.since = min(user or kernel, key=_number)
        newest = max(known, key=_number)
        if _number(newest) > _number(self.release.name):
            raise InputError(
                f"the project uses aya {newest} already",
                where=self.root,
                hint=f"migrating back is not possible; `--to {newest}` mends what is left of older releases",
            )

    def _not_newer(self) -> None:
        """Nothing is known of what a release after the newest known one has, so there is no way from it."""
        from bpfsmith.source.told import NEWEST

        for crate in self.project.all_crates:
            for package in ("aya", "aya-ebpf"):
                version = crate.version(package) if crate.dependency(package) is not None else None
                known = parse_version(NEWEST[package])
                if version is not None and known is not None and version.low[:2] > known[:2]:
                    newest = ".".join(str(one) for one in known[:2])
                    raise InputError(
                        f"the project uses {package} {version}, newer than what is known here ({newest})",
                        where=self.root,
                        hint="migrating back is not possible; a newer bpfsmith may know that release",
                    )

    def _steps(self) -> list[Release]:
        since, to = _number(self.since), _number(self.release.name)
        return [one for one in RELEASES.values() if since < _number(one.name) <= to] or [self.release]

    # ------------------------------------------------------------ manifests

    def manifests(self) -> None:
        """The `Cargo.toml`s, and the names of renamed crates in the sources of those who use them."""
        names: dict[str, dict[str, str]] = {}  # folder of a manifest -> names in code
        folders = {crate.folder for crate in self.project.all_crates} | {
            crate.workspace for crate in self.project.all_crates
        }
        for folder in sorted(folders):
            path = os.path.join(folder, "Cargo.toml")
            shown = self.sources.shown(path)
            if not os.path.isfile(path):
                continue
            manifest = Manifest(self.mender.text(shown).replace("\r\n", "\n"), self.release)
            manifest.run()
            if self._take(shown, manifest):
                names[folder] = manifest.renamed
        for crate in self.project.all_crates:
            # A member that inherits its dependency has the workspace's names only if it renamed the key itself.
            found = names.get(crate.folder, {})
            if found:
                self._rename(crate, found)

    def _take(self, shown: str, manifest: Manifest) -> bool:
        self.decisions += [Decision(shown, line, 1, "", what, do) for line, what, do in manifest.open]
        old = self.mender.text(shown)
        text = manifest.text
        if "\r\n" in old:
            text = text.replace("\n", "\r\n")
        if text == old:
            return True
        from bpfsmith.check.fix import unsound

        if unsound({os.path.realpath(shown): (old, text)}):
            raise ToolError("not migrated: the result is no TOML; nothing is written", where=shown)
        if not self.mender.allowed(shown, [self.root]):
            return False
        self.mender.edit(shown, text)
        self.done += [Done(shown, line, "", what) for line, what in sorted(manifest.done)]
        return True

    def _rename(self, crate: Crate, names: dict[str, str]) -> None:
        from bpfsmith.migrate._names import renamed

        for file in crate.files:
            if not any(one in file.text for one in names):
                continue
            shown = self.sources.shown(file.path)
            text, count = renamed(file, names)
            if count and self.mender.allowed(shown, [self.root]):
                self.mender.edit(shown, text)
                said = ", ".join(f"`{old}` is `{new}`" for old, new in names.items() if old in file.text)
                self.done.append(Done(shown, 1, "AYA002", f"{said} now ({count} place{'s' * (count > 1)})"))

    # ------------------------------------------------------------ sources

    def _again(self, release: Release) -> tuple[Project, CheckContext]:
        """The project as it is by now, read for a release."""
        from bpfsmith.source.project import find_project

        project = find_project(self.root)
        if project is None:
            raise ToolError("the project is gone after its manifests were edited", where=self.root)
        project.target = release.versions
        self.sources = Sources([project.root])
        return project, CheckContext(project=project, sources=self.sources)

    def moves(self) -> None:
        """The rows of the table, one release after the other, each until nothing changes."""
        for release in self._steps():
            for _ in range(_ROUNDS):
                project, ctx = self._again(release)
                if not self.mender.round(self._findings(project, ctx), [self.root]):
                    break
            else:
                raise ToolError(f"the moves to aya {release.name} find no end: nothing is written", where=self.root)
        for one in self.mender.mended:
            self.done.append(Done(one.path or "", one.span.line if one.span else 1, one.code, one.message))

    def _findings(self, project: Project, ctx: CheckContext) -> list[Finding]:
        from bpfsmith import rules
        from bpfsmith.rules._base import SourceRule
        from bpfsmith.rules.moves import engine

        found = engine.findings(project, ctx)
        for code in _BESIDE:
            entry = rules.find(code)
            if entry is not None and isinstance(entry.rule, SourceRule):
                try:
                    found += entry.rule.check(project, ctx)
                except BpfsmithError as error:
                    self.notes.append(str(error))
        return sorted(found, key=lambda one: one.sort_key())

    # ------------------------------------------------------------ the logger

    def logger(self) -> None:
        """aya-log reads nothing by itself since 0.3: somebody has to."""
        version = parse_version(self.release.versions.get("aya-log", "0"))
        if version is None or version < (0, 3, 0):
            return
        from bpfsmith.migrate._log import read_log

        project, _ = self._again(self.release)
        for crate in project.all_crates:
            if crate.dependency("aya-log") is None:
                continue
            for file in crate.files:
                text, lines = read_log(file, crate)
                shown = self.sources.shown(file.path)
                if not lines or not self.mender.allowed(shown, [self.root]):
                    continue
                self.mender.edit(shown, text)
                self.done += [Done(shown, line, "AYA121", "a task reads the log now") for line in lines]
        self._tokio(self._again(self.release)[0])

    def _tokio(self, project: Project) -> None:
        """`AsyncFd` is in tokio's feature `net`, which aya switched on until 0.13."""
        from bpfsmith.migrate._log import tokio_feature

        for crate in project.all_crates:
            if not any("AsyncFd" in file.text for file in crate.files):
                continue
            for folder in dict.fromkeys((crate.folder, crate.workspace)):
                shown = self.sources.shown(os.path.join(folder, "Cargo.toml"))
                if not os.path.isfile(shown):
                    continue
                found = tokio_feature(self.mender.text(shown), crate.dependency("tokio"))
                if found is not None and self.mender.allowed(shown, [self.root]):
                    self.mender.edit(shown, found[0])
                    self.done.append(Done(shown, found[1], "", "tokio's feature `net` has `AsyncFd`"))
                    break

    # ------------------------------------------------------------ build scripts

    def build_scripts(self) -> None:
        """aya-build until 0.1.2 took packages of cargo_metadata."""
        from bpfsmith.migrate._build import old_calls
        from bpfsmith.read.overlay import opened
        from bpfsmith.source.rust import parse_files

        if self.release.name in ("0.12", "0.13"):
            return
        for crate in self.project.all_crates:
            if crate.build_rs is None or crate.dependency("aya-build", "build") is None:
                continue
            shown = self.sources.shown(crate.build_rs)
            with opened(crate.build_rs) as script:
                (file,) = parse_files([crate.build_rs], [script.read()])
            text, lines, unknown = old_calls(file)
            if lines:
                if not self.mender.allowed(shown, [self.root]):
                    continue
                self.mender.edit(shown, text)
            said = "`build_ebpf` takes packages of aya-build and a toolchain since aya-build 0.1.3"
            self.done += [Done(shown, line, "", said) for line in lines]
            self.decisions += [
                Decision(
                    shown, line, 1, "", said, "make an `aya_build::Package` of it, and give `Toolchain::default()`"
                )
                for line in unknown
            ]

    # ------------------------------------------------------------ the rest

    def left(self) -> None:
        """What the rules still say of the result."""
        project, ctx = self._again(self.release)
        for one in self._findings(project, ctx):
            span = one.span
            advice = one.fixes[0].message if one.fixes else f"see `bpfsmith explain {one.code}`"
            if fix_for(one, UNSAFE) is not None and fix_for(one, self.mender.accept) is None:
                advice += " (`--unsafe-fixes` does it)"
            self.decisions.append(
                Decision(
                    one.path or "", span.line if span else 1, span.column if span else 1, one.code, one.message, advice
                )
            )
        for crate in project.all_crates:
            self.decisions += self._edition(crate)

    def _edition(self, crate: Crate) -> Iterator[Decision]:
        """C string literals, which name interfaces since 0.15, want the edition of 2021."""
        if crate.edition < 2021 and _number(self.release.name) >= (0, 15) and crate.dependency("aya") is not None:
            shown = self.sources.shown(crate.manifest)
            yield Decision(
                shown,
                crate.line_of("edition"),
                1,
                "",
                f'edition {crate.edition} has no `c".."` literals, which name interfaces since aya 0.15',
                'set `edition = "2021"` (`cargo fix --edition` first)',
            )

    def commands(self, files: Collection[str]) -> list[str]:
        """What to run next, in order; `files` have changed."""
        changed = {os.path.dirname(os.path.realpath(one)) for one in files if os.path.basename(one) == "Cargo.toml"}
        folders = sorted({crate.workspace for crate in self.project.all_crates})
        out = []
        for folder in folders:
            shown = self.sources.shown(folder)
            prefix = "" if shown == os.curdir else f"cd {shown} && "
            members = {crate.folder for crate in self.project.all_crates if crate.workspace == folder} | {folder}
            if not changed & {os.path.realpath(one) for one in members}:
                out.append(f"{prefix}cargo check")  # what Cargo chose stays as it is
                continue
            if os.path.isfile(os.path.join(folder, "Cargo.lock")):
                out.append(f"{prefix}cargo update --workspace")
            if self.release.name == "0.12" and _has(self.project, folder, "aya-log"):
                # aya-log 0.2.0 does not compile with the next release of its own part.
                out.append(f"{prefix}cargo update -p aya-log-common --precise 0.1.14")
            if self.release.name == "0.14" and _has_kernel(self.project, folder):
                # aya-ebpf 0.2 builds with aya-build, whose 0.2.1 wants a newer compiler than all the rest.
                out.append(f"{prefix}cargo update -p aya-build --precise 0.2.0  # with a compiler older than 1.98")
            out.append(f"{prefix}cargo check")
        return out


def _has(project: Project, folder: str, package: str) -> bool:
    return any(crate.workspace == folder and crate.dependency(package) is not None for crate in project.all_crates)


def _has_kernel(project: Project, folder: str) -> bool:
    return any(crate.workspace == folder and crate.role == "kernel" for crate in project.all_crates)


def _number(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split("."))


def _user_release(crate: Crate) -> Iterator[str]:
    """The release of aya that a crate has, as far as it can be told; `aya-bpf` is as old as they come."""
    if crate.dependency("aya-bpf") is not None:
        yield _OLDEST
    if crate.dependency("aya") is not None:
        known = crate.version("aya")
        name = f"{known.low[0]}.{known.low[1]}" if known is not None else _OLDEST
        yield name if name in RELEASES else _OLDEST


def _kernel_release(crate: Crate) -> Iterator[str]:
    """The oldest release of aya that a crate's aya-ebpf belongs to."""
    if crate.dependency("aya-ebpf") is not None:
        known = crate.version("aya-ebpf")
        yield next((name for first, name in _KERNEL if known is not None and known.at_least(first)), "0.12")

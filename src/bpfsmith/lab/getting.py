"""`lab get`: the newest kernel of each series asked for, from Debian's archive, prepared."""

from __future__ import annotations

import os

from bpfsmith.lab import store
from bpfsmith.lab.kernels.fetch import Gone, fetch_to
from bpfsmith.lab.kernels.index import newest_first
from bpfsmith.lab.kernels.matrix import ARCHES, DEFAULT, SERIES, SUITES, native_arch, suites_for
from bpfsmith.lab.prepare import no_space
from bpfsmith.lab.progress import Progress
from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, InputError, UnknownName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Protocol

    from bpfsmith.lab.kernels.index import File, Offer
    from bpfsmith.lab.store import Prepared

    class Archive(Protocol):
        """Where indexes and packages come from: `AptArchive` or `MirrorArchive`."""

        kind: str
        arch: str
        unread: dict[str, str]  # suites that could not be read -> why

        def read(self, suites: Sequence[str]) -> dict[str, list[Offer]]:
            """What suites offer."""

        def url(self, offer: Offer, file: File) -> str:
            """Where a package is."""

        def transfer(self, url: str, part: str, told: Callable[[int], None]) -> None:
            """Brings a package."""


__all__ = ["get", "open_archive", "refresh_indexes"]

# How long an index is good, in seconds; one that names files which are gone is read again at once.
FRESH = 6 * 3600
_FLAVOURS = {"cloud": "cloud", "full": ""}


def open_archive(arch: str, mirrors: Sequence[str], keyring: str) -> Archive:
    """The mirrors given, or else this machine's apt."""
    if mirrors:
        from bpfsmith.lab.kernels.mirror import MirrorArchive

        return MirrorArchive(arch, mirrors, keyring)
    if keyring:
        raise InputError("`--keyring` is for `--mirror URL`", hint="apt uses the keys of this machine")
    from bpfsmith.lab.kernels.apt import AptArchive

    return AptArchive(arch)


def get(
    names: Iterable[str] = (), *, arch: str = "", flavour: str = "cloud", mirror: str | Iterable[str] = (),
    keyring: str = "", suites: Iterable[str] = (), update: bool = False, progress: Progress | None = None,
) -> list[Prepared]:  # fmt: skip
    """Prepares kernels and answers them in the order asked for; those that are here already cost nothing.

    `names`: series (`6.12`: the newest build), versions (`6.12.117`) or releases; without any the default matrix.
    `arch`: as `uname -m` says ("" = this machine's); `flavour`: `cloud`, `full` (then it is called `6.12-full`).
    `mirror`, `keyring`: addresses of a Debian mirror and the keys its index is signed with, instead of this machine's
    apt; `suites`: only these. `update`: looks for newer builds of series that are here.

    `UnknownName` for a series nobody has (near ones in the hint); `EnvironmentMissing` without apt, network or space.
    Packages are dropped once prepared; an interrupted download goes on where it was."""
    wanted = list(dict.fromkeys(_series_of(name) for name in names)) or list(DEFAULT)
    arch = arch or native_arch()
    if arch not in ARCHES:
        arch = {word: name for name, word in ARCHES.items()}.get(arch, arch)
    if arch not in ARCHES:
        raise InputError(f"the lab has no `{arch}`", hint=f"known are {', '.join(ARCHES)}")
    job = _Job(arch, _FLAVOURS.get(flavour, flavour), [mirror] if isinstance(mirror, str) else list(mirror), keyring)
    job.suites = list(suites)
    job.progress = progress or Progress()
    checked = [_checked(one) for one in wanted]
    try:
        return job.run(checked, update)
    except OSError as error:  # of our own files: what the network says is told where it is asked
        raise no_space(error, store.place()) from None


def refresh_indexes(progress: Progress | None = None, arch: str = "") -> None:
    """Reads the indexes of all suites that hold kernels, however fresh those kept are."""
    job = _Job(arch or native_arch(), "cloud", [], "")
    job.progress = progress or Progress()
    job.read(list(dict.fromkeys(suite for found in SUITES.values() for suite in found)), again=True)


def _series_of(name: str) -> str:
    return name.strip().removeprefix("v").removesuffix("-arm64").removesuffix("-amd64")


def _checked(name: str) -> str:
    """A word that can be a kernel of the archive's."""
    major, dot, minor = name.partition(".")
    if dot and major.isdecimal() and minor[:1].isdecimal():
        return name
    from bpfsmith.model.near import did_you_mean

    known = f"known are {', '.join(SERIES)}"
    raise UnknownName(f"unknown kernel `{name}`", hint=did_you_mean(name, SERIES, known))


class _Job:
    """One call: the archive is opened when something is to be fetched, indexes are read once."""

    def __init__(self, arch: str, flavour: str, mirrors: list[str], keyring: str) -> None:
        self.arch = arch
        self.flavour = flavour
        self.mirrors = [one for one in mirrors if one]
        self.keyring = keyring
        self.suites: list[str] = []
        self.progress = Progress()
        self._archive: Archive | None = None
        self._read: dict[str, list[Offer]] = {}

    @property
    def archive(self) -> Archive:
        if self._archive is None:
            self._archive = open_archive(ARCHES[self.arch], self.mirrors, self.keyring)
        return self._archive

    def run(self, wanted: list[str], update: bool) -> list[Prepared]:
        store.sweep()
        here = {name: one for name in wanted if (one := self._here(name)) is not None}
        absent = [name for name in wanted if update or name not in here]
        for name in wanted:
            if name not in absent:
                self.progress.say(f"{name}: here ({here[name].release}, {here[name].package})")
        if absent:
            for name in absent:
                # A newer suite than ours may have it; a typing mistake is not worth reading ten indexes for.
                self._plausible(name)
            self._index(absent)
            for name in absent:
                here[name] = self._one(name, here.get(name))
        return [here[name] for name in wanted]

    def _here(self, name: str) -> Prepared | None:
        found = None
        for one in store.all():
            cloud = "-cloud-" in one.release
            mine = one.arch == self.arch and one.series_named and cloud == (self.flavour == "cloud")
            if mine and name in (one.series, one.version, one.release, one.package):
                found = one
        return found

    # ------------------------------------------------------------ indexes

    def _index(self, wanted: list[str]) -> None:
        """Reads suites until each series is found: first what is on disk and the small ones of its row (a point release
        comes to several at a time), then, of all series still missing, the next suite at once."""
        first = [suite for name in wanted for suite in self._candidates(name) if suite in self._own(name)]
        small = [suite for suite in first if suite.endswith(("-security", "-backports"))]
        self.read(list(dict.fromkeys(suite for suite in first if suite in small or self._kept(suite))))
        tried = set(self._read)
        while True:
            missing = [name for name in wanted if not self._choices(name)]
            todo: list[str] = []
            for name in missing:
                candidates = [one for one in self._candidates(name) if one not in tried]
                todo.extend(one for one in candidates[:1] if one not in todo)
            if not todo:
                break
            tried.update(todo)
            self.read(todo)

    def _own(self, name: str) -> tuple[str, ...]:
        return tuple(self.suites) or SUITES.get(".".join(name.split(".")[:2]).partition("-")[0], ())

    def _candidates(self, name: str) -> tuple[str, ...]:
        return tuple(self.suites) or suites_for(".".join(name.split(".")[:2]).partition("-")[0])

    def _plausible(self, name: str) -> None:
        from bpfsmith.lab.kernels.versions import numbers

        series = numbers(name)[:2]
        if self.suites or ".".join(map(str, series)) in SERIES or series > numbers(SERIES[-1]):
            return
        below = [one for one in SERIES if numbers(one) < series][-1:]
        above = [one for one in SERIES if numbers(one) > series][:1]
        near = " or ".join(f"`{one}`" for one in (*below, *above))
        raise UnknownName(
            f"no archive has a kernel `{name}`",
            hint=f"near ones are {near}; a vendor's kernel joins by `bpfsmith lab add FILE...`",
        )

    def read(self, todo: list[str], *, again: bool = False) -> None:
        """Indexes of these suites, from disk while they are fresh."""
        unread = [suite for suite in todo if again or not self._kept(suite)]
        if not unread:
            return
        self.progress.say(f"reading the index of {', '.join(unread)}")
        found = self.archive.read(unread)
        for suite in unread:
            if suite in self.archive.unread:
                self.progress.say(f"{suite} could not be read: {self.archive.unread[suite]}")
            self._read[suite] = found.get(suite, [])
            if suite in found:
                self._keep(suite)

    def _path(self, suite: str) -> str:
        from hashlib import sha256

        where = sha256(" ".join([self.archive.kind, *self.mirrors, self.keyring]).encode()).hexdigest()[:8]
        return os.path.join(store.folder("index"), f"{suite.replace('/', '_')}-{self.archive.arch}-{where}.json")

    def _kept(self, suite: str) -> bool:
        import json
        from time import time

        from bpfsmith.lab.kernels.index import Offer

        try:
            if not 0 <= time() - os.path.getmtime(self._path(suite)) < FRESH:
                return False
            with open(self._path(suite), encoding="utf-8") as file:
                self._read[suite] = [Offer.from_json(one) for one in json.load(file)]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return True

    def _keep(self, suite: str) -> None:
        import json
        from contextlib import suppress

        from bpfsmith.lab.qemu import write_file

        with suppress(OSError):  # a full disk: it is read again next time
            write_file(self._path(suite), json.dumps([one.to_json() for one in self._read[suite]]).encode())

    def _choices(self, name: str) -> list[Offer]:
        return newest_first([one for found in self._read.values() for one in found], name, self.flavour)

    # ------------------------------------------------------------ one kernel

    def _one(self, name: str, have: Prepared | None) -> Prepared:
        choices = self._choices(name)
        if not choices:
            self._nothing(name)
        if have is not None and have.package == choices[0].package:
            self.progress.say(f"{name}: here ({have.release}, {have.package}), nothing newer is offered")
            return have
        gone: BpfsmithError | None = None
        for again in (False, True):
            for offer in choices:
                try:
                    # One process fetches and prepares a build, and those that waited for it find it done.
                    with store.locked(f"get-{offer.release}"):
                        return self._done(offer, have) or self._prepare(name, offer)
                except Gone as error:
                    gone = gone or error
                    self.progress.say(f"{name}: {offer.package} is in the index but gone; trying an older build")
            if not again:
                self.read(list(dict.fromkeys(one.suite for one in choices)), again=True)
                choices = self._choices(name)
        raise EnvironmentMissing(f"no build of {name} in the index can be fetched: {gone}", "", where=name)

    def _done(self, offer: Offer, have: Prepared | None) -> Prepared | None:
        found = self._here(offer.release) if have is None or have.release != offer.release else None
        return found if found is not None and found.package == offer.package else None

    def _nothing(self, name: str) -> None:
        if self.archive.unread:
            suite, why = next(iter(self.archive.unread.items()))
            raise EnvironmentMissing(f"{suite} could not be read, and no other suite has a kernel `{name}`: {why}", "")
        offered = sorted({one.series for found in self._read.values() for one in found if one.flavour == self.flavour})
        from bpfsmith.lab.kernels.versions import numbers

        offered.sort(key=numbers)
        there = f"there {'is' if len(offered) == 1 else 'are'} {', '.join(offered)}" if offered else "there is none"
        raise UnknownName(f"no suite has a kernel `{name}` for {self.arch}", hint=f"in those read {there}")

    def _prepare(self, name: str, offer: Offer) -> Prepared:
        from bpfsmith.lab.kernels import tree
        from bpfsmith.lab.kernels.deb import Deb
        from bpfsmith.lab.prepare import prepare

        paths = [self._fetch(offer, file) for file in offer.files]
        self.progress.say(f"{name}: preparing {offer.release}")
        with store.making("downloads") as folder:
            source, passed = tree.from_packages([Deb(path) for path in paths], folder, f"Debian {offer.suite}")
            source.package = offer.package
            source.arch = self.arch
            one = prepare(source, series_named=True, more=lambda names: tree.fetch(source, names, passed, folder))
        for path in paths:
            os.unlink(path)
        self.progress.say(f"{one.name}: ready ({one.release}, {one.package}, {one.size // 1_000_000} MB)")
        for lost in one.lacks.values():
            self.progress.say(f"{one.name}: {lost}")
        return one

    def _fetch(self, offer: Offer, file: File) -> str:
        """The package on disk; the same content by another name when this one is gone."""
        gone: Gone | None = None
        for one in (file, *file.alternatives):
            path = os.path.join(store.folder("downloads"), one.basename)
            if os.path.exists(path):
                return path  # it was verified before it got this name
            try:
                fetch_to(
                    self.archive.url(offer, one), path, one.size, one.sha256, self.progress, one.name,
                    self.archive.transfer,
                )  # fmt: skip
            except Gone as error:
                gone = gone or error
                continue
            return path
        raise gone or Gone(f"{file.name} is gone", "")

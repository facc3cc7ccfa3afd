"""The kernels kept in the user's cache: where they are, what each has, and finding one by the names people use.

    $BPFSMITH_CACHE or $XDG_CACHE_HOME/bpfsmith or ~/.cache/bpfsmith
    `- lab/
       |- kernels/KEY/      one prepared kernel: kernel.json vmlinux modules/*.ko config [btf.z]
       |- downloads/        packages while they are needed, partial ones to be resumed
       `- index/            what the archives offer, as last read

A kernel's folder appears and goes by one rename, so that a reader never sees half of one.
"""

from __future__ import annotations

import os
from errno import EACCES, EPERM, EROFS

from bpfsmith.model.errors import EnvironmentMissing, InputError, UnknownName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith._native import Btf

__all__ = [
    "Prepared", "all", "aside", "discard", "find", "folder", "locked", "making", "not_ours", "place", "remove",
    "size_of", "sweep",
]  # fmt: skip

# Of what `lab.prepare` writes: a kernel kept in another format is not seen, and is got anew.
FORMAT = 2
CACHE = "set BPFSMITH_CACHE to a folder of yours"


def place(*names: str) -> str:
    """The lab's folder or one below it, whether it is there or not."""
    cache = os.environ.get("BPFSMITH_CACHE")
    if not cache:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        cache = os.path.join(home, "bpfsmith")
    return os.path.join(cache, "lab", *names)


def folder(*names: str) -> str:
    """The same, made when missing. `EnvironmentMissing` when it cannot be made; `InputError`: a file is in its way."""
    path = place(*names)
    try:
        os.makedirs(path, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        said = os.environ.get("BPFSMITH_CACHE", "")
        what = f"BPFSMITH_CACHE names a file: `{said}`" if os.path.isfile(said) else f"no folder can be at `{path}`"
        raise InputError(what, hint=CACHE) from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise EnvironmentMissing(f"cannot make the folder `{path}`: {why}", "", hint=CACHE) from None
    return path


def not_ours(error: OSError, doing: str, path: str) -> EnvironmentMissing | None:
    """What a write below the lab's folder is told as that is refused: it is another user's, or read-only. None for
    other errors."""
    where = str(error.filename or path)
    if error.errno not in (EACCES, EPERM, EROFS) or not where.startswith(place()):
        return None
    told = f"cannot {doing}: {(error.strerror or str(error)).lower()}"
    return EnvironmentMissing(told, "", where, CACHE)


class Prepared:
    """One kernel, ready to be booted. Everything but the types and the configuration is in memory.

    `name`: how it is called in reports (`6.12`, or what `lab add --name` said); `release`: what `uname -r` answers in
    it; `version`: its numbers (`5.10.262` where the release says `5.10.0-46-cloud-amd64`); `package`: the version of
    the package it came in ("" for a bare image); `arch`: `x86_64`, `aarch64`; `origin`: where it came from, for people;
    `added`: when, seconds since 1970; `folder`: where its files are; `boot`: `pvh`, `bzimage` or `image`, what
    `vmlinux` is; `lacks`: word -> what is lost, empty for a kernel that has everything.
    """

    __slots__ = (
        "_btf_at", "_config", "added", "arch", "boot", "folder", "has_btf", "has_config", "lacks", "module_names",
        "name", "origin", "package", "packages", "release", "series_named", "size", "version",
    )  # fmt: skip

    def __init__(self, folder: str, told: dict[str, Any]) -> None:
        self.folder = folder
        self.name: str = told["name"]
        self.release: str = told["release"]
        self.version: str = told["version"]
        self.package: str = told["package"]
        self.packages: list[str] = told["packages"]
        self.arch: str = told["arch"]
        self.origin: str = told["origin"]
        self.added: int = told["added"]
        self.boot: str = told["boot"]
        self.lacks: dict[str, str] = told["lacks"]
        self.has_btf: bool = told["btf"]
        self.has_config: bool = told["config"]
        self.module_names: list[str] = told["modules"]
        self.series_named: bool = told["series_named"]
        self.size: int = told["size"]
        self._btf_at: tuple[int, int] | None = told["btf_at"]
        self._config: dict[str, str] | None = None

    @property
    def key(self) -> str:
        """The name of its folder: unique, and never used for another build."""
        return os.path.basename(self.folder)

    @property
    def series(self) -> str:
        """`6.12`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def vmlinux(self) -> str:
        """What QEMU is given: an ELF file with a PVH entry, or (`boot`) the boot image as it was."""
        return os.path.join(self.folder, "vmlinux")

    @property
    def modules(self) -> list[str]:
        """Paths of its modules, uncompressed, in the order in which they can be loaded."""
        return [os.path.join(self.folder, "modules", f"{name}.ko") for name in self.module_names]

    @property
    def config(self) -> dict[str, str]:
        """`CONFIG_HZ` -> `250`: what is set, text unquoted. Empty when it is not known (`has_config`)."""
        if self._config is None:
            from bpfsmith.lab.kernels.config import parse

            text = self._bytes(os.path.join(self.folder, "config")) if self.has_config else b""
            self._config = parse(text.decode("utf-8", "replace"))
        return self._config

    def btf_bytes(self) -> bytes:
        """Its vmlinux BTF as it is in the kernel. `EnvironmentMissing` without."""
        if not self.has_btf:
            raise EnvironmentMissing(
                f"kernel `{self.name}` has no BTF", "bpfsmith lab add IMAGE --btf FILE", where=self.name
            )
        if self._btf_at is not None:
            return self._bytes(self.vmlinux, *self._btf_at)
        from zlib import decompress
        from zlib import error as damaged

        path = os.path.join(self.folder, "btf.z")
        try:
            return decompress(self._bytes(path))
        except damaged:
            raise self.damaged(f"`{path}` is cut off or was changed") from None

    def btf(self) -> Btf:
        """The same, read."""
        from bpfsmith._native import Btf

        return Btf.parse(self.btf_bytes())

    def check(self) -> None:
        """`EnvironmentMissing` when a file it boots from was taken away or cannot be read."""
        for path in (self.vmlinux, *self.modules):
            if not os.access(path, os.R_OK):
                raise self.damaged(f"`{path}` {'cannot be read' if os.path.exists(path) else 'is missing'}")

    def usable(self) -> None:
        """`EnvironmentMissing` when no guest of it could answer: known since it was prepared, so nothing is booted."""
        if told := self.lacks.get("virtio"):
            raise EnvironmentMissing(f"kernel `{self.name}`: {told}", "", where=self.name).lacking("config")

    def damaged(self, why: str) -> EnvironmentMissing:
        """The error for a folder that is not as it was made."""
        again = f" && {_how_to_get(self.name) or 'bpfsmith lab get'}" if self.series_named else ""
        command = f"bpfsmith lab remove {self.name}{again}"
        hint = f"make it anew with `{command}`" if again else f"remove it with `{command}`, and add it again"
        return EnvironmentMissing(f"kernel `{self.name}` is damaged: {why}", command, self.name, hint)

    def _bytes(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise self.damaged(f"`{path}` {'is missing' if missing else 'cannot be read'}") from None
        if len(data) < size:
            raise self.damaged(f"`{path}` is cut off")
        return data

    def __repr__(self) -> str:
        return f"<Prepared {self.name}: {self.release}>"


def _read(path: str) -> Prepared | None:
    """What is in one folder; None for what is none of ours or of another format."""
    import json

    try:
        with open(os.path.join(path, "kernel.json"), encoding="utf-8") as file:
            told = json.load(file)
        return Prepared(path, told) if told.get("format") == FORMAT else None
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def all() -> list[Prepared]:  # noqa: A001 - as the fact tables call it
    """Every prepared kernel, oldest series first; of one series the newest build last."""
    base = place("kernels")
    names = sorted(os.listdir(base)) if os.path.isdir(base) else []
    found = [_read(os.path.join(base, name)) for name in names if not name.startswith(".")]
    return sorted((one for one in found if one is not None), key=_order)


def _order(one: Prepared) -> tuple[Any, ...]:
    from bpfsmith.lab.kernels.versions import numbers, version_key

    return (numbers(one.version), not one.series_named, version_key(one.package), one.release, one.name)


def find(name: str | Prepared) -> Prepared:
    """The kernel of that name, release, package version, version or series (the newest of several); one that was found
    is itself.

    `UnknownName` with near names; `EnvironmentMissing` with the command when such a kernel could be had."""
    if isinstance(name, Prepared):
        return name
    if not isinstance(name, str):
        hint = f'write "{name}"' if isinstance(name, (int, float)) else 'such as "6.12"'
        raise UnknownName(f"a kernel is named by text, not by {name!r}", hint=hint)
    from bpfsmith.lab.kernels.matrix import SERIES, native_arch

    here = all()
    native = native_arch()
    for fits in (
        lambda one: one.name == name,
        lambda one: name in (one.release, one.key, one.package),
        lambda one: one.arch == native and one.version == name,
        lambda one: one.arch == native and one.series == name and one.series_named,
        lambda one: one.arch == native and one.series == name,
    ):
        found = [one for one in here if fits(one)]
        if found:
            return found[-1]
    from bpfsmith.model.near import near_matches

    if wanted := _how_to_get(name):
        raise EnvironmentMissing(f"kernel `{name}` is not prepared", wanted, where=name)
    names = [one.name for one in here]
    from bpfsmith.model.kernels import SERIES as RELEASED

    if name.removeprefix("v") in RELEASED:
        known = f"prepared are {', '.join(names)}; " if names else ""
        could = ", ".join(one for one in SERIES if one not in names)
        could = f"`bpfsmith lab get` has {could}; " if could else ""
        own = "one of your own joins by `bpfsmith lab add FILE...`"
        raise UnknownName(f"the lab has no kernel `{name}`", hint=f"{known}{could}{own}")
    near = near_matches(name, [*names, *(one.release for one in here), *SERIES])
    hint = f"did you mean {' or '.join(f'`{one}`' for one in near)}? " if near else ""
    known = f"here are {', '.join(names)}; " if names else ""
    raise UnknownName(f"unknown kernel `{name}`", hint=f"{hint}{known}`bpfsmith lab list` shows what can be had")


def _how_to_get(name: str) -> str:
    """The command that prepares a kernel of the archive's; "" for a name that is none of those."""
    from bpfsmith.lab.kernels.matrix import ARCHES, SERIES

    series, *words = name.split("-")
    options = {"full": "--flavour full ", **{word: f"--arch {word} " for word in ARCHES.values()}}
    if series not in SERIES or not options.keys() >= set(words):
        return ""
    return f"bpfsmith lab get {''.join(options[word] for word in words)}{series}"


def remove(name: str) -> Prepared:
    """Deletes the kernel that `find(name)` gives, with the templates below it."""
    one = find(name)
    discard(one)
    return one


def discard(one: Prepared) -> None:
    """Deletes its folder: out of sight by one rename, then file by file."""
    from shutil import rmtree

    try:
        gone = aside(one.folder)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        doing = f"remove kernel `{one.name}`"
        raise not_ours(error, doing, one.folder) or InputError(f"cannot {doing}: {why}", where=one.folder) from None
    rmtree(gone, ignore_errors=True)


def aside(path: str) -> str:
    """Takes a kernel's folder out of sight, for whoever calls it to delete; where it is now. `OSError`."""
    gone = os.path.join(folder("kernels"), f".gone-{os.urandom(8).hex()}")
    os.rename(path, gone)
    return gone


class making:  # noqa: N801 - a context manager, used as a word
    """A new folder below one of the lab's, deleted at the end unless it was renamed meanwhile.

    Held locked all the time: that is how `sweep` knows it from what a killed process left, also where processes do not
    see each other (containers that share a cache) and where a process number is used again."""

    __slots__ = ("_base", "_fd", "path")

    def __init__(self, base: str) -> None:
        self._base = base

    def __enter__(self) -> str:
        from fcntl import LOCK_EX, flock

        while True:
            self.path = os.path.join(folder(self._base), f".new-{os.urandom(8).hex()}")
            os.mkdir(self.path)
            try:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # swept before it was locked
            try:
                flock(self._fd, LOCK_EX)
            except OSError:
                return self.path  # a file system without locks: nobody can lock it to sweep it either
            if os.path.exists(self.path):
                return self.path
            os.close(self._fd)

    def __exit__(self, *exc: object) -> None:
        from shutil import rmtree

        rmtree(self.path, ignore_errors=True)
        os.close(self._fd)


class locked:  # noqa: N801 - a context manager, used as a word
    """Only one process inside the block at a time, for one thing of the store; also ends with the process."""

    __slots__ = ("_fd", "_path")

    def __init__(self, what: str) -> None:
        self._path = os.path.join(folder("locks"), what.replace("/", "_"))

    def __enter__(self) -> None:
        from fcntl import LOCK_EX, flock

        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        flock(self._fd, LOCK_EX)

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)


def size_of(path: str) -> int:
    """Bytes on disk of everything below a folder, holes not counted."""
    return sum(stat.st_blocks * 512 for stat in _stats(path))


def _stats(path: str) -> Iterator[os.stat_result]:
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _stats(entry.path)
                else:
                    yield entry.stat(follow_symlinks=False)
    except OSError:
        return  # taken away meanwhile


def sweep() -> None:
    """Removes what processes that are no more left half made or half deleted."""
    from fcntl import LOCK_EX, LOCK_NB, flock
    from shutil import rmtree

    for base in (folder("kernels"), folder("downloads")):
        for name in os.listdir(base):
            path = os.path.join(base, name)
            if name.startswith(".gone-"):
                rmtree(path, ignore_errors=True)  # whoever deletes it too does not mind
            if not name.startswith((".new-", ".unpacked-")):
                continue
            try:
                fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                flock(fd, LOCK_EX | LOCK_NB)
                rmtree(path, ignore_errors=True)
            except OSError:
                pass  # it is being made
            finally:
                os.close(fd)

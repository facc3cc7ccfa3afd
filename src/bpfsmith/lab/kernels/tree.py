"""Packages (and a running system's own files) searched for the parts of one kernel."""

from __future__ import annotations

import os

from bpfsmith.lab.kernels.modules import NEEDLESS, stem
from bpfsmith.lab.prepare import Source
from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import IO, Protocol

    class Archive(Protocol):
        """A package file of any kind."""

        path: str
        name: str
        version: str
        arch: str

        def files(self) -> Iterator[tuple[str, IO[bytes]]]:
            """(path, reader) of its regular files."""


__all__ = ["fetch", "from_packages", "installed", "modules_below"]

# A file of a package that is larger is none of a kernel's.
_LIMIT = 1 << 30
_PIECE = 1 << 20


class _Place:
    """Where the files of one release are, as they are found."""

    __slots__ = ("builtin", "config", "image", "modules", "seen")

    def __init__(self) -> None:
        self.image = ""
        self.config = ""
        self.builtin = ""
        self.modules: dict[str, str] = {}
        self.seen: set[str] = set()  # modules that were passed over


def from_packages(
    archives: Sequence[Archive], folder: str, origin: str, image: str = ""
) -> tuple[Source, dict[str, Archive]]:
    """Unpacks into `folder` what of the packages belongs to a kernel. (source, where modules passed over are: pass it
    to `fetch`). `image`: one that is in none of them. `InputError` when there is no image, or when they are of several
    kernels."""
    found: dict[str, _Place] = {}
    if image:
        from bpfsmith.lab.kernels.bzimage import open_image

        with open(image, "rb") as whole:
            found.setdefault(open_image(whole.read(), image).banner.partition(" ")[0], _Place()).image = image
    passed: dict[str, Archive] = {}
    for archive in archives:
        for path, file in archive.files():
            kind, release = _kind(path)
            if not kind:
                continue
            place = found.setdefault(release, _Place())
            if kind == "module":
                name = stem(path)
                if path.partition("/kernel/")[2].startswith(NEEDLESS):
                    passed[name] = archive
                else:
                    place.modules[name] = _write(file, folder, release, f"{name}.ko")
            elif kind == "builtin":
                place.builtin = _write(file, folder, release, kind)
            elif kind == "config":
                place.config = place.config or _write(file, folder, release, kind)
            elif not place.image:
                written = _write(file, folder, release, "image")
                # Some packages have an empty file there, for another package to fill.
                place.image = written if os.path.getsize(written) > 4096 else ""
    return _source(found, archives, origin), passed


def fetch(source: Source, names: set[str], passed: dict[str, Archive], folder: str) -> None:
    """Unpacks modules that were passed over after all."""
    for archive in {id(passed[name]): passed[name] for name in names if name in passed}.values():
        for path, file in archive.files():
            kind, release = _kind(path)
            if kind == "module" and release == source.release and stem(path) in names:
                source.modules[stem(path)] = _write(file, folder, release, f"{stem(path)}.ko")


def _kind(path: str) -> tuple[str, str]:
    """(`image`, `config`, `builtin`, `module` or "", release) of a path in a package."""
    if "\0" in path:
        return "", ""  # no file of a kernel's, and no system call takes it
    path = path.removeprefix("usr/")
    folder, _, name = path.rpartition("/")
    if folder == "boot":
        for prefix, kind in (("vmlinuz-", "image"), ("vmlinux-", "image"), ("Image-", "image"), ("config-", "config")):
            if name.startswith(prefix):
                return kind, name.removeprefix(prefix)
        return "", ""
    if not path.startswith("lib/modules/"):
        return "", ""
    release, _, rest = path.removeprefix("lib/modules/").partition("/")
    if release in ("", ".", ".."):
        return "", ""
    known = {"vmlinuz": "image", "config": "config", "modules.builtin": "builtin"}.get(rest, "")
    return known or ("module" if name.endswith((".ko", ".ko.xz", ".ko.zst", ".ko.gz")) else ""), release


def _write(file: IO[bytes], folder: str, release: str, name: str) -> str:
    below = os.path.join(folder, release.replace("/", "_").lstrip("."))
    os.makedirs(below, exist_ok=True)
    path = os.path.join(below, name.replace("/", "_"))
    size = 0
    with open(path, "wb") as out:
        while piece := file.read(_PIECE):
            size += len(piece)
            if size > _LIMIT:
                raise InputError(f"`{name}` in a package is larger than 1 GiB", where=name)
            out.write(piece)
    return path


def _source(found: dict[str, _Place], archives: Sequence[Archive], origin: str) -> Source:
    images = [release for release, place in found.items() if place.image]
    names = ", ".join(f"`{os.path.basename(one.path)}`" for one in archives)
    if not images:
        releases = ", ".join(found) or "no kernel"
        raise InputError(
            f"no kernel image in {names}: {releases} only", where=archives[0].path if archives else "",
            hint="give the package with the image too (`linux-image-...`, `linux-binary-...`, `kernel-core`)",
        )  # fmt: skip
    if len(images) > 1:
        raise InputError(
            f"{names} hold several kernels: {', '.join(images)}", hint="add one kernel at a time: all packages of it"
        )
    release = images[0]
    others = sorted(one for one in found if one != release and found[one].modules)
    if others:
        raise InputError(
            f"the image is {release}, the modules are for {', '.join(others)}", hint="give packages of the same build"
        )
    place = found[release]
    source = Source(place.image, origin)
    source.release = release
    source.modules = place.modules
    source.config = _text(place.config)
    source.builtin = builtin(_text(place.builtin))
    source.packages = [f"{one.name} {one.version}" for one in archives]
    first = next((one for one in archives if "image" in one.name or "core" in one.name or "binary" in one.name), None)
    source.package = (first or archives[0]).version
    return source


def builtin(text: str) -> set[str]:
    """The names in a `modules.builtin`."""
    return {stem(line) for line in text.split("\n") if line}


def modules_below(path: str) -> dict[str, str]:
    """Name as of lsmod -> path, of a folder or of one file."""
    if os.path.isfile(path):
        return {stem(path): path}
    return {
        stem(name): os.path.join(found, name)
        for found, _, names in os.walk(path)
        for name in names
        if name.endswith((".ko", ".ko.xz", ".ko.zst", ".ko.gz"))
    }


def _text(path: str) -> str:
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def installed(image: str, release: str, folders: Iterable[str]) -> Source:
    """The parts of a kernel beside a bare image: its modules and configuration in the usual places, or in `folders`."""
    source = Source(image, image)
    source.release = release
    beside = os.path.dirname(image)
    for base in (*folders, f"/lib/modules/{release}", f"/usr/lib/modules/{release}"):
        source.modules = {**modules_below(base), **source.modules}
        source.builtin |= builtin(_text(os.path.join(base, "modules.builtin")))
        source.config = source.config or _text(os.path.join(base, "config"))
    for path in (os.path.join(beside, f"config-{release}"), f"/boot/config-{release}"):
        source.config = source.config or _text(path)
    return source

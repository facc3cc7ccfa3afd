"""`lab add`: a kernel of the user's own joins the lab: an image, packages, or what a machine has booted."""

from __future__ import annotations

import os

from bpfsmith.lab import store
from bpfsmith.lab.kernels import tree
from bpfsmith.lab.kernels.bzimage import is_image, open_image
from bpfsmith.lab.kernels.deb import Deb, is_deb
from bpfsmith.lab.kernels.matrix import SERIES
from bpfsmith.lab.kernels.rpm import Rpm, is_rpm
from bpfsmith.lab.prepare import no_space, prepare
from bpfsmith.lab.progress import Progress
from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.lab.store import Prepared

__all__ = ["add"]

_ARCHES = {"amd64", "arm64", "x86_64", "aarch64", "all", "noarch"}


def add(
    paths: str | Iterable[str], *, btf: str = "", modules: str | Iterable[str] = (), name: str = "",
    progress: Progress | None = None,
) -> Prepared:  # fmt: skip
    """Prepares a kernel from files and keeps it under `name` (default: its release).

    `paths`: one image (bzImage, `/boot/vmlinuz-...`, vmlinux ELF file, arm64 Image), all packages of one kernel
    (`.deb`, `.rpm`), or an image and the packages of its modules. `btf`: types beside it (raw BTF or an ELF file with
    `.BTF`); `modules`: folders or files of modules, searched before `/lib/modules/RELEASE`.

    What it lacks is in `lacks` of the answer and told to `progress`. `InputError` for files that are no kernel, are cut
    off, are of several kernels, or for another machine."""
    progress = progress or Progress()
    given = [paths] if isinstance(paths, str) else list(paths)
    beside = [modules] if isinstance(modules, str) else list(modules)
    if not given:
        raise InputError("no kernel given", hint="name an image or packages")
    _check_name(name)
    for path in (*beside, *([btf] if btf else [])):
        if not os.path.exists(path):
            raise InputError(f"no such file `{path}`", where=path)
    images: list[str] = []
    archives: list[Deb | Rpm] = []
    for path in given:
        kind = _kind(path)
        if kind == "image":
            images.append(path)
        else:
            archives.append(Deb(path) if kind == "deb" else Rpm(path))
    if len(images) > 1:
        raise InputError(f"several images: {', '.join(images)}", hint="add one kernel at a time")
    for archive in archives:
        if archive.arch not in _ARCHES:
            raise InputError(
                f"`{archive.path}` is for {archive.arch}, and the lab has x86_64 and aarch64", where=archive.path
            )
    one = _packages(archives, images, beside, btf, name, progress) if archives else _image(images[0], beside, btf, name)
    dumb = one.lacks.get("virtio")  # nothing of it can be asked: that is no kernel that is ready
    how = "added, but no guest of it can be talked to" if dumb else "ready"
    progress.say(f"{one.name}: {how} ({one.release}, {one.size // 1_000_000} MB)")
    for lost in one.lacks.values():
        progress.say(f"{one.name}: {lost}")
    return one


def _check_name(name: str) -> None:
    if name.startswith((".", "-")) or not all(char.isalnum() or char in "._+-" for char in name):
        raise InputError(f"`{name}` is no name for a kernel", hint="letters, digits and `._+-`, such as `rhel9`")
    if name in SERIES or name == "host":
        raise InputError(f"`{name}` names a kernel already", hint=f"choose another name, such as `my-{name}`")
    for one in store.all():
        if name and one.name == name and one.series_named:
            raise InputError(
                f"`{name}` names {one.release} already", hint=f"`bpfsmith lab remove {name}`, or another name"
            )


def _kind(path: str) -> str:
    if os.path.isdir(path):
        raise InputError(
            f"`{path}` is a folder", where=path, hint="name the image or the packages; `--modules` takes folders"
        )
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        hint = {
            2: "name an image such as `/boot/vmlinuz-$(uname -r)`, or packages; `bpfsmith lab get` fetches one",
            13: "`sudo cp` it to a place of yours first",
        }.get(error.errno or 0, "")
        raise InputError(f"cannot read `{path}`: {(error.strerror or '').lower()}", where=path, hint=hint) from None
    if is_deb(head):
        return "deb"
    if is_rpm(head):
        return "rpm"
    if is_image(head):
        return "image"
    raise InputError(
        f"`{path}` is neither a kernel image nor a package", where=path,
        hint="the lab reads bzImage, vmlinux, arm64 Image, .deb and .rpm",
    )  # fmt: skip


def _image(path: str, beside: list[str], btf: str, name: str) -> Prepared:
    with open(path, "rb") as file:
        image = open_image(file.read(), path)
    source = tree.installed(path, image.banner.partition(" ")[0], beside)
    source.btf = btf
    return prepare(source, name)


def _packages(
    archives: list[Deb | Rpm], images: list[str], beside: list[str], btf: str, name: str, progress: Progress
) -> Prepared:
    progress.say(f"unpacking {', '.join(os.path.basename(one.path) for one in archives)}")
    try:
        with store.making("downloads") as folder:
            source, passed = tree.from_packages(archives, folder, ", ".join(one.path for one in archives), *images)
            source.btf = btf
            for base in beside:
                source.modules.update(tree.modules_below(base))
            return prepare(source, name, more=lambda names: tree.fetch(source, names, passed, folder))
    except OSError as error:
        raise no_space(error, store.place("downloads")) from None

"""A kernel's files made into a `Prepared` kernel: image unpacked to what boots, with where its types are in it (or
those given beside it, compressed), needed modules in load order, configuration. The rest is not kept."""

from __future__ import annotations

import os

from bpfsmith.lab import store
from bpfsmith.lab.kernels import elf, modules
from bpfsmith.lab.kernels.bzimage import open_image
from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith.lab.kernels.bzimage import Image

__all__ = ["Source", "no_space", "prepare"]

NO_BTF = "no BTF: CO-RE, fentry, LSM, struct_ops, tp_btf, kfuncs and iterators cannot be loaded; `--btf FILE` gives it"
NO_CHANNEL = "no guest of this kernel can be talked to; give its modules with `--modules` or add their package too"
NO_TRAFFIC = "no classic tc and no veth pairs in its guests (XDP and tcx work on lo)"
NO_CONFIG = "configuration not known: whether something is missing because of it cannot be told"
NO_PVH = "no PVH entry: it boots by its boot image, which takes about a second longer"


class Source:
    """What a kernel is made from. `image`: path of what is booted; `config`: its configuration as text ("" = not had);
    `modules`: name as lsmod says -> path; `builtin`: names of modules that are in the image; `btf`: path of types given
    beside it; the rest as in `Prepared` ("" = to be found in the image)."""

    __slots__ = ("arch", "btf", "builtin", "config", "image", "modules", "origin", "package", "packages", "release")

    def __init__(self, image: str, origin: str) -> None:
        self.image = image
        self.origin = origin
        self.config = ""
        self.modules: dict[str, str] = {}
        self.builtin: set[str] = set()
        self.btf = ""
        self.release = ""
        self.package = ""
        self.packages: list[str] = []
        self.arch = ""


def prepare(
    source: Source, name: str = "", *, series_named: bool = False, more: Callable[[set[str]], None] | None = None
) -> store.Prepared:
    """Prepares it under `name` (default: its release; with `series_named` its series) and answers it as it is kept.

    `more` is asked once for modules others depend on that `source.modules` lacks; it may add to that. `InputError` for
    an image that is none or is cut off; `EnvironmentMissing` when there is no space."""
    store.sweep()
    try:
        with store.making("kernels") as new:
            os.mkdir(os.path.join(new, "modules"))
            told = _make(source, new, more)
            return _keep(new, told, name, series_named)
    except OSError as error:
        raise no_space(error, store.place("kernels")) from None


def no_space(error: OSError, path: str) -> BpfsmithError:
    """What a failed write below the folder `path` is told as."""
    from errno import EDQUOT, ENOSPC

    why = (error.strerror or str(error)).lower()
    if error.errno in (ENOSPC, EDQUOT):
        return EnvironmentMissing(
            f"no space for the kernel in `{path}`: one takes about 150 MB, with the tools image as much again",
            "bpfsmith lab remove NAME" if store.all() else "export BPFSMITH_CACHE=FOLDER",
            path,
            "make room with `bpfsmith lab remove NAME`" if store.all()
            else "keep kernels elsewhere with `export BPFSMITH_CACHE=FOLDER`",
        )  # fmt: skip
    if refused := store.not_ours(error, "prepare the kernel", path):
        return refused
    return InputError(f"cannot prepare the kernel: {why}", where=str(error.filename or path))


def _make(source: Source, new: str, more: Callable[[set[str]], None] | None) -> dict[str, Any]:
    with open(source.image, "rb") as file:
        data = file.read()
    image = open_image(data, source.image)
    if source.arch and image.arch != source.arch:
        raise InputError(
            f"`{source.image}` is for {image.arch}, and {source.arch} was asked for", where=source.image
        )  # fmt: skip
    lacks: dict[str, str] = {}
    boot = _write_image(image, data, new, lacks)
    if not source.config:
        from bpfsmith.lab.kernels.config import embedded

        source.config = embedded(image.kernel)
    if source.config:
        with open(os.path.join(new, "config"), "w", encoding="utf-8") as out:
            out.write(source.config)
    else:
        lacks["config"] = NO_CONFIG
    btf_at = None if source.btf or boot == "bzimage" else elf.section_at(image.kernel, ".BTF")
    if btf_at is not None and sum(btf_at) > os.path.getsize(os.path.join(new, "vmlinux")):
        btf_at = None  # older tools put it behind what is loaded, which is not kept
    has_btf = btf_at is not None or _write_btf(source, image, new)
    if not has_btf:
        lacks["btf"] = NO_BTF + (f" ({image.why})" if image.why else "")
    release = source.release or image.banner.partition(" ")[0]
    if not release:
        raise InputError(
            f"`{source.image}` does not say its release", where=source.image, hint="give the whole package instead"
        )
    names = _write_modules(source, new, release, more)
    there = {*names, *source.builtin, *_built_in(source, image)}
    for word, needed, lost in (("virtio", modules.CHANNEL, NO_CHANNEL), ("traffic", modules.TRAFFIC, NO_TRAFFIC)):
        absent = [one for one in needed if one not in there]
        if absent:
            lacks[word] = f"no {', '.join(absent)}: {lost}"
    return {
        "format": store.FORMAT, "release": release, "version": _version(source, image, release),
        "package": source.package, "packages": source.packages, "arch": image.arch, "origin": source.origin,
        "boot": boot, "btf": has_btf, "btf_at": btf_at, "config": bool(source.config), "modules": names, "lacks": lacks,
    }  # fmt: skip


def _write_image(image: Image, data: bytes, new: str, lacks: dict[str, str]) -> str:
    boot, kept = "image", image.kernel
    if image.arch == "x86_64":
        boot = "pvh"
        kept = elf.without_debug(image.kernel)
        if elf.pvh_entry(image.kernel) is None:
            if image.kind == "elf":
                if b"Linux version " not in image.kernel:
                    raise InputError(
                        "it is an ELF executable, but no kernel", hint="the lab reads bzImage, vmlinux and arm64 Image"
                    )
                raise InputError(
                    "this vmlinux has no PVH entry (CONFIG_PVH), so that QEMU cannot boot it",
                    hint="add its bzImage instead: `arch/x86/boot/bzImage`",
                )
            boot, kept = "bzimage", data
            lacks["pvh"] = f"{NO_PVH} ({image.why})" if image.why else NO_PVH
    with open(os.path.join(new, "vmlinux"), "wb") as out:
        out.write(kept)
    return boot


def _write_btf(source: Source, image: Image, new: str) -> bool:
    found = None
    if source.btf:
        found = _given_types(source.btf)
    elif image.kernel[:4] == b"\x7fELF":
        found = elf.section(image.kernel, ".BTF")
    else:
        found = _types_in(image.kernel)
    if not found:
        return False
    from zlib import compress

    with open(os.path.join(new, "btf.z"), "wb") as out:
        out.write(compress(found, 6))
    return True


def _given_types(path: str) -> bytes:
    from bpfsmith._native import Btf, ReadError

    try:
        return Btf.open(path).to_bytes()
    except (ReadError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error.args[0]
        raise InputError(f"cannot read kernel types from `{path}`: {why}", where=path) from None


def _types_in(kernel: bytes) -> bytes | None:
    """The BTF in an arm64 Image, which has no sections: by its header, checked by reading it."""
    from struct import unpack_from

    from bpfsmith._native import Btf, ReadError

    at = kernel.find(b"\x9f\xeb\x01\x00\x18\x00\x00\x00")
    while at >= 0:
        type_off, type_len, text_off, text_len = (
            unpack_from("<IIII", kernel, at + 8) if at + 24 <= len(kernel) else (1, 0, 0, 0)
        )
        size = 24 + max(type_off + type_len, text_off + text_len)
        if type_off == 0 and type_len > 100_000 and at + size <= len(kernel):
            try:
                Btf.parse(kernel[at : at + size])
            except ReadError:
                pass
            else:
                return kernel[at : at + size]
        at = kernel.find(b"\x9f\xeb\x01\x00\x18\x00\x00\x00", at + 8)
    return None


def _write_modules(source: Source, new: str, release: str, more: Callable[[set[str]], None] | None) -> list[str]:
    def read(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    chosen, missing = modules.closure(modules.WANTED, source.modules, read)
    asked: set[str] = set()
    while more is not None and not asked.issuperset(missing):
        asked.update(missing)
        more(set(missing))
        chosen, missing = modules.closure(modules.WANTED, source.modules, read)
    for name, data in chosen:
        built_for = modules.vermagic(data)
        if built_for and built_for != release:
            raise InputError(
                f"the module `{name}` is for {built_for}, and the kernel is {release}", where=source.modules[name],
                hint="give the modules of the same build",
            )  # fmt: skip
        with open(os.path.join(new, "modules", f"{name}.ko"), "wb") as out:
            out.write(data)
    return [name for name, _ in chosen]


def _built_in(source: Source, image: Image) -> list[str]:
    """Of the modules a guest needs, those in the image as far as the configuration, or else the image itself, says."""
    from bpfsmith.lab.kernels.config import parse

    # What in an image says that the driver is in it: names of its classes and operations.
    signs = {
        "virtio_pci": ("VIRTIO_PCI", b"\0virtio-pci\0"), "virtio_console": ("VIRTIO_CONSOLE", b"\0virtio-ports\0"),
        "veth": ("VETH", b"\0veth\0"), "sch_ingress": ("NET_SCH_INGRESS", b"\0clsact\0"),
        "cls_bpf": ("NET_CLS_BPF", b"\0cls_bpf\0"),
    }  # fmt: skip
    config = parse(source.config)
    if config:
        return [name for name, (option, _) in signs.items() if config.get(f"CONFIG_{option}") == "y"]
    return [name for name, (_, text) in signs.items() if text in image.kernel]


def _version(source: Source, image: Image, release: str) -> str:
    """`5.10.262` of a release `5.10.0-46-cloud-amd64`: Debian says the whole number in its banner and its package."""
    from bpfsmith.lab.kernels.versions import numbers

    said = numbers(release)
    words = image.banner.split()
    told = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "Debian"]
    for text in (*told, source.package):
        found = numbers(text.partition(":")[2] or text)
        if len(found) >= 2 and found[:2] == said[:2]:
            return ".".join(map(str, found))
    return ".".join(map(str, said))


def _keep(new: str, told: dict[str, Any], name: str, series_named: bool) -> store.Prepared:
    import json
    from time import time

    from bpfsmith.lab.kernels.matrix import series_name

    series = ".".join(told["version"].split(".")[:2])
    told["name"] = name or (series_name(series, told["arch"], told["release"]) if series_named else told["release"])
    told["series_named"] = series_named
    told["added"] = int(time())
    told["size"] = store.size_of(new)
    # The version and the time are in it: templates made of an older build are never taken for this one's.
    key = "".join(
        char if char.isalnum() or char in "._+~-" else "_"
        for char in f"{told['name']}-{told['package'] or told['release']}"
    )
    key = f"{key}-{told['arch']}"
    with open(os.path.join(new, "kernel.json"), "w", encoding="utf-8") as out:
        json.dump(told, out, indent=1)
    path = os.path.join(store.folder("kernels"), key)
    with store.locked("kernels"):
        old = store.aside(path) if os.path.exists(path) else ""
        os.rename(new, path)
        if old:
            from shutil import rmtree

            rmtree(old, ignore_errors=True)
        for one in store.all():
            if not series_named and not one.series_named and one.name == told["name"] and one.folder != path:
                store.discard(one)  # the same name given to another kernel
    return store.Prepared(path, told)

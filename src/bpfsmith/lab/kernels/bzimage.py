"""The kernel proper out of what is booted: an x86 bzImage, an EFI zboot image, a compressed or plain arm64 Image, or an
ELF file as it is (Documentation/arch/x86/boot.rst, drivers/firmware/efi/libstub/zboot-header.S, arm64/booting.rst)."""

from __future__ import annotations

from struct import unpack_from

from bpfsmith._native import ReadError, compression, decompress
from bpfsmith.lab.kernels import elf
from bpfsmith.model.errors import InputError

__all__ = ["Image", "is_image", "open_image"]

# No kernel is as large; debug information is not in what is booted.
LIMIT = 1 << 30


class Image:
    """`arch`; `kind`: `elf`, `bzimage`, `image`; `kernel`: the bytes unpacked, b"" when they cannot be (`why`);
    `banner`: its release and version as it was built to say, "" when not found."""

    __slots__ = ("arch", "banner", "kernel", "kind", "why")

    def __init__(self, kind: str, arch: str, kernel: bytes, why: str = "", banner: str = "") -> None:
        self.kind = kind
        self.arch = arch
        self.kernel = kernel
        self.why = why
        self.banner = banner or _banner(kernel)


def is_image(head: bytes) -> bool:
    """Whether a file with these first 1024 bytes is a kernel."""
    return (
        head[:4] == b"\x7fELF" or head[0x202:0x206] == b"HdrS" or head[56:60] == b"ARM\x64" or head[4:8] == b"zimg"
        or (head[:2] == b"\x1f\x8b")
    )  # fmt: skip


def open_image(data: bytes, where: str) -> Image:
    """Reads an image. `InputError` names `where` for what is none, is cut off, or is for an unknown machine."""
    if data[:2] == b"\x1f\x8b":
        data = _unpack("gzip", data, where)
        if data[:2] == b"\x1f\x8b":
            raise InputError(f"`{where}` holds a compressed file, no kernel image", where=where, hint="unpack it first")
    if data[:4] == b"\x7fELF":
        return _elf(data, where)
    if data[0x202:0x206] == b"HdrS":
        return _bzimage(data, where)
    if data[4:8] == b"zimg":
        offset, size = unpack_from("<II", data, 8) if len(data) > 64 else (0, 0)
        kind = data[24:56].partition(b"\0")[0].decode("ascii", "replace")
        kind = {"zstd22": "zstd", "xzkern": "xz"}.get(kind, kind)
        if offset + size > len(data):
            raise _cut(where)
        return _arm64(_unpack(kind, data[offset : offset + size], where), where)
    if data[56:60] == b"ARM\x64":
        return _arm64(data, where)
    raise InputError(
        f"`{where}` is no kernel image", where=where,
        hint="name a bzImage (`/boot/vmlinuz-...`), a vmlinux ELF file, an arm64 Image, or the packages of a kernel",
    )  # fmt: skip


def _cut(where: str) -> InputError:
    return InputError(f"the kernel image `{where}` is cut off", where=where, hint="copy or download it again")


def _unpack(kind: str, data: bytes, where: str) -> bytes:
    try:
        return decompress(kind, data, LIMIT)
    except ReadError as error:
        raise InputError(
            f"cannot unpack the kernel image `{where}`: {error.args[0]}", where=where, hint="copy or download it again"
        ) from None


def _elf(data: bytes, where: str) -> Image:
    arch = elf.machine(data)
    if unpack_from("<H", data, 16)[0] not in (2, 3):
        raise InputError(
            f"`{where}` is an object or a module, no kernel", where=where, hint="name a `vmlinux` or a bzImage"
        )
    if data[4] != 2 or arch not in ("x86_64", "aarch64"):
        raise InputError(
            f"`{where}` is for {arch or 'a 32 bit machine'}, and the lab has x86_64 and aarch64", where=where
        )
    return Image("elf", arch, data)


def _arm64(data: bytes, where: str) -> Image:
    if data[56:60] != b"ARM\x64":
        raise InputError(f"`{where}` holds no arm64 kernel", where=where)
    return Image("image", "aarch64", data)


def _bzimage(data: bytes, where: str) -> Image:
    version = unpack_from("<H", data, 0x206)[0]
    setup = ((data[0x1F1] or 4) + 1) * 512
    text_at = unpack_from("<H", data, 0x20E)[0] + 0x200
    said = data[text_at : text_at + 256].partition(b"\0")[0].decode("ascii", "replace")
    if version >= 0x0208 and len(data) >= 0x250:
        offset, size = unpack_from("<II", data, 0x248)
        if size and setup + offset + size > len(data):
            raise _cut(where)
        payload = data[setup + offset : setup + offset + size]
    else:
        payload = data[setup:]  # before 2.6.26: where it begins is not said
    if not payload:
        raise _cut(where)
    if payload[:4] == b"\x7fELF":
        return _boots(Image("bzimage", "x86_64", payload, banner=said), where)
    kind = compression(payload)
    if kind is None:
        return Image("bzimage", "x86_64", b"", "its payload is compressed in a way bpfsmith does not know (LZO?)", said)
    kernel = _unpack(kind, payload, where)
    return _boots(Image("bzimage", "x86_64", kernel, banner=said), where)


def _boots(image: Image, where: str) -> Image:
    if elf.machine(image.kernel) != "x86_64":
        found = elf.machine(image.kernel) or "no ELF file"
        raise InputError(
            f"the kernel in `{where}` is for {found}, and the lab has x86_64 and aarch64", where=where,
            hint="name a 64 bit kernel",
        )  # fmt: skip
    return image


def _banner(kernel: bytes) -> str:
    """`6.12.117+deb12-cloud-amd64 (debian-kernel@...) #1 SMP ... Debian 6.12.117-1`: what follows `Linux version `."""
    at = kernel.find(b"Linux version ")
    while at >= 0:
        text = kernel[at + 14 : at + 14 + 512]
        if text[:1].isdigit():
            return text.replace(b"\n", b"\0").partition(b"\0")[0].decode("utf-8", "replace")
        at = kernel.find(b"Linux version ", at + 14)
    return ""

"""Small made-up kernels and what they come in: ELF files, boot images, modules, packages, a signed archive."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import shutil
import struct
import subprocess
import tarfile
import threading
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

RELEASE = "6.12.9-cloud-amd64"
CONFIG = """\
CONFIG_BPF=y
CONFIG_VIRTIO_PCI=m
CONFIG_VIRTIO_CONSOLE=y
CONFIG_HZ=250
CONFIG_LSM="yama,bpf"
# CONFIG_X is not set
"""


def numbers(release: str) -> str:
    """`6.12.9+deb12-cloud-amd64` -> `6.12.9`."""
    return release.partition("+")[0].partition("-")[0]


def btf(names: Sequence[str] = ("task_struct",)) -> bytes:
    """vmlinux types: one empty struct per name."""
    text = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    types, at = b"", 1
    for name in names:
        types += struct.pack("<III", at, 4 << 24, 8)
        at += len(name) + 1
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(text)) + types + text


def elf(sections: Mapping[str, bytes], *, kind: int = 2, machine: int = 62, pvh: bool = True) -> bytes:
    """A 64 bit file: a note segment, all sections loaded, section headers behind them."""
    note = struct.pack("<III4sI", 4, 4, 18 if pvh else 5, b"Xen\0", 0x1000000)
    body, at, places = note, 64 + 2 * 56 + len(note), {}
    for name, data in sections.items():
        places[name] = (at, len(data))
        body += data
        at += len(data)
    names, name_at = b"\0", {}
    for name in (*sections, ".shstrtab"):
        name_at[name] = len(names)
        names += name.encode() + b"\0"
    headers = bytes(64)
    for name, (offset, size) in places.items():
        headers += struct.pack("<IIQQQQIIQQ", name_at[name], 1, 2, 0, offset, size, 0, 0, 1, 0)
    headers += struct.pack("<IIQQQQIIQQ", name_at[".shstrtab"], 3, 0, 0, at, len(names), 0, 0, 1, 0)
    count = len(sections) + 2
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack(
        "<HHIQQQIHHHHHH", kind, machine, 1, 0x1000000, 64, at + len(names), 0, 64, 56, 2, 64, count, count - 1
    )
    start = 64 + 2 * 56
    head += struct.pack("<IIQQQQQQ", 4, 4, start, 0, 0, len(note), len(note), 4)
    head += struct.pack("<IIQQQQQQ", 1, 5, start, 0, 0, len(body), len(body), 4096)
    return head + body + names + headers


def vmlinux(release: str = RELEASE, *, types: bytes | None = None, more: bytes = b"", **words: object) -> bytes:
    """An ELF kernel that says its release."""
    said = f"\0Linux version {release} (someone@somewhere) (cc) #1 SMP Debian {numbers(release)}-1\0"
    text = said.encode()
    types = btf() if types is None else types
    sections = {".text": text + more + os.urandom(40_000), **({".BTF": types} if types else {})}
    return elf(sections, **words)  # type: ignore[arg-type]


def packed(kind: str, data: bytes) -> bytes:
    """As the kernel's build packs it; skips the test without the tool."""
    if kind == "gzip":
        return gzip.compress(data)
    size = struct.pack("<I", len(data))
    if kind == "xz":
        filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
        return lzma.compress(data, check=lzma.CHECK_CRC32, filters=filters) + size
    if kind == "lzma":
        return lzma.compress(data, format=lzma.FORMAT_ALONE) + size
    if kind == "bzip2":
        return bz2.compress(data) + size
    if kind == "none":
        return data
    command = {"zstd": ["zstd", "-3", "-qc"], "lz4": ["lz4", "-lqc"]}[kind]
    if not shutil.which(command[0]):
        pytest.skip(f"no `{command[0]}`")
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout + size


def bzimage(kernel: bytes, kind: str = "gzip", release: str = RELEASE) -> bytes:
    """A boot image with that kernel as its payload."""
    payload = packed(kind, kernel)
    head = bytearray(3 * 512)
    head[0x1F1] = 2
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x020F)
    struct.pack_into("<H", head, 0x20E, 0x300 - 0x200)
    said = f"{release} (someone@somewhere) #1 SMP Debian {numbers(release)}-1\0".encode()
    head[0x300 : 0x300 + len(said)] = said
    stub = b"\x90" * 1000
    struct.pack_into("<II", head, 0x248, len(stub), len(payload))
    return bytes(head) + stub + payload + bytes(4096)


def module(depends: Sequence[str] = (), release: str = RELEASE) -> bytes:
    """A `.ko` with what modinfo reads."""
    text = f"license=GPL\0depends={','.join(depends)}\0vermagic={release} SMP mod_unload\0".encode()
    return elf({".modinfo": text}, kind=1)


def kernel_files(
    release: str = RELEASE,
    *,
    image: bytes | None = None,
    modules: Mapping[str, bytes] | None = None,
    suffix: str = ".ko",
) -> dict[str, bytes]:
    """path in a package -> bytes: image, configuration, modules."""
    if modules is None:
        modules = {
            "drivers/virtio/virtio": module((), release), "drivers/virtio/virtio_ring": module((), release),
            "drivers/virtio/virtio_pci": module(("virtio", "virtio_ring"), release),
            "drivers/net/veth": module((), release), "net/sched/sch_ingress": module((), release),
            "net/sched/cls-bpf": module(("strange",), release), "sound/strange": module((), release),
            "drivers/gpu/amdgpu": module((), release),
        }  # fmt: skip
    pack = {".ko": lambda data: data, ".ko.xz": lzma.compress, ".ko.gz": gzip.compress,
            ".ko.zst": lambda data: packed("zstd", data)}[suffix]  # fmt: skip
    files = {f"boot/vmlinuz-{release}": image or bzimage(vmlinux(release), release=release)}
    files[f"boot/config-{release}"] = CONFIG.encode()
    files |= {f"lib/modules/{release}/kernel/{name}{suffix}": pack(data) for name, data in modules.items()}
    files[f"lib/modules/{release}/modules.builtin"] = b"kernel/drivers/char/virtio_console.ko\n"
    return files


def deb(
    files: Mapping[str, bytes], *, name: str = f"linux-image-{RELEASE}", version: str = "6.12.9-1", arch: str = "amd64",
    packing: str = "xz",
) -> bytes:  # fmt: skip
    """A .deb."""

    def tar(content: Mapping[str, bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for path, data in content.items():
                entry = tarfile.TarInfo(f"./{path}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        return out.getvalue()

    control = f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nDescription: made up\n"
    suffix = {"xz": ".xz", "gzip": ".gz", "zstd": ".zst", "none": ""}[packing]
    data = tar(files)
    compressed = packed(packing, data)
    out = b"!<arch>\n"
    members = {
        "debian-binary": b"2.0\n", "control.tar.gz": gzip.compress(tar({"control": control.encode()})),
        f"data.tar{suffix}": compressed,
    }  # fmt: skip
    for member, content in members.items():
        out += f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        out += b"\n" * (len(content) % 2)
    return out


def cpio(files: Mapping[str, bytes]) -> bytes:
    """A newc archive, with a folder and a link among the files."""
    out = b""

    def entry(path: str, mode: int, data: bytes, links: int = 1, inode: int = 0) -> bytes:
        words = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(path) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % word for word in words) + path.encode() + b"\0"
        return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)

    out += entry("./lib", 0o40755, b"", 2)
    out += entry("./lib/modules/build", 0o120777, b"/usr/src/linux")
    for number, (path, data) in enumerate(files.items()):
        if number == 0:  # hard links: only the last has the bytes
            out += entry("./boot/vmlinuz.hard", 0o100644, b"", 2, 7)
            out += entry(f"./{path}", 0o100644, data, 2, 7)
        else:
            out += entry(f"./{path}", 0o100644, data, 1, 100 + number)
    return out + entry("TRAILER!!!", 0, b"")


def rpm(
    files: Mapping[str, bytes], *, name: str = "kernel-core", version: str = "6.12.9", release: str = "1.el9",
    arch: str = "x86_64", packing: str = "zstd",
) -> bytes:  # fmt: skip
    """A .rpm, as the format's description says."""

    def header(tags: Mapping[int, str | int]) -> bytes:
        index = store = b""
        for tag, value in sorted(tags.items()):
            if isinstance(value, int):
                store += bytes(-len(store) % 4)
                index += struct.pack(">IIII", tag, 4, len(store), 1)
                store += struct.pack(">I", value)
            else:
                index += struct.pack(">IIII", tag, 6, len(store), 1)
                store += value.encode() + b"\0"
        return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", len(tags), len(store)) + index + store

    payload = packed(packing, cpio(files))
    main = header(
        {1000: name, 1001: version, 1002: release, 1022: arch, 1125: packing,
         5092: hashlib.sha256(payload).hexdigest(), 5093: 8}
    )  # fmt: skip
    signature = header({1000: len(main) + len(payload)})
    lead = b"\xed\xab\xee\xdb\x03\0\0\0\0\x01" + name.encode().ljust(66, b"\0") + b"\0\x01\0\x05" + bytes(16)
    return lead + signature + bytes(-len(signature) % 8) + main + payload


class Archive:
    """A signed mirror below a folder: `dists/SUITE`, `pool`; `keyring` verifies it. Skips the test without gpg."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("gpg") or not shutil.which("gpgv"):
            pytest.skip("no `gpg` and `gpgv`: apt-get install gnupg gpgv")
        self.folder = folder
        self.keyring = folder / "keys.gpg"
        self.home = folder / "gnupg"
        self.home.mkdir(mode=0o700, parents=True)
        self._gpg("--quick-gen-key", "archive@example.org", "ed25519", "sign", "never")
        self.keyring.write_bytes(self._gpg("--export"))
        self.packages: dict[str, list[str]] = {}
        self.by_hash = False  # apt insists on it; a mirror may not have it yet

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def _gpg(self, *words: str, data: bytes = b"") -> bytes:
        command = [
            "gpg",
            "--homedir",
            str(self.home),
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--pinentry-mode",
            "loopback",
        ]
        return subprocess.run([*command, *words], input=data, capture_output=True, check=True).stdout

    def close(self) -> None:
        subprocess.run(
            [shutil.which("gpgconf", path=os.defpath) or "gpgconf", "--homedir", str(self.home), "--kill", "all"],
            check=False,
            capture_output=True,
        )

    def add(self, suite: str, content: bytes, *, name: str, version: str, arch: str = "amd64") -> Path:
        """One package into a suite; `publish` makes it seen."""
        path = f"pool/main/l/linux/{name}_{version}_{arch}.deb"
        where = self.folder / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content)
        self.packages.setdefault(suite, []).append(
            f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nDescription: made up\n more of it\n"
            f"Filename: {path}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
        return where

    def publish(self, suite: str, arch: str = "amd64", *, codename: str = "", until: str = "") -> Path:
        """Writes and signs the suite's index, good `until` that date; the folder of it."""
        text = "\n".join(["Package: zz\nVersion: 1\n", *self.packages.get(suite, [])])
        index = lzma.compress(text.encode())
        base = self.folder / "dists" / suite
        (base / f"main/binary-{arch}").mkdir(parents=True, exist_ok=True)
        (base / f"main/binary-{arch}/Packages.xz").write_bytes(index)
        digest = hashlib.sha256(index).hexdigest()
        by_hash = base / f"main/binary-{arch}/by-hash/SHA256"
        by_hash.mkdir(parents=True, exist_ok=True)
        if self.by_hash:
            (by_hash / digest).write_bytes(index)
        dated = f"Valid-Until: {until}\n" if until else ""
        release = (
            f"Origin: Debian\nDate: {formatdate(usegmt=True)}\nSuite: {suite}\nCodename: {codename or suite}\n"
            f"{dated}Architectures: {arch}\nComponents: main\nAcquire-By-Hash: yes\nSHA256:\n"
            f" {hashlib.sha256(text.encode()).hexdigest()} {len(text)} main/binary-{arch}/Packages\n"
            f" {digest} {len(index)} main/binary-{arch}/Packages.xz\n"
        )
        (base / "InRelease").write_bytes(self._gpg("--clearsign", data=release.encode()))
        return base


class Server:
    """A web server on a folder, which can send less than it has."""

    def __init__(self, folder: Path, *, ranges: bool = True) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.cut = 0  # ends the next answer after so many bytes
        self.cut_all = False  # ... and all that follow
        self.status: dict[str, int] = {}  # path -> what is answered instead
        outer = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(folder))

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                outer.asked.append((self.path, wanted))
                if self.path in outer.status:
                    self.send_error(outer.status[self.path])
                    return
                path = Path(self.translate_path(self.path))
                if not path.is_file():
                    self.send_error(404)
                    return
                data, at = path.read_bytes(), 0
                if wanted and ranges:
                    at = int(wanted.removeprefix("bytes=").removesuffix("-"))
                    if at >= len(data):
                        self.send_error(416)
                        return
                    self.send_response(206)
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(data) - at))
                self.end_headers()
                part = data[at:]
                if outer.cut:
                    part, outer.cut = part[: outer.cut], outer.cut if outer.cut_all else 0
                self.wfile.write(part)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
